"""`builtin:buildenv`: a tree of symlinks over several packages, as user environments are.

Where only one package has a folder it is one symlink; where several have, it is a folder of symlinks.  Where two packages have the same
file, the one with the lower number as its priority wins; with equal priorities it is an error that names both.  A package may have others
come with it (`nix-support/propagated-user-env-packages`), which give way to all that were asked for.

The rules, and which files are left out, are those of CppNix's builder of that name.  Runs inside the sandbox, in a process of its own
(see `nivalis.build.builtin_builders`).
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import NamedTuple

from nivalis.build.errors import BuildError

__all__ = ["CollisionError", "build"]

# Of no use in an environment, or in every package.
_LEFT_OUT = ("/propagated-build-inputs", "/nix-support", "/perllocal.pod", "/info/dir", "/log", "/manifest.nix", "/manifest.json")
_FIRST_PROPAGATED = 1000


class CollisionError(BuildError):
    """Two packages have the same file."""

    default_code = "collision"


# No dataclass: this is a short process, and loading that module would take a fifth of it.
class _Package(NamedTuple):
    priority: int
    path: str


def build(environment: Mapping[str, str], out: str) -> None:
    """Make the tree of the packages in `$derivations` at `out`.  Raises CollisionError."""
    os.mkdir(out)
    tree = _Tree(out)
    for package in sorted(_read_packages(environment.get("derivations", "").split())):
        tree.add(package)
    tree.add_propagated()
    if "manifest" in environment:
        os.symlink(environment["manifest"], f"{out}/manifest.nix")


def _read_packages(words: list[str]) -> list[_Package]:
    """The active ones of `<active> <priority> <number of outputs> <outputs…>`, again and again."""
    packages = []
    rest = iter(words)
    for active in rest:
        priority, count = int(next(rest)), int(next(rest))
        outputs = [next(rest) for _ in range(count)]
        if active != "false":
            packages += [_Package(priority, path) for path in outputs]
    return packages


class _Tree:
    def __init__(self, out: str) -> None:
        self._out = out
        self._priorities: dict[str, int] = {}
        self._done: set[str] = set()
        self._propagated: set[str] = set()

    def add(self, package: _Package) -> None:
        if package.path in self._done:
            return
        self._done.add(package.path)
        self._merge(package.path, self._out, package.priority)
        try:
            with open(f"{package.path}/nix-support/propagated-user-env-packages", encoding="utf-8", errors="surrogateescape") as file:
                self._propagated |= set(file.read().split()) - self._done
        except (FileNotFoundError, NotADirectoryError):
            return

    def add_propagated(self) -> None:
        priority = _FIRST_PROPAGATED
        while self._propagated:
            paths, self._propagated = sorted(self._propagated), set()
            for path in paths:
                self.add(_Package(priority, path))
                priority += 1

    def _merge(self, source: str, target: str, priority: int) -> None:
        try:
            names = sorted(os.listdir(source))
        except NotADirectoryError:
            print(f"warning: not included, since it is no folder: `{source}`", file=sys.stderr)
            return
        for name in names:
            if not name.startswith("."):
                self._place(f"{source}/{name}", f"{target}/{name}", priority)

    def _place(self, source: str, target: str, priority: int) -> None:
        try:
            is_folder = stat.S_ISDIR(os.stat(source).st_mode)
        except FileNotFoundError:
            print(f"warning: left out, since it leads nowhere: `{source}`", file=sys.stderr)
            return
        if source.endswith(_LEFT_OUT):
            return
        try:
            os.symlink(source, target)
        except FileExistsError:
            self._replace(source, target, priority, is_folder=is_folder)
        else:
            self._priorities[target] = priority

    def _replace(self, source: str, target: str, priority: int, *, is_folder: bool) -> None:
        """Put what is at `source` where something stands already."""
        there = os.lstat(target).st_mode
        if is_folder and stat.S_ISDIR(there):
            self._merge(source, target, priority)
            return
        if is_folder:
            other = os.path.realpath(target)
            if not os.path.isdir(other):
                raise CollisionError(f"a folder and a file have the same name: `{source}` and `{os.readlink(target)}`")
            os.unlink(target)
            os.mkdir(target)
            self._merge(other, target, self._priorities[target])
            self._merge(source, target, priority)
            return
        if stat.S_ISDIR(there):
            raise CollisionError(f"a file and a folder have the same name: `{source}` and `{target}`")
        before = self._priorities[target]
        if before == priority:
            raise CollisionError(
                f"two packages have the same file: `{os.readlink(target)}` and `{source}`, both of priority {priority}",
                hint="give one of them another priority (`nix-env --set-flag priority NUMBER NAME`; the lower number wins), or leave one out",
            )
        if before > priority:
            os.unlink(target)
            os.symlink(source, target)
            self._priorities[target] = priority
