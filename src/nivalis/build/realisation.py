"""Realising: making store paths valid, by fetching and building.  What `nix-build` and `nix-store --realise` do."""

from __future__ import annotations

from collections.abc import Iterable

from nivalis.build.buildenv import build_environment, is_environment
from nivalis.build.errors import BuildError, DependencyError
from nivalis.build.events import Listener, PlanMade
from nivalis.build.goals import Substituter, Wanted, make_plan, parse_wanted
from nivalis.build.settings import BuildSettings
from nivalis.errors import NivalisError
from nivalis.store.paths import is_derivation
from nivalis.store.store import Store

__all__ = ["Realised", "realise"]


class Realised:
    """What came of it: for each path that was asked for its output paths, as far as they are valid; and what failed.

    `failures` are errors by derivation or store path, the first failure first.
    """

    def __init__(self, failures: dict[str, NivalisError]) -> None:
        self.outputs: dict[str, list[str]] = {}
        self.failures = failures

    @property
    def paths(self) -> list[str]:
        """All output paths, in the order in which they were asked for."""
        return [path for paths in self.outputs.values() for path in paths]

    @property
    def exit_status(self) -> int:
        """0, or what CppNix's commands exit with: 100 and above tell kinds of failures of builds apart, 1 is any other."""
        status = 0
        for error in self.failures.values():
            status |= error.status_bits if isinstance(error, BuildError) else 0
        if status:
            return status | 0x60
        return 1 if self.failures else 0

    def check(self) -> None:
        """Raises what failed; of several failures, the first, with the others' names."""
        own = [error for error in self.failures.values() if not isinstance(error, DependencyError)]
        if not own:
            return
        first = own[0]
        if len(own) > 1:
            more = "".join(f"; also failed: `{path}`" for path, error in self.failures.items() if error is not first and error in own)
            first.hint = (first.hint or "") + more if first.hint else more.removeprefix("; ")
        raise first


def realise(
    store: Store,
    wanted: Iterable[str | Wanted],
    settings: BuildSettings,
    *,
    listen: Listener = lambda event: None,
    substituter: Substituter | None = None,
) -> Realised:
    """Make `wanted` valid: store paths, derivations (all outputs of each), or `derivation!output,…`.

    Failures of builds are in the result; raised are InvalidPathError for what cannot be had at all, and what no build is to blame for.
    What could not be fetched is built, unless the settings forbid it (`fallback`).
    """
    goals = [one if isinstance(one, Wanted) else parse_wanted(one, store) for one in wanted]
    unavailable: dict[str, NivalisError] = {}
    while True:
        plan = make_plan(store, goals, settings, substituter, unavailable=unavailable)
        failures: dict[str, NivalisError] = {}
        if not plan.is_empty:
            listen(PlanMade(tuple(plan.goals), tuple(sorted(plan.downloads)), plan.download_size, plan.unpacked_size))
            alone = next(iter(plan.goals.values())) if len(plan.goals) == 1 and not plan.fetches else None
            if alone is not None and is_environment(alone.derivation) and settings.max_jobs:
                # As `nix-env` asks for it; the scheduler, and all that it may need, would be loaded for longer than this takes.
                error = build_environment(store, alone, settings, listen)
                return _gather(store, goals, {} if error is None else {alone.drv_path: error})
            from nivalis.build.scheduler import Scheduler

            outcome = Scheduler(store, settings, listen, substituter).run(plan)
            failures = outcome.failures
            if outcome.failed_fetches:
                has_failed_builds = any(path not in outcome.failed_fetches and not isinstance(failures[path], DependencyError) for path in failures)
                if settings.fallback and (settings.keep_going or not has_failed_builds):
                    unavailable |= outcome.failed_fetches
                    continue
                for error in outcome.failed_fetches.values():
                    error.hint = "; ".join(filter(None, [error.hint, "with `--fallback` it is built instead"]))
        return _gather(store, goals, failures)


def _gather(store: Store, goals: list[Wanted], failures: dict[str, NivalisError]) -> Realised:
    result = Realised(failures)
    for one in goals:
        if is_derivation(one.path):
            outputs = store.read_derivation(one.path).outputs if store.is_valid(one.path) else {}
            paths = [str(outputs[name].path) for name in (one.outputs or sorted(outputs)) if name in outputs]
        else:
            paths = [one.path]
        valid = store.valid_among(paths)
        key = one.path if one.outputs is None else f"{one.path}!{','.join(one.outputs)}"
        result.outputs[key] = [path for path in paths if path in valid]
    return result
