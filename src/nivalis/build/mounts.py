"""A view of the store for builds with many inputs, mounted beside bubblewrap.

Bubblewrap takes at most 9,000 arguments, and reads the whole table of mounts again for each that it makes: a thousand inputs cost it
seconds, and three thousand are refused.  So above a few, the inputs are mounted by a process of its own, when bubblewrap has made its last
mount, which is that of the build's private store folder.  That folder is mounted with shared propagation before: what is mounted in it
later shows in the sandbox too.  Bubblewrap holds the builder back until it is told that all is there (`--block-fd`).

To start Python for each build would cost more than most builds.  So one process, which is this file, run by a Python that imports
nothing of the user's, waits for orders (`nivalis.build.mounter` gives them), and for each splits off another, which has a mount
namespace of its own that ends with the build, and becomes bubblewrap.  That one is a child of whoever gives the orders, who therefore
sees how it ends; its own child mounts.  An ordinary user may mount by a user namespace in which they stay who they are, so that no
capability outlives the `exec`.

It takes Linux 5.12 (`mount_setattr`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys

TYPE_CHECKING = False  # this process has to start quickly
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["enter_namespace", "libc", "main", "mount"]

# linux/mount.h and linux/sched.h
_MS_BIND, _MS_REC, _MS_SLAVE, _MS_SHARED = 1 << 12, 1 << 14, 1 << 19, 1 << 20
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_CLONE_PARENT = 0x00008000
# Of all architectures; asm-generic/unistd.h
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLONE3, _SYS_MOUNT_SETATTR = 428, 429, 435, 442
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000
_IN_CREATE, _PR_SET_PDEATHSIG = 0x100, 1
# As many as one message may carry.
_MOST_DESCRIPTORS = 253

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """The process that waits for orders, on the socket that is its standard input, until there is no one to give them.

    An order is a message with descriptors: that of a file with the words of `_obey`, and those that the new process gets.  The answer
    is its number, or a negative error number.
    """
    import fcntl
    import socket

    number = 0
    try:
        enter_namespace()
        # What is mounted here must not show outside; what the machine unmounts must not be held here.
        mount(b"none", b"/", _MS_SLAVE | _MS_REC)
    except OSError as error:
        number = error.errno or errno.EIO
    os.umask(0o022)
    os.chdir("/")
    # What it splits off finds nothing to read there.
    connection = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while True:
        order, descriptors, _, _ = socket.recv_fds(connection, 16, _MOST_DESCRIPTORS)
        if not order:
            return
        # What is still open at the `exec` would be the builder's too, and `recv_fds` itself does nothing with flags.
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        answer = -number if number else _split_off()
        if answer == 0:
            _obey(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(str(answer).encode())


def _split_off() -> int:
    """As `fork`, but for a mount namespace of its own, and that this process's parent is the parent; a negative error number if not."""
    order = (ctypes.c_uint64 * 8)(_CLONE_PARENT | _CLONE_NEWNS)
    number = int(libc.syscall(_SYS_CLONE3, order, ctypes.sizeof(order)))
    return -ctypes.get_errno() if number < 0 else number


def _obey(order: int, report: int, *descriptors: int) -> NoReturn:
    """Change the user and become a program, while another process mounts.

    The words in the file `order`, each ended by a zero byte: user and group or `-`; how many descriptors there are, and the number
    that each has in the program; the folder in which to mount and the name in it that says when; how many mounts there are, and what
    is mounted where; the program and its arguments.  A byte is written to `report` when all is mounted.
    """
    try:
        with open(order, "rb") as file:
            words = iter(file.read().split(b"\0")[:-1])
        user = next(words)
        _place(descriptors, [int(next(words)) for _ in range(int(next(words)))])
        os.setsid()
        folder, mark = next(words), next(words)
        pairs = [(next(words), next(words)) for _ in range(int(next(words)))]
        # What is mounted in it from now on appears wherever it is seen by then.
        mount(folder, folder, _MS_BIND)
        mount(b"none", folder, _MS_SHARED)
        watch = _check(libc.inotify_init1(os.O_CLOEXEC))
        _check(libc.inotify_add_watch(watch, folder, _IN_CREATE))
        program = os.getpid()
        if os.fork() == 0:
            _mount_later(program, watch, folder + b"/" + mark, pairs, report)
        if user != b"-":
            uid, gid = map(int, user.split(b":"))
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        argv = list(words)
        os.execvp(argv[0], argv)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _mount_later(program: int, watch: int, mark: bytes, pairs: Sequence[tuple[bytes, bytes]], report: int) -> NoReturn:
    """The process that mounts, as soon as there is something at `mark`; it ends with `program`, and ends that if it fails."""
    try:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == program:
            os.read(watch, 4096)
            os.rmdir(mark)
            for place, inside in pairs:
                _show(place, inside)
            os.write(report, b"1")
            os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _check(number: int) -> int:
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    import fcntl

    free = max(numbers) + 1
    # Out of the way first, since one may have another's number.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, free) for descriptor in descriptors]
    for descriptor, number in zip(moved, numbers, strict=True):
        os.dup2(descriptor, number)


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
    # With its flags at once, since a change of them would not be seen where the folder is.
    tree = _check(libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, place, _OPEN_TREE_CLONE | os.O_CLOEXEC))
    flags = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV)
    _check(libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, flags, ctypes.sizeof(flags)))
    _check(libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, inside, _MOVE_MOUNT_F_EMPTY_PATH))
    os.close(tree)


def mount(source: bytes, target: bytes, flags: int, *, kind: bytes | None = None) -> None:
    """`mount(2)`.  Raises OSError."""
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target))


if __name__ == "__main__":
    main()
