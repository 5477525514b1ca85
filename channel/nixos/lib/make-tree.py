"""A tree of files and links, from a description: units, /etc, what a system shows at its top.

It runs as a builder, by the Python of the channel.  The variable `entriesPath` names a file of JSON: `files` is an object from paths in the
tree, without a slash before them, to `{"text": …, "executable": …}` or `{"link": …}`; `base` is a folder that the tree begins with, or null,
and `without` are paths of it that are left out.  In a text `@out@` is the tree's own place.

The base is shown by links.  A folder in it that nothing is added to is one link; a relative link that leads out of the base is meant for a
running system's root, and becomes an absolute one.
"""

from __future__ import annotations

import json
import os
import posixpath
import sys
from typing import NoReturn


def main() -> None:
    variables = os.environ
    with open(variables["entriesPath"], encoding="utf-8") as file:
        entries = json.load(file)
    tree = _Tree(variables["out"], entries.get("base"), entries.get("name", ""), set(entries.get("without", [])))
    os.mkdir(tree.out)
    if tree.base is not None:
        tree.show("")
    for path, entry in sorted(entries["files"].items()):
        tree.write(path, entry)


class _Tree:
    """`name` is where the base is in a running system's root: `etc`."""

    def __init__(self, out: str, base: str | None, name: str, without: set[str]) -> None:
        self.out = out
        self.base = base
        self._name = name
        self._without = without

    def show(self, folder: str) -> None:
        """Fill a new folder with links to what is in the base's."""
        for entry in sorted(os.listdir(f"{self.base}/{folder}")):
            path = posixpath.join(folder, entry)
            source = f"{self.base}/{path}"
            if path in self._without:
                continue
            if os.path.isdir(source) and not os.path.islink(source):
                os.mkdir(f"{self.out}/{path}")
                self.show(path)
            elif os.path.islink(source):
                os.symlink(self._adjusted(path, os.readlink(source)), f"{self.out}/{path}")
            else:
                os.symlink(source, f"{self.out}/{path}")

    def write(self, path: str, entry: dict[str, str | bool]) -> None:
        place = f"{self.out}/{path}"
        self._open(posixpath.dirname(path))
        if os.path.islink(place):
            os.unlink(place)
        elif os.path.isdir(place):
            _fail(f"`{path}` is to be a file, and there are files below it")
        if "link" in entry:
            os.symlink(str(entry["link"]), place)
            return
        with open(place, "w", encoding="utf-8", newline="\n") as file:
            file.write(str(entry["text"]).replace("@out@", self.out))
        os.chmod(place, 0o755 if entry.get("executable") else 0o644)

    def _open(self, folder: str) -> None:
        """Have a real folder, in place of a link to one."""
        if folder == "":
            return
        self._open(posixpath.dirname(folder))
        place = f"{self.out}/{folder}"
        if os.path.isdir(place) and not os.path.islink(place):
            return
        target = None
        if os.path.islink(place):
            target = os.path.realpath(place)
            os.unlink(place)
        elif os.path.lexists(place):
            _fail(f"`{folder}` is a file, and has to be a folder")
        os.mkdir(place)
        if target is not None and os.path.isdir(target):
            for entry in sorted(os.listdir(target)):
                if posixpath.join(folder, entry) not in self._without:
                    os.symlink(f"{target}/{entry}", f"{place}/{entry}")

    def _adjusted(self, path: str, target: str) -> str:
        if target.startswith("/"):
            return target
        goal = posixpath.normpath(f"/{self._name}/{posixpath.dirname(path)}/{target}")
        return target if goal.startswith(f"/{self._name}/") else goal


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
