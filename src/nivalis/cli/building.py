"""What all commands share that build: their flags, the settings these make, how progress and failures look, and result links."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nivalis.cli.arguments import Flags
from nivalis.cli.evaluation import EvalOptions
from nivalis.cli.failures import report

if TYPE_CHECKING:
    from nivalis.build.progress import Renderer
    from nivalis.build.realisation import Realised
    from nivalis.build.settings import BuildSettings
    from nivalis.store.store import Store

__all__ = ["BuildOptions", "make_links", "report_failures"]


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
        import dataclasses

        from nivalis.build.settings import BuildSettings

        made = BuildSettings.make(self.system, environment, self.config.given())
        # What has been shown as it came need not be shown again.
        lines = 0 if self.shows_output and not self.config.is_set("log-lines") else made.log_lines
        return dataclasses.replace(made, mode=self.mode, log_lines=lines)  # type: ignore[arg-type]

    def renderer(self, settings: BuildSettings) -> Renderer:
        """Who shows what happens, on stderr."""
        from nivalis.build.progress import JsonRenderer, PlainRenderer, TerminalRenderer

        if self.json_events:
            return JsonRenderer(sys.stderr)
        kind = TerminalRenderer if sys.stderr.isatty() else PlainRenderer
        return kind(sys.stderr, shows_output=self.shows_output, names_builds=settings.max_jobs > 1)


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
