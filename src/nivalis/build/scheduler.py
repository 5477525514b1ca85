"""The scheduler: works a plan off, so many builds at once as the settings allow.

Each build has a thread, which mostly waits for a process, and the substituter one for all that it fetches, of which it does much at once.  What
is a download by itself (`nivalis.build.downloads`) has a pool of its own, beside the builds; what our own builders do to packages, a few processes
do for all (`nivalis.build.workers`).  While as many builders run as may, the sandboxes of the next are made ready: for a small build that
takes longer than its builder.

A goal starts when all that it needs is there.  When one fails, those that need it fail with it; the others are given up too, unless the user wants
to keep going.  A download that fails stops nothing else if what it should have brought may be built instead.  Ctrl-C ends all builds before
it is passed on.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from nivalis.build import sandbox
from nivalis.build.buildenv import EnvironmentJob, is_environment
from nivalis.build.downloads import Downloads
from nivalis.build.errors import BuildError, BuildStoppedError, CannotBuildError, DependencyError
from nivalis.build.events import BuildFailed, Event, Listener
from nivalis.build.goals import Goal, Plan, Substituter
from nivalis.build.job import Job
from nivalis.build.mounter import Mounter
from nivalis.build.settings import BuildSettings
from nivalis.build.workers import WorkedJob, Workers
from nivalis.errors import NivalisError
from nivalis.store.store import Store

__all__ = ["Outcome", "Scheduler"]

# Where the settings name no limit.
_MOST_CONNECTIONS = 128
# However many may run: so many end while the next is made ready.
_MOST_AHEAD = 4


class Outcome:
    """What became of a plan: errors by derivation or store path, in the order in which they came."""

    def __init__(self) -> None:
        self.failures: dict[str, NivalisError] = {}
        self.failed_fetches: dict[str, NivalisError] = {}


class Scheduler:
    """Works one plan off."""

    def __init__(self, store: Store, settings: BuildSettings, listen: Listener, substituter: Substituter | None = None) -> None:
        self._store = store
        self._settings = settings
        self._substituter = substituter
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        self._hear = listen
        self._done: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
        self._program: str | None = None
        self._mounter = Mounter([outside for _, outside in settings.sandbox_paths])
        self._turns = threading.Semaphore(settings.max_jobs)
        self._workers = Workers(store, settings)
        self._downloads = Downloads(store, settings, self._listen, self._stop)

    def run(self, plan: Plan) -> Outcome:
        """Do all that can be done.  Raises SandboxError if there can be no sandbox, and what is no error of a build."""
        outcome = Outcome()
        if plan.goals:
            if self._settings.max_jobs == 0:
                first = next(iter(plan.goals))
                raise CannotBuildError(f"nothing may be built, since `max-jobs` is 0: `{first}`", hint="`--max-jobs 1` allows one build at a time")
            # As CppNix: where there is no other way to build, the setting is not asked.
            is_isolated = self._settings.sandbox or self._settings.mode != "normal" or self._store.layout.is_moved
            if is_isolated and not all(is_environment(goal.derivation) or self._downloads.has(goal) for goal in plan.goals.values()):
                # The other process starts meanwhile.
                self._mounter.connect()
                try:
                    self._program = sandbox.check_available()
                except BaseException:
                    self._mounter.close()
                    raise
        waiting = {path: {*goal.needs, *goal.fetches} for path, goal in plan.goals.items()}
        dependents: dict[str, list[str]] = {}
        for path, needs in waiting.items():
            for need in needs:
                dependents.setdefault(need, []).append(path)
        builds = ThreadPoolExecutor(self._settings.max_jobs + self._ahead() or 1, "build")
        downloads = ThreadPoolExecutor(self._settings.http_connections or _MOST_CONNECTIONS, "download")
        fetches = ThreadPoolExecutor(1, "fetch")

        def start(path: str) -> None:
            goal = plan.goals[path]
            self._submit(downloads if self._downloads.has(goal) else builds, path, lambda: self._build(goal))

        running = len(plan.fetches)
        try:
            if plan.fetches:
                fetches.submit(self._fetch, sorted(plan.fetches))
            for path in [path for path, needs in waiting.items() if not needs]:
                start(path)
                running += 1
            while running:
                path, error = self._take()
                running -= 1
                if error is None:
                    for dependent in dependents.get(path, ()):
                        waiting[dependent].discard(path)
                        if not waiting[dependent] and not self._stop.is_set() and dependent not in outcome.failures:
                            start(dependent)
                            running += 1
                    continue
                if not isinstance(error, NivalisError):
                    raise error
                if isinstance(error, BuildStoppedError):
                    continue
                outcome.failures[path] = error
                if path in plan.fetches:
                    outcome.failed_fetches[path] = error
                self._fail_dependents(path, dependents, outcome)
                goes_on = self._settings.fallback and path in plan.fetches
                if not self._settings.keep_going and not goes_on:
                    self._stop.set()
        finally:
            self._stop.set()
            self._downloads.abort()
            downloads.shutdown(cancel_futures=True)
            builds.shutdown(cancel_futures=True)
            fetches.shutdown(cancel_futures=True)
            self._downloads.close()
            self._mounter.close()
            self._workers.close()
        return outcome

    def _ahead(self) -> int:
        """How many builds are made ready beside those that run."""
        # Each has a build user, and there may be no more of them than builders may run.
        has_users = os.geteuid() == 0 and self._settings.build_users_group
        return 0 if has_users else min(2 * self._settings.max_jobs, _MOST_AHEAD)

    @contextmanager
    def _take_turn(self) -> Iterator[None]:
        """Wait until one more builder may run.  Raises BuildStoppedError."""
        while not self._turns.acquire(timeout=0.5):
            self._check_stop()
        try:
            self._check_stop()
            yield
        finally:
            self._turns.release()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise BuildStoppedError("given up, since another build has failed")

    def _take(self) -> tuple[str, BaseException | None]:
        while True:
            try:
                # With a limit, so that signals are heard.
                return self._done.get(timeout=0.5)
            except queue.Empty:
                continue

    def _submit(self, pool: ThreadPoolExecutor, path: str, work: Callable[[], object]) -> None:
        def run() -> None:
            try:
                if self._stop.is_set():
                    raise BuildStoppedError(f"given up: `{path}`")
                work()
            except BaseException as error:
                self._done.put((path, error))
            else:
                self._done.put((path, None))

        pool.submit(run)

    def _build(self, goal: Goal) -> None:
        try:
            if self._downloads.has(goal):
                self._downloads.run(goal)
                return
            kind: type[Job] = EnvironmentJob if is_environment(goal.derivation) else Job
            if self._program is not None and self._workers.may_run(goal.derivation):
                kind = WorkedJob
            job = kind(
                self._store,
                goal.drv_path,
                goal.derivation,
                self._settings,
                listen=self._listen,
                is_stopped=self._stop.is_set,
                program=self._program,
                mounter=self._mounter,
                take_turn=self._take_turn,
                mode=self._settings.mode if self._settings.mode != "normal" and self._is_valid(goal) else "normal",
            )
            if isinstance(job, WorkedJob):
                job.workers = self._workers
            job.run()
        except BuildStoppedError:
            raise
        except NivalisError as error:
            self._listen(BuildFailed(goal.drv_path, error.code, error.message))
            raise

    def _is_valid(self, goal: Goal) -> bool:
        paths = [output.path for output in goal.derivation.outputs.values() if output.path is not None]
        return self._store.valid_among(paths) == set(paths)

    def _fetch(self, paths: list[str]) -> None:
        assert self._substituter is not None
        left = set(paths)

        def done(path: str, error: NivalisError | None) -> None:
            left.discard(path)
            if error is not None and self._stop.is_set():
                error = BuildStoppedError(f"given up: `{path}`")
            self._done.put((path, error))

        try:
            self._substituter.substitute(paths, done, self._stop.is_set)
        except BaseException as error:
            for path in sorted(left):
                self._done.put((path, error))

    def _fail_dependents(self, path: str, dependents: dict[str, list[str]], outcome: Outcome) -> None:
        reached = [path]
        while reached:
            failed = reached.pop()
            for dependent in dependents.get(failed, ()):
                if dependent not in outcome.failures:
                    error: BuildError = DependencyError(f"a dependency could not be built: `{dependent}`", where=failed)
                    outcome.failures[dependent] = error
                    reached.append(dependent)

    def _listen(self, event: Event) -> None:
        with self._mutex:
            self._hear(event)
