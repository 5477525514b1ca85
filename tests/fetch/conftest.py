"""A server on loopback, and a store to fetch into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fetch_server import Server, serve
from nivalis.store import Store, StoreLayout


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreLayout.under(tmp_path / "root")) as opened:
        yield opened
