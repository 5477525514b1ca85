"""The lock of a cloud's folder: one service at a time, and a way to see whether there is one that never gets in its way."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import IO

from nivalis.cloud.errors import LocalCloudError
from nivalis.cloud.local.places import Places

__all__ = ["hold", "is_held"]

# `struct flock` of Linux, with offsets of 64 bits: type, whence, start, length, process.
_FLOCK = "hhqqi4x"


def hold(places: Places) -> IO[str]:
    """Take the lock of a folder, for as long as the file is open and the process lives.  Raises LocalCloudError."""
    file = open(places.lock, "w")  # noqa: SIM115
    try:
        # Of POSIX's kind: others can look at it without taking it, and children have no part in it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise LocalCloudError("a cloud is running there already", where=str(places.folder)) from error
    return file


def is_held(places: Places) -> bool:
    """Whether another process has the lock."""
    try:
        with open(places.lock) as file:
            found = fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except FileNotFoundError:
        return False
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)
