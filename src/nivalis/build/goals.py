"""Goals: what has to be built and fetched so that some store paths are valid, decided before anything is done.

A plan is the part of the derivation graph that is not valid yet.  A derivation whose outputs are all to be had from a substituter, with
all that they refer to, is fetched rather than built, and what only it needs does not appear.

The substituter may be far away: it is asked for the outputs of all derivations of one depth at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from nivalis.build.errors import CannotBuildError
from nivalis.build.options import DerivationOptions
from nivalis.build.settings import BuildSettings
from nivalis.errors import InvalidPathError, NivalisError, StorePathError
from nivalis.store.derivation import Derivation
from nivalis.store.paths import is_derivation
from nivalis.store.store import Store

__all__ = ["Closure", "Fetch", "Goal", "Plan", "Substituter", "Wanted", "make_plan", "parse_wanted"]


class Fetch(NamedTuple):
    """A store path that is to be had ready-made: bytes to download, where that is known, and bytes of the NAR."""

    path: str
    download_size: int | None
    nar_size: int


class Closure(NamedTuple):
    """What has to be fetched for some paths to be valid, by path; `incomplete` are those that cannot be, for lack of something."""

    fetches: Mapping[str, Fetch] = MappingProxyType({})
    incomplete: Collection[str] = frozenset()


class Substituter(Protocol):
    """Who has store paths ready-made.  None of its troubles is raised, but by `fetch`."""

    def available(self, paths: Collection[str]) -> set[str]:
        """Those of `paths` that can be had."""

    def closure(self, paths: Collection[str]) -> Closure:
        """What has to be fetched for `paths` to be valid."""

    def substitute(
        self, paths: Collection[str], done: Callable[[str, NivalisError | None], object], is_stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Make `paths` valid, and all that they refer to.  `done` hears of each of `paths`, with the error of one that failed."""

    def fetch(self, path: str) -> None:
        """Make one path valid, and all that it refers to.  Raises NivalisError."""


class Wanted(NamedTuple):
    """A store path that is to be valid; of a derivation, these outputs of it (None: all)."""

    path: str
    outputs: tuple[str, ...] | None = None


class Goal:
    """A derivation to build, after the derivations `needs` are built and the paths `fetches` are there."""

    def __init__(self, drv_path: str, derivation: Derivation) -> None:
        self.drv_path = drv_path
        self.derivation = derivation
        self.outputs: set[str] = set()
        self.needs: set[str] = set()
        self.fetches: set[str] = set()


class Plan:
    """Goals by derivation, each after those that it needs; the paths to fetch; and all that has to be downloaded for these."""

    def __init__(self) -> None:
        self.goals: dict[str, Goal] = {}
        self.fetches: set[str] = set()
        self.downloads: Mapping[str, Fetch] = {}

    @property
    def is_empty(self) -> bool:
        return not self.goals and not self.fetches

    @property
    def download_size(self) -> int:
        return sum(fetch.download_size or 0 for fetch in self.downloads.values())

    @property
    def unpacked_size(self) -> int:
        return sum(fetch.nar_size for fetch in self.downloads.values())


def parse_wanted(word: str, store: Store) -> Wanted:
    """Read `path`, `derivation!output` or `derivation!output,output` (`^` is as good as `!`).  Raises StorePathError."""
    path, mark, names = word.replace("^", "!", 1).partition("!")
    if not store.layout.is_in_store(path):
        raise StorePathError(f"not a store path: `{path}`")
    if not mark or names == "*":
        return Wanted(path)
    if not is_derivation(path):
        raise StorePathError(f"outputs of what is no derivation: `{word}`")
    return Wanted(path, tuple(name for name in names.split(",") if name))


def make_plan(
    store: Store,
    wanted: Iterable[Wanted],
    settings: BuildSettings,
    substituter: Substituter | None = None,
    *,
    unavailable: Mapping[str, NivalisError] | None = None,
) -> Plan:
    """What has to be done.  Paths in `unavailable` are not asked for: fetching them has failed so.

    Raises InvalidPathError for a path that is neither valid nor to be had, CannotBuildError for an output that there is not.
    """
    goals = list(wanted)
    failed: dict[str, NivalisError] = dict(unavailable or {})
    while True:
        planner = _Planner(store, settings, substituter, failed)
        for one in goals:
            if is_derivation(one.path):
                planner.want_outputs(one.path, one.outputs, again=settings.mode != "normal")
            else:
                planner.want_path(one.path)
        planner.run()
        plan = planner.plan
        if substituter is None or not plan.fetches:
            return plan
        closure = substituter.closure(plan.fetches)
        incomplete = plan.fetches.intersection(closure.incomplete)
        if not incomplete:
            plan.downloads = closure.fetches
            return plan
        for path in incomplete:
            failed[path] = InvalidPathError(f"no binary cache has all that the path refers to: `{path}`")


class _Planner:
    def __init__(self, store: Store, settings: BuildSettings, substituter: Substituter | None, unavailable: Mapping[str, NivalisError]) -> None:
        self.plan = Plan()
        self._store = store
        self._settings = settings
        self._substituter = substituter if settings.substitute else None
        self._unavailable = unavailable
        self._waiting: list[tuple[str, tuple[str, ...] | None, bool, Goal | None]] = []
        self._derivations: dict[str, Derivation] = {}
        # Of all that has been looked up.
        self._valid: set[str] = set()

    def want_outputs(self, drv_path: str, outputs: Sequence[str] | None, *, again: bool = False, by: Goal | None = None) -> None:
        self._waiting.append((drv_path, None if outputs is None else tuple(outputs), again, by))

    def want_path(self, path: str, by: Goal | None = None) -> None:
        """Have a path that no known derivation makes."""
        self._store.protect([path])
        if self._store.is_valid(path):
            return
        if path in self._unavailable:
            raise self._unavailable[path]
        if not self._available([path]):
            message = f"path is not valid, and nothing says how to make it: `{path}`"
            raise InvalidPathError(message, where=None if by is None else by.drv_path, hint="evaluate again what it comes from")
        self.plan.fetches.add(path)
        if by is not None:
            by.fetches.add(path)

    def run(self) -> None:
        # Without recursion: derivation graphs are deep.
        while self._waiting:
            wave, self._waiting = self._waiting, []
            self._look_up(wave)
            for waiting in wave:
                self._visit(*waiting)
        self.plan.goals = _sorted(self.plan.goals)

    def _look_up(self, wave: Sequence[tuple[str, tuple[str, ...] | None, bool, Goal | None]]) -> None:
        """Know about all that a wave may ask for, so that the database is asked once, and the substituter too."""
        drv_paths = {drv_path for drv_path, *_ in wave} - self._derivations.keys()
        self._note(drv_paths)
        missing = drv_paths - self._valid
        if missing and self._substituter is not None:
            self._substituter.available(missing)
        outputs: set[str] = set()
        sources: set[str] = set()
        substitutable: set[str] = set()
        for drv_path, names, again, _ in wave:
            derivation = self._read(drv_path)
            paths = {output.path for name, output in derivation.outputs.items() if output.path and (names is None or name in names)}
            outputs |= paths
            sources |= derivation.input_srcs
            if not again and self._may_substitute(derivation):
                substitutable |= paths
        self._note(outputs)
        self._valid |= self._store.valid_among(sources - self._valid)
        missing = substitutable - self._valid
        if missing and self._substituter is not None:
            self._substituter.available(missing)

    def _note(self, paths: set[str]) -> None:
        """Keep `paths` from now on, and find out which are valid."""
        self._store.protect(paths)
        self._valid |= self._store.valid_among(paths)

    def _visit(self, drv_path: str, outputs: tuple[str, ...] | None, again: bool, by: Goal | None) -> None:
        derivation = self._read(drv_path)
        names = tuple(derivation.outputs) if outputs is None else outputs
        for name in names:
            if name not in derivation.outputs:
                known = ", ".join(f"`{known}`" for known in sorted(derivation.outputs))
                raise CannotBuildError(f"derivation has no output `{name}`: `{drv_path}`", hint=f"its outputs are {known}")
        goal = self.plan.goals.get(drv_path)
        if goal is None:
            paths = {name: derivation.outputs[name].path for name in names}
            known_paths = [path for path in paths.values() if path is not None]
            missing = set(known_paths) - self._valid
            if again and missing:
                raise InvalidPathError(f"some outputs are not valid, so checking is not possible: `{drv_path}`", hint="build it first")
            if not again and not missing and len(known_paths) == len(paths):
                return
            if not again and missing and self._may_substitute(derivation) and self._available(missing):
                self.plan.fetches |= missing
                if by is not None:
                    by.fetches |= missing
                return
            goal = self.plan.goals[drv_path] = Goal(drv_path, derivation)
            for input_drv, input_names in derivation.input_drvs.items():
                self.want_outputs(input_drv, sorted(input_names), by=goal)
            for path in derivation.input_srcs - self._valid:
                self.want_path(path, by=goal)
        goal.outputs.update(names)
        if by is not None:
            by.needs.add(drv_path)

    def _read(self, drv_path: str) -> Derivation:
        if drv_path not in self._derivations:
            if drv_path not in self._valid:
                if not self._available([drv_path]):
                    raise InvalidPathError(f"derivation is not valid: `{drv_path}`", hint="evaluate again what it comes from")
                assert self._substituter is not None
                self._substituter.fetch(drv_path)
            self._derivations[drv_path] = self._store.read_derivation(drv_path)
        return self._derivations[drv_path]

    def _may_substitute(self, derivation: Derivation) -> bool:
        return self._substituter is not None and (self._settings.always_allow_substitutes or DerivationOptions(derivation).allow_substitutes)

    def _available(self, paths: Collection[str]) -> bool:
        if self._substituter is None or any(path in self._unavailable for path in paths):
            return False
        return self._substituter.available(paths) >= set(paths)


def _sorted(goals: dict[str, Goal]) -> dict[str, Goal]:
    from graphlib import TopologicalSorter

    order = TopologicalSorter({path: sorted(goal.needs) for path, goal in sorted(goals.items())}).static_order()
    return {path: goals[path] for path in order}
