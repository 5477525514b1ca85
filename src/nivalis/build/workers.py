"""Workers: sandboxed processes that run builtin builders, one after the other.

To start a sandbox and Python for each of some hundred packages takes longer than to unpack most of them.  So a worker is started once, in a
sandbox of its own, and splits off a process for each build, which has all modules already.  There are as many workers as builds go
on at once, and they end with the run.

The sandbox is that of any build but in this: a worker sees the whole store, read-only, where a build sees its inputs, and one folder in which
outputs appear; and no devices.  That is why only builders are run so that are part of this program and look at nothing but their inputs; what they
read is hostile at most.  A worker that has to be stopped, or that ends, is replaced.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from threading import Lock

from nivalis.build import builtin_builders
from nivalis.build.environment import make_environment
from nivalis.build.errors import BuildError
from nivalis.build.events import BuildLine
from nivalis.build.job import Job
from nivalis.build.log import BuildLog
from nivalis.build.outputs import check_output_conditions, inspect_outputs
from nivalis.build.process import Ended, Reason, end_process, file_of, open_first, with_ends
from nivalis.build.sandbox import GID, UID, show_proc
from nivalis.build.settings import BuildSettings
from nivalis.build.syscalls import make_filter
from nivalis.store.derivation import Derivation
from nivalis.store.logs import log_place
from nivalis.store.metadata import remove_tree
from nivalis.store.paths import base_name
from nivalis.store.store import Store

__all__ = ["WorkedJob", "Worker", "Workers"]

_ROOM = "/room"
# Attributes for which there would be files in a build folder.
_FILES = frozenset({"__json", "exportReferencesGraph", "passAsFile"})
# How often a running build looks up to see whether it is to stop, in seconds.
_TICK = 0.25


class Workers:
    """The workers of one run of the scheduler.  Safe to use from several threads."""

    def __init__(self, store: Store, settings: BuildSettings) -> None:
        self._store = store
        self._settings = settings
        self._mutex = Lock()
        self._idle: list[Worker] = []
        self._rooms = ExitStack()
        # In a store that is elsewhere than its paths say, what lies at these cannot be shown.
        shown = [place for place in builtin_builders.support_paths() if place.startswith(f"{store.store_dir}/")]
        self._is_possible = not (shown and store.layout.is_moved)

    def may_run(self, derivation: Derivation) -> bool:
        """Whether a derivation can be built by a worker."""
        has_files = not _FILES.isdisjoint(derivation.env)
        is_plain = self._is_possible and self._settings.mode == "normal" and derivation.outputs.keys() == {"out"} and not has_files
        return is_plain and not derivation.is_fixed_output and builtin_builders.is_tame(derivation.builder)

    def take(self, program: str) -> Worker:
        """A worker for one build; `program` is bubblewrap."""
        with self._mutex:
            if self._idle:
                return self._idle.pop()
            room = self._rooms.enter_context(self._store.waiting_place())
        os.mkdir(room, 0o700)
        return Worker(self._store, program, room)

    def give_back(self, worker: Worker) -> None:
        if worker.is_alive:
            with self._mutex:
                self._idle.append(worker)

    def close(self) -> None:
        """End all workers, none of which may be in use."""
        for worker in self._idle:
            worker.end()
        self._idle.clear()
        self._rooms.close()


class Worker:
    """One process, and the folder `room` in which outputs appear."""

    def __init__(self, store: Store, program: str, room: str) -> None:
        self.room = room
        self.is_alive = True
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        info = os.pipe()
        try:
            with theirs, file_of(make_filter()) as syscalls:
                words = ["--seccomp", str(syscalls), "--info-fd", str(info[1]), *_view(store, room)]
                with file_of(with_ends(words)) as arguments:
                    self._process = subprocess.Popen(
                        [program, "--args", str(arguments), "--", *builtin_builders.serve_command()],
                        stdin=theirs.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=self._said,
                        env={"PATH": os.defpath},
                        cwd="/",
                        pass_fds=[arguments, syscalls, info[1]],
                        start_new_session=True,
                        umask=0o022,
                    )
        finally:
            os.close(info[1])
            self._first = open_first(info[0])
            os.close(info[0])

    def run(
        self,
        builder: str,
        variables: Mapping[str, str],
        out: str,
        *,
        on_output: Callable[[bytes], int],
        is_stopped: Callable[[], bool],
        settings: BuildSettings,
    ) -> Ended:
        """Run a builder to its end; its output `out` is in the room.  A worker whose build has to be ended ends with it."""
        order = json.dumps({"builder": builder, "environment": variables, "out": out, "place": f"{_ROOM}/{base_name(out)}"})
        log, theirs = os.pipe()
        try:
            with file_of(order.encode("utf-8", "surrogateescape")) as file, os.fdopen(theirs, "wb"):
                socket.send_fds(self._socket, [b"build"], [file, theirs])
            ended = self._watch(log, on_output, is_stopped, settings)
        except OSError as error:
            ended = Ended(1)
            self.is_alive = False
            self._said.seek(0)
            on_output(self._said.read(65536) or f"{error}\n".encode())
        finally:
            os.close(log)
        if ended.reason != "exited" or not self.is_alive:
            self.end()
        return ended

    def end(self) -> None:
        """End the process, and all that it has started."""
        self.is_alive = False
        self._socket.close()
        self._said.close()
        end_process(self._process, self._first)

    def _watch(self, log: int, on_output: Callable[[bytes], int], is_stopped: Callable[[], bool], settings: BuildSettings) -> Ended:
        poller = select.poll()
        poller.register(log, select.POLLIN)
        poller.register(self._socket, select.POLLIN)
        started = heard = time.monotonic()
        reason: Reason | None = None
        while reason is None:
            ready = {descriptor for descriptor, _ in poller.poll(_TICK * 1000)}
            now = time.monotonic()
            if log in ready:
                data = os.read(log, 65536)
                if data:
                    heard = now
                    if on_output(data) > settings.max_build_log_size > 0:
                        reason = "log-size"
                else:
                    poller.unregister(log)
            elif self._socket.fileno() in ready:
                answer = self._socket.recv(16)
                if not answer:
                    raise ConnectionAbortedError("the builder's process has ended")
                return Ended(int(answer))
            if is_stopped():
                reason = "stopped"
            elif settings.timeout and now - started > settings.timeout:
                reason = "timeout"
            elif settings.max_silent_time and now - heard > settings.max_silent_time:
                reason = "silent"
        return Ended(1, reason)


def _view(store: Store, room: str) -> list[str]:
    """What a worker sees, as arguments for bubblewrap."""
    words = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try", "--die-with-parent"]
    words += ["--new-session", "--uid", str(UID), "--gid", str(GID), "--hostname", "localhost"]
    words += [*show_proc(), "--tmpfs", "/tmp", "--clearenv"]
    for name, text in builtin_builders.variables().items():
        words += ["--setenv", name, text]
    for place in builtin_builders.support_paths():
        if not place.startswith(f"{store.store_dir}/"):
            words += ["--symlink", os.readlink(place), place] if os.path.islink(place) else ["--ro-bind", place, place]
    words += ["--ro-bind", str(store.layout.real_store_dir), store.store_dir, "--bind", room, _ROOM, "--chdir", "/tmp", "--remount-ro", "/"]
    return words


class WorkedJob(Job):
    """A job whose builder runs in a worker."""

    workers: Workers

    def _build(self, valid: set[str]) -> None:
        with self._turn():
            self._work()

    def _work(self) -> None:
        store, settings, derivation = self._store, self._settings, self._derivation
        assert self._program is not None
        (path,) = self._paths.values()
        inputs = self._find_inputs()
        environment = make_environment(store, derivation, self._options, inputs, settings, "/tmp")
        try:
            worker = self.workers.take(self._program)
        except OSError as error:
            raise BuildError(f"builder cannot be started: {error.strerror}", where=self._drv_path) from error
        place = f"{worker.room}/{base_name(path)}"
        try:
            log_file = log_place(store.layout, self._drv_path) if settings.keep_log else None
            with BuildLog(log_file, compress=settings.compress_log, lines=settings.log_lines) as log:

                def take(data: bytes) -> int:
                    for line in log.write(data):
                        self._listen(BuildLine(self._drv_path, line))
                    return log.size

                ended = worker.run(derivation.builder, environment.variables, path, on_output=take, is_stopped=self._is_stopped, settings=settings)
                for line in log.close():
                    self._listen(BuildLine(self._drv_path, line))
                self._check_ended(ended, tuple(log.tail) if settings.log_lines else ())
            produced = inspect_outputs(self._drv_path, derivation, self._options, {"out": place}, inputs, store.store_dir, os.geteuid())
            check_output_conditions(store, self._drv_path, derivation, self._options, produced)
            self._keep(produced)
        finally:
            remove_tree(place)
            self.workers.give_back(worker)
