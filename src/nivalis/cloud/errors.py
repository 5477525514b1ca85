"""What can go wrong with a cloud.

CloudError                     cloud
├── UnreachableError           cloud-unreachable: no connection, or it broke off
├── AnswerError                cloud-answer: what came is not what the API answers
├── ApiError                   cloud-refused: the API says no, in its own words
│   ├── AuthenticationError    cloud-authentication: the credentials, or what they may do
│   │   └── OtpRequiredError   cloud-otp-required: a one-time password is wanted too
│   ├── ForbiddenError         cloud-forbidden
│   ├── LimitReachedError      cloud-limit-reached
│   ├── MissingResourceError   cloud-missing-resource
│   ├── ConflictError          cloud-conflict: the resource is in another state than this needs
│   ├── GoneError              cloud-gone: the cloud no longer does this
│   ├── InvalidRequestError    cloud-invalid-request
│   └── UnavailableError       cloud-unavailable: the API is not there for the moment
├── FailedResourceError        cloud-failed-resource: an import or a server has failed
├── DeadlineError              cloud-deadline: it has not become what was waited for
├── UploadError                cloud-upload
├── CloudConfigError           cloud-configuration
└── LocalCloudError            local-cloud
"""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = [
    "AnswerError",
    "ApiError",
    "AuthenticationError",
    "CloudConfigError",
    "CloudError",
    "ConflictError",
    "DeadlineError",
    "FailedResourceError",
    "ForbiddenError",
    "GoneError",
    "InvalidRequestError",
    "LimitReachedError",
    "LocalCloudError",
    "MissingResourceError",
    "OtpRequiredError",
    "UnavailableError",
    "UnreachableError",
    "UploadError",
]


class CloudError(NivalisError):
    """A cloud does not do what was asked."""

    default_code = "cloud"


class UnreachableError(CloudError):
    """There is no connection to the cloud.  With `never_sent` the request has surely not arrived."""

    default_code = "cloud-unreachable"

    def __init__(self, message: str, *, never_sent: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.never_sent = never_sent


class AnswerError(CloudError):
    """An answer that is none of the API's."""

    default_code = "cloud-answer"


class ApiError(CloudError):
    """The API refuses.  `status` is HTTP's, `name` the API's own word for the error."""

    default_code = "cloud-refused"

    def __init__(self, message: str, *, status: int = 0, name: str = "", where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
        self.name = name


class AuthenticationError(ApiError):
    """The cloud does not know who is asking."""

    default_code = "cloud-authentication"


class OtpRequiredError(AuthenticationError):
    """The user has a second factor, and its one-time password is missing or wrong."""

    default_code = "cloud-otp-required"


class ForbiddenError(ApiError):
    """Who is asking may not do this."""

    default_code = "cloud-forbidden"


class LimitReachedError(ForbiddenError):
    """The account's limit of memory, addresses or the like is reached."""

    default_code = "cloud-limit-reached"


class MissingResourceError(ApiError):
    """There is no resource of that identifier."""

    default_code = "cloud-missing-resource"


class ConflictError(ApiError):
    """The resource is not in a state in which this can be done."""

    default_code = "cloud-conflict"


class GoneError(ApiError):
    """The cloud once did this."""

    default_code = "cloud-gone"


class InvalidRequestError(ApiError):
    """A field that the API does not accept."""

    default_code = "cloud-invalid-request"


class UnavailableError(ApiError):
    """The API is not available now."""

    default_code = "cloud-unavailable"


class FailedResourceError(CloudError):
    """A resource has gone into a state from which it does not become what was waited for."""

    default_code = "cloud-failed-resource"


class DeadlineError(CloudError):
    """The time is over."""

    default_code = "cloud-deadline"


class UploadError(CloudError):
    """A file cannot be uploaded."""

    default_code = "cloud-upload"


class CloudConfigError(CloudError):
    """The configuration of clients is missing or wrong."""

    default_code = "cloud-configuration"


class LocalCloudError(CloudError):
    """The cloud of this machine cannot be started, or is not running."""

    default_code = "local-cloud"
