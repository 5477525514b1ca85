"""Locks on store paths, by CppNix's protocol, so that two programs never write one path at once.

The lock of `<path>` is an exclusive `flock` of the file `<path>.lock`.  Who releases it unlinks the file first and then writes a
byte to it: a waiter that gets the lock of a file that is not empty knows that its file is gone, and starts again.  Of several locks
all are held or none: nobody waits for one while holding another, so no two processes wait for each other.

Locks belong to open files, so they also hold between threads, and end with the process however it dies.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["PathLocks", "lock_paths", "remove_locks"]


class PathLocks:
    """Locks that are held until they are released, of places of store objects, which need not exist."""

    def __init__(self, names: Iterable[str], waited_for: str | None = None) -> None:
        """Take the locks of files; only that of `waited_for` is waited for.  Raises _HeldError."""
        self._held: list[tuple[str, int]] = []
        try:
            # What is waited for comes first, while nothing is held.
            for name in sorted(names, key=lambda name: (name != waited_for, name)):
                self._held.append((name, _lock(name, waits=name == waited_for)))
        except BaseException:
            self.release()
            raise

    @classmethod
    def try_take(cls, real_paths: Iterable[str]) -> PathLocks | None:
        """All of them, or None while somebody else holds one."""
        try:
            return cls(_files(real_paths))
        except _HeldError:
            return None

    def release(self) -> None:
        """Give them up; a second time is no harm."""
        held, self._held = self._held, []
        for name, descriptor in held:
            # Removing the file is a courtesy; the lock itself ends with the descriptor.
            with suppress(OSError):
                os.unlink(name)
            with suppress(OSError):
                os.write(descriptor, b"d")
            os.close(descriptor)

    def leave(self) -> None:
        """Give them up, but leave their files for `remove_locks`: who locks thousands of paths, one after the other, removes them in the end.

        File systems avoid the numbers of files that were removed a moment ago, so that making others meanwhile would take longer and longer.
        """
        held, self._held = self._held, []
        for _, descriptor in held:
            os.close(descriptor)


def remove_locks(real_paths: Iterable[str]) -> None:
    """Remove the files of locks that were left, where nobody holds them by now."""
    for path in real_paths:
        if os.path.exists(f"{path}.lock"):
            locks = PathLocks.try_take([path])
            if locks is not None:
                locks.release()


@contextmanager
def lock_paths(real_paths: Iterable[str]) -> Iterator[None]:
    """Hold the locks of `real_paths`, however long they have to be waited for."""
    names, contested = _files(real_paths), None
    while True:
        try:
            locks = PathLocks(names, contested)
            break
        except _HeldError as error:
            contested = error.name
    try:
        yield
    finally:
        locks.release()


class _HeldError(Exception):
    """Somebody else holds the lock of the file `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _files(real_paths: Iterable[str]) -> set[str]:
    return {f"{path}.lock" for path in real_paths}


def _lock(name: str, *, waits: bool) -> int:
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A file that is not empty has been unlinked by its last holder.
            if os.fstat(descriptor).st_size == 0:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise _HeldError(name) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
