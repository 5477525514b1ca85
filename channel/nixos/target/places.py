"""Where things are on a machine, and how they are written: beside their place, then renamed into it.

A `Root` is `/`, or a folder that stands for it.  Links hold places as the machine will see them, so what is written below a folder
is right when the folder becomes `/`.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

__all__ = ["BOOTED", "CURRENT", "STATE", "STATIC", "Root", "say", "warn"]

CURRENT = "/run/current-system"
BOOTED = "/run/booted-system"
STATIC = "/etc/static"
STATE = "/var/lib/nixos"

# What a killed process leaves behind has this in its name, and is removed by the next.
_MARK = ".nivalis-new"


def say(text: str) -> None:
    """Tell whoever watches; that nobody does any more is no reason to stop."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    say(f"warning: {text}")


class Root(NamedTuple):
    """The machine's root folder."""

    folder: str = "/"

    @property
    def is_live(self) -> bool:
        """Whether this is the running machine itself."""
        return self.folder == "/"

    def place(self, path: str) -> str:
        """Where an absolute path of the machine is."""
        return path if self.folder == "/" else f"{self.folder.rstrip('/')}{path}"

    def strip(self, place: str) -> str:
        """The machine's own path of what is at a place here."""
        return place if self.is_live else place.removeprefix(self.folder)

    # ---- questions ----

    def read_link(self, path: str) -> str | None:
        """What a link says; None where there is none."""
        try:
            return os.readlink(self.place(path))
        except OSError:
            return None

    def read(self, path: str) -> str | None:
        """A file's text; None where there is none."""
        try:
            with open(self.place(path), encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder, rather than a link to one."""
        try:
            return stat.S_ISDIR(os.lstat(self.place(path)).st_mode)
        except OSError:
            return False

    # ---- writing ----

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        """Have a folder, with those above it; an existing one keeps its mode."""
        place = self.place(path)
        if not os.path.isdir(place):
            self.make_folder(os.path.dirname(path)) if path != "/" else None
            with suppress(FileExistsError):
                os.mkdir(place, mode)
                os.chmod(place, mode)

    def write_link(self, path: str, target: str) -> bool:
        """Have a link that says `target`; whether that changed anything.  Replaces a file, but no folder: IsADirectoryError."""
        if self.read_link(path) == target:
            return False
        place = self.place(path)
        part = f"{place}{_MARK}"
        with suppress(FileNotFoundError):
            os.unlink(part)
        os.symlink(target, part)
        os.rename(part, place)
        return True

    def write_file(self, path: str, data: bytes, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
        """Have a file with these bytes; nobody sees a part of it, or another mode, even if the machine loses its power."""
        place = self.place(path)
        with self._beside(place) as part:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
                set_owner(file.fileno(), owner)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            os.rename(part, place)

    def remove(self, path: str) -> None:
        """Remove a file or link, with what was about to replace it; say nothing of one that is gone."""
        for place in (self.place(path), f"{self.place(path)}{_MARK}"):
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(place)

    def sweep(self, folder: str) -> None:
        """Remove what killed processes had not put in its place in a folder."""
        with suppress(FileNotFoundError):
            for name in os.listdir(self.place(folder)):
                if name.endswith(_MARK) and not self.is_folder(f"{folder}/{name}"):
                    os.unlink(f"{self.place(folder)}/{name}")

    @contextmanager
    def _beside(self, place: str) -> Iterator[str]:
        part = f"{place}{_MARK}"
        with suppress(FileNotFoundError):
            os.unlink(part)
        try:
            yield part
        except OSError as error:
            # To write is done to a number, and whoever reads the error wants a name.
            error.filename = error.filename or place
            raise
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)


def set_owner(place: str | int, owner: tuple[int, int] | None) -> None:
    """Give a file or a descriptor to a user and a group.  Below a folder, whoever is not root cannot, and need not."""
    if owner is not None and os.geteuid() == 0:
        os.chown(place, *owner)
