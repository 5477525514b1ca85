"""The order of Debian's versions: epoch, upstream version, revision (deb-version(7), Debian Policy 5.6.12).

A version becomes a key that Python orders: both parts as pairs of what is no digit and the number after it.  In the first, a tilde sorts before
everything, the end of the part included, then letters, then all else.
"""

from __future__ import annotations

import re
from functools import lru_cache

from nivalis.debian.errors import ControlError

__all__ = ["OPERATORS", "Key", "satisfies", "version_key"]

Key = tuple[int, tuple[object, ...], tuple[object, ...]]

_PIECES = re.compile(r"([^0-9]*)([0-9]*)")
# What three-way comparisons an operator allows.
OPERATORS = {"<<": (-1,), "<=": (-1, 0), "=": (0,), ">=": (0, 1), ">>": (1,), "<": (-1, 0), ">": (0, 1)}


@lru_cache(maxsize=1 << 18)
def version_key(version: str) -> Key:
    """What orders a version among others.  Raises ControlError if its epoch is no number."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    elif not (epoch.isascii() and epoch.isdigit()):
        raise ControlError(f"not a version: `{version}`", hint="what is before the colon is a number")
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    return int(epoch), _order(upstream), _order(revision)


@lru_cache(maxsize=1 << 16)
def _order(part: str) -> tuple[object, ...]:
    # Every part ends with a pair of nothing and 0, so the end is compared like any other place.
    found: list[object] = []
    # No revision is the revision 0.
    for text, digits in _PIECES.findall(part or "0"):
        found.append((*map(_weight, text), 0) if text else (0,))
        found.append(int(digits) if digits else 0)
    return tuple(found)


def _weight(letter: str) -> int:
    if letter == "~":
        return -1
    return ord(letter) if letter.isascii() and letter.isalpha() else ord(letter) + 256


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether `version` is as a relation wants it (`>=`, `1.2`).  The old `<` and `>` mean `<=` and `>=`.  Raises ControlError."""
    if version == wanted:
        return 0 in OPERATORS[operator]
    one, other = version_key(version), version_key(wanted)
    return ((one > other) - (one < other)) in OPERATORS[operator]
