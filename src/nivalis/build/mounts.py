"""Starting bubblewrap, with inputs that are mounted beside it.

Bubblewrap takes at most 9,000 arguments, and reads the whole table of mounts again for each that it makes: a thousand inputs cost it
seconds, and three thousand are refused.  So above a few, the inputs are mounted by a process of its own, when bubblewrap has made its last
mount, which is that of the build's private store folder.  Bubblewrap holds the builder back until it is told that all is there
(`--block-fd`).

To start Python for each build would cost more than most builds, and so would splitting a large process.  So one process, which is this
file, run by a Python that imports nothing of the user's, waits for orders (`nivalis.build.mounter` gives them) and starts bubblewrap for
each.  While that starts, the inputs are mounted in the build's store folder in a namespace where nobody sees it, the workshop, and the
tree of them is copied with one call and made read-only with another.  When bubblewrap is done with its mounts, its namespace is entered,
and the tree is put there with a third.  An ordinary user may mount by a user namespace in which they stay who they are, so that no
capability outlives the `exec`; bubblewrap's is below it, so that it may be entered.

In the workshop they stay mounted, for the next build in that folder, which has most of them too: then only what differs is changed.

A network namespace takes the kernel a quarter of the time that the rest of a sandbox takes it.  So one in which no packet was ever sent, as in
most builds none is, is given to a next build when all processes of the first are gone: it is as new.

Bubblewrap would mount the machine's devices, one by one, and root's own builders could change their modes.  So root's builds see those of one
read-only folder.  Their /dev/shm and /dev/pts are their own: of folders that are written to, descriptors may have got to anywhere.

Whoever has given an order holds a socket for it.  Once that is closed, be it because that process has died, all processes of the build
are ended, however far bubblewrap has come; and how they ended is not told before the last is gone.  When this process itself is killed, the
kernel ends them: it is the first of a PID namespace, in which they all are.

It takes Linux 5.12 (`mount_setattr`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # this process has to start quickly
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

__all__ = ["enter_namespace", "libc", "main", "mount"]

# linux/mount.h and linux/sched.h
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_NOATIME = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 10
_MS_BIND, _MS_REC, _MS_SLAVE = 1 << 12, 1 << 14, 1 << 19
_MNT_DETACH = 2
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1
# Of all architectures; asm-generic/unistd.h
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT, _SYS_MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
_FSOPEN_CLOEXEC, _FSMOUNT_CLOEXEC, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 1, 1, 1, 6
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _MOVE_MOUNT_T_EMPTY_PATH = 1, 4, 0x40
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x100, 0x1000, 0x8000
_IN_CREATE, _IN_ONESHOT = 0x100, 0x80000000
# As many as one message may carry, and more than a path has bytes.
_MOST_DESCRIPTORS, _LONGEST = 253, 8192
# In the workshop, where no store is: mounts are moved there that are to go, those of so many builds at once, which the kernel takes as long
# for as for those of one.
_TRASH = b"/proc/trash"
_MOST_TRASH = 16
# Where the folder is that builds see as /dev, in place of what there is, and what is in it (devices.txt of Linux): numbers, and where links lead.
_DEVICES = b"/sys"
_NODES = {b"null": (1, 3), b"zero": (1, 5), b"full": (1, 7), b"random": (1, 8), b"urandom": (1, 9), b"tty": (5, 0)}
_LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
    b"ptmx": b"pts/ptmx",
}
_SHOW_DEVICES = [b"--dev-bind", _DEVICES, b"/dev", b"--perms", b"1777", b"--tmpfs", b"/dev/shm"]
# A /dev of bubblewrap's own, and that with these devices in it.
_MAKE_DEV = [b"--dev", b"/dev"]
_ADD_DEVICES = [word for name in _NODES for word in (b"--dev-bind", _DEVICES + b"/" + name, b"/dev/" + name)]
_TERMINALS = b"/dev/pts"
# How long after bubblewrap's root was looked at it is looked at again, in ms, and for how long, in seconds.
_PAUSE, _PATIENCE = 1, 60.0
# linux/sockios.h, net/if.h: what brings the loopback up.
_SIOCSIFFLAGS, _IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING = 0x8914, 1, 8, 0x40
# Python ignores some, and whoever started us may have ignored others: a builder finds none ignored.
_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}

libc = ctypes.CDLL(None, use_errno=True)
libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)


def main() -> None:
    """The process that waits for orders, on the socket that is its standard input, until there is no one to give them.

    Its arguments are places of this machine of which builds may see something.

    An order is "start" with descriptors: that of a file with the words of `_Server._start`, the socket of the build, one that is kept open
    as long as the build goes on, and those that bubblewrap gets; answers come on that socket.  Or it is the path of a folder in which nothing
    is to be mounted any more; then the answer is "0".
    """
    import fcntl
    import gc
    import socket

    # There is nothing for it to find.
    gc.disable()
    os.umask(0o022)
    os.chdir("/")
    # What it starts finds nothing to read there.
    connection = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _Server(connection, sys.argv[1:]).run()
    # Somebody waits, and the kernel takes all down.
    os._exit(0)


class _Build:
    """Bubblewrap for one build, and the inputs that are to be mounted in `folder`, beside its terminals, when there is something at `mark`.

    The answers on its socket: "ready" when the builder may run; "ended <status>" when all its processes are gone; or in place of these "error
    <number>" if bubblewrap cannot be started, and "failed <why>" if the inputs cannot be mounted.
    """

    __slots__ = (
        "end",
        "first",
        "folder",
        "gate",
        "info",
        "inputs",
        "is_shown",
        "mark",
        "network",
        "number",
        "said",
        "seen_at",
        "socket",
        "source",
        "terminals",
        "tree",
    )

    def __init__(self, socket: int, gate: int, folder: bytes, mark: bytes, seen_at: bytes, source: bytes, inputs: Sequence[bytes]) -> None:
        self.socket = socket
        self.gate = gate
        self.folder = folder
        self.mark = folder + b"/" + mark
        # Where builders see the folder.
        self.seen_at = seen_at
        self.source = source
        self.inputs = inputs
        self.number = 0
        # Or there is nobody any more to whom to show something.
        self.is_shown = False
        # What bubblewrap has said so far of the first process of its namespace.
        self.said = b""
        self.network: _Network | None = None
        # Descriptors: of bubblewrap, that from which this comes, of that first process, and of the mounts to come.
        self.end = self.info = self.first = self.tree = self.terminals = -1


class _Network:
    """A network namespace that has nothing but a loopback, in which this process is when it has been made."""

    __slots__ = ("_files", "_fresh", "_namespace")

    def __init__(self) -> None:
        """Raises OSError."""
        import fcntl
        import socket

        _check(libc.unshare(_CLONE_NEWNET))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_LOOPBACK | _IFF_RUNNING))
        self._namespace = _open_namespace("net")
        # How many packets were sent, and how many sockets there are.
        self._files = [os.open(f"/proc/self/net/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("dev", "sockstat")]
        self._fresh = self._read()

    def enter(self) -> None:
        _check(libc.setns(self._namespace, _CLONE_NEWNET))

    def is_as_new(self) -> bool:
        """Whether no packet was sent since, and all sockets are gone."""
        return self._read() == self._fresh

    def close(self) -> None:
        for descriptor in (self._namespace, *self._files):
            os.close(descriptor)

    def _read(self) -> tuple[bytes, bytes]:
        packets, sockets = (os.pread(file, 4096, 0) for file in self._files)
        # What follows its first line is the whole machine's, in part.
        return packets, sockets.partition(b"\n")[0]


class _Server:
    """What takes the orders.  Of `shown`, places of this machine, builds may see something."""

    def __init__(self, connection: socket.socket, shown: Sequence[str]) -> None:
        self._home = self._workshop = -1
        self._refusal: OSError | None = None
        try:
            self._make_namespaces(shown)
        except OSError as error:
            # Bubblewrap may be allowed more: then a build with few inputs is possible.
            self._refusal = error
        # By folder, what is mounted in it in the workshop: names, and whether each is a folder.
        self._mounted: dict[bytes, dict[bytes, bool]] = {}
        # Of how many builds there are mounts in the trash.
        self._trash = 0
        # Those that no build has.  Whether there can be any: an ordinary user could not come back from one, and leaves them to bubblewrap.
        self._networks: list[_Network] = []
        self._home_network = _open_namespace("net")
        self._has_networks = libc.setns(self._home_network, _CLONE_NEWNET) == 0
        self._connection = connection
        # One for all: to close one takes the kernel as long as to build.
        self._watch = _check(libc.inotify_init1(os.O_CLOEXEC))
        self._builds: set[_Build] = set()
        # Those whose inputs could not be shown, for bubblewrap was just changing its root, and until when that may be so.
        self._unfinished: dict[_Build, float] = {}
        self._handlers: dict[int, Callable[[], object]] = {}
        self._poller = select.poll()
        self._listen(connection.fileno(), self._take_order)
        self._listen(self._watch, self._look)
        self._is_done = False

    def _make_namespaces(self, shown: Sequence[str]) -> None:
        self._has_devices = False
        enter_namespace()
        _become_first()
        # What is mounted here must not show outside; what the machine unmounts must not be held here.
        mount(b"none", b"/", _MS_SLAVE | _MS_REC)
        # That of this PID namespace, in which bubblewrap looks for its processes.
        mount(b"proc", b"/proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, kind=b"proc")
        if not any(place == "/" or f"{place}/".startswith("/sys/") for place in map(os.path.realpath, shown)):
            # Half of all mounts are there, and bubblewrap reads of them again and again.  An ordinary user cannot: then they stay.
            libc.umount2(b"/sys", _MNT_DETACH)
            with suppress(OSError):
                _make_devices()
                self._has_devices = True
        self._home = _open_namespace("mnt")
        _check(libc.unshare(_CLONE_NEWNS))
        self._workshop = _open_namespace("mnt")
        mount(b"trash", os.path.dirname(_TRASH), 0, kind=b"tmpfs")
        os.mkdir(_TRASH)
        for number in range(_MOST_TRASH):
            os.mkdir(_TRASH + b"/folder%d" % number)
            os.mknod(_TRASH + b"/file%d" % number)
        mount(_TRASH, _TRASH, _MS_BIND)
        _enter(self._home)

    def run(self) -> None:
        while not self._is_done:
            events = self._poller.poll(_PAUSE if self._unfinished else None)
            for build in list(self._unfinished):
                self._show(build)
            for descriptor, handle in [(descriptor, self._handlers.get(descriptor)) for descriptor, _ in events]:
                # One that came before may have closed it, and another descriptor may have its number.
                if handle is not None and self._handlers.get(descriptor) is handle:
                    handle()
        for build in self._builds:
            self._kill(build)

    def _listen(self, descriptor: int, handle: Callable[[], object]) -> None:
        self._handlers[descriptor] = handle
        self._poller.register(descriptor, select.POLLIN)

    def _ignore(self, descriptor: int) -> bool:
        """Listen no more; whether that is news."""
        if self._handlers.pop(descriptor, None) is None:
            return False
        self._poller.unregister(descriptor)
        return True

    def _close(self, descriptor: int) -> None:
        self._ignore(descriptor)
        if descriptor >= 0:
            os.close(descriptor)

    def _take_order(self) -> None:
        import socket

        order, descriptors, _, _ = socket.recv_fds(self._connection, _LONGEST, _MOST_DESCRIPTORS)
        if not order:
            self._is_done = True
            return
        if not descriptors:
            self._clear(order)
            self._connection.send(b"0")
            return
        # What is still open at the `exec` would be the builder's too, and `recv_fds` itself does nothing with flags.
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        file, answers, gate, *given = descriptors
        try:
            build = self._start(file, answers, gate, given)
        except OSError as error:
            _say(answers, b"error %d" % (error.errno or errno.EIO))
            os.close(answers)
            os.close(gate)
        else:
            self._prepare(build)
        finally:
            for descriptor in (file, *given):
                os.close(descriptor)

    def _start(self, file: int, answers: int, gate: int, given: Sequence[int]) -> _Build:
        """Start bubblewrap.  Raises OSError.

        The words in `file`, each ended by a zero byte: user and group or `-`; the network, "all" or its "own"; "more" if something is mounted below
        /dev, else "plain"; how many descriptors are given, and the number that each has in the program; the number there of its `--info-fd`; the
        folder in which to mount, the name in it that says when, and where it is seen; where the inputs are, how many there are, and their names;
        how many variables, and name and text of each; the program and its arguments.
        """
        with open(file, "rb", closefd=False) as stream:
            words = iter(stream.read().split(b"\0")[:-1])
        user, network, devices = next(words), next(words), next(words)
        numbers = [int(next(words)) for _ in range(int(next(words)) + 1)]
        folder, mark, seen_at, source = next(words), next(words), next(words), next(words)
        build = _Build(answers, gate, folder, mark, seen_at, source, [next(words) for _ in range(int(next(words)))])
        environment = {next(words): next(words) for _ in range(int(next(words)))}
        argv = list(words)
        build.info, theirs = os.pipe()
        try:
            if network == b"own":
                build.network = self._enter_network()
                if build.network is None:
                    argv.insert(argv.index(b"--args"), b"--unshare-net")
            if self._has_devices and devices == b"plain":
                dev = _SHOW_DEVICES
                build.terminals = _make_terminals()
            else:
                dev = _MAKE_DEV + (_ADD_DEVICES if self._has_devices else [])
            start = argv.index(b"--args")
            argv[start:start] = dev
            build.number = _spawn(user, [*given, theirs], numbers, argv, environment)
        except OSError:
            os.close(build.info)
            self._close(build.terminals)
            self._take_back(build, is_over=True)
            raise
        finally:
            os.close(theirs)
            if build.network is not None:
                _check(libc.setns(self._home_network, _CLONE_NEWNET))
        build.end = os.pidfd_open(build.number)
        self._builds.add(build)
        self._listen(build.end, lambda: self._end(build))
        self._listen(build.info, lambda: self._read_info(build))
        self._listen(answers, lambda: self._give_up(build))
        return build

    def _enter_network(self) -> _Network | None:
        """Go to where there is no network; None if it is for bubblewrap to make one."""
        try:
            if self._networks:
                network = self._networks.pop()
                network.enter()
                return network
            return _Network() if self._has_networks else None
        except OSError:
            self._has_networks = False
            _check(libc.setns(self._home_network, _CLONE_NEWNET))
            return None

    def _take_back(self, build: _Build, *, is_over: bool) -> None:
        """Keep the network for a next build if it is as new; `is_over`: no process of this one is left for sure."""
        if build.network is not None:
            if is_over and build.network.is_as_new():
                self._networks.append(build.network)
            else:
                build.network.close()

    def _read_info(self, build: _Build) -> None:
        """Take what bubblewrap says of the first process of its namespace."""
        part = os.read(build.info, 4096)
        build.said += part
        number = _find_number(build.said)
        if number is None and part:
            return
        # It stays open, for bubblewrap says more.
        self._ignore(build.info)
        if number is not None:
            with suppress(ProcessLookupError):
                build.first = os.pidfd_open(number)
        self._show(build)

    def _prepare(self, build: _Build) -> None:
        """Have all ready to be shown."""
        try:
            if build.inputs:
                if self._refusal is not None:
                    raise self._refusal
                build.tree = self._make_tree(build)
            _check(libc.inotify_add_watch(self._watch, build.folder, ctypes.c_uint32(_IN_CREATE | _IN_ONESHOT)))
        except OSError as error:
            build.is_shown = True
            self._refuse(build, error)
        else:
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
            self._unmount_inputs(folder, mounted, mounted.keys() - build.inputs)
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

    def _unmount_inputs(self, folder: bytes, mounted: dict[bytes, bool], names: set[bytes]) -> None:
        """Unmount those of `names`.  The kernel takes its time to unmount, whatever that is, so they are put aside, and go together."""
        if not names:
            return
        if self._trash == _MOST_TRASH:
            libc.umount2(_TRASH, _MNT_DETACH)
            mount(_TRASH, _TRASH, _MS_BIND)
            self._trash = 0
        for name in names:
            inside = folder + b"/" + name
            is_folder = mounted.pop(name)
            target = _TRASH + (b"/folder%d" if is_folder else b"/file%d") % self._trash
            _check(libc.syscall(_SYS_MOVE_MOUNT, _AT_FDCWD, inside, _AT_FDCWD, target, 0))
            (os.rmdir if is_folder else os.unlink)(inside)
        self._trash += 1

    def _clear(self, folder: bytes) -> None:
        if self._mounted.pop(folder, None) is not None:
            _enter(self._workshop)
            libc.umount2(folder, _MNT_DETACH)
            _enter(self._home)

    def _look(self) -> None:
        """Something has been made in a folder."""
        os.read(self._watch, 65536)
        for build in self._builds:
            self._show(build)

    def _show(self, build: _Build) -> None:
        """Mount what is to be seen if bubblewrap waits for it."""
        if build.is_shown or build.first < 0 or not (build in self._unfinished or os.path.lexists(build.mark)):
            return
        try:
            if build not in self._unfinished:
                os.unlink(build.mark)
                self._unfinished[build] = time.monotonic() + _PATIENCE
            is_put = build.tree < 0 and build.terminals < 0
            if not is_put:
                status = os.stat(build.folder)
                _enter(build.first)
                try:
                    is_put = _put(build, (status.st_dev, status.st_ino))
                finally:
                    _enter(self._home)
            if not is_put:
                if time.monotonic() < self._unfinished[build]:
                    return
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), build.seen_at)
        except ProcessLookupError:
            # It has ended, of which is heard in a moment, and says itself why.
            pass
        except OSError as error:
            self._refuse(build, error)
        else:
            _say(build.socket, b"ready")
        self._drop_tree(build)

    def _drop_tree(self, build: _Build) -> None:
        self._unfinished.pop(build, None)
        build.is_shown = True
        self._close(build.tree)
        self._close(build.terminals)
        build.tree = build.terminals = -1

    def _refuse(self, build: _Build, error: OSError) -> None:
        _say(build.socket, b"failed " + str(error).encode("utf-8", "replace"))

    def _give_up(self, build: _Build) -> None:
        """Nobody waits for it any more."""
        self._ignore(build.socket)
        self._kill(build)

    def _kill(self, build: _Build) -> None:
        """End a build, all of whose processes are in the namespace, or on their way there and still in bubblewrap's group."""
        self._drop_tree(build)
        if build.info in self._handlers:
            os.set_blocking(build.info, False)
            with suppress(BlockingIOError):
                self._read_info(build)
        if build.first >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(build.first, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(build.number, signal.SIGKILL)

    def _end(self, build: _Build) -> None:
        """Bubblewrap has ended, or the first process of the namespace, which ends a little later: then all in it are gone."""
        if self._ignore(build.end):
            self._kill(build)
            if build.first >= 0:
                self._listen(build.first, lambda: self._end(build))
                return
        if build.first >= 0:
            # If bubblewrap was killed, it is ours.
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, build.first, os.WEXITED)
        # Not before: while it is not waited for, its number is nobody else's.
        _, status = os.waitpid(build.number, 0)
        self._take_back(build, is_over=build.first >= 0)
        _say(build.socket, b"ended %d" % os.waitstatus_to_exitcode(status))
        self._builds.remove(build)
        for descriptor in (build.socket, build.gate, build.end, build.info, build.first):
            self._close(descriptor)


def _say(socket: int, answer: bytes) -> None:
    # That nobody listens any more is heard elsewhere.
    with suppress(BrokenPipeError, ConnectionResetError):
        os.write(socket, answer)


def _find_number(said: bytes) -> int | None:
    """The number of the first process of the namespace; None as long as bubblewrap has not said it."""
    _, found, rest = said.partition(b'"child-pid":')
    number = rest.strip().split(b",")[0].split(b"\n")[0]
    return int(number) if found and number.isdigit() and len(number) < len(rest.lstrip()) else None


def _spawn(user: bytes, descriptors: Sequence[int], numbers: Sequence[int], argv: list[bytes], environment: dict[bytes, bytes]) -> int:
    """Start a program in a session of its own, as `user`, with `descriptors` under their `numbers`; its number.  Raises OSError."""
    import fcntl

    free = max(numbers) + 1
    # Out of the way first, since one may have another's number.
    moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, free) for descriptor in descriptors]
    try:
        if user != b"-":
            return _fork(user, moved, numbers, argv, environment)
        # Which copies nothing of this process.
        actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for descriptor, number in zip(moved, numbers, strict=True)]
        return os.posix_spawnp(argv[0], argv, environment, file_actions=actions, setsid=True, setsigdef=_SIGNALS)
    finally:
        for descriptor in moved:
            os.close(descriptor)


def _fork(user: bytes, descriptors: Sequence[int], numbers: Sequence[int], argv: list[bytes], environment: dict[bytes, bytes]) -> int:
    process = os.fork()
    if process != 0:
        return process
    try:
        for descriptor, number in zip(descriptors, numbers, strict=True):
            os.dup2(descriptor, number)
        os.setsid()
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        uid, gid = map(int, user.split(b":"))
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.execvpe(argv[0], argv, environment)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _put(build: _Build, identity: tuple[int, int]) -> bool:
    """Mount what is to be seen in the namespace of bubblewrap: the inputs where the folder of that device and file number is, and the terminals.

    False if that is not there, as between the two calls by which bubblewrap makes its folder `newroot` the root.
    """
    places = [build.seen_at] if build.terminals < 0 else [build.seen_at, _TERMINALS]
    for top in (b"/newroot", b""):
        targets: list[int] = []
        try:
            for place in places:
                targets.append(os.open(top + place, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
            status = os.fstat(targets[0])
            if (status.st_dev, status.st_ino) == identity:
                for tree, target in zip((build.tree, build.terminals), targets, strict=False):
                    if tree >= 0:
                        flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
                        _check(libc.syscall(_SYS_MOVE_MOUNT, tree, b"", target, b"", flags))
                return True
        except (FileNotFoundError, NotADirectoryError):
            continue
        finally:
            for target in targets:
                os.close(target)
    return False


def _make_devices() -> None:
    """Make a folder of devices at _DEVICES.  Raises OSError where that is not allowed, as for an ordinary user, and in many containers."""
    if os.geteuid() != 0:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    mount(b"dev", _DEVICES, _MS_NOSUID | _MS_NOATIME, kind=b"tmpfs", options=b"mode=0755")
    for name, numbers in _NODES.items():
        os.mknod(_DEVICES + b"/" + name, stat.S_IFCHR, os.makedev(*numbers))
        os.chmod(_DEVICES + b"/" + name, 0o666)
    for name, target in _LINKS.items():
        os.symlink(target, _DEVICES + b"/" + name)
    os.mkdir(_DEVICES + b"/shm")
    os.mkdir(_DEVICES + b"/pts")
    mount(b"none", _DEVICES, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NOATIME)
    with open(_DEVICES + b"/null", "wb"):
        os.close(_make_terminals())


def _make_terminals() -> int:
    """A descriptor of a new /dev/pts, which is mounted nowhere (fsopen(2)).  Raises OSError."""
    system = _check(libc.syscall(_SYS_FSOPEN, b"devpts", _FSOPEN_CLOEXEC))
    try:
        for name, value in ((b"ptmxmode", b"0666"), (b"mode", b"0620")):
            _check(libc.syscall(_SYS_FSCONFIG, system, _FSCONFIG_SET_STRING, name, value, 0))
        _check(libc.syscall(_SYS_FSCONFIG, system, _FSCONFIG_CMD_CREATE, None, None, 0))
        return _check(libc.syscall(_SYS_FSMOUNT, system, _FSMOUNT_CLOEXEC, _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NOEXEC))
    finally:
        os.close(system)


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


def _change_mounts(tree: int, flags: int, attributes: int, without: int) -> None:
    order = (ctypes.c_uint64 * 4)(attributes, without)
    _check(libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH | flags, order, ctypes.sizeof(order)))


def _open_namespace(kind: str) -> int:
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    _check(libc.setns(namespace, _CLONE_NEWNS))


def _check(number: int) -> int:
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number


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


def _become_first() -> None:
    """Go on as the first process of a PID namespace, which ends when this one is killed, or the one that waits here.  Raises OSError."""
    _check(libc.unshare(_CLONE_NEWPID))
    process = os.fork()
    if process != 0:
        os.waitpid(process, 0)
        os._exit(0)
    _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))


def mount(source: bytes, target: bytes, flags: int, *, kind: bytes | None = None, options: bytes | None = None) -> None:
    """`mount(2)`.  Raises OSError."""
    if libc.mount(source, target, kind, flags, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(target))


if __name__ == "__main__":
    main()
