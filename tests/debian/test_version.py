"""The order of versions, beside dpkg's own."""

from __future__ import annotations

import shutil
import subprocess
from functools import cmp_to_key

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.debian.errors import ControlError
from nivalis.debian.version import compare, satisfies

# As dpkg allows them, with what decides more often than by chance.
_PART = st.from_regex(r"[0-9]([0-9a-zA-Z.+~]|00|~~|a~)*", fullmatch=True).filter(lambda text: len(text) < 20)
_VERSION = st.builds(
    lambda epoch, upstream, revision: f"{epoch}{upstream}{revision}",
    st.sampled_from(["", "0:", "1:", "10:", "2:"]),
    _PART,
    st.one_of(st.just(""), st.from_regex(r"-[0-9a-zA-Z+.~]{1,6}", fullmatch=True)),
)


def _dpkg_says(one: str, operator: str, other: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", one, operator, other], check=False, stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="no dpkg on this machine")
@given(_VERSION, _VERSION)
def test_order_is_dpkgs(one: str, other: str) -> None:
    theirs = next(sign for sign, operator in ((-1, "lt"), (0, "eq"), (1, "gt")) if _dpkg_says(one, operator, other))
    assert compare(one, other) == theirs


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a", "1.0+", "1.0.1"],
        ["1.0~rc1-1", "1.0-1~bpo1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2", "1.0-10"],
        ["9", "1:1", "2:0"],
    ],
)
def test_known_orders(ordered: list[str]) -> None:
    assert sorted(sorted(ordered), key=cmp_to_key(compare)) == ordered


@pytest.mark.parametrize("pair", [("1.0", "1.00"), ("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.", "1.0")])
def test_equal_however_written(pair: tuple[str, str]) -> None:
    assert compare(*pair) == 0


def test_relations() -> None:
    assert satisfies("1.0", ">=", "1.0") and satisfies("1.0", "<=", "1.00") and satisfies("1.0", "=", "1.0")
    assert not satisfies("1.0", ">>", "1.0") and not satisfies("1.0", "<<", "1.0")
    # Deprecated since 1997, and still to be understood as it was.
    assert satisfies("1.0", "<", "1.0") and satisfies("1.0", ">", "1.0")


def test_epoch_is_a_number() -> None:
    with pytest.raises(ControlError, match="not a version"):
        compare("a:1", "1")
