"""One choice for every dependency."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debian_archive import stanza
from nivalis.debian.errors import UnknownPackageError
from nivalis.debian.index import Stanza, join_pockets, read_packages
from nivalis.debian.resolve import Resolution, Resolver, Rule, script_only_rules


def _packages(*stanzas: str) -> dict[str, Stanza]:
    text = "".join(stanzas).encode()
    return join_pockets([read_packages(text, "main/binary-amd64/Packages", len(text), "test")], "amd64")


def _resolve(*stanzas: str, rules: dict[str, Rule] | None = None) -> Resolution:
    return Resolver(_packages(*stanzas), "amd64", rules or {}).resolve()


def test_real_before_virtual_and_alternatives_in_their_order() -> None:
    found = _resolve(
        stanza("a", depends="b | c, mail, never | c"),
        stanza("b"),
        stanza("c", provides="b, mail"),
        stanza("d", provides="mail", priority="important"),
        stanza("e", provides="mail", priority="important"),
    )
    assert found.depends["a"] == ["b", "c", "d"]
    assert found.virtual == {"mail": "d"}


def test_versions_of_what_is_provided() -> None:
    found = _resolve(
        stanza("a", depends="v (>= 2)"),
        stanza("b", provides="v"),
        stanza("c", provides="v (= 1)"),
        stanza("d", provides="v (= 2)"),
        stanza("e", depends="f (>= 2)"),
        stanza("f", "1"),
        stanza("g", provides="f (= 3)"),
    )
    assert found.depends["a"] == ["d"]
    assert found.depends["e"] == ["g"], "a provider with the version, where the real one has another"


def test_architecture_qualifiers() -> None:
    found = _resolve(
        stanza("a", depends="python:any, b:amd64"),
        stanza("python", multi_arch="allowed"),
        stanza("b"),
        stanza("c", depends="b:any"),
        stanza("d", depends="b:i386"),
    )
    assert found.depends["a"] == ["b", "python"]
    assert found.broken["c"] == "`c` needs `b:any`; `b` is not Multi-Arch: allowed"
    assert found.broken["d"] == "`d` needs `b:i386`; `b` is of architecture amd64"


def test_what_cannot_be_had_names_the_chain_and_is_not_chosen() -> None:
    found = _resolve(
        stanza("a", depends="b"),
        stanza("b", depends="c (>= 2)"),
        stanza("c", "1.5"),
        stanza("d", depends="b | c"),
        stanza("e", depends="v"),
        stanza("f", depends="nowhere", provides="v", priority="required"),
        stanza("g", provides="v"),
    )
    assert found.broken == {
        "a": "`a` needs `b`; `b` needs `c (>= 2)`; `c` is of version 1.5",
        "b": "`b` needs `c (>= 2)`; `c` is of version 1.5",
        "f": "`f` needs `nowhere`; there is no such package",
    }
    assert found.depends["d"] == ["c"] and found.depends["e"] == ["g"]


def test_circles_are_groups() -> None:
    found = _resolve(
        stanza("a", depends="b"),
        stanza("b", depends="c"),
        stanza("c", depends="a, d, c"),
        stanza("d", pre_depends="e"),
        stanza("e"),
        stanza("f", depends="a"),
    )
    group = ("a", "b", "c")
    assert found.groups == dict.fromkeys(group, group)
    assert [found.depends[name] for name in "abcdf"] == [[], [], ["d"], ["e"], ["a"]]


def test_what_scripts_alone_need_is_left_out() -> None:
    rules = {
        "debconf": Rule("debconf", "asks", (), ("debconf-*",)),
        "openssl": Rule("openssl", "hashes", ("ca-*",)),
        "sysusers": Rule("sysusers", "makes users"),
    }
    stanzas = [
        stanza("a", depends="debconf (>= 9) | debconf-2.0, openssl, systemd | sysusers"),
        stanza("ca-bundle", depends="openssl, nowhere | sysusers"),
        stanza("debconf", "1", provides="debconf-2.0"),
        stanza("debconf-doc", depends="debconf"),
        stanza("openssl"),
        stanza("systemd"),
    ]
    found = _resolve(*stanzas, rules=rules)
    assert [found.depends[name] for name in ("a", "ca-bundle", "debconf-doc")] == [["openssl"], [], ["debconf"]]
    assert not found.broken, "what is left out need not be there"
    choices = Resolver(_packages(*stanzas), "amd64", rules).explain("a", lambda name: False)
    assert [choice.left_out for choice in choices] == ["debconf: asks", "", "sysusers: makes users"]


def test_rules_have_reasons() -> None:
    rules = script_only_rules()
    assert {"adduser", "debconf", "init-system-helpers", "ucf"} <= rules.keys()
    assert all(rule.reason for rule in rules.values())


def test_explanations() -> None:
    resolver = Resolver(
        _packages(
            stanza("a", pre_depends="b (>= 2) | c", depends="v"), stanza("b"), stanza("c"), stanza("d", provides="v"), stanza("e", provides="v")
        ),
        "amd64",
        {},
    )
    first, second = resolver.explain("a", lambda name: False)
    assert (first.field, first.clause, first.package) == ("Pre-Depends", "b (>= 2) | c", "c")
    assert [(one.package, one.objection) for one in first.candidates] == [("b", "is of version 1.0-1"), ("c", "")]
    assert first.why == "the package of that name; no other alternative is satisfied"
    assert (second.package, second.why) == ("d", "provides `v`, and is the first by priority and name")
    with pytest.raises(UnknownPackageError):
        resolver.explain("z", lambda name: False)


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefg"), max_size=3), min_size=1))
def test_groups_are_what_reaches_each_other(graph: dict[str, list[str]]) -> None:
    found = _resolve(*(stanza(name, depends=", ".join(needs)) if needs else stanza(name) for name, needs in graph.items()))
    good = {name: {need for need in needs if need not in found.broken} for name, needs in graph.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        border = [start]
        while border:
            for name in good.get(border.pop(), ()):
                if name not in seen:
                    seen.add(name)
                    border.append(name)
        return seen

    for one, other in permutations(graph, 2):
        assert (other in found.groups.get(one, ())) == (other in reached(one) and one in reached(other))


def test_order_of_the_index_changes_nothing() -> None:
    stanzas = [stanza("a", depends="v, w"), stanza("b", provides="v, w"), stanza("c", provides="v"), stanza("d", depends="a"), stanza("w")]
    assert len({str(_resolve(*order)) for order in permutations(stanzas)}) == 1
