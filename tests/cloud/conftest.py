"""A running cloud for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.cloud_server import RunningCloud, run_cloud


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningCloud]:
    with run_cloud(tmp_path / "cloud") as cloud:
        yield cloud
