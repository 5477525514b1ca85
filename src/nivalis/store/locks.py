"""Locks on store paths, by CppNix's protocol, so that two programs never write one path at once.

The lock of `<path>` is an exclusive `flock` of the file `<path>.lock`.  Who releases it unlinks the file first and then writes a
byte to it: a waiter that gets the lock of a file that is not empty knows that its file is gone, and starts again.  Several locks
are taken in the order of their paths, so that no two processes wait for each other.

Locks belong to open files, so they also hold between threads, and end with the process however it dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def lock_paths(real_paths: Iterable[str]) -> Iterator[None]:
    """Hold the locks of `real_paths` (places of store objects, which need not exist)."""
    held: list[tuple[str, int]] = []
    try:
        for path in sorted(set(real_paths)):
            held.append((f"{path}.lock", _lock(f"{path}.lock")))
        yield
    finally:
        for name, descriptor in held:
            _unlock(name, descriptor)


def _lock(name: str) -> int:
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_size == 0:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _unlock(name: str, descriptor: int) -> None:
    # Removing the file is a courtesy; the lock itself ends with the descriptor.
    with suppress(OSError):
        os.unlink(name)
    with suppress(OSError):
        os.write(descriptor, b"d")
    os.close(descriptor)
