"""How the network is used: what the environment and the settings say of it, in one object that is handed to whatever downloads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nivalis.settings import Settings

__all__ = ["Network"]


class Network(NamedTuple):
    """Proxies and certificates are those that `environment` names, unless there is a file of `certificates`.

    `timeout` is how long a server may be silent, in seconds; `ttl` for how many seconds something fetched without a hash is not asked
    for again.
    """

    environment: Mapping[str, str]
    certificates: str = ""
    netrc_file: str = ""
    attempts: int = 5
    timeout: float = 30.0
    ttl: int = 3600

    @classmethod
    def make(cls, environment: Mapping[str, str], settings: Settings) -> Network:
        """What is configured.  Raises SettingError."""
        # The defaults of CppNix leave a silent server five minutes, five times; only what somebody chose is obeyed.
        chosen = [settings.number(name) for name in ("connect-timeout", "stalled-download-timeout") if settings.is_set(name)]
        return cls(
            environment,
            certificates=settings.text("ssl-cert-file") if settings.is_set("ssl-cert-file") else "",
            netrc_file=settings.text("netrc-file"),
            attempts=max(1, settings.number("filetransfer-retry-attempts")),
            timeout=float(min(filter(None, chosen), default=30)),
            ttl=settings.number("tarball-ttl"),
        )
