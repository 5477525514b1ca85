"""Sets of Debian's packages, for the scripts that prepare benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["close"]


def close(depends: Mapping[str, Iterable[str]], names: Iterable[str], groups: Mapping[str, Iterable[str]]) -> list[str]:
    """The packages, and all that they need."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [*depends[name], *groups.get(name, ())]
    return sorted(found)
