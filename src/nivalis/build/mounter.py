"""Starting bubblewrap, and having inputs mounted beside it, by the process of `nivalis.build.mounts`.

That process ends with the `Mounter`.  So do the rooms: a build is given one in which most of its inputs are mounted already, since that
takes longer than what most builds do; so more are kept than builds go on at once.  What a build has left in it is removed, and a room that is
not as it was otherwise is not used again.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

from nivalis.build import mounts
from nivalis.build.process import file_of, with_ends
from nivalis.store.metadata import remove_tree
from nivalis.store.store import Store

__all__ = ["WORTHWHILE", "Mounter", "Started"]

# From so many inputs on it is faster than bubblewrap's own mounts.
WORTHWHILE = 20
_MOST_ROOMS = 32
# What no store object is called.
MARK = ".seen"


class Started:
    """Bubblewrap, as the other process knows it: readable when it and all in its namespace have ended."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self._status: int | None = None

    def fileno(self) -> int:
        return self._answers.fileno()

    def await_ready(self) -> str | None:
        """Wait until the builder may run; why its inputs cannot be mounted, if so.  Raises OSError if there is no process."""
        word, rest = self._hear()
        if word == b"error":
            raise OSError(int(rest), os.strerror(int(rest)))
        return os.fsdecode(rest) if word == b"failed" else None

    def end(self) -> int:
        """End it, if it has not ended; its status."""
        with self._answers:
            self._answers.shutdown(socket.SHUT_WR)
            while self._status is None:
                self._hear()
        return self._status

    @property
    def has_ended(self) -> bool:
        return self._status is not None

    def _hear(self) -> tuple[bytes, bytes]:
        word, _, rest = self._answers.recv(8192).partition(b" ")
        if word not in (b"ready", b"failed"):
            # Without an answer, the other process is gone, and all that it has started.
            self._status = int(rest) if word == b"ended" else -signal.SIGKILL
        return word, rest


class Mounter:
    """Starts processes that have mounts of their own, and of this machine's see `shown`, if they are to.

    Safe to use from several threads, all of which must outlive what they start.
    """

    def __init__(self, shown: Sequence[str] = ()) -> None:
        self._shown = shown
        self._mutex = threading.Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._rooms = ExitStack()
        # Rooms, and what is mounted in each: a bit for each name, which compares hundreds of them at once.
        self._idle: dict[str, int] = {}
        self._bits: dict[str, int] = {}
        self._made = 0

    @contextmanager
    def room(self, store: Store, names: Collection[str], user: tuple[int, int] | None) -> Iterator[str]:
        """A folder beside the store's objects that has the folders `store` and `tmp`, both `user`'s (user and group).

        In `store` nothing is to be seen but what is mounted by `start`, of which there must be none but `names`.
        """
        with self._mutex:
            wanted = sum(1 << self._bits.setdefault(name, len(self._bits)) for name in names)
            changes = {room: (wanted ^ mounted).bit_count() for room, mounted in self._idle.items()}
            room = min(changes, key=changes.__getitem__, default="")
            if room and (changes[room] <= len(names) / 2 or self._made >= _MOST_ROOMS):
                del self._idle[room]
            else:
                room = self._rooms.enter_context(store.waiting_place())
                self._made += 1
                os.mkdir(room, 0o700)
                os.mkdir(f"{room}/store")
                os.chmod(f"{room}/store", 0o755)
        try:
            os.mkdir(f"{room}/tmp")
            os.chmod(f"{room}/tmp", 0o1777)
            for folder in (room, f"{room}/store", f"{room}/tmp"):
                os.chown(folder, *((os.geteuid(), os.getegid()) if user is None else user))
            before = _seal(f"{room}/store")
            yield room
        except BaseException:
            self._drop(room)
            raise
        try:
            remove_tree(f"{room}/tmp")
            for name in set(os.listdir(f"{room}/store")).difference(names):
                remove_tree(f"{room}/store/{name}")
            is_as_before = _seal(f"{room}/store") == before
        except OSError:
            is_as_before = False
        if is_as_before:
            with self._mutex:
                self._idle[room] = wanted
        else:
            self._drop(room)

    def _drop(self, room: str) -> None:
        with self._mutex, suppress(OSError):
            self._made -= 1
            # While something is mounted there, the kernel takes its time for each name that is removed.
            if self._connection is not None:
                self._connection.send(os.fsencode(f"{room}/store"))
                self._connection.recv(16)
        remove_tree(room)

    def start(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Mapping[int, int],
        info: int,
        gate: int,
        *,
        folder: str = "",
        seen_at: str = "",
        source: str = "",
        names: Sequence[str] = (),
        network: bool = False,
        adds_devices: bool = False,
        user: tuple[int, int] | None = None,
    ) -> Started:
        """Start bubblewrap, as `user` (user and group) if one is given, with this machine's network or a loopback of its own, and with a
        /dev, below which something is mounted if `adds_devices`.

        It has `environment`, `descriptors` by the numbers that they are to have, and `info` is to be its `--info-fd`.  `gate`, the other end of its
        `--block-fd`, is kept open as long as it runs.  `names` of the folder `source` are mounted in `folder`, read-only, and seen where that is
        `seen_at`, when something is made in it with the name MARK, which is removed.

        Raises OSError.
        """
        words = [
            "-" if user is None else f"{user[0]}:{user[1]}",
            "all" if network else "own",
            "more" if adds_devices else "plain",
            str(len(descriptors)),
            *map(str, descriptors),
            str(info),
        ]
        words += [folder, MARK, seen_at, source, str(len(names)), *names]
        words += [str(len(environment)), *(word for pair in environment.items() for word in pair)]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, file_of(with_ends([*words, *argv])) as order:
            try:
                socket.send_fds(self.connect(), [b"start"], [order, theirs.fileno(), gate, *descriptors.values()])
            except OSError:
                ours.close()
                raise
        return Started(ours)

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            if self._process is not None:
                self._process.wait()
            self._connection = self._process = None
            with self._rooms, ThreadPoolExecutor() as pool:
                # Each has a name for each input.
                list(pool.map(remove_tree, self._idle))
                self._idle.clear()

    def connect(self) -> socket.socket:
        """The other process, which is started if it is not there."""
        with self._mutex:
            if self._connection is None:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    argv = [sys.executable, "-I", "-S", "-B", mounts.__file__, *self._shown]
                    self._process = subprocess.Popen(
                        argv, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env={"PATH": os.defpath}, start_new_session=True
                    )
                self._connection = ours
            return self._connection


def _seal(folder: str) -> tuple[object, ...]:
    """What of a folder its owner can change that shows in later builds, but for what is in it."""
    status = os.lstat(folder)
    return status.st_mode, status.st_uid, status.st_gid, {name: os.getxattr(folder, name) for name in os.listxattr(folder)}
