"""`nivalis why-depends`: how a package of Debian came to need another, and why it is this one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.debian.resolve import Choice, Resolution, Resolver

__all__ = ["command"]


@click.command("why-depends", short_help="Explain which packages of Debian a package needs, and why these.")
@click.argument("package")
@click.argument("dependency", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with an object for each package on the way.")
@click.option("--channel", metavar="NAME", help="Ask this channel; else the first by name that has the package.")
@click.option("--snapshot", metavar="PATH", help="Ask the snapshot there, and no channel.")
@click.option("--store", metavar="PLACE", help="Use the store there.")
def command(package: str, dependency: str | None, as_json: bool, channel: str | None, snapshot: str | None, store: str | None) -> None:
    """Explain what became of each dependency of PACKAGE: the clause, who could satisfy it, and who was chosen.

    With DEPENDENCY, the clauses are those of a shortest way that leads there.  If there is no such way, the exit status is 1.
    """

    def work() -> int:
        from nivalis.cli.snapshots import find_snapshots

        snapshots = find_snapshots(store, channel, snapshot)
        chosen = next((found for found in snapshots.values() if package in found.names), next(iter(snapshots.values())))
        chosen.record(package)
        resolver = chosen.resolver()
        resolution = resolver.resolve()
        if dependency is None:
            steps = [(package, resolver.explain(package, resolution.broken))]
        else:
            chosen.record(dependency)
            steps = _way(resolver, resolution, package, dependency)
        _print(steps, resolution.broken, as_json, shows_all=dependency is None)
        if not steps and not as_json:
            click.echo(f"`{package}` does not need `{dependency}`", err=True)
        return 0 if steps else 1

    raise SystemExit(run(work))


def _way(resolver: Resolver, resolution: Resolution, start: str, goal: str) -> list[tuple[str, list[Choice]]]:
    """The packages of a shortest way from `start` to `goal`, each with the clauses that lead on; nothing if there is none."""
    before: dict[str, str] = {start: ""}
    border = [start]
    while border and goal not in before:
        reached = []
        for package in border:
            # Who is in a group needs its other members, too, though not as dependencies to be built before.
            for name in sorted({*resolution.depends[package], *resolution.groups.get(package, ())}):
                if name not in before:
                    before[name] = package
                    reached.append(name)
        border = reached
    if goal not in before or goal == start:
        return []
    way = [goal]
    while way[-1] != start:
        way.append(before[way[-1]])
    way.reverse()
    steps = []
    for package, following in itertools.pairwise(way):
        choices = [choice for choice in resolver.explain(package, resolution.broken) if choice.package == following and not choice.left_out]
        steps.append((package, choices))
    return steps


def _print(steps: Sequence[tuple[str, Sequence[Choice]]], broken: Mapping[str, str], as_json: bool, *, shows_all: bool) -> None:
    if as_json:
        import json

        from nivalis.debian.resolve import describe

        rows = [
            {"package": package, "broken": broken.get(package), "choices": [describe(choice) for choice in choices]} for package, choices in steps
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for package, choices in steps:
        click.echo(package)
        if package in broken:
            click.echo(f"  cannot be had: {broken[package]}")
        if not choices:
            click.echo("  needs nothing" if shows_all else "  is of one group with the next, since they need each other")
        for choice in choices:
            click.echo(f"  {choice.field}: {choice.clause}")
            if choice.left_out:
                click.echo(f"    left out, for maintainer scripts alone need it ({choice.left_out})")
                continue
            click.echo(f"    -> {choice.package or '(nothing)'}: {choice.why}")
            for one in choice.candidates:
                if one.package != choice.package:
                    click.echo(f"       {one.package}{f': {one.objection}' if one.objection else ' would do, too'}")
