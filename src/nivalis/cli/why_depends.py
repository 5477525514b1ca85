"""`nivalis why-depends`: how a package of Debian came to need another, and why it is this one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.debian.resolve import Choice
    from nivalis.debian.snapshot import Snapshot

__all__ = ["command"]


class _Step(NamedTuple):
    """A package of the way, why it cannot be had, if so, and what became of its clauses: of those that lead on, or of all."""

    package: str
    broken: str | None
    choices: Sequence[Choice]
    leads_on: bool


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
        way = [package, ""]
        if dependency is not None:
            chosen.record(dependency)
            way = _find_way(chosen, package, dependency)
        steps = list(_explain(chosen, way))
        _print(steps, as_json)
        if not steps and not as_json:
            click.echo(f"`{package}` does not need `{dependency}`", err=True)
        return 0 if steps else 1

    raise SystemExit(run(work))


def _find_way(snapshot: Snapshot, start: str, goal: str) -> list[str]:
    """The packages of a shortest way from `start` to `goal`, both included; nothing if there is none."""
    before: dict[str, str] = {start: ""}
    border = [start]
    while border and goal not in before:
        reached = []
        for package in border:
            record = snapshot.record(package)
            # Who is in a group needs its other members, too, though not as what is built before.
            for name in sorted({*record["depends"], *record.get("group", ())}):
                if name not in before:
                    before[name] = package
                    reached.append(name)
        border = reached
    if goal not in before or goal == start:
        return []
    way = [goal]
    while way[-1] != start:
        way.append(before[way[-1]])
    return way[::-1]


def _explain(snapshot: Snapshot, way: Sequence[str]) -> Iterator[_Step]:
    """Each package of the way but the last, with the clauses that lead to the next one; all of its clauses, if the next has no name."""
    if not way:
        return
    resolver = snapshot.resolver()
    for package, following in itertools.pairwise(way):
        choices = resolver.explain(package, lambda name: "broken" in snapshot.record(name))
        if following:
            choices = [choice for choice in choices if choice.package == following and not choice.left_out]
        yield _Step(package, snapshot.record(package).get("broken"), choices, bool(following))


def _print(steps: Sequence[_Step], as_json: bool) -> None:
    if as_json:
        import json

        from nivalis.debian.resolve import describe

        rows = [{"package": step.package, "broken": step.broken, "choices": [describe(choice) for choice in step.choices]} for step in steps]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for step in steps:
        click.echo(step.package)
        if step.broken:
            click.echo(f"  cannot be had: {step.broken}")
        if not step.choices:
            click.echo("  is of one group with the next, since they need each other" if step.leads_on else "  needs nothing")
        for choice in step.choices:
            click.echo(f"  {choice.field}: {choice.clause}")
            if choice.left_out:
                click.echo(f"    left out, for maintainer scripts alone need it ({choice.left_out})")
                continue
            click.echo(f"    -> {choice.package or '(nothing)'}: {choice.why}")
            for one in choice.candidates:
                if one.package != choice.package:
                    click.echo(f"       {one.package}{f': {one.objection}' if one.objection else ' would do, too'}")
