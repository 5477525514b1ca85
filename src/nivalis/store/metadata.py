"""The metadata of store objects: modes 444 and 555, times at second 1, nothing else.

NARs keep no more than whether a file is executable, so neither may the store: an object is the same whoever wrote it.  Owners
are left as they are, which is the user who writes the store.
"""

from __future__ import annotations

import os
import stat

from nivalis.errors import StoreContentError

# One second after the epoch: zero is taken for "unknown" by too many programs.
TIMES = (1_000_000_000, 1_000_000_000)


def make_canonical(path: str) -> None:
    """Give `path` and all below it a store's modes and times.  Raises StoreContentError for devices, sockets and pipes."""
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        with os.scandir(path) as entries:
            names = [entry.path for entry in entries]
        for name in names:
            make_canonical(name)
    elif not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise StoreContentError(f"file is neither regular, nor a directory, nor a symlink: `{path}`")
    if not stat.S_ISLNK(status.st_mode):
        runs = stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR
        mode = 0o555 if runs else 0o444
        if stat.S_IMODE(status.st_mode) != mode:
            os.chmod(path, mode)
    if status.st_mtime_ns != TIMES[1]:
        os.utime(path, ns=TIMES, follow_symlinks=False)


def make_symlinks_canonical(path: str) -> None:
    """Give every symlink at or below `path` a store's time; for trees whose files already have theirs."""
    if os.path.islink(path):
        os.utime(path, ns=TIMES, follow_symlinks=False)
    elif os.path.isdir(path):
        _walk_symlinks(path)


def _walk_symlinks(folder: str) -> None:
    changed = False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                os.utime(entry.path, ns=TIMES, follow_symlinks=False)
                changed = True
            elif entry.is_dir(follow_symlinks=False):
                _walk_symlinks(entry.path)
    if changed and os.stat(folder).st_mtime_ns != TIMES[1]:
        os.utime(folder, ns=TIMES)


def remove_tree(path: str) -> None:
    """Remove whatever is at `path`, read-only directories too; nothing is fine.  Symlinks are never followed."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
    with os.scandir(path) as entries:
        names = [entry.path for entry in entries]
    for name in names:
        remove_tree(name)
    os.rmdir(path)
