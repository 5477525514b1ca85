"""The first program of a system: what the initrd hands the machine over to.

It is process 1, started by `init=/nix/store/…/init` with the root mounted and nothing else: it mounts what activation needs, says which system
is booted, activates it, and becomes systemd.  In a container those mounts are there already.

A step that fails is reported and passed over: a machine that comes up half can be mended, one that stops here cannot.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from .activate import activate
from .data import System
from .mounting import mount
from .places import BOOTED, CURRENT, Root, say

__all__ = ["run_init"]

# type, place, flags, data; in this order
_MOUNTS = (
    ("proc", "/proc", ("nosuid", "nodev", "noexec"), ""),
    ("sysfs", "/sys", ("nosuid", "nodev", "noexec"), ""),
    ("devtmpfs", "/dev", ("nosuid",), "mode=755"),
    ("tmpfs", "/run", ("nosuid", "nodev", "strictatime"), "mode=755"),
)


def run_init(toplevel: str, words: Sequence[str]) -> None:
    """Bring the system at `toplevel` up, and become systemd with the arguments `words`; does not return.  Raises OSError."""
    try:
        _mount_all()
    except OSError as error:
        say(f"stage 2: {error}")
    root = Root()
    try:
        for path in (CURRENT, BOOTED):
            root.write_link(path, toplevel)
        say("running activation script...")
        activate(root, toplevel, System.read(toplevel))
    except Exception as error:
        say(f"stage 2: activation failed: {type(error).__name__}: {error}")
    say("starting systemd...")
    place = f"{toplevel}/sw/usr/lib/systemd/systemd"
    environment = {name: value for name, value in os.environ.items() if name in ("TERM", "LANG", "container", "container_uuid", "NOTIFY_SOCKET")}
    environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
    os.execve(place, [place, *words], environment)


def _mount_all() -> None:
    if not os.access("/", os.W_OK):
        mount("", "/", "", ["remount"])
    for kind, place, flags, data in _MOUNTS:
        with suppress(FileExistsError):
            os.mkdir(place)
        # A file system of its own has another device than the root's.
        if os.lstat(place).st_dev == os.lstat("/").st_dev:
            mount(kind, place, kind, flags, data)
