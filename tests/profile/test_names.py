"""Names, versions and selectors, beside the language's own builtins, which have the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.lang import EvalSettings, Evaluator
from nivalis.profile.names import PackageName, Selector, SelectorError, compare_versions

versions = st.lists(st.sampled_from([*"0129ab.-", "pre", "rc", "2147483648", "é"]), max_size=6).map("".join)
names = st.lists(st.sampled_from([*"ab19.-+_", "é"]), min_size=1, max_size=8).map("".join)


@pytest.fixture(scope="module")
def builtins() -> Iterator[Any]:
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as evaluator:
        yield evaluator.builtins


@given(one=versions, other=versions)
def test_versions(builtins: Any, one: str, other: str) -> None:
    assert compare_versions(one, other) == builtins["compareVersions"](one, other).to_python()


@given(name=names)
def test_names(builtins: Any, name: str) -> None:
    assert PackageName.parse(name)._asdict() == builtins["parseDrvName"](name).to_python()


@given(
    pattern=st.lists(
        st.sampled_from(["a", "b", "(", ")", "|", "*", "+", "?", ".", "[ab]", "[^a]", "[[:alpha:]]", "{2}", "\\+"]), min_size=1, max_size=6
    )
)
def test_selectors(builtins: Any, pattern: list[str]) -> None:
    text = "".join(pattern)
    try:
        selector = Selector(text)
    except SelectorError:
        return
    if text.startswith("*"):
        return
    for name in ("", "a", "b", "ab", "aab", "abab", "a+", "aa", "bb"):
        assert selector.matches(PackageName(name, "")) == (builtins["match"](text, name).to_python() is not None)


@pytest.mark.parametrize(
    ("word", "chosen"),
    [
        ("foo", {"foo-1", "foo-2"}),
        ("foo-1", {"foo-1"}),
        ("*", {"foo-1", "foo-2", "foo++-1", "bar"}),
        ("*-1", {"foo-1", "foo++-1"}),
        ("fo+*", {"foo-1", "foo-2"}),
        (r"foo\+\+", {"foo++-1"}),
        ("[[:alpha:]]*", {"foo-1", "foo-2", "bar"}),
        (".*-1", {"foo-1", "foo++-1"}),
        ("fo", set()),
    ],
)
def test_words(word: str, chosen: set[str]) -> None:
    selector = Selector(word)
    assert {name for name in ("foo-1", "foo-2", "foo++-1", "bar") if selector.matches(PackageName.parse(name))} == chosen


@pytest.mark.parametrize("word", ["(?:foo)", "[", "(", "a)", r"\d", "a\\", "+", "a{"])
def test_broken_expressions(word: str) -> None:
    with pytest.raises(SelectorError) as caught:
        Selector(word)
    assert caught.value.code == "selector" and "`" in caught.value.message
