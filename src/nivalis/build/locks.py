"""Locks on output paths that can be given up waiting for.

The protocol is that of `nivalis.store.locks`, which CppNix shares: an exclusive `flock` of `<path>.lock`, whose file is unlinked
and then written to by whoever releases it.  A build waits for another process's build, which may take hours; so here the locks are
asked for again and again, and between two attempts the caller may be told that it waits, or give up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["hold_locks"]


@contextmanager
def hold_locks(real_paths: Iterable[str], wait: Callable[[], object]) -> Iterator[None]:
    """Hold the locks of the places of store objects.  `wait` is called while another holds one; what it raises ends the attempt."""
    held: list[tuple[str, int]] = []
    try:
        for name in sorted({f"{path}.lock" for path in real_paths}):
            while (descriptor := _try_lock(name)) is None:
                wait()
            held.append((name, descriptor))
        yield
    finally:
        for name, descriptor in held:
            with suppress(OSError):
                os.unlink(name)
            with suppress(OSError):
                os.write(descriptor, b"d")
            os.close(descriptor)


def _try_lock(name: str) -> int | None:
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A file that is not empty has been unlinked by its last holder.
            if os.fstat(descriptor).st_size == 0:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
