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
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Child", "Ended", "Process", "Reason", "end_process", "file_of", "open_first", "run_process", "with_ends"]

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
    """A child of this process, as `subprocess` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def kill(self) -> None: ...


class Child:
    """A child of this process that `subprocess` has not started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        status = self._wait(0)
        assert status is not None
        return status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _wait(self, options: int) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


def run_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str,
    on_output: Callable[[bytes], int],
    is_stopped: Callable[[], bool],
    user: tuple[int, int] | None = None,
    kills_user: bool = False,
    pass_fds: Sequence[int] = (),
    info: tuple[int, int] | None = None,
    start: Callable[[int, Sequence[int]], Process] | None = None,
    is_ready: Callable[[int | None], bool] = lambda first: True,
    timeout: int = 0,
    max_silent_time: int = 0,
    max_log_size: int = 0,
) -> Ended:
    """Run a program to its end.  `on_output` takes what it writes, and says how many bytes that makes by now.

    It runs as `user` (user and group).  With `kills_user` all processes of `user` are ended with it, wherever they are.  `info` is a pipe
    to whose second end bubblewrap writes its `--info-fd`; both ends are closed here.  `start` starts the program instead, in a session
    of its own: it is given the terminal and the descriptors to pass on.  It is
    ended unless `is_ready` says, after it was started, that it may run; it is given a descriptor of the first process of the namespace, if
    there is one.  Raises OSError.
    """
    with ExitStack() as stack:
        if info is not None:
            stack.callback(os.close, info[0])
        master, slave = os.openpty()
        stack.callback(os.close, master)
        try:
            tty.setraw(slave)
            if user is not None:
                os.fchown(slave, *user)
            passed = [*pass_fds, *(() if info is None else info[1:])]
            process: Process
            if start is not None:
                process = start(slave, passed)
            else:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=slave,
                    stderr=slave,
                    env=env,
                    cwd=cwd,
                    pass_fds=passed,
                    start_new_session=True,
                    umask=0o022,
                    user=None if user is None else user[0],
                    group=None if user is None else user[1],
                    extra_groups=None if user is None else [],
                )
        finally:
            os.close(slave)
            if info is not None:
                os.close(info[1])
        first = None
        try:
            first = None if info is None else open_first(info[0])
            if not is_ready(first):
                process.kill()
            reason = _watch(process, master, on_output, is_stopped, timeout, max_silent_time, max_log_size)
        finally:
            _kill(process, first, user, kills_user)
        _drain(master, on_output, patience=0 if reason == "exited" else _GRACE)
        return Ended(process.wait(), reason)


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
    end = os.pidfd_open(process.pid)
    try:
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
    finally:
        os.close(end)


def end_process(process: Process, first: int | None) -> None:
    """End a process that leads a session, and a namespace by the descriptor of its first process, which is closed."""
    if first is not None:
        # Bubblewrap ends when the builder does, and the namespace a little later, when this process has: then all in it are gone.
        with suppress(OSError):
            signal.pidfd_send_signal(first, signal.SIGKILL)
        poller = select.poll()
        poller.register(first, select.POLLIN)
        poller.poll()
        os.close(first)
    if process.poll() is None:
        process.kill()
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill(process: Process, first: int | None, user: tuple[int, int] | None, kills_user: bool) -> None:
    end_process(process, first)
    if kills_user and user is not None:
        # To that user -1 is all of its processes, and nobody else's.
        argv = ["/bin/sh", "-c", "kill -9 -1"]
        subprocess.run(argv, user=user[0], group=user[1], extra_groups=[], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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
