"""`nivalis plan`: what a switch would change, before anything is built or downloaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from nivalis.cli.failures import run
from nivalis.cli.sizes import format_size

if TYPE_CHECKING:
    from nivalis.system.outlook import Outlook, PackageChange
    from nivalis.system.target.plan import Change, Plan

__all__ = ["command", "format_changes"]

# How many files and boot entries are named; all are counted, and `--json` has all.
_FILES = 12
_ENTRIES = 4


@click.command("plan", short_help="Show what a switch of this machine would change.")
@click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>.")
@click.option("-f", "--file", "file", metavar="FILE", help="Evaluate this in place of <nixpkgs/nixos>.")
@click.option("--arg", "arguments", type=(str, str), multiple=True, metavar="NAME EXPR", help="Pass an expression to functions that take NAME.")
@click.option("--argstr", "strings", type=(str, str), multiple=True, metavar="NAME STRING", help="Pass a string.")
@click.option("-p", "--profile-name", "profile", default="", metavar="NAME", help="The generations under this name.")
@click.option("--all", "shows_all", is_flag=True, help="Name all files and all boot entries.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--store", metavar="PLACE", help="Use the store there.")
@click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set one of Nix's settings.")
@click.option("--show-trace", is_flag=True, help="Show all frames of an error's trace.")
def command(
    includes: Sequence[str],
    file: str | None,
    arguments: Sequence[tuple[str, str]],
    strings: Sequence[tuple[str, str]],
    profile: str,
    shows_all: bool,
    as_json: bool,
    store: str | None,
    settings: Sequence[tuple[str, str]],
    show_trace: bool,
) -> None:
    """Show what `nixos-rebuild switch` would change on this machine: packages, units and why, users, files, mounts, the kernel, the boot menu; and
    what it would download.

    Nothing is built, downloaded or changed.
    """

    def work() -> int:
        import os

        from nivalis.cli.building import BuildOptions
        from nivalis.cli.systems import SystemDesk

        options = BuildOptions()
        options.includes = list(includes)
        options.arguments = {name: (text, True) for name, text in arguments} | {name: (text, False) for name, text in strings}
        options.set_given({"store": store, "show-trace": show_trace})
        for name, value in settings:
            options.set(name, value)
        desk = SystemDesk(options, dict(os.environ), file)
        with desk.open() as opened:
            outlook = desk.look_ahead(opened, profile)
        if as_json:
            import json

            print(json.dumps(outlook.to_json(), indent=2))
        else:
            _print(list(_make_rows(outlook.plan, outlook.packages, shows_all)))
            for line in _summary(outlook, shows_all):
                print(line)
        return 0

    raise SystemExit(run(work))


class _Row(NamedTuple):
    """One line: what is done (which colours it), of what kind it is, its name, and more about it."""

    verb: str
    kind: str
    name: str
    more: str


def format_changes(plan: Plan) -> list[str]:
    """What a plan changes, one line each, with the packages that the configurations name; for a machine that is not this one."""
    from nivalis.system.outlook import PackageChange

    packages = [PackageChange(one.name, one.old, one.new) for one in plan.packages if one.old != one.new]
    return [*_align(list(_make_rows(plan, packages, False))), *(f"a reboot is needed: {reason}" for reason in plan.reboot)]


def _make_rows(plan: Plan, packages: Sequence[PackageChange], shows_all: bool) -> Iterator[_Row]:
    for package in packages:
        verb = "add" if package.old is None else "remove" if package.new is None else "change"
        versions = f"{package.old} → {package.new}" if verb == "change" else package.new or package.old
        more = [text for text in (versions, _size_change(package.size_old, package.size_new)) if text]
        yield _Row(verb, "package", package.name, ", ".join(more))
    stopped, started = {step.name for step in plan.stop}, {step.name for step in plan.start}
    for step in plan.stop:
        yield _Row("restart" if step.name in started else "stop", "unit", step.name, step.why)
    for verb, steps in (("reload", plan.reload), ("restart", plan.restart), ("start", plan.start), ("leave", plan.skip)):
        for step in steps:
            if verb != "start" or step.name not in stopped:
                yield _Row(verb, "unit", step.name, step.why)
    for kind, changes in (
        ("user", plan.users),
        ("group", plan.groups),
        ("mount", plan.mounts),
        ("sysctl", plan.sysctl),
        ("container", plan.containers),
    ):
        for change in changes:
            yield _row_of(kind, change)
    files = [*plan.files, *plan.wrappers]
    for change in files if shows_all else files[:_FILES]:
        verb = _row_of("", change).verb
        yield _Row(verb, "wrapper" if change in plan.wrappers else "file", change.name if change in plan.wrappers else f"/etc/{change.name}", "")
    if len(files) > _FILES and not shows_all:
        yield _Row("", "file", f"and {len(files) - _FILES} more", "`--all` names them")


def _row_of(kind: str, change: Change) -> _Row:
    if change.old is None:
        return _Row("add", kind, change.name, change.new or "")
    if change.new is None:
        return _Row("remove", kind, change.name, "")
    return _Row("change", kind, change.name, f"{change.old} → {change.new}")


def _summary(outlook: Outlook, shows_all: bool) -> Iterator[str]:
    effort = outlook.effort
    if outlook.old == outlook.new:
        yield "the machine is what its configuration says"
    if outlook.old is None:
        yield "no system runs here, so everything is new"
    if effort.builds or effort.fetches:
        size = format_size(effort.download) if effort.needed is not None else "and no index says how large they are"
        yield f"to build: {_count(effort.builds, 'derivation')}; to fetch: {_count(effort.fetches, 'file')}, {size}"
    needed = "" if not effort.needed else f", {format_size(effort.needed)} needed"
    full = " — too little" if effort.needed is not None and effort.needed > effort.store_free else ""
    boot = "" if effort.boot_free is None else f"; in /boot: {format_size(effort.boot_free)} free"
    yield f"room in the store: {format_size(effort.store_free)} free{needed}{full}{boot}"
    shown = outlook.menu if shows_all else outlook.menu[:_ENTRIES]
    for index, title in enumerate(shown):
        yield f"{'boot menu: ' if index == 0 else '           '}{title}"
    if len(outlook.menu) > len(shown):
        yield f"           and {len(outlook.menu) - len(shown)} more"
    for reason in outlook.plan.reboot:
        yield f"a reboot is needed: {reason}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size_change(old: int | None, new: int | None) -> str:
    if old is None and new is None:
        return ""
    difference = (new or 0) - (old or 0)
    return f"+{format_size(difference)}" if difference > 0 else format_size(difference)


def _print(rows: Sequence[_Row]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        colours = {"add": "green", "start": "green", "remove": "red", "stop": "red", "change": "yellow", "restart": "yellow", "reload": "yellow"}
        table = Table(box=None, pad_edge=False, show_header=False)
        for row in rows:
            table.add_row(Text(row.verb, style=colours.get(row.verb, "")), row.kind, Text(row.name), Text(row.more))
        if rows:
            Console().print(table)
        return
    for line in _align(rows):
        print(line)


def _align(rows: Sequence[_Row]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
