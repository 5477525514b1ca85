"""The generated pages of the reference are what the code says now."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

GENERATOR = Path(__file__).resolve().parent.parent / "docs" / "generate.py"


def _load_generator() -> object:
    spec = importlib.util.spec_from_file_location("docs_generate", GENERATOR)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["builtins.md", "build-events.md", "error-codes.md", "settings.md"])
def test_page_is_current(name: str) -> None:
    generator = _load_generator()
    page = (GENERATOR.parent / "reference" / name).read_text(encoding="utf-8")
    assert page == generator.PAGES[name](), "run `python -m docs.generate`"  # type: ignore[attr-defined]
