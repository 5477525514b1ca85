"""The settings of builds: what the user asked for, frozen.

Names are CppNix's, with underscores; what values and defaults there are is the business of `nivalis.settings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os.path import lexists
from types import MappingProxyType
from typing import Literal, NamedTuple

from nivalis.settings.errors import SettingError
from nivalis.settings.settings import Settings

__all__ = ["BuildSettings", "Mode"]

Mode = Literal["normal", "check", "repair"]


class BuildSettings(NamedTuple):
    """How to build.  Times are in seconds and sizes in bytes; 0 is no limit.

    `max_jobs` builds run at once, each told to use `cores` (0: all).  `sandbox_paths` are seen in the sandbox: (place there, place here) each.
    So many downloads as `http_connections` says go on at once.  What is built is signed with the keys in `secret_key_files`.  `environment` is
    what `impureEnvVars` come from; its NETRC is the setting `netrc-file`. `build_dir` is where the folders of running builds are.
    """

    system: str
    extra_platforms: tuple[str, ...] = ()
    system_features: frozenset[str] = frozenset()
    max_jobs: int = 1
    cores: int = 0
    timeout: int = 0
    max_silent_time: int = 0
    max_build_log_size: int = 0
    log_lines: int = 25
    keep_going: bool = False
    keep_failed: bool = False
    fallback: bool = True
    mode: Mode = "normal"
    sandbox: bool = True
    sandbox_paths: tuple[tuple[str, str], ...] = ()
    sandbox_build_dir: str = "/build"
    build_users_group: str = "nixbld"
    build_dir: str = "/tmp"
    keep_log: bool = True
    compress_log: bool = True
    substitute: bool = True
    http_connections: int = 25
    always_allow_substitutes: bool = False
    secret_key_files: tuple[str, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def make(cls, system: str, environment: Mapping[str, str], options: Mapping[str, str] | None = None) -> BuildSettings:
        """The defaults of this machine, changed by `options` (names as CppNix writes them).  Raises SettingError."""
        settings = Settings(environment)
        for name, text in (options or {}).items():
            settings.set(name, text)
        return cls(
            system=system,
            extra_platforms=settings.words("extra-platforms"),
            system_features=frozenset(settings.words("system-features")),
            max_jobs=settings.number("max-jobs"),
            cores=settings.number("cores"),
            timeout=settings.number("timeout"),
            max_silent_time=settings.number("max-silent-time"),
            max_build_log_size=settings.number("max-build-log-size"),
            log_lines=settings.number("log-lines"),
            keep_going=settings.switch("keep-going"),
            keep_failed=settings.switch("keep-failed"),
            fallback=settings.switch("fallback"),
            # CppNix's `relaxed` lets a derivation ask for no sandbox; here that is not honoured, and the sandbox stays.
            sandbox=settings.switch("sandbox"),
            sandbox_paths=tuple(_read_paths(settings.words("sandbox-paths"))),
            sandbox_build_dir=settings.text("sandbox-build-dir"),
            build_users_group=settings.text("build-users-group"),
            build_dir=settings.text("build-dir") or environment.get("TMPDIR") or "/tmp",
            keep_log=settings.switch("keep-build-log"),
            compress_log=settings.switch("compress-build-log"),
            substitute=settings.switch("substitute"),
            http_connections=settings.number("http-connections"),
            always_allow_substitutes=settings.switch("always-allow-substitutes"),
            secret_key_files=settings.words("secret-key-files"),
            environment={**environment, "NETRC": settings.text("netrc-file"), **settings.pairs("impure-env")},
        )

    @property
    def platforms(self) -> frozenset[str]:
        return frozenset({self.system, "builtin", *self.extra_platforms})


def _read_paths(words: Iterable[str]) -> Iterable[tuple[str, str]]:
    for word in words:
        inside, _, outside = word.removesuffix("?").partition("=")
        outside = outside or inside
        if not inside.startswith("/"):
            raise SettingError(f"setting `sandbox-paths` has an invalid value: `{word}`", hint="write `/place/there=/place/here`")
        if not word.endswith("?") or lexists(outside):
            yield inside, outside
