"""One choice for every dependency, once for a whole snapshot.

apt decides for one machine, by what it has already; here there is no machine, and the same clause has the same answer for everybody:

1. Alternatives count in the order in which they are written.  The first that something satisfies is taken.
2. Within an alternative, the package of that name comes before those that provide the name; providers are ordered by priority (required,
   important, standard, optional, extra), then by name.
3. Versions: a relation with a version is satisfied by a package of such a version, or one that provides the name with such a version.  What is
   provided without a version satisfies no relation that wants one (Debian Policy 7.5).
4. `name:any` is satisfied by packages that are Multi-Arch: allowed, `name:ARCH` by those of the snapshot's own architecture.
5. A package whose own dependencies cannot be satisfied satisfies nobody: the next candidate is taken.  Who is left without any is broken, too.
6. Clauses that only maintainer scripts need are left out: `script_only.json` says which, and why.  Essential packages are in nobody's
   dependencies, as in Debian; whoever makes a /usr adds them.

Conflicts and Breaks are not looked at: two packages that cannot be installed into one system lie in the store side by side, and it is the
farm that finds files of the same name.

Packages that need each other in a circle cannot be built one after the other.  They are one group: a strongly connected set.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Any, NamedTuple

from nivalis._native import find_circles
from nivalis.debian.errors import UnknownPackageError
from nivalis.debian.index import Stanza
from nivalis.debian.relations import Relation, parse_clause, parse_relations, selects
from nivalis.debian.version import OPERATORS, satisfies

__all__ = ["Candidate", "Choice", "Resolution", "Resolver", "Rule", "script_only_rules"]

_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3, "extra": 4}
_FIELDS = ("Pre-Depends", "Depends")


@dataclass(frozen=True, slots=True)
class Rule:
    """Why a dependency is left out, and for whom: patterns of package names (`only_for` is all, if empty)."""

    name: str
    reason: str
    only_for: tuple[str, ...] = ()
    kept_by: tuple[str, ...] = ()

    def applies_to(self, package: str) -> bool:
        return (not self.only_for or _matches(package, self.only_for)) and not _matches(package, self.kept_by)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A package that was looked at for an alternative, and what speaks against it (nothing: empty)."""

    package: str
    alternative: Relation
    provides: bool
    objection: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What became of one clause.  `package` is None where nothing satisfies it; `left_out` is why it does not count."""

    field: str
    clause: str
    package: str | None
    left_out: str
    why: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What all packages need.  `groups` has the members of a circle for each of its packages; `broken` the sentence why not."""

    depends: Mapping[str, Sequence[str]]
    groups: Mapping[str, tuple[str, ...]]
    broken: Mapping[str, str]
    virtual: Mapping[str, str]


def script_only_rules() -> dict[str, Rule]:
    """The rules of `script_only.json`, by package."""
    data = json.loads((files("nivalis.debian") / "script_only.json").read_bytes())
    return {
        name: Rule(name, entry["reason"], tuple(entry.get("onlyFor", ())), tuple(entry.get("keptBy", ()))) for name, entry in data["packages"].items()
    }


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class _Answer(NamedTuple):
    """What a clause leads to: packages that satisfy it, best first, and the rules that may leave it out."""

    packages: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(slots=True)
class Resolver:
    """Answers for the packages of one snapshot; `architecture` is the snapshot's (`amd64`)."""

    packages: Mapping[str, Stanza]
    architecture: str
    rules: Mapping[str, Rule] = field(default_factory=script_only_rules)
    _providers: dict[str, list[tuple[int, str, str]]] = field(init=False, repr=False)
    _answers: dict[str, _Answer] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._providers = _find_providers(self.packages)

    # ---- all of it ----

    def resolve(self) -> Resolution:
        """Decide for every package.  Raises ControlError for a field that cannot be read."""
        clauses = {package: _clause_texts(stanza) for package, stanza in self.packages.items()}
        broken = self._find_broken(clauses)
        taken: dict[str, str | None] = {}
        conditional: dict[str, _Answer] = {}
        for text, answer in self._answers.items():
            if not answer.rules:
                taken[text] = next((name for name in answer.packages if name not in broken), None)
            elif any(rule.only_for or rule.kept_by for rule in answer.rules):
                conditional[text] = answer
            else:
                taken[text] = None
        depends: dict[str, Sequence[str]] = {}
        for package, texts in clauses.items():
            if conditional.keys().isdisjoint(texts):
                needed = {taken[text] for text in texts}
            else:
                needed = {self._take(package, conditional[text], broken) if text in conditional else taken[text] for text in texts}
            depends[package] = sorted([name for name in needed if name is not None and name != package])
        groups = {package: members for members in find_circles(depends) for package in members}
        for package, members in groups.items():
            depends[package] = [name for name in depends[package] if name not in members]
        virtual = {name: providers[0][1] for name, providers in sorted(self._providers.items()) if name not in self.packages}
        return Resolution(depends, groups, broken, virtual)

    def _take(self, package: str, answer: _Answer, broken: Mapping[str, str]) -> str | None:
        if any(rule.applies_to(package) for rule in answer.rules):
            return None
        return next((name for name in answer.packages if name not in broken), None)

    def _find_broken(self, clauses: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """Who cannot have what it needs, and why; found from those that lack a package upwards."""
        answers = self._answers
        for text in set().union(*clauses.values()):
            answers[text] = self._answer(text)
        broken: dict[str, str] = {}
        hopeless = {text for text, answer in answers.items() if not answer.packages}
        while hopeless:
            found = {}
            for package, texts in clauses.items():
                if package not in broken and not hopeless.isdisjoint(texts):
                    for text in texts:
                        if text in hopeless and not any(rule.applies_to(package) for rule in answers[text].rules):
                            found[package] = self._sentence(package, text, broken)
                            break
            broken |= found
            lost = set(found)
            # Nobody is left for these, now that the found ones are out.
            hopeless = {text for text, answer in answers.items() if not lost.isdisjoint(answer.packages) and broken.keys() >= set(answer.packages)}
        return broken

    def _sentence(self, package: str, text: str, broken: Mapping[str, str]) -> str:
        """Why a package cannot have what a clause names, with the chain below it."""
        start = f"`{package}` needs `{text}`"
        below = next((name for name in self._answers[text].packages if name in broken), None)
        if below is not None:
            return f"{start}; {broken[below]}"
        objections = [f"`{one.package}` {one.objection}" for one in self._candidates(parse_clause(text)) if one.objection]
        return f"{start}; {' and '.join(objections) or 'there is no such package'}"

    # ---- one clause ----

    def _answer(self, text: str) -> _Answer:
        # Most clauses name one package that is there, at most with a version, and need no list of candidates.
        name, _, rest = text.partition(" (")
        stanza = self.packages.get(name)
        if stanza is not None and name not in self._providers and name not in self.rules:
            operator, _, version = rest.removesuffix(")").partition(" ")
            is_plain = operator in OPERATORS and version and " " not in version and ")" not in version
            if not rest or (is_plain and satisfies(stanza["Version"], operator, version)):
                return _Answer((name,), ())
        alternatives = parse_clause(text)
        good = tuple(dict.fromkeys(one.package for one in self._candidates(alternatives) if not one.objection))
        named = [*good[:1], *(one.name for one in alternatives)]
        return _Answer(good, tuple(self.rules[name] for name in dict.fromkeys(named) if name in self.rules))

    def _candidates(self, alternatives: Iterable[Relation]) -> Iterator[Candidate]:
        for relation in alternatives:
            if not selects(relation, self.architecture):
                continue
            stanza = self.packages.get(relation.name)
            if stanza is not None:
                yield Candidate(relation.name, relation, False, self._objection(relation, stanza, stanza["Version"]))
            for _, name, version in self._providers.get(relation.name, ()):
                yield Candidate(name, relation, True, self._objection(relation, self.packages[name], version))

    def _objection(self, relation: Relation, stanza: Stanza, version: str) -> str:
        """What speaks against a package that has or provides the name of a relation; `version` is that of the name."""
        if relation.operator:
            if not version:
                return f"provides `{relation.name}` without a version"
            if not satisfies(version, relation.operator, relation.version):
                return f"is of version {version}" if stanza["Package"] == relation.name else f"provides version {version}"
        if relation.qualifier == "any":
            if stanza.get("Multi-Arch") != "allowed":
                return "is not Multi-Arch: allowed"
        elif relation.qualifier and relation.qualifier not in (self.architecture, "native"):
            return f"is of architecture {self.architecture}"
        return ""

    # ---- explanations ----

    def explain(self, package: str, is_broken: Callable[[str], bool]) -> list[Choice]:
        """What became of each of a package's clauses; `is_broken` says of a package what the resolution found.  Raises UnknownPackageError."""
        stanza = self.packages.get(package)
        if stanza is None:
            raise UnknownPackageError(f"no package of that name: `{package}`")
        found = []
        for name in _FIELDS:
            for relations in parse_relations(stanza.get(name, "")):
                text = " | ".join(map(str, relations))
                answer = self._answer(text)
                left_out = next((f"{rule.name}: {rule.reason}" for rule in answer.rules if rule.applies_to(package)), "")
                candidates = tuple(
                    Candidate(one.package, one.alternative, one.provides, one.objection or ("is broken itself" if is_broken(one.package) else ""))
                    for one in self._candidates(relations)
                )
                chosen = next((one for one in candidates if not one.objection), None)
                found.append(Choice(name, text, chosen.package if chosen else None, left_out, _why(chosen, candidates), candidates))
        return found


def _why(chosen: Candidate | None, candidates: Sequence[Candidate]) -> str:
    if chosen is None:
        return "nothing satisfies it"
    fit = [one for one in candidates if not one.objection]
    earlier = list(dict.fromkeys(str(one.alternative) for one in candidates if one.objection and one.alternative != chosen.alternative))
    if not chosen.provides:
        reason = "the package of that name"
    elif len([one for one in fit if one.alternative == chosen.alternative]) > 1:
        reason = f"provides `{chosen.alternative.name}`, and is the first by priority and name"
    else:
        reason = f"the only one that provides `{chosen.alternative.name}`"
    if len({one.alternative for one in fit}) > 1:
        reason += "; the first alternative that something satisfies"
    elif earlier:
        reason += "; no other alternative is satisfied"
    return reason


def _clause_texts(stanza: Stanza) -> Sequence[str]:
    """The clauses of a package's dependencies as they are written."""
    field = stanza.get("Depends", "")
    before = stanza.get("Pre-Depends")
    if before:
        field = f"{before}, {field}" if field else before
    if not field:
        return ()
    if "\n" in field or field.count(",") != field.count(", "):
        return [" ".join(clause.split()) for clause in field.split(",") if clause.strip()]
    return field.split(", ")


def _find_providers(packages: Mapping[str, Stanza]) -> dict[str, list[tuple[int, str, str]]]:
    """For each name that is provided: (priority, package, version or nothing), best first."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    for package, stanza in packages.items():
        field = stanza.get("Provides")
        if field:
            rank = _PRIORITIES.get(stanza.get("Priority", ""), len(_PRIORITIES))
            for relation, *_ in parse_relations(field):
                if relation.name != package:
                    found.setdefault(relation.name, []).append((rank, package, relation.version))
    for providers in found.values():
        providers.sort()
    return found


def describe(choice: Choice) -> dict[str, Any]:
    """A choice as data, for JSON."""
    return {
        "field": choice.field,
        "clause": choice.clause,
        "package": choice.package,
        "leftOut": choice.left_out or None,
        "why": choice.why,
        "candidates": [
            {"package": one.package, "alternative": str(one.alternative), "provides": one.provides, "objection": one.objection or None}
            for one in choice.candidates
        ],
    }
