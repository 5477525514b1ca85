"""Selection: which of many packages a few words mean.

Without a word, all.  Where only the newest are wanted (for installing), one is left of each name: of this machine's system before
others, then of the best priority, then of the highest version, and of several like that the first, with a warning.  The rules, and
the order of what is selected, are those of CppNix's `nix-env`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from nivalis.profile.names import PackageName, Selector, SelectorError, compare_versions

__all__ = ["Named", "Offered", "make_selector_error", "pick_newest", "select"]


class Named(Protocol):
    """Whatever has a package's full name."""

    @property
    def name(self) -> str: ...


class Offered(Named, Protocol):
    """A package that one may prefer to another."""

    @property
    def system(self) -> str: ...

    @property
    def priority(self) -> int: ...


N = TypeVar("N", bound=Named)
P = TypeVar("P", bound=Offered)


def select(packages: Sequence[N], words: Iterable[str], *, pick: Callable[[list[N]], list[N]] = lambda matches: matches) -> list[N]:
    """The packages that `words` select, each once, word by word; `pick` chooses among those of one word.

    Raises SelectorError for a word that selects nothing.
    """
    selectors = [Selector(word) for word in words] or [Selector("*")]
    if len(selectors) == 1 and selectors[0].is_all:
        return pick(list(packages))
    names = [PackageName.parse(package.name) for package in packages]
    chosen: dict[int, N] = {}
    for selector in selectors:
        matches = [package for package, name in zip(packages, names, strict=True) if selector.matches(name)]
        if not matches and not selector.is_all:
            raise make_selector_error(selector, (name.name for name in names))
        for package in pick(matches):
            chosen.setdefault(id(package), package)
    return list(chosen.values())


def make_selector_error(selector: Selector, names: Iterable[str]) -> SelectorError:
    """The error for a selector that selects nothing, with near names."""
    known = dict.fromkeys(names)
    near = [name for name in known if name.startswith(selector.name)][:3]
    if not near:
        import difflib  # only for an error

        near = difflib.get_close_matches(selector.name, known, n=3)
    hint = f"there is {', '.join(f'`{name}`' for name in near)}" if near else None
    return SelectorError(f"selector `{selector.text}` matches no derivation", hint=hint)


def pick_newest(packages: Iterable[P], this_system: str, warn: Callable[[str], object]) -> list[P]:
    """One package of each name, in the order of names."""
    newest: dict[str, P] = {}
    several: set[str] = set()
    for package in packages:
        name, version = PackageName.parse(package.name)
        other = newest.get(name)
        better = 1 if other is None else _compare(package, version, other, this_system)
        if better > 0:
            newest[name] = package
            several.discard(package.name)
        elif better == 0:
            several.add(package.name)
    picked = [package for _, package in sorted(newest.items())]
    for package in picked:
        if package.name in several:
            warn(f"there are multiple derivations named '{package.name}'; using the first one")
    return picked


def _compare(package: Offered, version: str, other: Offered, this_system: str) -> int:
    if package.system != other.system and this_system in (package.system, other.system):
        return 1 if package.system == this_system else -1
    if package.priority != other.priority:
        return 1 if package.priority < other.priority else -1
    return compare_versions(version, PackageName.parse(other.name).version)
