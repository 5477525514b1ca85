"""What tours keep, and how it goes: by itself when it is much, and all of it when that is wanted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tour.show import Show
from tour.stage import CHECKOUT, Stage, TourError

from nivalis.store import Store, StoreLayout
from tour import stage as stage_module


def _fill(stage: Stage) -> tuple[str, str]:
    """What a tour used, and what an earlier one did."""
    with Store.open(StoreLayout.under(stage.root)) as store:
        old, used = store.add_bytes("old", b"old" * 1000), store.add_bytes("used", b"used" * 1000)
        roots = Path(store.layout.state_dir) / "gcroots"
        roots.mkdir(parents=True, exist_ok=True)
        (roots / "used").symlink_to(used)
    return used, old


@pytest.mark.parametrize(("large", "stays"), [(0, False), (1 << 30, True)])
def test_a_large_store_loses_what_was_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int, stays: bool) -> None:
    monkeypatch.setattr(stage_module, "_LARGE", large)
    with Stage(tmp_path, Show()) as stage:
        used, old = _fill(stage)
        stage.collect()
        with Store.open(StoreLayout.under(stage.root)) as store:
            assert (store.is_valid(used), store.is_valid(old)) == (True, stays)


def test_clean(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tour", "--clean", "--folder", str(tmp_path)]
    with Stage(tmp_path, Show()) as stage:
        _fill(stage)
        (tmp_path / "mine").write_text("none of the tour's")
        # Not while one goes on.
        done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "another tour is going on" in done.stderr and stage.root.exists()
    done = subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "freed in" in done.stderr, done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["lock", "mine"]


def test_two_tours_in_one_folder(tmp_path: Path) -> None:
    with Stage(tmp_path, Show()), pytest.raises(TourError, match="another tour is going on"), Stage(tmp_path, Show()):
        pass
