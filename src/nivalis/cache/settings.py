"""The settings of binary caches: what the user asked for, frozen.  Names are CppNix's, with underscores.

Some defaults are not CppNix's: it waits for minutes, and a cache that is dead must not hold a build up; and it has many requests at once on one
connection, where here each has its own.  What somebody chose is obeyed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nivalis.settings.settings import Settings

__all__ = ["CacheSettings"]

_CONNECT_TIMEOUT = 3
_STALL_TIMEOUT = 10
_CONNECTIONS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Which caches, and how.  Times are in seconds; 0 is no limit.

    `cache_dir` is the user's folder for what is remembered of caches (None: nothing is remembered); `environment` says which proxies are to be
    used, and which certificates, unless there is a file of `certificates`.
    """

    substituters: tuple[str, ...] = ()
    trusted_public_keys: tuple[str, ...] = ()
    secret_key_files: tuple[str, ...] = ()
    require_sigs: bool = True
    substitute: bool = True
    http_connections: int = _CONNECTIONS
    connect_timeout: int = _CONNECT_TIMEOUT
    stalled_download_timeout: int = _STALL_TIMEOUT
    download_attempts: int = 5
    narinfo_cache_positive_ttl: int = 30 * 24 * 3600
    narinfo_cache_negative_ttl: int = 3600
    narinfo_cache_meta_ttl: int = 7 * 24 * 3600
    netrc_file: str = ""
    certificates: str = ""
    cache_dir: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, options: Mapping[str, str], environment: Mapping[str, str], cache_dir: str | None = None) -> CacheSettings:
        """The defaults, changed by `options` (names and values as CppNix has them).  Raises SettingError."""
        settings = Settings(environment)
        for name, text in options.items():
            settings.set(name, text)

        def chosen(name: str, default: int) -> int:
            return settings.number(name) if settings.is_set(name) else default

        return cls(
            substituters=settings.words("substituters"),
            trusted_public_keys=settings.words("trusted-public-keys"),
            secret_key_files=settings.words("secret-key-files"),
            require_sigs=settings.switch("require-sigs"),
            substitute=settings.switch("substitute"),
            http_connections=chosen("http-connections", _CONNECTIONS),
            connect_timeout=chosen("connect-timeout", _CONNECT_TIMEOUT),
            stalled_download_timeout=chosen("stalled-download-timeout", _STALL_TIMEOUT),
            download_attempts=settings.number("filetransfer-retry-attempts"),
            narinfo_cache_positive_ttl=settings.number("narinfo-cache-positive-ttl"),
            narinfo_cache_negative_ttl=settings.number("narinfo-cache-negative-ttl"),
            narinfo_cache_meta_ttl=settings.number("narinfo-cache-meta-ttl"),
            netrc_file=settings.text("netrc-file"),
            certificates=settings.text("ssl-cert-file") if settings.is_set("ssl-cert-file") else "",
            cache_dir=cache_dir,
            environment=dict(environment),
        )
