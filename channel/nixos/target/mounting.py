"""mount(2), which Python's library does not have: the program of that name is setuid, and so is not there before the wrappers are."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

__all__ = ["mount"]

_FLAGS = {"nosuid": 2, "nodev": 4, "noexec": 8, "remount": 32, "bind": 4096, "strictatime": 1 << 24}


def mount(what: str, where: str, kind: str, flags: Iterable[str] = (), data: str = "") -> None:
    """Mount a file system.  Raises OSError."""
    number = 0
    for flag in flags:
        number |= _FLAGS[flag]
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(what.encode(), where.encode(), kind.encode(), ctypes.c_ulong(number), data.encode() or None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), where)
