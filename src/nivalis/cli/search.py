"""`nivalis search`: packages of Debian's channels by words in their names and descriptions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.debian.snapshot import Snapshot

__all__ = ["command"]


class _Row(NamedTuple):
    rank: int
    channel: str
    package: str
    version: str
    description: str


@click.command("search", short_help="Find packages by words in their names and descriptions.")
@click.argument("words", nargs=-1)
@click.option("--names", "only_names", is_flag=True, help="Look at names alone.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with an object for each package.")
@click.option("--channel", metavar="NAME", help="Search this channel alone.")
@click.option("--snapshot", metavar="PATH", help="Search the snapshot there, and no channel.")
@click.option("--store", metavar="PLACE", help="Use the store there.")
def command(words: Sequence[str], only_names: bool, as_json: bool, channel: str | None, snapshot: str | None, store: str | None) -> None:
    """Find packages whose names or descriptions have all WORDS in them, in whatever case; without words, all packages.

    Those whose name is what was asked for come first, then those whose name begins with it, and then the others.  If there is none, the
    exit status is 1.
    """

    def work() -> int:
        from nivalis.cli.snapshots import find_snapshots

        rows = sorted(_find(find_snapshots(store, channel, snapshot), [word.casefold() for word in words], only_names))
        _print(rows, as_json)
        return 0 if rows else 1

    raise SystemExit(run(work))


def _find(snapshots: Mapping[str, Snapshot], words: Sequence[str], only_names: bool) -> Iterator[_Row]:
    for channel, snapshot in snapshots.items():
        for package, record in snapshot.records():
            text = package if only_names else f"{package} {record['description'].casefold()}"
            if all(word in text for word in words):
                rank = 0 if package in words else 1 if package.startswith(tuple(words)) else 2
                yield _Row(rank, channel, package, record["version"], record["description"])


def _print(rows: Sequence[_Row], as_json: bool) -> None:
    if as_json:
        import json

        fields = [{"channel": row.channel or None, "package": row.package, "version": row.version, "description": row.description} for row in rows]
        click.echo(json.dumps(fields, indent=2, ensure_ascii=False))
        return
    has_channels = len({row.channel for row in rows}) > 1
    if not sys.stdout.isatty():
        for row in rows:
            words = [row.package, row.version, row.description]
            click.echo("\t".join([row.channel, *words] if has_channels else words))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title, style in [*([("channel", "")] if has_channels else []), ("package", "bold"), ("version", ""), ("description", "dim")]:
        table.add_column(title, style=style, no_wrap=title != "description")
    for row in rows:
        table.add_row(*([row.channel] if has_channels else []), row.package, row.version, row.description)
    Console().print(table)
