"""`nix-collect-garbage`: old generations of profiles, and what only they kept."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from nivalis.cli.nix_collect_garbage import nix_collect_garbage
from nivalis.errors import NivalisError
from nivalis.profile.generations import current_generation, find_generations, find_profiles
from nivalis.store import Store, StoreLayout
from oracle import Oracle, cppnix28

DAY = 24 * 3600


@pytest.fixture
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    return found


def _make_profile(root: Path, ages: list[float], current: int) -> tuple[Path, list[str]]:
    """A profile with a generation for each age (in days); the paths that they keep."""
    with Store.open(StoreLayout.under(root)) as store:
        paths = [store.add_text(f"env{number}", b"env") for number in range(len(ages))]
        profile = store.layout.profiles_dir / "per-user/me/profile"
        profile.parent.mkdir(parents=True, exist_ok=True)
        for number, (path, age) in enumerate(zip(paths, ages, strict=True), 1):
            link = profile.with_name(f"profile-{number}-link")
            link.symlink_to(path)
            when = time.time() - age * DAY
            os.utime(link, (when, when), follow_symlinks=False)
        profile.symlink_to(f"profile-{current}-link")
    return profile, paths


def _links(profile: Path) -> list[int]:
    return [generation.number for generation in find_generations(profile)]


@pytest.mark.parametrize(
    ("words", "current", "left"),
    [
        ([], 3, [1, 2, 3, 4]),
        (["-d"], 4, [4]),
        (["--delete-old"], 2, [2]),
        (["--delete-older-than", "7d"], 4, [2, 3, 4]),
        (["--delete-older-than", "15d"], 4, [1, 2, 3, 4]),
        (["--delete-older-than", "1d"], 1, [1, 3, 4]),
        (["-d", "--dry-run"], 4, [1, 2, 3, 4]),
    ],
)
def test_generations(tmp_path: Path, oracle: Oracle, capsys: pytest.CaptureFixture[str], words: list[str], current: int, left: list[int]) -> None:
    outputs = []
    for name in ("ours", "theirs"):
        root = tmp_path / name
        profile, paths = _make_profile(root, [20, 10, 5, 0], current)
        assert current_generation(profile) == current
        if name == "ours":
            assert nix_collect_garbage([*words, "--store", str(root)]) == 0
            outputs.append(capsys.readouterr().out)
        else:
            # Where CppNix looks for profiles is not where the store is, unless it is told.
            state = {"NIX_STATE_DIR": str(root / "nix/var/nix")}
            outputs.append(oracle.run("nix-collect-garbage", words, store=root, env=state).stdout)
        assert _links(profile) == left
        with Store.open(StoreLayout.under(root)) as store:
            kept = {paths[number - 1] for number in left}
            assert store.valid_among(paths) == kept if "--dry-run" not in words else set(paths)
    assert outputs[0] == outputs[1]


def test_max_freed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(StoreLayout.under(tmp_path)) as store:
        paths = [store.add_bytes(f"f{number}", bytes([number]) * 2000) for number in range(5)]
    nix_collect_garbage(["--max-freed", "3K", "--store", str(tmp_path)])
    assert capsys.readouterr().out == "2 store paths deleted, 0.00 MiB freed\n"
    with Store.open(StoreLayout.under(tmp_path)) as store:
        assert len(store.valid_among(paths)) == 3


def test_what_is_no_profile_is_left_alone(tmp_path: Path) -> None:
    profile, _ = _make_profile(tmp_path, [0, 0], 2)
    for name in ("profile-x-link", "profile-3", "other-1-link"):
        profile.with_name(name).symlink_to("/nix/store/x")
    profile.with_name("profile-9-link").mkdir()
    assert profile in list(find_profiles(profile.parent.parent))
    nix_collect_garbage(["--store", str(tmp_path)])
    assert _links(profile) == [1, 2, 9]


@pytest.mark.parametrize("words", [["--delete-older-than", "7"], ["--delete-older-than", "0d"], ["--max-freed", "x"], ["word"], ["--nonsense"]])
def test_bad_command_lines(tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(NivalisError) as caught:
        nix_collect_garbage([*words, "--store", str(tmp_path)] if words != ["--nonsense"] else words)
    assert caught.value.code == "usage" and caught.value.hint


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert nix_collect_garbage(["--help"]) == 0 and capsys.readouterr().out.startswith("Usage: nix-collect-garbage")
    assert nix_collect_garbage(["--version"]) == 0
