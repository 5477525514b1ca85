"""What all commands share that build: their flags, the settings these make, how progress and failures look, and result links."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nivalis.cli.arguments import Flags
from nivalis.cli.effects import LazySubstituter
from nivalis.cli.evaluation import EvalOptions
from nivalis.cli.failures import report

if TYPE_CHECKING:
    from nivalis.build.builder import StoreBuilder
    from nivalis.build.events import Listener
    from nivalis.build.goals import Wanted
    from nivalis.build.progress import Renderer
    from nivalis.build.realisation import Realised
    from nivalis.build.settings import BuildSettings
    from nivalis.store.store import Store

__all__ = ["BUILD_HELP", "STORE_HELP", "BuildOptions", "Building", "make_links", "open_building", "report_failures"]

# Of the help of those that evaluate and build.
BUILD_HELP = """\
How to build:
  -j, --max-jobs N          so many builds at once
  --cores N                 each told to use so many processors (0: all)
  -k, --keep-going          after a failure build what does not need what failed
  -K, --keep-failed         keep the folders of failed builds
  --timeout SECONDS, --max-silent-time SECONDS
                            end a build that takes so long, or is silent for so long
  --fallback                build what could not be fetched
  --no-sandbox              let builds see the whole machine
  -Q, --no-build-output     do not show what builders say
  --json-events             show what happens as one JSON object a line, on stderr
"""
STORE_HELP = """\
The store and other:
  --store PLACE             use the store there: a folder, or local?root=...
  --show-trace              show all frames of an error's trace
  --option NAME VALUE       set one of Nix's settings
  --no-eval-cache           do not answer from the cache of evaluations
  -h, --help, --version
"""


class BuildOptions(EvalOptions):
    """The flags of evaluating and of building."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = "normal"
        self.dry_run = False
        self.shows_output = True
        self.json_events = False

    def flags(self) -> Flags:
        own: dict[str, tuple[int, object]] = {
            "-Q": (0, lambda: setattr(self, "shows_output", False)),
            "--no-build-output": (0, lambda: setattr(self, "shows_output", False)),
            "--check": (0, lambda: setattr(self, "mode", "check")),
            "--rebuild": (0, lambda: setattr(self, "mode", "check")),
            "--dry-run": (0, lambda: setattr(self, "dry_run", True)),
            "--json-events": (0, lambda: setattr(self, "json_events", True)),
        }
        return {**super().flags(), **own}  # type: ignore[dict-item]

    def build_settings(self, environment: Mapping[str, str]) -> BuildSettings:
        """How to build.  Raises SettingError."""
        from nivalis.build.settings import BuildSettings

        made = BuildSettings.make(self.system, environment, self.config.given())
        # What has been shown as it came need not be shown again.
        lines = 0 if self.shows_output and not self.config.is_set("log-lines") else made.log_lines
        return made._replace(mode=self.mode, log_lines=lines)  # type: ignore[arg-type]

    def renderer(self, settings: BuildSettings) -> Renderer:
        """Who shows what happens, on stderr."""
        from nivalis.build.progress import JsonRenderer, PlainRenderer, TerminalRenderer

        if self.json_events:
            return JsonRenderer(sys.stderr)
        kind = TerminalRenderer if sys.stderr.isatty() else PlainRenderer
        return kind(sys.stderr, shows_output=self.shows_output, names_builds=settings.max_jobs > 1)


class Building(NamedTuple):
    """What builds are made with."""

    store: Store
    settings: BuildSettings
    substituter: LazySubstituter
    listen: Listener

    def realise(self, wanted: Iterable[str | Wanted]) -> Realised:
        """Make paths valid; what became of them.  Raises NivalisError."""
        from nivalis.build.realisation import realise

        return realise(self.store, wanted, self.settings, listen=self.listen, substituter=self.substituter)

    def show_plan(self, wanted: Iterable[str | Wanted], *, as_json: bool = False) -> None:
        """Say what making paths valid would do: on stderr, and as JSON on stdout.  Raises NivalisError."""
        from nivalis.build.goals import Wanted, make_plan, parse_wanted
        from nivalis.build.progress import describe_plan

        goals = [one if isinstance(one, Wanted) else parse_wanted(one, self.store) for one in wanted]
        plan = make_plan(self.store, goals, self.settings, self.substituter)
        builds, fetches = list(plan.goals), sorted(plan.downloads)
        for line in describe_plan(builds, fetches, plan.download_size, plan.unpacked_size):
            print(line, file=sys.stderr)
        if as_json:
            import json

            sizes = {"downloadSize": plan.download_size, "unpackedSize": plan.unpacked_size}
            print(json.dumps({"builds": builds, "fetches": fetches, **sizes}, indent=2))

    def builder(self) -> StoreBuilder:
        """Who builds for an evaluation."""
        from nivalis.build.builder import StoreBuilder

        return StoreBuilder(self.store, self.settings, listen=self.listen, substituter=self.substituter)


@contextmanager
def open_building(options: BuildOptions, store: Store, environment: Mapping[str, str]) -> Iterator[Building]:
    """What the flags say to build with.  At the end what is shown is finished, and connections are closed.  Raises SettingError."""
    from nivalis.build.events import one_at_a_time

    settings = options.build_settings(environment)
    renderer = options.renderer(settings)
    listen = one_at_a_time(renderer.handle)
    try:
        with LazySubstituter(store, environment, options.config, listen) as substituter:
            yield Building(store, settings, substituter, listen)
    finally:
        renderer.close()


def report_failures(result: Realised) -> None:
    """Say on stderr what failed."""
    for error in result.failures.values():
        report(error)


def make_links(store: Store, link: str, wanted: Sequence[tuple[str, str, str]]) -> list[Path]:
    """Make `link` and its like lead to outputs, as roots: (derivation, output name, output path) each.

    The second derivation's link is `<link>-2`; an output other than `out` has its name added.
    """
    numbers: dict[str, int] = {}
    links = []
    for derivation, output, path in wanted:
        number = numbers.setdefault(derivation, len(numbers) + 1)
        name = link if number == 1 else f"{link}-{number}"
        links.append(store.add_root(os.path.abspath(name if output == "out" else f"{name}-{output}"), path))
    return links
