"""What a build sees of the store, looked at from outside of a sandbox: its inputs, by the paths that they have in it.

A package's links may lead anywhere.  Here none is followed by the kernel: each step is looked up by itself, so a link leads to another
input, or to one of the few files that every sandbox has, or nowhere.  What else this machine has does not show, and a store under
another root looks as any.

Only for inputs that are valid, and so do not change.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator

__all__ = ["InputView"]

# As many as the kernel follows for one path.
_MOST_LINKS = 40
# What packages have links to: a unit that is masked, a log that goes nowhere, a table of mounts.
_EVERYWHERE = frozenset(
    {
        *("/dev/full", "/dev/null", "/dev/random", "/dev/stderr", "/dev/stdin", "/dev/stdout", "/dev/tty", "/dev/urandom", "/dev/zero"),
        *("/etc/group", "/etc/hosts", "/etc/passwd"),
        *("/proc/mounts", "/proc/self/mountinfo", "/proc/self/mounts"),
    }
)


class InputView:
    """The store objects `inputs` (store paths) in a store at `store_dir` whose files really are in `real_store_dir`."""

    def __init__(self, store_dir: str, real_store_dir: str, inputs: Collection[str]) -> None:
        self._store_dir = store_dir
        self._real_store_dir = real_store_dir
        self._inputs = inputs

    def find(self, path: str) -> tuple[str, bool] | None:
        """Where an absolute path leads when all links are followed, and whether that is a folder; None if nowhere.  Raises OSError."""
        waiting = path.split("/")[::-1]
        here, is_folder, links = "", True, 0
        while waiting:
            name = waiting.pop()
            if name in ("", "."):
                continue
            if not is_folder:
                return None
            if name == "..":
                here = here.rpartition("/")[0]
                continue
            inside = f"{here}/{name}"
            if inside == self._store_dir or self._store_dir.startswith(f"{inside}/"):
                here = inside
                continue
            place = self._place(inside)
            if place is None:
                return None
            try:
                mode = os.lstat(place).st_mode
            except FileNotFoundError:
                return None
            if stat.S_ISLNK(mode):
                links += 1
                if links > _MOST_LINKS:
                    return None
                target = os.readlink(place)
                if target in _EVERYWHERE:
                    here, is_folder = target, False
                    continue
                if target.startswith("/"):
                    here = ""
                waiting += target.split("/")[::-1]
            else:
                here, is_folder = inside, stat.S_ISDIR(mode)
        # The folders above the inputs are as good as empty.
        return (here, is_folder) if not is_folder or self._place(here) is not None else None

    def entries(self, folder: str) -> Iterator[tuple[str, bool | None]]:
        """What is in a folder, by where it is found, in order: the name, and whether it is a folder; None if that is not known without `find`."""
        with os.scandir(self.real_place(folder)) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            yield entry.name, None if entry.is_symlink() else entry.is_dir(follow_symlinks=False)

    def real_place(self, path: str) -> str:
        """Where on this machine something in the store is."""
        return self._real_store_dir + path[len(self._store_dir) :]

    def _place(self, path: str) -> str | None:
        """The real place of what is in an input."""
        if not path.startswith(f"{self._store_dir}/"):
            return None
        name = path[len(self._store_dir) + 1 :].partition("/")[0]
        return self.real_place(path) if f"{self._store_dir}/{name}" in self._inputs else None
