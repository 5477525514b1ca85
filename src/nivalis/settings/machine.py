"""Defaults that depend on the machine and on the environment that is handed in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Literal

from nivalis.settings.files import configuration_dir

__all__ = ["default_text", "find_static_shell", "host_features", "host_system"]

# Where distributions put a shell that needs no library.
_STATIC_SHELLS = ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox-static", "/bin/bash-static", "/usr/bin/bash-static")


def default_text(name: str, environment: Mapping[str, str]) -> str:
    """The default of an option whose default is this machine's.  Raises KeyError for any other."""
    return _DEFAULTS[name](environment)


def host_system() -> str:
    """This machine's system in Nix's words: `x86_64-linux`."""
    uname = os.uname()
    machine = "i686" if uname.machine in ("i386", "i486", "i586", "i686") else uname.machine
    return f"{machine}-{uname.sysname.lower()}"


def host_features() -> frozenset[str]:
    """The system features of this machine."""
    features = {"nixos-test", "benchmark", "big-parallel"}
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        features.add("kvm")
    return frozenset(features)


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


def _sandbox_paths(environment: Mapping[str, str]) -> str:
    shell = find_static_shell()
    return "" if shell is None else f"/bin/sh={shell}"


_DEFAULTS: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "build-dir": lambda environment: environment.get("TMPDIR") or "/tmp",
    "build-users-group": lambda environment: "nixbld" if os.geteuid() == 0 else "",
    "extra-platforms": lambda environment: "i686-linux" if host_system() == "x86_64-linux" else "",
    "netrc-file": lambda environment: f"{configuration_dir(environment)}/netrc",
    "sandbox-paths": _sandbox_paths,
    "ssl-cert-file": lambda environment: environment.get("NIX_SSL_CERT_FILE") or environment.get("SSL_CERT_FILE") or "",
    "store": lambda environment: environment.get("NIX_REMOTE") or "auto",
    "system": lambda environment: host_system(),
    "system-features": lambda environment: " ".join(sorted(host_features())),
}
