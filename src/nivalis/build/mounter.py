"""Starting bubblewrap and having inputs mounted beside it, by the process of `nivalis.build.mounts`.

That process is started when it is needed first, and ends with the `Mounter`.  So do the rooms: a build is given one in which most of
its inputs are mounted already, since that takes longer than what most builds do.  What a build has left in it is removed, and a room
that is not as it was otherwise is not used again.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from nivalis.build import mounts
from nivalis.build.process import Child, file_of, with_ends
from nivalis.store.metadata import remove_tree
from nivalis.store.store import Store

__all__ = ["WORTHWHILE", "Mounter"]

# From so many inputs on it is faster than bubblewrap's own mounts, which take 0.3 ms each; the first use takes 15 ms more.
WORTHWHILE = 20


# What no store object is called.
MARK = ".seen"


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
        self._idle: list[str] = []

    @contextmanager
    def room(self, store: Store, names: Collection[str], user: tuple[int, int] | None) -> Iterator[str]:
        """A folder beside the store's objects that has the folders `store` and `tmp`, both `user`'s (user and group).

        In `store` nothing is to be seen but what is mounted by `start`, of which there must be none but `names`.
        """
        with self._mutex:
            room = self._idle.pop() if self._idle else ""
            if not room:
                room = self._rooms.enter_context(store.waiting_place())
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
                self._idle.append(room)
        else:
            self._drop(room)

    def _drop(self, room: str) -> None:
        with self._mutex, suppress(OSError):
            # While something is mounted there, the kernel takes its time for each name that is removed.
            if self._connection is not None:
                self._connection.send(os.fsencode(f"{room}/store"))
                self._connection.recv(16)
        remove_tree(room)

    def start(
        self,
        argv: Sequence[str],
        folder: str,
        source: str,
        names: Sequence[str],
        report: int,
        environment: Mapping[str, str],
        terminal: int,
        descriptors: Sequence[int],
        user: tuple[int, int] | None,
    ) -> Child:
        """Start a program, as `user` (user and group) if one is given, and mount `names` of the folder `source` in `folder`, read-only.

        They are seen when something is made in `folder` with the name MARK; it is removed, and then "1" is written to `report`, or else what
        went wrong.  The program has `terminal` as its output, `descriptors` under their numbers, and `environment`.  It must be waited for.

        Raises OSError.
        """
        given = [terminal, terminal, *descriptors]
        numbers = [1, 2, *descriptors]
        words = ["-" if user is None else f"{user[0]}:{user[1]}", str(len(numbers)), *map(str, numbers)]
        words += [folder, MARK, source, str(len(names)), *names]
        words += [str(len(environment)), *(word for pair in environment.items() for word in pair)]
        with file_of(with_ends([*words, *argv])) as order, self._mutex:
            connection = self._connect()
            socket.send_fds(connection, [b"start"], [order, report, *given])
            answer = int(connection.recv(16) or -errno.EPIPE)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return Child(answer)

    def guard(self, first: int) -> None:
        """Have the first process of a namespace ended if this one is, however that happens.

        What waits to be let go on does so, too, when nobody is left to let it, and only then does bubblewrap see to its own end.
        """
        with self._mutex:
            if self._connection is not None:
                socket.send_fds(self._connection, [b"guard"], [first])

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            if self._process is not None:
                self._process.wait()
            self._connection = self._process = None
            self._idle.clear()
            self._rooms.close()

    def _connect(self) -> socket.socket:
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
