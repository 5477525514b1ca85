"""The settings of builds: what the user asked for, frozen.

Names are CppNix's, with underscores.  `from_options` reads them as command lines and configuration files write them; what is not a
setting of builds is not looked at here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from nivalis.errors import NivalisError

__all__ = ["BuildSettings", "Mode", "SettingError", "find_static_shell", "host_features"]

Mode = Literal["normal", "check", "repair"]
_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})
# Where distributions put a shell that needs no library.
_STATIC_SHELLS = ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox-static", "/bin/bash-static", "/usr/bin/bash-static")


class SettingError(NivalisError):
    """A setting has a value that it cannot have."""

    default_code = "invalid-setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How to build.  Times are in seconds and sizes in bytes; 0 is no limit.

    `max_jobs` builds run at once, each told to use `cores` (0: all).  `sandbox_paths` are seen in the sandbox: (place there, place
    here) each.  `environment` is what `impureEnvVars` come from.  `build_dir` is where the folders of running builds are.
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
    fallback: bool = False
    mode: Mode = "normal"
    sandbox: bool = True
    sandbox_paths: tuple[tuple[str, str], ...] = ()
    sandbox_build_dir: str = "/build"
    build_users_group: str = "nixbld"
    build_dir: str = "/tmp"
    keep_log: bool = True
    compress_log: bool = True
    substitute: bool = True
    always_allow_substitutes: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, system: str, environment: Mapping[str, str], options: Mapping[str, str] | None = None) -> BuildSettings:
        """The defaults of this machine, changed by `options` (names as CppNix writes them).  Raises SettingError."""
        shell = find_static_shell()
        values: dict[str, object] = {
            "system": system,
            "extra_platforms": ("i686-linux",) if system == "x86_64-linux" else (),
            "system_features": host_features(),
            "sandbox_paths": () if shell is None else (("/bin/sh", shell),),
            "environment": dict(environment),
            "build_dir": environment.get("TMPDIR") or "/tmp",
        }
        for name, text in (options or {}).items():
            _apply(values, name, text)
        return cls(**values)  # type: ignore[arg-type]

    @property
    def platforms(self) -> frozenset[str]:
        return frozenset({self.system, "builtin", *self.extra_platforms})


def find_static_shell() -> str | None:
    """A shell of this machine that needs no other file; None if there is none."""
    for place in _STATIC_SHELLS:
        if os.access(place, os.X_OK) and _is_static(place):
            return os.path.realpath(place)
    return None


def _is_static(place: str) -> bool:
    # A program header of type PT_INTERP names the dynamic loader; both kinds of ELF have the table's place in the first 64 bytes.
    with open(place, "rb") as file:
        head = file.read(4096)
    if head[:4] != b"\x7fELF":
        return False
    wide = head[4] == 2
    order: Literal["little", "big"] = "little" if head[5] == 1 else "big"

    def number(offset: int, size: int) -> int:
        return int.from_bytes(head[offset : offset + size], order)

    table = number(32, 8) if wide else number(28, 4)
    size, count = (number(54, 2), number(56, 2)) if wide else (number(42, 2), number(44, 2))
    return all(number(table + index * size, 4) != 3 for index in range(count))


def host_features() -> frozenset[str]:
    """The system features of this machine."""
    features = {"nixos-test", "benchmark", "big-parallel"}
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        features.add("kvm")
    return frozenset(features)


def _apply(values: dict[str, object], name: str, text: str) -> None:
    name = _ALIASES.get(name, name)
    if name.startswith("extra-") and name != "extra-platforms":
        name = name.removeprefix("extra-")
        if name in _READERS and name in ("sandbox-paths", "system-features"):
            field_name, read = _READERS[name]
            old, new = values[field_name], read(name, text)
            values[field_name] = old | new if isinstance(old, frozenset) else (*old, *new)  # type: ignore[operator,misc]
    elif name in _READERS:
        field_name, read = _READERS[name]
        values[field_name] = read(name, text)


def _read_number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise SettingError(f"setting `{name}` has an invalid value: `{text}`", hint="it is a number")
    return int(text)


def _read_jobs(name: str, text: str) -> int:
    return os.cpu_count() or 1 if text == "auto" else _read_number(name, text)


def _read_switch(name: str, text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise SettingError(f"setting `{name}` has an invalid value: `{text}`", hint="it is `true` or `false`")


def _read_sandbox(name: str, text: str) -> bool:
    # CppNix's `relaxed` lets a derivation ask for no sandbox; here that is not honoured, and the sandbox stays.
    return True if text == "relaxed" else _read_switch(name, text)


def _read_words(name: str, text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _read_paths(name: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for word in text.split():
        inside, _, outside = word.removesuffix("?").partition("=")
        outside = outside or inside
        if not inside.startswith("/"):
            raise SettingError(f"setting `{name}` has an invalid value: `{word}`", hint="write `/place/there=/place/here`")
        if not word.endswith("?") or os.path.lexists(outside):
            pairs.append((inside, outside))
    return tuple(pairs)


_ALIASES = {
    "build-max-jobs": "max-jobs",
    "build-cores": "cores",
    "build-timeout": "timeout",
    "build-max-silent-time": "max-silent-time",
    "build-use-sandbox": "sandbox",
    "build-use-chroot": "sandbox",
    "build-fallback": "fallback",
    "build-sandbox-paths": "sandbox-paths",
    "build-chroot-dirs": "sandbox-paths",
}
_READERS: Mapping[str, tuple[str, Callable[[str, str], object]]] = {
    "max-jobs": ("max_jobs", _read_jobs),
    "cores": ("cores", _read_number),
    "timeout": ("timeout", _read_number),
    "max-silent-time": ("max_silent_time", _read_number),
    "max-build-log-size": ("max_build_log_size", _read_number),
    "log-lines": ("log_lines", _read_number),
    "keep-going": ("keep_going", _read_switch),
    "keep-failed": ("keep_failed", _read_switch),
    "keep-build-log": ("keep_log", _read_switch),
    "compress-build-log": ("compress_log", _read_switch),
    "fallback": ("fallback", _read_switch),
    "sandbox": ("sandbox", _read_sandbox),
    "sandbox-paths": ("sandbox_paths", _read_paths),
    "sandbox-build-dir": ("sandbox_build_dir", lambda name, text: text),
    "build-dir": ("build_dir", lambda name, text: text),
    "build-users-group": ("build_users_group", lambda name, text: text),
    "system-features": ("system_features", lambda name, text: frozenset(text.split())),
    "extra-platforms": ("extra_platforms", _read_words),
    "substitute": ("substitute", _read_switch),
    "always-allow-substitutes": ("always_allow_substitutes", _read_switch),
}
