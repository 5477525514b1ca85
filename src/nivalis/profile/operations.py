"""Operations: what installing, removing, upgrading and flagging make of the elements of a user environment.

Functions from elements to elements; nothing is built or written.  Each also says what it does, in CppNix's words.  The order of
elements is CppNix's too: it shows in the manifest, and so in the store path of the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol

from nivalis.errors import EvalError, Frame
from nivalis.profile.names import PackageName, Selector, compare_versions
from nivalis.profile.packages import Element
from nivalis.profile.selection import Offered, make_selector_error

__all__ = ["Candidate", "Change", "UpgradeRule", "install", "remove", "set_flag", "upgrade"]

UpgradeRule = Literal["lt", "leq", "eq", "always"]


class Candidate(Offered, Protocol):
    """A package that something may be upgraded to."""

    @property
    def out_path(self) -> str: ...

    def element(self) -> Element: ...


class Change(NamedTuple):
    """The elements as they shall be, and lines that say what changes."""

    elements: list[Element]
    steps: list[str]


def install(installed: Iterable[Element], new: Sequence[Element], *, keeps_same_names: bool = False, remove_all: bool = False) -> Change:
    """Put `new` in front, in place of elements of the same names (unless `keeps_same_names`, or those say `keep`) or of all."""
    if remove_all:
        return Change(list(new), [])
    names = {PackageName.parse(element.name).name for element in new}
    elements, steps = list(new), []
    for element in installed:
        if not keeps_same_names and PackageName.parse(element.name).name in names and not element.is_kept:
            steps.append(f"replacing old '{element.name}'")
        else:
            elements.append(element)
    steps += [f"installing '{element.name}'" for element in new]
    return Change(elements, steps)


def remove(installed: Iterable[Element], words: Iterable[str], *, store_path_of: Callable[[str], str], warn: Callable[[str], object]) -> Change:
    """Leave out what `words` select: names, or paths (with a slash), which `store_path_of` finds the store path of."""
    elements, steps = list(installed), []
    for word in words:
        if "/" in word:
            path = store_path_of(word)
            kept = _partition(elements, lambda element, path=path: element.out_path != path)  # type: ignore[misc]
        else:
            selector = Selector(word)
            kept = _partition(elements, lambda element, selector=selector: not selector.matches(PackageName.parse(element.name)))  # type: ignore[misc]
        if kept == len(elements):
            warn(f"selector '{word}' matched no installed derivations")
        steps += [f"uninstalling '{element.name}'" for element in elements[kept:]]
        del elements[kept:]
    return Change(elements, steps)


def upgrade(
    installed: Iterable[Element], available: Sequence[Candidate], rule: UpgradeRule = "lt", *, is_ready: Callable[[Candidate], bool] = lambda _: True
) -> Change:
    """Replace each element by the best available package of its name, if `rule` allows its version and it `is_ready`.

    Of several, that of the best priority and then of the highest version is taken, never one of a worse priority than the
    element's.  The rules: a newer version (`lt`), or the same (`leq`), only the same (`eq`), any (`always`).  Raises EvalError.
    """
    by_name: dict[str, list[Candidate]] = {}
    for candidate in available:
        by_name.setdefault(PackageName.parse(candidate.name).name, []).append(candidate)
    elements: list[Element] = []
    steps = []
    for element in installed:
        name, version = PackageName.parse(element.name)
        try:
            best = None if element.is_kept else _find_best(element, version, by_name.get(name, ()), rule, is_ready)
            new = None if best is None or best.out_path == element.out_path else best.element()
        except EvalError as error:
            error.trace = (*error.trace, Frame(f"while trying to find an upgrade for '{element.name}'"))
            raise
        if new is None:
            elements.append(element)
        else:
            is_upgrade = compare_versions(version, PackageName.parse(new.name).version) <= 0
            steps.append(f"{'upgrading' if is_upgrade else 'downgrading'} '{element.name}' to '{new.name}'")
            elements.append(new)
    return Change(elements, steps)


def set_flag(installed: Iterable[Element], name: str, value: str, words: Iterable[str]) -> Change:
    """Set an attribute of `meta` of what `words` select.  Raises SelectorError for a word that selects nothing."""
    unused = [Selector(word) for word in words]
    selectors = list(unused)
    elements = []
    steps = []
    known = []
    for element in installed:
        parsed = PackageName.parse(element.name)
        known.append(parsed.name)
        selector = next((selector for selector in selectors if selector.matches(parsed)), None)
        if selector is not None:
            unused = [other for other in unused if other is not selector]
            steps.append(f"setting flag on '{element.name}'")
            element = element._replace(meta={**element.meta, name: value})
        elements.append(element)
    for selector in unused:
        if not selector.is_all:
            raise make_selector_error(selector, known)
    return Change(elements, steps)


def _find_best(
    element: Element, version: str, candidates: Iterable[Candidate], rule: UpgradeRule, is_ready: Callable[[Candidate], bool]
) -> Candidate | None:
    best: Candidate | None = None
    for candidate in candidates:
        if candidate.priority > element.priority or not _allows(rule, compare_versions(version, PackageName.parse(candidate.name).version)):
            continue
        if (best is None or _is_worse(best, candidate)) and is_ready(candidate):
            best = candidate
    return best


def _allows(rule: UpgradeRule, order: int) -> bool:
    return {"lt": order < 0, "leq": order <= 0, "eq": order == 0, "always": True}[rule]


def _is_worse(one: Candidate, other: Candidate) -> bool:
    if one.priority != other.priority:
        return one.priority > other.priority
    return compare_versions(PackageName.parse(one.name).version, PackageName.parse(other.name).version) < 0


def _partition(elements: list[Element], keeps: Callable[[Element], bool]) -> int:
    """Bring the elements to keep to the front; how many they are.

    What moves is what C++'s `std::partition` moves in a list: the first to go changes places with the last to stay.
    """
    first, last = 0, len(elements)
    while True:
        while first != last and keeps(elements[first]):
            first += 1
        if first == last:
            return first
        last -= 1
        while first != last and not keeps(elements[last]):
            last -= 1
        if first == last:
            return first
        elements[first], elements[last] = elements[last], elements[first]
        first += 1
