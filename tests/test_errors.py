"""The tree of errors: stable codes, a rendering that helps, and nothing lost on the way to another process."""

from __future__ import annotations

import inspect
import pickle

import pytest

from nivalis import errors
from nivalis.errors import EvalError, Frame, InternalError, NivalisError, Position, StoreError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NivalisError)]


def test_codes_are_words_and_each_its_own() -> None:
    codes = [kind.default_code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code and code == code.lower() and " " not in code for code in codes)


def test_every_class_is_public_and_in_the_tree_of_the_docstring() -> None:
    assert {kind.__name__ for kind in CLASSES} <= set(errors.__all__)
    for kind in CLASSES:
        assert kind.__name__ in (errors.__doc__ or "")


def test_rendering() -> None:
    error = StoreError("adding failed: `x`", where="/nix/store", hint="try again")
    assert str(error) == "error[store-error]: adding failed: `x`\n  at /nix/store\n  hint: try again"
    assert str(StoreError("a", code="b")) == "error[b]: a"


def test_rendering_of_an_evaluation_error() -> None:
    here = Position("a.nix", 12, 4, "\tx y")
    error = EvalError("no `y`", code="undefined-variable", position=here, trace=[Frame("while calling `f`", Position("b.nix", 1, 1))], omitted=3)
    assert str(error).splitlines() == [
        "error[undefined-variable]: no `y`",
        "  at a.nix:12:4",
        "    12 | \tx y",
        "       | \t  ^",
        "  … while calling `f`",
        "  at b.nix:1:1",
        "  … 3 more left out",
    ]


@pytest.mark.parametrize("kind", CLASSES)
def test_pickle(kind: type[NivalisError]) -> None:
    error = kind("message", hint="hint")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error) and again.args == ("message",)


def test_pickle_of_an_evaluation_error() -> None:
    error = EvalError("a", position=Position("f", 1, 2, "x"), trace=[Frame("b")])
    again = pickle.loads(pickle.dumps(error))
    assert again.trace == error.trace and again.position == error.position


def test_a_bug_says_that_it_is_one() -> None:
    assert "bug of nivalis" in str(InternalError("x"))
