"""`nix-store --realise`: make store paths valid, by fetching and building, and print them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

from nivalis.build.events import one_at_a_time
from nivalis.build.goals import Wanted, make_plan, parse_wanted
from nivalis.build.progress import PlainRenderer, TerminalRenderer, describe_plan
from nivalis.build.realisation import realise as realise_paths
from nivalis.build.settings import BuildSettings
from nivalis.cli.building import report_failures
from nivalis.cli.effects import LazySubstituter
from nivalis.cli.store_options import StoreOptions, store_path_of
from nivalis.errors import NivalisError
from nivalis.lang.encoding import encode
from nivalis.settings.settings import Settings
from nivalis.store.paths import is_derivation
from nivalis.store.store import Store

__all__ = ["make_repairer", "make_valid", "realise", "repair_damaged"]


class _Request(Protocol):
    """What this needs of a command line of `nix-store`."""

    options: StoreOptions
    words: list[str]
    flags: list[str]
    root: str | None
    prints_paths: bool


def realise(store: Store, request: _Request) -> int:
    """Realise what the words name; the exit status."""
    settings = _settings(request.options.config, request.flags)
    wanted = [_wanted(store, word) for word in request.words]
    kind = TerminalRenderer if sys.stderr.isatty() else PlainRenderer
    renderer = kind(sys.stderr, names_builds=settings.max_jobs > 1)
    listen = one_at_a_time(renderer.handle)
    try:
        with LazySubstituter(store, os.environ, request.options.config, listen) as substituter:
            if "--ignore-unknown" in request.flags:
                wanted = _known(store, wanted, substituter)
            if "--dry-run" in request.flags:
                plan = make_plan(store, wanted, settings, substituter)
                for line in describe_plan(list(plan.goals), sorted(plan.downloads), plan.download_size, plan.unpacked_size):
                    print(line, file=sys.stderr)
                return 0
            if "--repair" in request.flags:
                repair_damaged(store, wanted, settings, substituter)
            result = realise_paths(store, wanted, settings, listen=listen, substituter=substituter)
    finally:
        renderer.close()
    report_failures(result)
    if result.exit_status:
        return result.exit_status
    for number, one in enumerate(wanted, 1):
        lines = set()
        for name, path in _outputs(store, one):
            shown = path
            if request.root is not None:
                link = request.root + (f"-{number}" if number > 1 else "") + ("" if name == "out" else f"-{name}")
                shown = str(store.add_root(os.path.abspath(link), path))
            lines.add(encode(shown) + b"\n")
        if request.prints_paths:
            # In CppNix's order, which is not that of the outputs' names.
            sys.stdout.buffer.writelines(sorted(lines))
    return 0


def make_valid(store: Store, options: StoreOptions, paths: Sequence[str]) -> int:
    """Make `paths` valid, of a derivation its outputs, and print nothing; the exit status."""
    listen = one_at_a_time(PlainRenderer(sys.stderr).handle)
    with LazySubstituter(store, os.environ, options.config, listen) as substituter:
        result = realise_paths(store, paths, _settings(options.config, []), listen=listen, substituter=substituter)
    report_failures(result)
    return result.exit_status


def make_repairer(store: Store, options: StoreOptions) -> Callable[[str], object]:
    """What mends a damaged path: fetching it again, else building it again."""
    settings = _settings(options.config, [])

    def repair(path: str) -> None:
        with LazySubstituter(store, os.environ, options.config, one_at_a_time(PlainRenderer(sys.stderr).handle)) as substituter:
            _repair_path(store, path, settings, substituter)

    return repair


def _repair_path(store: Store, path: str, settings: BuildSettings, substituter: LazySubstituter) -> None:
    try:
        substituter.repair(path)
    except NivalisError:
        deriver = store.path_info(path).deriver
        if deriver is None or not store.is_valid(deriver):
            raise
        realise_paths(store, [deriver], settings._replace(mode="repair"), substituter=substituter).check()


def repair_damaged(store: Store, wanted: Sequence[Wanted], settings: BuildSettings, substituter: LazySubstituter) -> None:
    """Mend those of the paths that are valid and damaged, and what they refer to."""
    from nivalis.store.verify import find_modified

    paths = [path for one in wanted if store.is_valid(one.path) for _, path in _outputs(store, one)]
    closure = store.database.closure(store.valid_among(paths))
    for finding in find_modified(store, sorted(closure), lambda path: _repair_path(store, path, settings, substituter)):
        print(finding.message, file=sys.stderr)


def _known(store: Store, wanted: Sequence[Wanted], substituter: LazySubstituter) -> list[Wanted]:
    """Those that are valid or can be had."""
    valid = store.valid_among(one.path for one in wanted)
    others = {one.path for one in wanted} - valid
    valid |= substituter.available(others) if others else set()
    return [one for one in wanted if one.path in valid or is_derivation(one.path)]


def _settings(config: Settings, flags: Sequence[str]) -> BuildSettings:
    made = BuildSettings.make(config.text("system"), os.environ, config.given())
    made = made._replace(log_lines=made.log_lines if config.is_set("log-lines") else 0)
    return made._replace(mode="check") if "--check" in flags else made


def _wanted(store: Store, word: str) -> Wanted:
    path, mark, names = word.partition("!")
    return parse_wanted(store_path_of(store.layout, path, os.getcwd()) + mark + names, store)


def _outputs(store: Store, wanted: Wanted) -> list[tuple[str, str]]:
    if not is_derivation(wanted.path):
        return [("out", wanted.path)]
    outputs = store.read_derivation(wanted.path).outputs
    names = wanted.outputs if wanted.outputs is not None else tuple(sorted(outputs))
    return [(name, str(outputs[name].path)) for name in names]
