"""`nivalis options`: find options of a system by words in their names and descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.system.options import Option

__all__ = ["command"]


@click.command("options", short_help="Find options of a system by words in their names and descriptions.")
@click.argument("words", nargs=-1, required=True, metavar="WORD...")
@click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>.")
@click.option("-f", "--file", "file", metavar="FILE", help="Evaluate this in place of <nixpkgs/nixos>.")
@click.option("--arg", "arguments", type=(str, str), multiple=True, metavar="NAME EXPR", help="Pass an expression to functions that take NAME.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option("--store", metavar="PLACE", help="Use the store there.")
def command(
    words: Sequence[str], includes: Sequence[str], file: str | None, arguments: Sequence[tuple[str, str]], as_json: bool, store: str | None
) -> None:
    """Print the options in whose names or descriptions all WORDs are: type, default, example and description of each.

    A WORD may also be the whole name of an option, or of a set of them.  The options are those of the configuration, with modules of its own.
    """

    def work() -> int:
        import dataclasses
        import os

        from nivalis.cli.building import BuildOptions
        from nivalis.cli.systems import SystemDesk
        from nivalis.system.options import list_options

        options = BuildOptions()
        options.includes = list(includes)
        options.arguments = {name: (text, True) for name, text in arguments}
        options.set_given({"store": store})
        desk = SystemDesk(options, dict(os.environ), file)
        with desk.open() as opened:
            found: list[Option] = desk.ask(opened, lambda evaluator, root, given: list(list_options(evaluator, root, given, words)))
        if as_json:
            import json

            print(json.dumps([dataclasses.asdict(option) for option in found], indent=2))
        for option in found if not as_json else ():
            _print(option)
        return 0 if found else 1

    raise SystemExit(run(work))


def _print(option: Option) -> None:
    print(option.name)
    print(f"  type: {option.type}")
    for name, text in (("default", option.default), ("example", option.example)):
        if text is not None:
            lines = text.splitlines() or [""]
            print(f"  {name}: " + "\n    ".join(lines))
    for line in option.description.splitlines():
        print(f"  {line}".rstrip())
    print()
