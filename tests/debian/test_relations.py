"""Dependency fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.debian.errors import ControlError
from nivalis.debian.relations import Relation, parse_clause, parse_relations, selects


def test_a_field() -> None:
    field = "libc6 (>= 2.34), default-mta|mail-transport-agent,\n python3:any (>>3.9~), gcc (= 4:12) [amd64 !i386] <!nocheck> <cross stage1>"
    assert parse_relations(field) == [
        (Relation("libc6", "", ">=", "2.34"),),
        (Relation("default-mta"), Relation("mail-transport-agent")),
        (Relation("python3", "any", ">>", "3.9~"),),
        (Relation("gcc", "", "=", "4:12", ("amd64", "!i386"), (("!nocheck",), ("cross", "stage1"))),),
    ]
    assert parse_relations("") == [] and parse_relations("a, ") == [(Relation("a"),)]


@pytest.mark.parametrize("text", ["a (>= )", "a (2)", "(>= 1)", "a b", "a (>= 1", "a | ", "ä", "a (~ 1)"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ControlError):
        parse_relations(text)


_NAME = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True)
_RELATION = st.builds(
    lambda name, qualifier, relation, architectures, profiles: Relation(
        name, qualifier, relation[0], relation[1], tuple(architectures), tuple(profiles)
    ),
    _NAME,
    st.sampled_from(["", "any", "native", "amd64"]),
    st.one_of(
        st.just(("", "")), st.tuples(st.sampled_from(["<<", "<=", "=", ">=", ">>"]), st.from_regex(r"[0-9][0-9a-z.+~:-]{0,6}", fullmatch=True))
    ),
    st.lists(st.sampled_from(["amd64", "arm64", "any"]), max_size=2),
    st.lists(st.tuples(st.sampled_from(["nocheck", "!nodoc"])), max_size=2),
)


@given(st.lists(_RELATION, min_size=1, max_size=3))
def test_written_and_read_again(relations: list[Relation]) -> None:
    assert parse_clause(" | ".join(map(str, relations))) == tuple(relations)


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_relations(text)
    except ControlError:
        return


@pytest.mark.parametrize(
    ("text", "profiles", "counts"),
    [
        ("a [amd64]", (), True),
        ("a [arm64]", (), False),
        ("a [!arm64]", (), True),
        ("a [!amd64 !arm64]", (), False),
        ("a [linux-any]", (), True),
        ("a <!nocheck>", (), True),
        ("a <!nocheck>", ("nocheck",), False),
        ("a <cross> <!nodoc>", ("nodoc", "cross"), True),
    ],
)
def test_what_counts(text: str, profiles: tuple[str, ...], counts: bool) -> None:
    assert selects(parse_clause(text)[0], "amd64", profiles) == counts
