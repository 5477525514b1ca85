"""Removing a tree: whatever its modes, its depth and its links."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from nivalis.store.metadata import remove_tree


def test_modes_links_and_sizes(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays")
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/one").write_text("12345")
    (top / "a/b/linked").write_text("123")
    for number in range(2):
        os.link(top / "a/b/linked", tmp_path / f"other-{number}")
    (top / "a/folder").symlink_to(outside)
    (top / "a/b").chmod(0)
    (top / "a").chmod(0o555)
    # The file with three names takes no room of its own.
    assert remove_tree(str(top)) == 5 + len(str(outside))
    assert sorted(os.listdir(tmp_path)) == ["other-0", "other-1", "outside"] and (outside / "file").read_text() == "stays"
    assert remove_tree(str(top)) == 0
    assert remove_tree(str(tmp_path / "other-0")) == 3


def test_a_tree_deeper_than_any_path(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(300):
        os.mkdir("x" * 200, dir_fd=folder)
        inner = os.open("x" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    remove_tree(str(top))
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_removed_is_named() -> None:
    with pytest.raises(OSError) as caught:
        remove_tree("/proc/self")
    assert caught.value.filename == "/proc/self"


def test_many_folders(tmp_path: Path) -> None:
    """Two threads remove them."""
    for number in range(40):
        folder = tmp_path / f"top/{number}/inner"
        folder.mkdir(parents=True)
        (folder / "file").write_text("12345")
        (folder / "link").symlink_to("/etc")
        (folder.parent / "file").write_text("123")
        folder.chmod(0o555)
    assert remove_tree(str(tmp_path / "top")) == 40 * (5 + len("/etc") + 3)
    assert os.listdir(tmp_path) == []


def test_one_of_many_folders_cannot_be_removed(tmp_path: Path) -> None:
    """Whichever thread meets it names the place, and nothing is left but the way there."""
    for number in range(40):
        (tmp_path / f"top/{number}/inner").mkdir(parents=True)
        (tmp_path / f"top/{number}/inner/file").write_text("12345")
    held = tmp_path / "top/20/inner/file"
    if subprocess.run(["chattr", "+i", str(held)], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file can be made immutable here")
    try:
        with pytest.raises(PermissionError) as caught:
            remove_tree(str(tmp_path / "top"))
    finally:
        subprocess.run(["chattr", "-i", str(held)], check=True)
    assert caught.value.filename == str(tmp_path / "top/20")
    remove_tree(str(tmp_path / "top"))
    assert os.listdir(tmp_path) == []
