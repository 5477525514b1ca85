"""The tree of a cloud's errors: codes of their own, all in the docstring, all raised somewhere, all kept when they go to another process."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path

import pytest

from nivalis.cloud import errors
from nivalis.cloud.errors import CloudError, UnreachableError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CloudError)]


def test_codes() -> None:
    codes = [kind.default_code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    for kind in CLASSES:
        assert kind.__name__ in errors.__all__
        assert re.search(rf"\b{kind.__name__} +{kind.default_code}\b", errors.__doc__ or "")


def test_every_class_is_used() -> None:
    root = Path(inspect.getfile(errors)).parent
    text = "\n".join(path.read_text() for path in root.rglob("*.py") if path.name != "errors.py")
    bases = {"CloudError"}
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in bases and f"{kind.__name__}" not in text] == []


@pytest.mark.parametrize("kind", CLASSES)
def test_pickle(kind: type[CloudError]) -> None:
    error = kind("message", hint="hint")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind and str(again) == str(error)


def test_whether_it_arrived_is_kept() -> None:
    assert pickle.loads(pickle.dumps(UnreachableError("a", never_sent=True))).never_sent
