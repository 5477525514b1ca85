"""What installing, removing and upgrading make of the elements; nothing here touches a disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.profile import Element, install, pick_newest, remove, select, set_flag, upgrade
from nivalis.profile.names import SelectorError
from nivalis.profile.packages import MetaValue

SYSTEM = "x86_64-linux"


def element(name: str, *, system: str = SYSTEM, **meta: MetaValue) -> Element:
    path = f"/nix/store/{name}"
    return Element(name, path, {"out": path}, system=system, meta=meta)


def _names(elements: list[Element]) -> list[str]:
    return [one.name for one in elements]


def _remove(installed: list[Element], *words: str) -> tuple[list[str], list[str]]:
    warnings: list[str] = []
    change = remove(installed, words, store_path_of=lambda word: word, warn=warnings.append)
    return _names(change.elements), [*change.steps, *warnings]


def test_install_replaces_what_has_the_same_name() -> None:
    installed = [element("a-1"), element("b-1"), element("c-1", keep=True), element("a-0")]
    change = install(installed, [element("a-2"), element("c-2")])
    assert _names(change.elements) == ["a-2", "c-2", "b-1", "c-1"]
    assert change.steps == ["replacing old 'a-1'", "replacing old 'a-0'", "installing 'a-2'", "installing 'c-2'"]
    assert _names(install(installed, [element("a-2")], keeps_same_names=True).elements) == ["a-2", "a-1", "b-1", "c-1", "a-0"]
    assert _names(install(installed, [element("a-2")], remove_all=True).elements) == ["a-2"]


def test_remove() -> None:
    installed = [element(name) for name in ("a-1", "b-1", "c-1", "d-1")]
    # The order of what stays is that of C++'s std::partition.
    assert _remove(installed, "a") == (["d-1", "b-1", "c-1"], ["uninstalling 'a-1'"])
    assert _remove(installed, "/nix/store/b-1", "c-1") == (["a-1", "d-1"], ["uninstalling 'b-1'", "uninstalling 'c-1'"])
    assert _remove(installed, "x") == (["a-1", "b-1", "c-1", "d-1"], ["selector 'x' matched no installed derivations"])
    assert _remove(installed, "*")[0] == []


@given(st.lists(st.booleans(), max_size=12))
def test_remove_keeps_the_rest(goes: list[bool]) -> None:
    installed = [element(f"{'x' if go else 'k'}{number}") for number, go in enumerate(goes)]
    left, _ = _remove(installed, "x.*")
    assert sorted(left) == sorted(one.name for one in installed if one.name.startswith("k"))


@pytest.mark.parametrize(
    ("rule", "result"),
    [("lt", ["a-2", "b-1", "c-3"]), ("leq", ["a-2", "b-1", "c-3"]), ("eq", ["a-1", "b-1", "c-3"]), ("always", ["a-2", "b-0", "c-3"])],
)
def test_upgrade(rule: str, result: list[str]) -> None:
    installed = [element("a-1"), element("b-1"), element("c-3", keep=True)]
    available = [element("a-0"), element("a-2"), element("a-3", priority=9), element("b-0"), element("c-4")]
    assert _names(upgrade(installed, available, rule).elements) == result  # type: ignore[arg-type]


def test_upgrade_takes_the_best_priority_and_then_the_highest_version() -> None:
    available = [element("a-2", priority="-2"), element("a-9", priority=-1), element("a-3", priority=-2)]
    change = upgrade([element("a-1")], available)
    assert (_names(change.elements), change.steps) == (["a-3"], ["upgrading 'a-1' to 'a-3'"])
    assert upgrade([element("a-5")], available, "always").steps == ["downgrading 'a-5' to 'a-3'"]
    assert upgrade([element("a-1")], available, is_ready=lambda one: one.name == "a-9").steps == ["upgrading 'a-1' to 'a-9'"]


def test_set_flag() -> None:
    change = set_flag([element("a-1", x=1), element("b-1")], "priority", "3", ["a"])
    assert [dict(one.meta) for one in change.elements] == [{"x": 1, "priority": "3"}, {}]
    assert change.elements[0].priority == 3
    with pytest.raises(SelectorError, match="matches no derivation") as caught:
        set_flag([element("able-1")], "priority", "3", ["abel"])
    assert caught.value.hint == "there is `able`"


def test_newest() -> None:
    warnings: list[str] = []
    packages = [
        *(element("b-2"), element("b-10"), element("b-3")),
        *(element("a-1"), element("a-2", system="i686-linux")),
        *(element("c-1", priority=1), element("c-2", priority=2)),
        *(element("d-1"), element("d-1")),
    ]
    assert _names(pick_newest(packages, SYSTEM, warnings.append)) == ["a-1", "b-10", "c-1", "d-1"]
    assert warnings == ["there are multiple derivations named 'd-1'; using the first one"]
    chosen = select(packages, ["c", "b", ".*"], pick=lambda found: pick_newest(found, SYSTEM, lambda _: None))
    assert _names(chosen) == ["c-1", "b-10", "a-1", "d-1"]
    with pytest.raises(SelectorError):
        select(packages, ["c", "none"])
