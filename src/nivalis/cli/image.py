"""`nivalis image`: disk images, looked into."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run
from nivalis.cli.sizes import format_size

if TYPE_CHECKING:
    from nivalis.image.explain import ImageContent, ImagePackage

__all__ = ["command"]

# How many packages are shown where not all are wanted.
_SHOWN = 20


@click.group("image", short_help="Show what is in a disk image.")
def command() -> None:
    """Disk images of systems."""


@command.command("explain")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--all", "shows_all", is_flag=True, help=f"Show all packages, and not only the largest {_SHOWN}.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def _explain(file: Path, shows_all: bool, as_json: bool) -> None:
    """Show which packages are in the image FILE, the largest first.

    FILE is a disk (raw or qcow2) with a store on its ext4.  It is only read: nothing is mounted, and nobody need be root.
    """

    def work() -> int:
        from nivalis.image.explain import explain_image

        content = explain_image(file)
        if as_json:
            _print_json(content)
        else:
            _print(content, content.packages if shows_all else content.packages[:_SHOWN])
        return 0

    raise SystemExit(run(work))


def _print_json(content: ImageContent) -> None:
    import dataclasses
    import json

    print(json.dumps({**dataclasses.asdict(content), "store_size": content.store_size}, indent=2))


def _print(content: ImageContent, shown: Sequence[ImagePackage]) -> None:
    rows = [(format_size(one.size), f"{100 * one.size / max(content.store_size, 1):.1f} %", one.name, ", ".join(one.versions)) for one in shown]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for name, side in (("size", "right"), ("share", "right"), ("package", "left"), ("versions", "left")):
            table.add_column(name, justify=side)  # type: ignore[arg-type]
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table)
    else:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for size, share, name, versions in rows:
            print(f"{size:>{widths[0]}}  {share:>{widths[1]}}  {name:<{widths[2]}}  {versions}".rstrip())
    for line in _summary(content, shown):
        print(line)


def _summary(content: ImageContent, shown: Sequence[ImagePackage]) -> Iterator[str]:
    rest = content.packages[len(shown) :]
    if rest:
        yield f"{len(rest)} more with {format_size(sum(one.size for one in rest))}; `--all` shows them"
    paths = sum(len(one.paths) for one in content.packages)
    yield f"store: {format_size(content.store_size)} in {paths} paths of {len(content.packages)} packages"
    label = f" `{content.label}`" if content.label else ""
    yield f"file system{label}: {format_size(content.size - content.free)} used of {format_size(content.size)}"
    yield f"file: {format_size(content.file_size)} ({content.format})"
    yield f"system: {content.toplevel or 'none'}"
