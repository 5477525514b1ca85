"""References: what a store object needs, which is every store path whose hash part occurs in it.

The order of a batch matters wherever it can be cut short: a path is made valid after what it refers to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nivalis import _native
from nivalis.errors import StoreContentError


def find_references(real_path: str, candidates: Collection[str], store_dir: str) -> tuple[set[str], _native.Hash, int]:
    """Which of `candidates` occur in the file or tree at `real_path`; the SHA-256 and size of its NAR."""
    found, nar_hash, nar_size = _native.scan_path(real_path, list(candidates), store_dir)
    return set(found), nar_hash, nar_size


def sort_by_references(references: Mapping[str, Collection[str]]) -> list[str]:
    """The keys in an order in which each comes after the keys that it refers to.  Raises StoreContentError for a cycle.

    References to a path itself, and to what is no key, do not count.
    """
    if len(references) == 1:
        return list(references)
    from graphlib import CycleError, TopologicalSorter  # few paths are added with others

    sorter: TopologicalSorter[str] = TopologicalSorter()
    for path, targets in references.items():
        sorter.add(path, *(target for target in targets if target != path and target in references))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        cycle = [str(path) for path in error.args[1]]
        raise StoreContentError(f"store paths refer to each other in a cycle: `{cycle[0]}` and `{cycle[1]}`") from error
