"""A view of the store for builds with many inputs, mounted beside bubblewrap.

Bubblewrap takes at most 9,000 arguments, and reads the whole table of mounts again for each that it makes: a thousand inputs cost it
seconds, and three thousand are refused.  So above a few, the inputs are mounted by a process of its own, when bubblewrap has made its last
mount, which is that of the build's private store folder.  That folder is mounted with shared propagation before: what is mounted in it
later shows in the sandbox too.  Bubblewrap holds the builder back until it is told that all is there (`--block-fd`).

To start Python for each build would cost more than most builds.  So one process, which is this file, run by a Python that imports
nothing of the user's, waits for orders (`nivalis.build.mounter` gives them), and for each splits off another, which becomes
bubblewrap in a mount namespace that ends with the build.  That one is a child of whoever gives the orders, who therefore sees how it ends.
While it starts, the inputs are mounted in the folder in another namespace, the workshop, and the tree of them is copied with one call,
made read-only with another and moved to where it is seen with a third.  An ordinary user may mount by a user namespace in which they
stay who they are, so that no capability outlives the `exec`.

In the workshop they stay mounted, for the next build in that folder, which has most of them too: then only what differs is changed.

It takes Linux 5.12 (`mount_setattr`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import stat
import sys
from contextlib import suppress

TYPE_CHECKING = False  # this process has to start quickly
if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["enter_namespace", "libc", "main", "mount"]

# linux/mount.h and linux/sched.h
_MS_BIND, _MS_REC, _MS_SLAVE, _MS_SHARED = 1 << 12, 1 << 14, 1 << 19, 1 << 20
_MNT_DETACH = 2
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_CLONE_PARENT = 0x00008000
# Of all architectures; asm-generic/unistd.h
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLONE3, _SYS_MOUNT_SETATTR = 428, 429, 435, 442
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x100, 0x1000, 0x8000
_IN_CREATE, _IN_ONESHOT = 0x100, 0x80000000
# As many as one message may carry, and more than a path has bytes.
_MOST_DESCRIPTORS, _LONGEST = 253, 8192
# In the workshop, where no store is: mounts are moved there that are to go.
_TRASH = b"/proc/trash"

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)


def main() -> None:
    """The process that waits for orders, on the socket that is its standard input, until there is no one to give them.

    Its arguments are places of this machine of which builds may see something.

    An order is "start" with descriptors: that of a file with the words of `_Server._start`, that to which is reported, and those that
    the new process gets.  The answer is its number, or a negative error number.  Or it is "guard" with that of a process which is to be
    ended when there is no one to give orders; there is no answer.  Or it is the path of a folder in which nothing is to be mounted any
    more; then the answer is 0.
    """
    import fcntl
    import gc
    import socket

    # A collection would write to pages that are shared with what is split off, and there is nothing for it to find.
    gc.disable()
    os.umask(0o022)
    os.chdir("/")
    # What it splits off finds nothing to read there.
    connection = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        server = _Server(connection, sys.argv[1:])
    except OSError as error:
        while connection.recv(_LONGEST):
            connection.send(str(-(error.errno or errno.EIO)).encode())
    else:
        server.run()


class _Build:
    """A program that was started, and what is to be mounted when it is ready, which is when there is something at `mark`.

    `inputs` are names in the folder `source`.
    """

    __slots__ = ("end", "folder", "inputs", "mark", "namespace", "report", "source", "tree")

    def __init__(self, report: int, folder: bytes, mark: bytes, source: bytes, inputs: Sequence[bytes]) -> None:
        self.report = report
        self.folder = folder
        self.mark = folder + b"/" + mark
        self.source = source
        self.inputs = inputs
        # Descriptors: of its mounts, of those to come, and of the process.
        self.namespace = self.tree = self.end = -1


class _Server:
    """What takes the orders.  Of `shown`, places of this machine, builds may see something."""

    def __init__(self, connection: socket.socket, shown: Sequence[str]) -> None:
        enter_namespace()
        # What is mounted here must not show outside; what the machine unmounts must not be held here.
        mount(b"none", b"/", _MS_SLAVE | _MS_REC)
        if not any(f"{os.path.realpath(place)}/".startswith("/sys/") for place in shown):
            # Half of all mounts are there, and bubblewrap reads of them again and again.  An ordinary user cannot: then they stay.
            libc.umount2(b"/sys", _MNT_DETACH)
        self._home = _open_namespace()
        _check(libc.unshare(_CLONE_NEWNS))
        self._workshop = _open_namespace()
        mount(b"trash", os.path.dirname(_TRASH), 0, kind=b"tmpfs")
        os.mkdir(_TRASH)
        os.mkdir(_TRASH + b"/folder")
        os.mknod(_TRASH + b"/file")
        _enter(self._home)
        # By folder, what is mounted in it in the workshop: names, and whether each is a folder.
        self._mounted: dict[bytes, dict[bytes, bool]] = {}
        self._connection = connection
        # One for all: to close one takes the kernel as long as to build.
        self._watch = _check(libc.inotify_init1(os.O_CLOEXEC))
        self._waiting: dict[int, _Build] = {}
        self._guarded: set[int] = set()
        self._poller = select.poll()
        self._poller.register(connection, select.POLLIN)
        self._poller.register(self._watch, select.POLLIN)

    def run(self) -> None:
        while True:
            ready = {descriptor for descriptor, _ in self._poller.poll()}
            if self._watch in ready:
                os.read(self._watch, 65536)
                for build in [one for one in self._waiting.values() if os.path.lexists(one.mark)]:
                    self._show(build)
            for descriptor in ready & self._waiting.keys():
                # It has ended too early, and says itself why.
                self._forget(self._waiting[descriptor])
            for descriptor in ready & self._guarded:
                self._guarded.remove(descriptor)
                self._poller.unregister(descriptor)
                os.close(descriptor)
            if self._connection.fileno() in ready and not self._take_order():
                break
        for descriptor in self._guarded:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)

    def _take_order(self) -> bool:
        """Take one order; False if there is no one to give any."""
        import socket

        order, descriptors, _, _ = socket.recv_fds(self._connection, _LONGEST, _MOST_DESCRIPTORS)
        if not order:
            return False
        if not descriptors:
            self._clear(order)
            self._connection.send(b"0")
            return True
        # What is still open at the `exec` would be the builder's too, and `recv_fds` itself does nothing with flags.
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        if order == b"guard":
            self._guarded.update(descriptors)
            self._poller.register(descriptors[0], select.POLLIN)
            return True
        build = None
        try:
            number, build = self._start(*descriptors)
        except OSError as error:
            number = -(error.errno or errno.EIO)
        self._connection.send(str(number).encode())
        for descriptor in descriptors:
            if build is None or descriptor != build.report:
                os.close(descriptor)
        if build is not None:
            self._prepare(build)
        return True

    def _start(self, order: int, report: int, *descriptors: int) -> tuple[int, _Build]:
        """Split off a process in a namespace of its own; its number.  Raises OSError.

        The words in the file `order`, each ended by a zero byte: user and group or `-`; how many descriptors there are, and the number
        that each has in the program; the folder in which to mount and the name in it that says when; where the inputs are, how many there
        are, and their names; how many variables, and name and text of each; the program and its arguments.  When all is mounted, "1" is
        written to `report`, or else what went wrong.
        """
        with open(order, "rb", closefd=False) as file:
            words = iter(file.read().split(b"\0")[:-1])
        user = next(words)
        numbers = [int(next(words)) for _ in range(int(next(words)))]
        folder, mark, source = next(words), next(words), next(words)
        build = _Build(report, folder, mark, source, [next(words) for _ in range(int(next(words)))])
        environment = {next(words): next(words) for _ in range(int(next(words)))}
        _check(libc.unshare(_CLONE_NEWNS))
        try:
            # What is mounted in it from now on appears wherever it is seen by then.
            mount(folder, folder, _MS_BIND)
            mount(b"none", folder, _MS_SHARED)
            build.namespace = _open_namespace()
            number = _split_off()
            if number == 0:
                _become(user, descriptors, numbers, list(words), environment)
            build.end = os.pidfd_open(number)
        except OSError:
            if build.namespace >= 0:
                os.close(build.namespace)
            raise
        finally:
            _enter(self._home)
        return number, build

    def _prepare(self, build: _Build) -> None:
        """Have all ready to be shown, and show it if it is waited for already."""
        self._waiting[build.end] = build
        self._poller.register(build.end, select.POLLIN)
        try:
            build.tree = self._make_tree(build)
            _check(libc.inotify_add_watch(self._watch, build.folder, ctypes.c_uint32(_IN_CREATE | _IN_ONESHOT)))
        except OSError as error:
            self._forget(build, _in_words(error))
            return
        if os.path.lexists(build.mark):
            self._show(build)

    def _make_tree(self, build: _Build) -> int:
        """A descriptor of the folder with all inputs mounted in it, read-only, which itself is mounted nowhere."""
        folder = build.folder
        mounted = self._mounted.get(folder, {})
        _enter(self._workshop)
        try:
            if folder not in self._mounted:
                self._mounted[folder] = mounted
                mount(folder, folder, _MS_BIND)
            _unmount_inputs(folder, mounted, mounted.keys() - build.inputs)
            for name in build.inputs:
                if name not in mounted:
                    mounted[name] = _mount_input(build.source + b"/" + name, folder + b"/" + name)
            tree = _check(libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, folder, _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE))
        finally:
            _enter(self._home)
        # Before it is seen anywhere, since a change would not be where it is seen.
        _change_mounts(tree, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0)
        _change_mounts(tree, 0, 0, _MOUNT_ATTR_RDONLY)
        return tree

    def _clear(self, folder: bytes) -> None:
        if self._mounted.pop(folder, None) is not None:
            _enter(self._workshop)
            libc.umount2(folder, _MNT_DETACH)
            _enter(self._home)

    def _show(self, build: _Build) -> None:
        try:
            os.rmdir(build.mark)
            _enter(build.namespace)
            try:
                _check(libc.syscall(_SYS_MOVE_MOUNT, build.tree, b"", _AT_FDCWD, build.folder, _MOVE_MOUNT_F_EMPTY_PATH))
            finally:
                _enter(self._home)
        except OSError as error:
            self._forget(build, _in_words(error))
        else:
            self._forget(build, said=b"1")

    def _forget(self, build: _Build, said: bytes = b"") -> None:
        if said:
            with suppress(BrokenPipeError):  # as it was given up
                os.write(build.report, said)
        del self._waiting[build.end]
        self._poller.unregister(build.end)
        for descriptor in (build.report, build.namespace, build.tree, build.end):
            if descriptor >= 0:
                os.close(descriptor)


def _split_off() -> int:
    """As `fork`, but that this process's parent is the parent.  Raises OSError."""
    order = (ctypes.c_uint64 * 8)(_CLONE_PARENT)
    return _check(libc.syscall(_SYS_CLONE3, order, ctypes.sizeof(order)))


def _become(user: bytes, descriptors: Sequence[int], numbers: Sequence[int], argv: list[bytes], environment: dict[bytes, bytes]) -> NoReturn:
    """Become a program, as `user`, with `descriptors` under their `numbers`."""
    try:
        _place(descriptors, numbers)
        os.setsid()
        # Python ignores them, and so would the builder.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if user != b"-":
            uid, gid = map(int, user.split(b":"))
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        os.execvpe(argv[0], argv, environment)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _mount_input(place: bytes, inside: bytes) -> bool:
    """Mount `place`; whether it is a folder.

    Symlinks, too, which `mount(2)` would follow: a builder may replace what is only made in its folder, and the next one would see it.
    """
    mode = os.lstat(place).st_mode
    if stat.S_ISDIR(mode):
        os.mkdir(inside)
    else:
        os.mknod(inside)
    if stat.S_ISLNK(mode):
        tree = _check(libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, place, _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_SYMLINK_NOFOLLOW))
        try:
            _check(libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, inside, _MOVE_MOUNT_F_EMPTY_PATH))
        finally:
            os.close(tree)
    else:
        mount(place, inside, _MS_BIND)
    return stat.S_ISDIR(mode)


def _unmount_inputs(folder: bytes, mounted: dict[bytes, bool], names: set[bytes]) -> None:
    """Unmount those of `names`.  The kernel takes its time for each that is unmounted, so that they are put aside first, and go together."""
    if not names:
        return
    mount(_TRASH, _TRASH, _MS_BIND)
    for name in names:
        inside = folder + b"/" + name
        is_folder = mounted.pop(name)
        target = _TRASH + (b"/folder" if is_folder else b"/file")
        _check(libc.syscall(_SYS_MOVE_MOUNT, _AT_FDCWD, inside, _AT_FDCWD, target, 0))
        (os.rmdir if is_folder else os.unlink)(inside)
    libc.umount2(_TRASH, _MNT_DETACH)


def _change_mounts(tree: int, flags: int, attributes: int, without: int) -> None:
    order = (ctypes.c_uint64 * 4)(attributes, without)
    _check(libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH | flags, order, ctypes.sizeof(order)))


def _open_namespace() -> int:
    return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    _check(libc.setns(namespace, _CLONE_NEWNS))


def _in_words(error: OSError) -> bytes:
    return str(error).encode("utf-8", "replace")


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


def mount(source: bytes, target: bytes, flags: int, *, kind: bytes | None = None) -> None:
    """`mount(2)`.  Raises OSError."""
    if libc.mount(source, target, kind, flags, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target))


if __name__ == "__main__":
    main()
