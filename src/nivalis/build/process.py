"""Running a builder: one process, its output, its limits, and its end with all its children.

Standard output and standard error are one pseudo-terminal, as in CppNix, for programs behave differently on a pipe.  In the sandbox
all processes of a build are in one namespace, and end when bubblewrap is killed or this process dies.  Without it they are one
process group; those that leave it are found by their build user, if there is one.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
import tty
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Ended", "Process", "Program", "Reason", "end_process", "file_of", "open_first", "run_process", "with_ends"]

# How often a running build looks up to see whether it is to stop, in seconds.
_TICK = 0.25
# How long a killed build may keep its terminal open before we stop listening.
_GRACE = 5.0

Reason = Literal["exited", "timeout", "silent", "log-size", "stopped"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: `status` as `subprocess` gives it, and why, if it was not by itself."""

    status: int
    reason: Reason = "exited"


class Process(Protocol):
    """What runs."""

    def fileno(self) -> int:
        """A descriptor that can be read when it has ended."""

    def end(self) -> int:
        """End it, if it has not ended, and all that it has started; its status, as `subprocess` gives it.  To be called once."""


class Program:
    """A program that runs as `user` (user and group), if one is given: then all processes of `user` are ended with it, wherever they are."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, terminal: int, user: tuple[int, int] | None) -> None:
        """Raises OSError."""
        self._user = user
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            env=env,
            cwd=cwd,
            start_new_session=True,
            umask=0o022,
            user=None if user is None else user[0],
            group=None if user is None else user[1],
            extra_groups=None if user is None else [],
        )
        self._end = os.pidfd_open(self._process.pid)

    def fileno(self) -> int:
        return self._end

    def end(self) -> int:
        end_process(self._process, None)
        if self._user is not None:
            uid, gid = self._user
            # To that user -1 is all of its processes, and nobody else's.
            argv = ["/bin/sh", "-c", "kill -9 -1"]
            subprocess.run(argv, user=uid, group=gid, extra_groups=[], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(self._end)
        return self._process.wait()


def run_process(
    start: Callable[[int], Process],
    *,
    on_output: Callable[[bytes], int],
    is_stopped: Callable[[], bool],
    user: tuple[int, int] | None = None,
    timeout: int = 0,
    max_silent_time: int = 0,
    max_log_size: int = 0,
) -> Ended:
    """Run what `start` starts, with the terminal that it is given, to its end.

    `on_output` takes what it writes, and says how many bytes that makes by now.  The terminal is `user`'s (user and group).  Raises OSError.
    """
    master, slave = os.openpty()
    try:
        try:
            tty.setraw(slave)
            if user is not None:
                os.fchown(slave, *user)
            process = start(slave)
        finally:
            os.close(slave)
        try:
            reason = _watch(process, master, on_output, is_stopped, timeout, max_silent_time, max_log_size)
        finally:
            status = process.end()
        _drain(master, on_output, patience=0 if reason == "exited" else _GRACE)
        return Ended(status, reason)
    finally:
        os.close(master)


def open_first(info: int) -> int | None:
    """A descriptor of the first process of the namespace; None if there is none, or none any more."""
    with open(info, "rb", closefd=False) as stream:
        text = stream.read()
    try:
        return os.pidfd_open(int(json.loads(text)["child-pid"]))
    except (ValueError, KeyError, ProcessLookupError):
        return None


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65536)
    except OSError:
        # EIO: the last process that had the terminal has closed it.
        return b""


def _watch(
    process: Process,
    master: int,
    on_output: Callable[[bytes], int],
    is_stopped: Callable[[], bool],
    timeout: int,
    max_silent_time: int,
    max_log_size: int,
) -> Reason:
    """Listen until the process ends or has to be ended."""
    started = heard = time.monotonic()
    end = process.fileno()
    poller = select.poll()
    poller.register(master, select.POLLIN)
    poller.register(end, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(_TICK * 1000)}
        now = time.monotonic()
        if master in ready:
            data = _read(master)
            if data:
                heard = now
                if on_output(data) > max_log_size > 0:
                    return "log-size"
            else:
                # Its terminal is closed, which a builder may do before it ends.
                poller.unregister(master)
        elif end in ready:
            return "exited"
        if is_stopped():
            return "stopped"
        if timeout and now - started > timeout:
            return "timeout"
        if max_silent_time and now - heard > max_silent_time:
            return "silent"


def end_process(process: subprocess.Popen[bytes], first: int | None) -> None:
    """End a process that leads a session, and a namespace by the descriptor of its first process, which is closed."""
    if first is not None:
        # Bubblewrap ends when the builder does, and the namespace a little later, when this process has: then all in it are gone.
        with suppress(OSError):
            signal.pidfd_send_signal(first, signal.SIGKILL)
        poller = select.poll()
        poller.register(first, select.POLLIN)
        poller.poll()
        os.close(first)
    # Before it is waited for: until then its number is nobody else's.
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _drain(master: int, on_output: Callable[[bytes], int], patience: float) -> None:
    """Take what is left to read; for at most `patience` seconds wait for the last process that has the terminal to go."""
    poller = select.poll()
    poller.register(master, select.POLLIN)
    deadline = time.monotonic() + patience
    while poller.poll(max(deadline - time.monotonic(), 0) * 1000):
        data = _read(master)
        if not data:
            return
        on_output(data)


def with_ends(words: Iterable[str]) -> bytes:
    """The words, each ended by a zero byte."""
    return os.fsencode("".join([f"{word}\0" for word in words]))


@contextmanager
def file_of(data: bytes) -> Iterator[int]:
    """A file without a name that holds `data`, to be read from its beginning."""
    descriptor = os.memfd_create("nivalis")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
