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
    order: dict[str, None] = {}
    for path in references:
        # The way from `path` down, each with the references that have not been looked at.
        way = {path: iter(references[path])} if path not in order else {}
        while way:
            here = next(reversed(way))
            for target in way[here]:
                if target in order or target == here or target not in references:
                    continue
                if target in way:
                    raise StoreContentError(f"store paths refer to each other in a cycle: `{here}` and `{target}`")
                way[target] = iter(references[target])
                break
            else:
                del way[here]
                order[here] = None
    return list(order)
