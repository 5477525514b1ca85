"""A world of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.cloud_server import PATIENCE
from deploy.world import World, open_world
from nivalis.deploy import apply


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # A world's clock goes on by what is slept; how long a program takes on this machine, it does not know.
    monkeypatch.setattr(apply, "_SHORTEST_LOOK", PATIENCE)
    with open_world(tmp_path) as made:
        yield made
