"""Downloads: fixed outputs that this process fetches itself, many at once, over kept connections.

What a builder such as `builtin:debian-fetch` does is to bring a file whose SHA-256 its derivation names.  Nothing of what comes is
looked into, so no sandbox is needed; and a process for each of some hundred files would take longer than the files do.  Whatever
holds for a build holds for a download: the same locks, checks and events, and no output is valid before its hash is right.

Where an output is made again to be compared or repaired, its builder runs as any other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from threading import Event as Signal
from threading import Lock
from typing import Protocol

from nivalis.build import builtin_builders
from nivalis.build.errors import BuildStoppedError
from nivalis.build.events import FetchProgress, Listener
from nivalis.build.goals import Goal
from nivalis.build.job import Job
from nivalis.build.outputs import check_output_conditions, inspect_outputs
from nivalis.build.settings import BuildSettings
from nivalis.errors import NivalisError
from nivalis.store.add import temporary_place
from nivalis.store.store import Store

__all__ = ["Downloads", "Fetcher"]

# How often a download tells how far it is, in seconds.
_TELLING = 0.2


class Fetcher(Protocol):
    """Who brings files for derivations of one builder, to several threads at once."""

    def fetch(self, environment: Mapping[str, str], target: str, on_progress: Callable[[int, int | None], object]) -> None:
        """Bring what a derivation with these variables names into the new file `target`.  Raises NivalisError."""

    def abort(self) -> None:
        """End all that is under way, with an error."""

    def close(self) -> None: ...


class Downloads:
    """The downloads of one run of the scheduler."""

    def __init__(self, store: Store, settings: BuildSettings, listen: Listener, stop: Signal) -> None:
        self._store = store
        self._settings = settings
        self._listen = listen
        self._stop = stop
        self._mutex = Lock()
        self._fetchers: dict[str, Fetcher] = {}

    def has(self, goal: Goal) -> bool:
        """Whether a goal is a download."""
        derivation = goal.derivation
        output = derivation.outputs.get("out")
        is_file = output is not None and len(derivation.outputs) == 1 and output.path is not None and output.hash_algo == "sha256"
        return is_file and self._settings.mode == "normal" and builtin_builders.has_fetcher(derivation.builder)

    def run(self, goal: Goal) -> None:
        """Fetch one.  Raises NivalisError."""
        job = _Download(
            self._store,
            goal.drv_path,
            goal.derivation,
            self._settings,
            listen=self._listen,
            is_stopped=self._stop.is_set,
        )
        job.fetcher = self._fetcher(goal.derivation.builder)
        job.run()

    def abort(self) -> None:
        with self._mutex:
            for fetcher in self._fetchers.values():
                fetcher.abort()

    def close(self) -> None:
        with self._mutex:
            for fetcher in self._fetchers.values():
                fetcher.close()

    def _fetcher(self, builder: str) -> Fetcher:
        with self._mutex:
            if builder not in self._fetchers:
                self._fetchers[builder] = builtin_builders.make_fetcher(builder, self._settings.environment, self._stop.wait)
            return self._fetchers[builder]


class _Download(Job):
    """A job whose builder is a fetcher, here."""

    fetcher: Fetcher

    def _build(self, valid: set[str]) -> None:
        (path,) = self._paths.values()
        told = time.monotonic()

        def progress(received: int, expected: int | None) -> None:
            nonlocal told
            self._check_stop()
            now = time.monotonic()
            if now - told >= _TELLING or received == expected:
                told = now
                self._listen(FetchProgress(path, received, expected))

        with self._turn(), temporary_place(self._store.real_path(path), path) as part:
            try:
                self.fetcher.fetch(self._derivation.env, part, progress)
            except NivalisError:
                self._check_stop()
                raise
            places = dict.fromkeys(self._paths, part)
            produced = inspect_outputs(self._drv_path, self._derivation, self._options, places, (), self._store.store_dir, os.geteuid())
            check_output_conditions(self._store, self._drv_path, self._derivation, self._options, produced)
            self._keep(produced)

    def _check_stop(self) -> None:
        if self._is_stopped():
            raise BuildStoppedError(f"build given up: `{self._drv_path}`")
