"""Fields that relate packages: Depends, Pre-Depends, Provides and their like (Debian Policy 7.1, deb-control(5)).

A field is clauses between commas, all of which have to hold; a clause is alternatives between bars, one of which is enough; an alternative is a
name with qualifiers:

    name[:arch] [(op version)] [[arch ...]] [<profile ...> ...]

The last two stand in a source's build dependencies; `selects` says whether an alternative counts on an architecture under given profiles.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from nivalis.debian.errors import ControlError

__all__ = ["Clause", "Relation", "parse_clause", "parse_relations", "selects"]

_RELATION = re.compile(
    r"""\s*(?P<name>[A-Za-z0-9][A-Za-z0-9+.-]*)
        (?: : (?P<qualifier>[A-Za-z0-9][A-Za-z0-9-]*))?
        \s*(?: \( \s* (?P<operator><<|<=|>=|>>|=|<|>) \s* (?P<version>[A-Za-z0-9.+~:-]+) \s* \) )?
        \s*(?: \[ (?P<architectures>[^\]]*) \] )?
        \s*(?P<profiles>(?: < [^>]* > \s*)*)""",
    re.VERBOSE,
)
_PROFILES = re.compile(r"<([^>]*)>")


class Relation(NamedTuple):
    """One alternative.  `profiles` are groups of terms: in one group all hold, and one group is enough."""

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""
    architectures: tuple[str, ...] = ()
    profiles: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        text = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        if self.operator:
            text += f" ({self.operator} {self.version})"
        if self.architectures:
            text += f" [{' '.join(self.architectures)}]"
        return text + "".join(f" <{' '.join(group)}>" for group in self.profiles)


Clause = tuple[Relation, ...]


def parse_relations(field: str) -> list[Clause]:
    """The clauses of a field.  Raises ControlError."""
    return [parse_clause(clause) for clause in field.split(",") if clause.strip()]


@lru_cache(maxsize=1 << 17)
def parse_clause(text: str) -> Clause:
    """The alternatives of one clause.  Raises ControlError."""
    found = []
    for alternative in text.split("|"):
        match = _RELATION.fullmatch(alternative)
        if match is None:
            raise ControlError(f"not a relation between packages: `{alternative.strip()}`", where=text.strip())
        name, qualifier, operator, version, architectures, profiles = match.groups()
        groups = tuple(tuple(group.split()) for group in _PROFILES.findall(profiles)) if profiles else ()
        found.append(Relation(name, qualifier or "", operator or "", version or "", tuple((architectures or "").split()), groups))
    return tuple(found)


def selects(relation: Relation, architecture: str, profiles: Collection[str] = ()) -> bool:
    """Whether an alternative counts on `architecture` (`amd64`) when building with these `profiles`.

    `any`, `linux-any` and `any-amd64` are understood for architectures of Linux, which is all that are.
    """
    if relation.architectures:
        denied = relation.architectures[0].startswith("!")
        is_named = any(_covers(word.removeprefix("!"), architecture) for word in relation.architectures)
        if is_named == denied:
            return False
    return not relation.profiles or any(
        all((term.removeprefix("!") in profiles) != term.startswith("!") for term in group) for group in relation.profiles
    )


def _covers(wildcard: str, architecture: str) -> bool:
    return wildcard in (architecture, "any", "linux-any", f"any-{architecture}", f"linux-{architecture}")
