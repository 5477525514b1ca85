"""What an answer says when it is an error: the two shapes of Brightbox (OAuth's and the API's own) as exceptions.

The table of statuses and words is that of real recorded answers; a status that is not in it becomes a plain ApiError.
"""

from __future__ import annotations

import json
import re

from nivalis.cloud.errors import (
    ApiError,
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidRequestError,
    LimitReachedError,
    MissingResourceError,
    UnavailableError,
)
from nivalis.cloud.http import Answer

__all__ = ["is_stale_token", "make_error"]

_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: MissingResourceError,
    409: ConflictError,
    410: GoneError,
    422: InvalidRequestError,
    503: UnavailableError,
}
_BY_NAME: dict[str, type[ApiError]] = {
    "invalid_client": AuthenticationError,
    "unauthorized_client": AuthenticationError,
    "invalid_grant": AuthenticationError,
    "invalid_token": AuthenticationError,
    "expired_token": AuthenticationError,
    "account_limit_reached": LimitReachedError,
}
_HINTS: dict[type[ApiError], str] = {
    AuthenticationError: "`nivalis cloud config client_list` shows the clients; `nivalis cloud login` logs in a user",
    GoneError: "images come from an address today: `nivalis cloud images register --file FILE` uploads one and registers it",
}
# Whatever the API repeats of an address, what makes a temporary one valid is nobody's business.
_SECRETS = re.compile(r"(temp_url_sig=|://[^/@\s:]*:)[^&\s@\"']+")


def is_stale_token(answer: Answer) -> bool:
    """Whether only the token is at fault."""
    return answer.status == 401 and _read(answer)[0] in ("invalid_token", "expired_token", "")


def make_error(answer: Answer) -> ApiError:
    """The exception for an answer of status 400 or above."""
    name, words = _read(answer)
    kind = _BY_NAME.get(name) or _BY_STATUS.get(answer.status, ApiError)
    said = "; ".join(words) or name.replace("_", " ") or f"HTTP {answer.status}"
    text = f"cloud refuses: {_hide(said)} ({' '.join(filter(None, [f'HTTP {answer.status}', name]))})"
    return kind(text, status=answer.status, name=name, where=answer.request, hint=_HINTS.get(kind))


def _hide(text: str) -> str:
    return _SECRETS.sub(r"\1***", text)


def _read(answer: Answer) -> tuple[str, list[str]]:
    """The API's word for the error, and its sentences."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return "", []
    if not isinstance(found, dict):
        return "", []
    errors = found.get("errors")
    words = [str(word) for word in errors] if isinstance(errors, list) else []
    if found.get("error_description"):
        words.append(str(found["error_description"]))
    return str(found.get("error_name") or found.get("error") or ""), words
