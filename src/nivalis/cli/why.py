"""`nivalis why`: the references that lead from one store path to another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.store.closures import Occurrence, Ways
    from nivalis.store.store import Store

__all__ = ["command"]

_Files = Mapping[tuple[str, str], "list[Occurrence]"]


@click.command("why", short_help="Show why one store path needs another.")
@click.argument("path")
@click.argument("dependency")
@click.option("--all", "shows_all", is_flag=True, help="Show all ways rather than a shortest one.")
@click.option("--precise", is_flag=True, help="Say which files hold the references.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with an object for each dependency.")
@click.option("--store", metavar="PLACE", help="Ask the store there.")
def command(path: str, dependency: str, shows_all: bool, precise: bool, as_json: bool, store: str | None) -> None:
    """Show the chain of references by which PATH needs DEPENDENCY.

    Either is a store path, a link to one (`./result`), a derivation, or `derivation!output`.  DEPENDENCY may also be the name of a package
    (`openssl`): everything of that name in the closure of PATH.  If there is no such chain, the exit status is 1.
    """
    raise SystemExit(run(lambda: _show(path, dependency, shows_all, precise, as_json, store)))


def _show(path: str, dependency: str, shows_all: bool, precise: bool, as_json: bool, place: str | None) -> int:
    from nivalis.cli.closure_words import named_path, open_store
    from nivalis.cli.store_options import write_lines
    from nivalis.store.closures import find_ways

    with open_store(place) as store:
        start = named_path(store, path)
        found = []
        for end in _dependencies(store, start, dependency):
            ways = find_ways(store, start, end)
            references = ways.references if shows_all else {here: (below,) for here, below in zip(ways.chain, ways.chain[1:], strict=False)}
            found.append((ways, references, _find_files(store, references) if precise else {}))
    if as_json:
        import json

        print(json.dumps([_as_json(*one, shows_all=shows_all, precise=precise) for one in found], indent=2))
        return 0
    write_lines(line for ways, references, files in found for line in _tree(ways.path, references, files))
    return 0


def _dependencies(store: Store, start: str, word: str) -> list[str]:
    """What the second word names: a path, or else all in the closure of `start` that have it as their name."""
    from nivalis.cli.closure_words import named_path
    from nivalis.store.closures import NoDependencyError, find_named

    if "/" in word or os.path.lexists(word):
        return [named_path(store, word)]
    named = find_named(store, start, word)
    if not named:
        raise NoDependencyError(f"path does not depend on anything called `{word}`: `{start}`")
    return named


def _find_files(store: Store, references: Mapping[str, tuple[str, ...]]) -> _Files:
    from nivalis.store.closures import find_occurrences

    files: dict[tuple[str, str], list[Occurrence]] = {}
    for path, below in references.items():
        for one in find_occurrences(store, path, below):
            files.setdefault((path, one.reference), []).append(one)
    return files


def _tree(path: str, references: Mapping[str, tuple[str, ...]], files: _Files) -> Iterator[str]:
    """The ways as a tree; what has been shown already is only named again."""
    seen: set[str] = set()
    # Depth is the user's data: no recursion.
    pending = [(path, "", "", "")]
    while pending:
        here, above, first, tail = pending.pop()
        below = references.get(here, ())
        is_again = here in seen and bool(below)
        yield f"{first}{here}{' [...]' if is_again else ''}"
        more = "│   " if below and not is_again else "    "
        yield from (f"{tail}{more}in {one.file or 'the file itself'}: …{one.text}…" for one in files.get((above, here), ()))
        if is_again:
            continue
        seen.add(here)
        last = len(below) - 1
        pending += reversed(
            [(one, here, tail + ("└───" if i == last else "├───"), tail + ("    " if i == last else "│   ")) for i, one in enumerate(below)]
        )


def _as_json(ways: Ways, references: Mapping[str, tuple[str, ...]], files: _Files, *, shows_all: bool, precise: bool) -> dict[str, object]:
    found: dict[str, object] = {"path": ways.path, "dependency": ways.dependency, "chain": ways.chain}
    if shows_all:
        found["references"] = references
    if precise:
        found["files"] = [
            {"path": one.path, "reference": one.reference, "file": one.file, "text": one.text} for places in files.values() for one in places
        ]
    return found
