"""What the tests of modules share: an archive of the packages that they name, and an evaluator over it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nixos_systems import Systems, make_archive, systems_over


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive") / "bookworm")


@pytest.fixture(scope="session")
def systems(archive: Path) -> Iterator[Systems]:
    with systems_over(archive) as made:
        yield made
