"""A view of the store for builds with many inputs, mounted before bubblewrap starts.

Bubblewrap takes at most 9,000 arguments, and reads the whole table of mounts again for each that it makes: a thousand inputs cost it
seconds, and three thousand are refused.  So above a few dozen, the inputs are mounted into the build's private store folder by a process
of its own, which then becomes bubblewrap: that has one folder to show, with all that is mounted in it.

The process is this file, run by a Python that imports nothing of the user's.  It has a mount namespace of its own, which ends with the
build; an ordinary user gets it by a user namespace in which they stay who they are, so that no capability outlives the `exec`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence

__all__ = ["WORTHWHILE", "command", "enter_namespace", "libc", "main", "mount"]

# From so many inputs on it is faster than bubblewrap, in spite of starting Python.
WORTHWHILE = 60

# linux/mount.h and linux/sched.h
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 1 << 5, 1 << 12, 1 << 14, 1 << 19
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000

libc = ctypes.CDLL(None, use_errno=True)


def command(descriptor: int, user: tuple[int, int] | None) -> list[str]:
    """The prefix of a command that is to run with mounts: pairs of what and where, each ended by a zero byte, in the file `descriptor`.

    The command itself runs as `user` (user and group), if one is given.
    """
    return [sys.executable, "-I", "-S", "-B", __file__, str(descriptor), "-" if user is None else f"{user[0]}:{user[1]}"]


def main(arguments: Sequence[str]) -> None:
    """The process: mounts, changes the user, and becomes the command."""
    descriptor, user, *argv = arguments
    with open(int(descriptor), "rb") as file:
        words = file.read().split(b"\0")[:-1]
    enter_namespace()
    # What is mounted here must not show outside; what the machine unmounts must not be held here.
    mount(b"none", b"/", _MS_SLAVE | _MS_REC)
    for place, inside in zip(words[::2], words[1::2], strict=True):
        _show(place, inside)
    if user != "-":
        uid, gid = map(int, user.split(":"))
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    os.execvp(argv[0], argv)


def enter_namespace() -> None:
    """Give this process a mount namespace of its own, in which it may mount.  Raises OSError."""
    if os.geteuid() == 0 and libc.unshare(_CLONE_NEWNS) == 0:
        return
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _show(place: bytes, inside: bytes) -> None:
    """Let `place` be seen at `inside`, read-only."""
    if os.path.islink(place):
        # A bind mount would follow it.
        os.symlink(os.readlink(place), inside)
        return
    if os.path.isdir(place):
        os.mkdir(inside)
    else:
        os.close(os.open(inside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    mount(place, inside, _MS_BIND | _MS_REC)
    # Flags that the mount has already may be locked there: all are given again.
    kept = os.statvfs(inside).f_flag & _MS_NOEXEC
    mount(b"none", inside, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | kept)


def mount(source: bytes, target: bytes, flags: int, *, kind: bytes | None = None) -> None:
    """`mount(2)`.  Raises OSError."""
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target))


if __name__ == "__main__":
    main(sys.argv[1:])
