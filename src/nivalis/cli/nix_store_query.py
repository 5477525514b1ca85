"""The queries of `nix-store --query`, printed as CppNix prints them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from nivalis.cli.arguments import UsageError
from nivalis.cli.store_options import StoreOptions, store_path_of, write_lines
from nivalis.store import queries
from nivalis.store.store import Store

__all__ = ["FLAGS", "run_query"]

_KINDS = {
    "--outputs": "outputs",
    "--requisites": "requisites",
    "-R": "requisites",
    "--references": "references",
    "--referrers": "referrers",
    "--referers": "referrers",
    "--referrers-closure": "referrers-closure",
    "--referers-closure": "referrers-closure",
    "--deriver": "deriver",
    "-d": "deriver",
    "--valid-derivers": "valid-derivers",
    "--binding": "binding",
    "-b": "binding",
    "--hash": "hash",
    "--size": "size",
    "--tree": "tree",
    "--graph": "graph",
    "--graphml": "graphml",
    "--resolve": "resolve",
    "--roots": "roots",
}
_MODIFIERS = {
    "--use-output": "use-output",
    "-u": "use-output",
    "--force-realise": "force-realise",
    "--force-realize": "force-realise",
    "-f": "force-realise",
    "--include-outputs": "include-outputs",
}
FLAGS = (*_KINDS, *_MODIFIERS)

_CHANGED_BY_USE_OUTPUT = frozenset({"requisites", "references", "referrers", "referrers-closure", "hash", "size", "graph", "graphml", "roots"})


def run_query(store: Store, options: StoreOptions, flags: Sequence[str], words: Sequence[str], realise: Callable[[Sequence[str]], int]) -> int:
    """Answer the query that `flags` ask about the paths that `words` name; `realise` makes paths valid, and says the exit status.

    Raises NivalisError, OSError.
    """
    kind, modifiers, binding, words = _read_flags(flags, words)
    folder = os.getcwd()
    paths = [store_path_of(store.layout, word, folder) for word in words]
    if "force-realise" in modifiers and (status := realise(paths)):
        return status
    if kind == "outputs" or (kind in _CHANGED_BY_USE_OUTPUT and "use-output" in modifiers):
        paths = [output for path in paths for output in queries.outputs(store, path)]
    write_lines(_answer(store, options, kind, paths, binding, "include-outputs" in modifiers))
    return 0


def _read_flags(flags: Sequence[str], words: Sequence[str]) -> tuple[str, set[str], str, list[str]]:
    kind: str | None = None
    modifiers: set[str] = set()
    binding = ""
    rest = list(words)
    for flag in flags:
        if flag in _MODIFIERS:
            modifiers.add(_MODIFIERS[flag])
            continue
        if flag not in _KINDS:
            raise UsageError(f"unknown flag '{flag}'")
        if kind not in (None, _KINDS[flag]):
            raise UsageError(f"query type '{flag}' conflicts with earlier flag")
        kind = _KINDS[flag]
        if kind == "binding":
            if not rest:
                raise UsageError("expected binding name")
            binding = rest.pop(0)
    return kind or "outputs", modifiers, binding, rest


def _answer(store: Store, options: StoreOptions, kind: str, paths: list[str], name: str, include_outputs: bool) -> Iterable[str]:
    match kind:
        case "outputs" | "resolve":
            yield from paths
        case "requisites":
            yield from queries.requisites(store, paths, include_outputs=include_outputs)
        case "references":
            yield from queries.references(store, paths)
        case "referrers":
            yield from queries.referrers(store, paths)
        case "referrers-closure":
            yield from queries.referrers_closure(store, paths)
        case "deriver":
            for path in paths:
                yield queries.deriver(store, path) or "unknown-deriver"
        case "valid-derivers":
            yield from queries.valid_derivers(store, paths)
        case "binding":
            for path in paths:
                yield queries.binding(store, path, name)
        case "hash":
            for path in paths:
                yield store.path_info(path).nar_hash.format_prefixed("base32")
        case "size":
            for path in paths:
                yield str(store.path_info(path).nar_size)
        case "tree":
            seen: set[str] = set()
            for path in paths:
                yield from queries.tree_lines(store, path, seen)
        case "graph":
            yield from queries.graph_lines(store, paths)
        case "graphml":
            yield from queries.graphml_lines(store, paths)
        case "roots":
            yield from _roots(store, options, paths)


def _roots(store: Store, options: StoreOptions, paths: list[str]) -> Iterable[str]:
    from nivalis.store.live_roots import find_roots

    wanted = queries.dependents(store, paths, options.keep)
    for path, links in sorted(find_roots(store.layout, read_only=store.read_only).items()):
        if path in wanted:
            yield from (f"{link} -> {path}" for link in sorted(links))
