"""Optimising: equal files of the store become hard links to one another.

Each distinct file has a link in `.links`, named by the SHA-256 of its NAR in base 32, so executable files and others never meet.
Symlinks are linked too.  A file is replaced by one rename, so at every moment the path reads as before.  Killed in between it may leave a
link under a temporary name in the store directory, which is garbage that a collector removes, and a folder that is writable, which the
next run makes read-only again.

A collector removes links that nothing else is linked to.  Such a removal may come between two steps here: then the link is made again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from nivalis import _native
from nivalis.errors import StoreContentError
from nivalis.store.metadata import TIMES
from nivalis.store.paths import hash_part
from nivalis.store.store import Store

__all__ = ["Savings", "optimise_path", "optimise_store"]

# Files up to this size are hashed from memory.
_SMALL = 256 * 1024
_AT_ONCE = 500


@dataclass(slots=True)
class Savings:
    """How many files were linked, and how many bytes that freed."""

    files: int = 0
    size: int = 0


def optimise_store(store: Store, on_warning: Callable[[str], object] = lambda text: None) -> Savings:
    """Link all equal files of valid paths.  Raises OSError, StoreReadOnlyError."""
    savings = Savings()
    linked = {entry.inode() for entry in os.scandir(store.layout.links_dir)}
    verified: set[int] = set()
    paths = sorted(store.database.all_valid())
    for start in range(0, len(paths), _AT_ONCE):
        portion = paths[start : start + _AT_ONCE]
        store.protect(portion)
        valid = store.valid_among(portion)
        for path in portion:
            if path in valid:
                _Optimiser(store, path, linked, verified, savings, on_warning).run()
    return savings


def optimise_path(store: Store, path: str) -> Savings:
    """Link the files of one valid path, which must be a temporary root."""
    savings = Savings()
    _Optimiser(store, path, set(), set(), savings, lambda text: None).run()
    return savings


class _Optimiser:
    """Links the files of one store path."""

    def __init__(self, store: Store, path: str, linked: set[int], verified: set[int], savings: Savings, on_warning: Callable[[str], object]) -> None:
        self._path = path
        self._place = store.real_path(path)
        self._links = str(store.layout.links_dir)
        # The hash part makes it a part of the path that is a temporary root, so that no collector takes it away.
        self._temporary = f"{store.layout.real_store_dir}/{hash_part(path)}-{os.getpid()}-{os.urandom(4).hex()}.tmp"
        # Inodes of files that are linked already, and of links that have been read and are what their names say.
        self._linked = linked
        self._verified = verified
        self._savings = savings
        self._warn = on_warning

    def run(self) -> None:
        status = os.lstat(self._place)
        if not stat.S_ISDIR(status.st_mode):
            self._link(self._place, status)
            return
        pending = [self._place]
        while pending:
            folder = pending.pop()
            files: list[tuple[str, os.stat_result]] = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.inode() not in self._linked:
                        files.append((entry.path, entry.stat(follow_symlinks=False)))
            self._link_all(folder, files)

    def _link_all(self, folder: str, files: list[tuple[str, os.stat_result]]) -> None:
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        before = self._savings.files
        # Writable because an earlier run was killed while it was.
        opened = bool(mode & stat.S_IWUSR)
        try:
            for file, status in files:
                target = self._find_link(file, status)
                if target is None:
                    continue
                if not opened:
                    os.chmod(folder, mode | stat.S_IWUSR)
                    opened = True
                self._replace(file, status, target)
        finally:
            if opened:
                os.chmod(folder, mode & 0o555)
            if self._savings.files != before:
                os.utime(folder, ns=TIMES)

    def _link(self, file: str, status: os.stat_result) -> None:
        # The path itself: the store directory's own mode and time are no matter of anyone's.
        target = None if status.st_ino in self._linked else self._find_link(file, status)
        if target is not None:
            self._replace(file, status, target)

    def _find_link(self, file: str, status: os.stat_result) -> str | None:
        """The link that `file` should be replaced by; None if it needs none, being itself linked now."""
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            return None
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IWUSR:
            # Somebody may be changing it, and would change all that is linked to it.
            self._warn(f"skipping suspicious writable file '{file}'")
            return None
        target = f"{self._links}/{_digest(file, status)}"
        while True:
            try:
                there = os.lstat(target)
            except FileNotFoundError:
                try:
                    os.link(file, target, follow_symlinks=False)
                except FileExistsError:
                    continue
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EMLINK):
                        raise
                    return None
                self._linked.add(status.st_ino)
                return None
            if there.st_ino == status.st_ino:
                self._linked.add(status.st_ino)
                return None
            if there.st_ino not in self._verified and _digest(target, there) != os.path.basename(target):
                # Whoever was linked to it would be damaged too.
                self._warn(f"removing corrupted link '{target}'; `nix-store --verify --check-contents --repair` looks for more")
                with suppress(FileNotFoundError):
                    os.unlink(target)
                continue
            self._verified.add(there.st_ino)
            return target

    def _replace(self, file: str, status: os.stat_result, target: str) -> None:
        try:
            os.link(target, self._temporary, follow_symlinks=False)
        except FileNotFoundError:
            return  # a collector took the link; the next run makes it again
        except OSError as error:
            if error.errno == errno.EMLINK:
                return  # empty files reach the file system's limit
            raise
        try:
            os.rename(self._temporary, file)
        except OSError as error:
            os.unlink(self._temporary)
            if error.errno == errno.EMLINK:
                return
            raise
        self._savings.files += 1
        self._savings.size += status.st_size


def _digest(file: str, status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode) and status.st_size <= _SMALL:
        with open(file, "rb", buffering=0) as stream:
            data = stream.read()
        if len(data) != status.st_size:
            raise StoreContentError(f"file changed while it was read: `{file}`")
        return _native.hash_nar_of_bytes(data, executable=bool(status.st_mode & stat.S_IXUSR))[0].format("base32")
    return _native.hash_nar(file)[0].format("base32")
