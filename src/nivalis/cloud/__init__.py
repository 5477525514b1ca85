"""Brightbox Cloud: a typed client of its API, its image library and Orbit; and, in `local`, a Brightbox on this machine.

What it is: `Brightbox` (accounts, images, servers, Cloud IPs, groups, firewalls ...), `Orbit` (object storage, where an image is
put to be registered by its address), `upload_by_ftp` (the image library as it was until 2023), and the configuration file that the
`brightbox` command has.

What it may import: the standard library, `nivalis.errors` and `nivalis.fetch`, whose settings of the network it uses.  All HTTP goes through
`nivalis.cloud.http`; `nivalis.fetch.download` itself only brings files, and an API is asked in other ways.

What it does not do: it reads no environment and asks nobody anything (both are handed in), and a secret is never in a message or a repr.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.cloud.api import Brightbox
    from nivalis.cloud.auth import Authenticator, Credentials
    from nivalis.cloud.config import ClientConfig, ConfigFile
    from nivalis.cloud.ftp import upload_by_ftp
    from nivalis.cloud.orbit import Orbit

__all__ = ["Authenticator", "Brightbox", "ClientConfig", "ConfigFile", "Credentials", "Orbit", "upload_by_ftp"]

__getattr__ = from_modules(
    __name__,
    {
        "Authenticator": "auth",
        "Brightbox": "api",
        "ClientConfig": "config",
        "ConfigFile": "config",
        "Credentials": "auth",
        "Orbit": "orbit",
        "upload_by_ftp": "ftp",
    },
)
