"""Locks on output paths that can be given up waiting for.

A build waits for another process's build, which may take hours; so here the locks of `nivalis.store.locks` are asked for again and again, and
between two attempts, when none is held, the caller may be told that it waits, or give up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from nivalis.store.locks import PathLocks

__all__ = ["hold_locks"]


@contextmanager
def hold_locks(real_paths: Iterable[str], wait: Callable[[], object]) -> Iterator[None]:
    """Hold the locks of the places of store objects.  `wait` is called while another holds one; what it raises ends the attempt."""
    wanted = list(real_paths)
    while (locks := PathLocks.try_take(wanted)) is None:
        wait()
    try:
        yield
    finally:
        locks.release()
