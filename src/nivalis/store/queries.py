"""Questions about valid paths: what they refer to, what refers to them, what keeps them alive, as lists, trees and graphs.

Every answer has CppNix's order, which shows in the output of its commands: a set of paths is sorted by its text, and a list is the
depth-first post-order over it, so that a path comes after what it refers to.  Nothing here prints; trees and graphs come as lines.

The database is asked for whole sets, never path by path: a closure costs one recursive query and one for its references.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import cycle
from typing import NamedTuple

from nivalis.errors import DerivationError, InvalidPathError, StoreContentError
from nivalis.store.database import PathInfo
from nivalis.store.derivation import Derivation
from nivalis.store.paths import base_name, is_derivation, name_of
from nivalis.store.store import Store

__all__ = [
    "KeepPolicy",
    "binding",
    "dependents",
    "deriver",
    "graph_lines",
    "graphml_lines",
    "outputs",
    "references",
    "referrers",
    "referrers_closure",
    "requisites",
    "sort_paths",
    "tree_lines",
    "valid_derivers",
]

_BRANCH, _LAST, _LINE, _BLANK = "├───", "└───", "│   ", "    "
_COLOURS = ("black", "red", "green", "blue", "magenta", "burlywood")


class KeepPolicy(NamedTuple):
    """What a live path keeps beside its references; CppNix's settings of the same names, and its defaults."""

    outputs: bool = False
    derivations: bool = True


def sort_paths(store: Store, paths: Collection[str]) -> list[str]:
    """`paths` in an order in which each comes after those that it refers to.  Paths that are not valid count as leaves."""
    wanted = set(paths)
    return _post_order(wanted, store.database.references(wanted))


def outputs(store: Store, path: str) -> list[str]:
    """The output paths of a derivation, valid or not; any other path stands for itself.  Raises InvalidPathError, DerivationError."""
    if not is_derivation(path):
        return [path]
    found = []
    for name, output in _derivation(store, path).outputs.items():
        if output.path is None:
            raise DerivationError(f"output `{name}` has no path before it is built: `{path}`")
        found.append(output.path)
    return sorted(set(found))


def references(store: Store, paths: Collection[str]) -> list[str]:
    """What `paths` refer to directly.  Raises InvalidPathError."""
    store.check_valid(paths)
    return sort_paths(store, set().union(*store.database.references(paths).values()))


def referrers(store: Store, paths: Iterable[str]) -> list[str]:
    """What refers to `paths` directly."""
    return sort_paths(store, set().union(*(store.database.referrers(path) for path in paths)))


def referrers_closure(store: Store, paths: Collection[str]) -> list[str]:
    """`paths` and all that refers to them, directly or not."""
    return sort_paths(store, store.database.closure(store.valid_among(paths), referrers=True).union(paths))


def dependents(store: Store, paths: Collection[str], keep: KeepPolicy) -> set[str]:
    """`paths` and all that keeps them from being collected once it is live itself."""
    found = set(paths)
    pending = found
    while pending:
        more = store.database.closure(store.valid_among(pending), referrers=True)
        if keep.outputs:
            more = more.union(*(store.database.derivers(path) for path in more))
        if keep.derivations:
            more |= store.valid_among(path for drv in list(more) if is_derivation(drv) for path in store.database.outputs(drv).values())
        pending = more - found
        found |= pending
    return found


def requisites(store: Store, paths: Collection[str], *, include_outputs: bool = False) -> list[str]:
    """`paths` and all that they refer to, directly or not; with `include_outputs` the valid outputs of derivations too.

    Raises InvalidPathError.
    """
    closure = store.database.closure(paths) if paths else set()
    if include_outputs:
        pending = closure
        while True:
            built = {path for drv in pending if is_derivation(drv) for path in store.database.outputs(drv).values()}
            new = store.valid_among(built - closure)
            if not new:
                break
            pending = store.database.closure(new) - closure
            closure |= pending
    return sort_paths(store, closure)


def deriver(store: Store, path: str) -> str | None:
    """The derivation that `path` was built by, as far as that is known.  Raises InvalidPathError."""
    return store.path_info(path).deriver


def valid_derivers(store: Store, paths: Iterable[str]) -> list[str]:
    """The valid derivations that have one of `paths` as an output."""
    return sort_paths(store, set().union(*(store.database.derivers(path) for path in paths)))


def binding(store: Store, path: str, name: str) -> str:
    """The value of a variable in a derivation's environment, or in that of the deriver of another path.

    Raises InvalidPathError, DerivationError.
    """
    drv_path: str | None = path
    if not is_derivation(path):
        drv_path = deriver(store, path)
        if drv_path is None:
            raise InvalidPathError(f"deriver of path is not known: `{path}`")
    assert drv_path is not None
    env = _derivation(store, drv_path).env
    if name not in env:
        raise DerivationError(f"derivation has no environment variable `{name}`: `{drv_path}`")
    return env[name]


def tree_lines(store: Store, path: str, seen: set[str]) -> Iterator[str]:
    """The tree of references below `path`, drawn; what is in `seen` already is only named.  Raises InvalidPathError."""
    below = store.database.references(store.database.closure([path]))
    # Depth is the user's data: no recursion.
    pending = [(path, "", "")]
    while pending:
        here, first, tail = pending.pop()
        if here in seen:
            yield f"{first}{here} [...]"
            continue
        seen.add(here)
        yield f"{first}{here}"
        children = _post_order(below.get(here, ()), below)
        last = len(children) - 1
        pending += reversed(
            [(child, tail + (_LAST if i == last else _BRANCH), tail + (_BLANK if i == last else _LINE)) for i, child in enumerate(children)]
        )


def graph_lines(store: Store, paths: Collection[str]) -> Iterator[str]:
    """The graph of references below `paths` in Graphviz's language.  Raises InvalidPathError."""
    colours = cycle(_COLOURS)
    yield "digraph G {"
    for info in _walk(store, paths):
        name = base_name(info.path)
        yield f'"{name}" [label = "{name_of(info.path)}", shape = box, style = filled, fillcolor = "#ff0000"];'
        for reference in sorted(info.references - {info.path}):
            yield f'"{base_name(reference)}" -> "{name}" [color = "{next(colours)}"];'
    yield "}"


def graphml_lines(store: Store, paths: Collection[str]) -> Iterator[str]:
    """The graph of references below `paths` as GraphML.  Raises InvalidPathError."""
    yield "<?xml version='1.0' encoding='utf-8'?>"
    yield "<graphml xmlns='http://graphml.graphdrawing.org/xmlns'"
    yield "    xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'"
    yield "    xsi:schemaLocation='http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd'>"
    keys = (("narSize", "int"), ("name", "string"), ("type", "string"))
    declared = "".join(f"<key id='{key}' for='node' attr.name='{key}' attr.type='{kind}'/>" for key, kind in keys)
    yield f"{declared}<graph id='G' edgedefault='directed'>"
    for info in _walk(store, paths):
        name = name_of(info.path)
        yield f'  <node id="{base_name(info.path)}">'
        yield f'    <data key="narSize">{info.nar_size}</data>'
        yield f'    <data key="name">{name[: name.find("-") + 1]}</data>'
        yield f'    <data key="type">{"derivation" if is_derivation(info.path) else "output-path"}</data>'
        yield "  </node>"
        for reference in sorted(info.references - {info.path}):
            yield f'  <edge source="{base_name(info.path)}" target="{base_name(reference)}"/>'
    yield "</graph>"
    yield "</graphml>"


def _walk(store: Store, paths: Collection[str]) -> Iterator[PathInfo]:
    """Everything below `paths`; of what has been met, the first in alphabetical order is next."""
    import heapq

    infos = store.database.infos(store.database.closure(paths) if paths else ())
    pending = sorted(set(paths))
    met = set(pending)
    while pending:
        info = infos[heapq.heappop(pending)]
        yield info
        for reference in info.references:
            if reference not in met:
                met.add(reference)
                heapq.heappush(pending, reference)


def _post_order(paths: Collection[str], below: Mapping[str, Collection[str]]) -> list[str]:
    wanted = set(paths)
    done: list[str] = []
    visited: set[str] = set()
    above: set[str] = set()
    for start in sorted(wanted):
        if start in visited:
            continue
        visited.add(start)
        above.add(start)
        stack = [(start, iter(sorted(below.get(start, ()))))]
        while stack:
            path, children = stack[-1]
            for child in children:
                if child == path or child not in wanted:
                    continue
                if child in above:
                    raise StoreContentError(f"store paths refer to each other in a cycle: `{child}` and `{path}`")
                if child not in visited:
                    visited.add(child)
                    above.add(child)
                    stack.append((child, iter(sorted(below.get(child, ())))))
                    break
            else:
                stack.pop()
                above.discard(path)
                done.append(path)
    return done


def _derivation(store: Store, drv_path: str) -> Derivation:
    store.check_valid([drv_path])
    return store.read_derivation(drv_path)
