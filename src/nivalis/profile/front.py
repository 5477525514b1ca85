"""The front of a profile: its commands for a machine on which the store is not in /nix.

An ordinary user's store lies at home, and nothing that a profile there links to can be found, let alone run, from outside.  So beside
such a profile there is a folder `<profile>-front`, with a launcher in its `bin` for each command of the current generation.  A launcher shows
the store at /nix to the command and to nobody else, and becomes it.  Launchers are run by the program that Debian's packages bring
(`nix-support/launcher` in one of them), by the place where it really is; in a profile without one, by `nivalis enter`, which takes longer.

It follows each switch: the folder is made anew, and put in place by one rename.  It holds nothing that cannot be made again.

What it does not do: a program that is no `nivalis` and switches the profile leaves the front as it is.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from nivalis.store.layout import DEFAULT_STORE_DIR, StoreLayout
from nivalis.store.metadata import remove_tree
from nivalis.store.roots import follow, replace_symlink

__all__ = ["front_of", "has_front", "is_front", "update_front"]

_SUFFIX = "-front"
_PROGRAM = "from nivalis.cli import main; main()"


def front_of(profile: Path) -> Path:
    """Where the front of a profile is."""
    return profile.with_name(profile.name + _SUFFIX)


def is_front(place: str) -> bool:
    """Whether a link that leads there leads to a front, and not to a profile."""
    return place.endswith(_SUFFIX)


def has_front(layout: StoreLayout) -> bool:
    """Whether profiles have one: where the store is not in /nix, and all of it lies in one folder that can be seen there instead."""
    folder = layout.real_store_dir.parent
    return (
        layout.is_moved and layout.store_dir == DEFAULT_STORE_DIR and layout.real_store_dir.name == "store" and layout.state_dir == folder / "var/nix"
    )


def update_front(layout: StoreLayout, profile: Path, environment: str) -> None:
    """Make the front of a profile that leads to the store path `environment`; of one that has never had a command, none.  Raises OSError."""
    link = front_of(profile)
    before = os.readlink(link) if link.is_symlink() else None
    # It is one link where only one package has commands.
    place = follow(layout, f"{environment}/bin")
    names = sorted(os.listdir(place)) if os.path.isdir(place) else []
    if not names and before is None:
        return
    start = _find_start(layout, [f"{place}/{name}" for name in names])
    folder = profile.with_name(f".{link.name}-{os.urandom(4).hex()}")
    (folder / "bin").mkdir(parents=True)
    for name in names:
        with open(folder / "bin" / name, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(start.replace("@program@", f"{environment}/bin/{name}"))
            os.fchmod(file.fileno(), 0o755)
    replace_symlink(link, folder.name)
    if before is not None:
        with suppress(OSError):
            remove_tree(str(link.with_name(before)))


def _find_start(layout: StoreLayout, commands: list[str]) -> str:
    """The text of a launcher for `@program@`."""
    links = (os.readlink(command) for command in commands if os.path.islink(command))
    for package in dict.fromkeys(os.path.dirname(os.path.dirname(place)) for place in (*commands, *links)):
        try:
            with open(follow(layout, f"{package}/nix-support/launcher"), encoding="utf-8", errors="surrogateescape") as file:
                launcher = layout.real_path(file.read().strip())
        except (OSError, ValueError):
            continue
        return f"#!{launcher}\nnix {os.path.realpath(layout.real_store_dir.parent)}\nprogram @program@\n"
    words = [sys.executable, "-P", "-c", _PROGRAM, "enter", "--store", layout.address, "--"]
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    return f"#!/bin/sh\nexec {quoted} '@program@' \"$@\"\n"
