"""Starting bubblewrap and having inputs mounted beside it, by the process of `nivalis.build.mounts`.

That process is started when it is needed first, and ends with the `Mounter`.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from nivalis.build import mounts
from nivalis.build.process import Child, file_of, with_ends

__all__ = ["WORTHWHILE", "Mounter"]

# From so many inputs on it is faster than bubblewrap's own mounts, which take 0.3 ms each; the first use takes 15 ms more.
WORTHWHILE = 20


# What no store object is called.
MARK = ".seen"


class Mounter:
    """Starts processes that have mounts of their own.  Safe to use from several threads, all of which must outlive what they start."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        argv: Sequence[str],
        folder: str,
        places: Sequence[str],
        report: int,
        terminal: int,
        descriptors: Sequence[int],
        user: tuple[int, int] | None,
    ) -> Child:
        """Start a program, as `user` (user and group) if one is given, and mount `places` in `folder`, read-only, under their own names.

        They are seen when something is made in `folder` with the name MARK; it is removed, and then "1" is written to `report`, or else what
        went wrong.  The program has `terminal` as its output, and `descriptors` under their numbers.  It must be waited for.  Raises OSError.
        """
        given = [terminal, terminal, *descriptors]
        numbers = [1, 2, *descriptors]
        words = ["-" if user is None else f"{user[0]}:{user[1]}", str(len(numbers)), *map(str, numbers), folder, MARK, str(len(places)), *places]
        with file_of(with_ends([*words, *argv])) as order, self._mutex:
            connection = self._connect()
            socket.send_fds(connection, [b"start"], [order, report, *given])
            answer = int(connection.recv(16) or -errno.EPIPE)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return Child(answer)

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            if self._process is not None:
                self._process.wait()
            self._connection = self._process = None

    def _connect(self) -> socket.socket:
        if self._connection is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                argv = [sys.executable, "-I", "-S", "-B", mounts.__file__]
                self._process = subprocess.Popen(
                    argv, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env={"PATH": os.defpath}, start_new_session=True
                )
            self._connection = ours
        return self._connection
