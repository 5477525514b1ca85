"""The metadata of store objects: modes 444 and 555, times at second 1, nothing else.

NARs keep no more than whether a file is executable, so neither may the store: an object is the same whoever wrote it.  Owners
are left as they are, which is the user who writes the store.
"""

from __future__ import annotations

import os
import stat

from nivalis import _native
from nivalis.errors import StoreContentError

# One second after the epoch: zero is taken for "unknown" by too many programs.
TIMES = (1_000_000_000, 1_000_000_000)


def make_canonical(path: str) -> None:
    """Give `path` and all below it a store's modes and times.  Raises StoreContentError for devices, sockets and pipes."""
    pending = [path]
    while pending:
        place = pending.pop()
        status = os.lstat(place)
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(place) as entries:
                pending += [entry.path for entry in entries]
        elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise StoreContentError(f"file is neither regular, nor a directory, nor a symlink: `{place}`")
        if not stat.S_ISLNK(status.st_mode):
            runs = stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR
            mode = 0o555 if runs else 0o444
            if stat.S_IMODE(status.st_mode) != mode:
                os.chmod(place, mode)
        if status.st_mtime_ns != TIMES[1]:
            os.utime(place, ns=TIMES, follow_symlinks=False)


def remove_tree(path: str) -> int:
    """Remove whatever is at `path`, read-only folders too; nothing is fine.  Symlinks are never followed, no depth is too deep.

    Gives the bytes of the files that had no other link, or a single one, which may be the one in the store's `.links`.
    """
    return _native.remove_tree(path)
