"""`nivalis diff`: what differs between two closures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run
from nivalis.cli.sizes import format_size

if TYPE_CHECKING:
    from nivalis.store.closures import ClosureDiff, PackageDiff
    from nivalis.store.layout import StoreLayout

__all__ = ["command"]

# A package that was only built again, and whose size changes by less (bytes), is only counted: CppNix shows it from there on too.
_NOTABLE = 8 * 1024
_HEADER = ("", "package", "versions", "size")


@click.command("diff", short_help="Show what differs between two closures.")
@click.argument("paths", nargs=-1, metavar="[BEFORE [AFTER]]")
@click.option("-p", "--profile", metavar="PROFILE", help="Compare generations of this profile: BEFORE and AFTER are their numbers.")
@click.option("--all", "shows_all", is_flag=True, help="Show packages too that were only built again.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--store", metavar="PLACE", help="Ask the store there.")
def command(paths: Sequence[str], profile: str | None, shows_all: bool, as_json: bool, store: str | None) -> None:
    """Show which packages the closure of AFTER has and that of BEFORE has not, which are gone, and which have changed.

    BEFORE and AFTER are store paths, links to them (`./result`, the link of a profile's generation), derivations, or `derivation!output`.
    With --profile they are numbers of generations; without them, the generation before the current one is compared with it.
    """
    if profile is None and len(paths) != 2:
        raise click.UsageError("give two paths, or a profile")
    if len(paths) > 2:
        raise click.UsageError("give at most two generations")
    raise SystemExit(run(lambda: _show(paths, profile, shows_all, as_json, store)))


def _show(words: Sequence[str], profile: str | None, shows_all: bool, as_json: bool, place: str | None) -> int:
    from nivalis.cli.closure_words import named_path, open_store
    from nivalis.store.closures import diff_closures

    with open_store(place) as store:
        if profile is not None:
            words = _generations(store.layout, profile, words)
        before, after = (named_path(store, word) for word in words)
        diff = diff_closures(store, before, after)
    if as_json:
        _print_json(diff)
    elif sys.stdout.isatty():
        _print_table(diff, shows_all)
    else:
        _print_lines(diff, shows_all)
    return 0


def _generations(layout: StoreLayout, profile: str, numbers: Sequence[str]) -> list[str]:
    """The links of two generations of a profile, which is a path or a name among the store's profiles."""
    from nivalis.errors import NivalisError
    from nivalis.profile.generations import current_generation, find_generations

    place = Path(os.path.abspath(profile)) if "/" in profile else layout.profiles_dir / profile
    links = {str(one.number): str(one.link) for one in find_generations(place)} if place.parent.is_dir() else {}
    current = str(current_generation(place))
    wanted = [*numbers, current][:2]
    if not numbers and current in links:
        known = list(links)
        wanted = [*known[: known.index(current)][-1:], current]
    if len(wanted) < 2 or not links.keys() >= set(wanted):
        raise NivalisError(
            f"there are no two such generations of the profile: `{place}`",
            code="no-generation",
            hint=f"it has {', '.join(links)}" if links else "a profile is a path, or a name in the store's `profiles` folder",
        )
    return [links[number] for number in wanted]


def _rows(diff: ClosureDiff, shows_all: bool) -> Iterator[tuple[str, str, str, str]]:
    for package in diff.packages:
        if shows_all or _is_notable(package):
            yield package.change, package.name, _versions(package), _signed(package.size_change)


def _is_notable(package: PackageDiff) -> bool:
    return package.change != "rebuilt" or abs(package.size_change) >= _NOTABLE


def _versions(package: PackageDiff) -> str:
    """What is gone and what is new; of a package that is in one closure only, or was only built again, all versions."""
    before = [version or "-" for version in package.before]
    after = [version or "-" for version in package.after]
    if package.change != "changed":
        return ", ".join(after or before)
    gone = [version for version in before if version not in after]
    new = [version for version in after if version not in before]
    return f"{', '.join(gone) or 'also'} → {', '.join(new) or 'no more'}"


def _summary(diff: ClosureDiff, shows_all: bool) -> Iterator[str]:
    hidden = 0 if shows_all else sum(not _is_notable(package) for package in diff.packages)
    if hidden:
        yield f"{hidden} package{'s' if hidden > 1 else ''} only built again (`--all` shows them)"
    yield (
        f"{diff.count_before} → {diff.count_after} paths, {format_size(diff.size_before)} → {format_size(diff.size_after)}"
        f" ({_signed(diff.size_after - diff.size_before)})"
    )


def _signed(count: int) -> str:
    return f"+{format_size(count)}" if count > 0 else format_size(count)


def _print_lines(diff: ClosureDiff, shows_all: bool) -> None:
    from nivalis.cli.store_options import write_lines

    rows = list(_rows(diff, shows_all))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([*(f"{cell:<{width}}" for cell, width in zip(row[:3], widths, strict=False)), f"{row[3]:>{widths[3]}}"]) for row in rows]
    write_lines([*lines, *_summary(diff, shows_all)])


def _print_table(diff: ClosureDiff, shows_all: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"added": "green", "gone": "red", "changed": "yellow"}
    table = Table(*_HEADER[:3], box=None, pad_edge=False)
    table.add_column(_HEADER[3], justify="right")
    for row in _rows(diff, shows_all):
        table.add_row(Text(row[0], style=colours.get(row[0], "")), *map(Text, row[1:]))
    console = Console()
    if table.row_count:
        console.print(table)
    for line in _summary(diff, shows_all):
        console.print(line, markup=False, highlight=False)


def _print_json(diff: ClosureDiff) -> None:
    import dataclasses
    import json

    found = dataclasses.asdict(diff)
    for package, shown in zip(diff.packages, found["packages"], strict=True):
        shown["change"] = package.change
    print(json.dumps(found, indent=2))
