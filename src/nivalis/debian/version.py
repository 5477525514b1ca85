"""The order of Debian's versions: epoch, upstream version, revision (deb-version(7), Debian Policy 5.6.12).

The kernel compares two; here is what the operators of relations make of that.
"""

from __future__ import annotations

from nivalis._native import compare_debian_versions
from nivalis.debian.errors import ControlError

__all__ = ["OPERATORS", "compare", "satisfies"]

# What three-way comparisons an operator allows.
OPERATORS = {"<<": (-1,), "<=": (-1, 0), "=": (0,), ">=": (0, 1), ">>": (1,), "<": (-1, 0), ">": (0, 1)}


def compare(one: str, other: str) -> int:
    """-1, 0 or 1, as the first is earlier, the same or later.  Raises ControlError if an epoch is no number."""
    try:
        return compare_debian_versions(one, other)
    except ValueError as error:
        raise ControlError(str(error), hint="what is before the colon is a number") from None


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether `version` is as a relation wants it (`>=`, `1.2`).  The old `<` and `>` mean `<=` and `>=`.  Raises ControlError."""
    return (0 if version == wanted else compare(version, wanted)) in OPERATORS[operator]
