"""Generations, the lock, and switching that is killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nivalis.errors import NivalisError
from nivalis.profile import Profile
from nivalis.profile.profiles import find_default_profile, link_default_profile
from nivalis.store import Store, StoreLayout


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that is where its paths say."""
    layout = StoreLayout.parse("", {"NIX_STORE_DIR": f"{tmp_path}/store", "NIX_STATE_DIR": f"{tmp_path}/var", "NIX_LOG_DIR": f"{tmp_path}/log"})
    with Store.open(layout) as opened:
        yield opened


@pytest.fixture
def profile(store: Store) -> Profile:
    return Profile(store.layout.profiles_dir / "per-user/me/profile", store.layout)


def _add(store: Store, name: str) -> str:
    return store.add_text(name, name.encode())


def _numbers(profile: Profile) -> list[int]:
    return [generation.number for generation in profile.generations()]


def test_generations(store: Store, profile: Profile) -> None:
    assert (profile.token, profile.generations(), profile.current(), profile.environment) == ("", [], None, str(profile.path))
    paths = [_add(store, name) for name in ("a", "b", "c")]
    for path in paths:
        assert profile.switch_to_path(store, path)
    assert (profile.token, profile.environment, _numbers(profile)) == ("profile-3-link", paths[2], [1, 2, 3])
    # The same again makes no generation, and neither does going back.
    profile.switch_to_path(store, paths[2])
    profile.switch_to(1)
    assert (profile.environment, profile.current(), _numbers(profile)) == (paths[0], 1, [1, 2, 3])
    profile.switch_to_path(store, paths[1])
    assert (profile.environment, _numbers(profile)) == (paths[1], [1, 2, 3, 4])
    told: list[tuple[int, int]] = []
    profile.switch_to(dry_run=True, on_switch=lambda old, new: told.append((old, new)))
    assert told == [(4, 3)] and profile.current() == 4
    profile.switch_to()
    assert profile.current() == 3
    profile.remove([1, 9])
    assert _numbers(profile) == [2, 3, 4]
    profile.switch_to(4)
    profile.keep_last(2)
    assert _numbers(profile) == [3, 4]
    assert not profile.path.with_name("profile.lock").exists()


def test_errors_say_what_there_is(store: Store, profile: Profile) -> None:
    with pytest.raises(NivalisError, match="no generation is older") as nothing:
        profile.switch_to()
    assert nothing.value.hint == "nothing is installed yet"
    profile.switch_to_path(store, _add(store, "a"))
    with pytest.raises(NivalisError, match="there is no generation 7") as missing:
        profile.switch_to(7)
    assert (missing.value.code, missing.value.hint) == ("generation", "there are the generations 1")
    with pytest.raises(NivalisError, match="is the current one and stays"):
        profile.remove([1])
    with pytest.raises(NivalisError, match="at least one"):
        profile.keep_last(0)
    # A number that something else has is passed over.
    profile.path.with_name("profile-2-link").mkdir()
    profile.switch_to_path(store, _add(store, "b"))
    assert profile.current() == 3


def test_a_profile_that_changed_meanwhile_is_left_alone(store: Store, profile: Profile) -> None:
    a, b, c = (_add(store, name) for name in "abc")
    token = profile.token
    assert profile.switch_to_path(store, a, expected=token)
    assert not profile.switch_to_path(store, b, expected=token)
    assert profile.environment == a
    assert profile.switch_to_path(store, c, expected=profile.token)


def test_a_profile_outside_of_the_state_folder_is_an_indirect_root(store: Store, tmp_path: Path) -> None:
    profile = Profile(tmp_path / "elsewhere/mine", store.layout)
    path = _add(store, "a")
    profile.switch_to_path(store, path)
    assert {os.readlink(link) for link in (store.layout.roots_dir / "auto").iterdir()} == {f"{tmp_path}/elsewhere/mine-1-link"}
    assert profile.environment == path


def test_a_profile_of_a_moved_store(tmp_path: Path) -> None:
    with Store.open(StoreLayout.under(tmp_path)) as store:
        profile = Profile(store.layout.profiles_dir / "default", store.layout)
        path = _add(store, "a")
        profile.switch_to_path(store, path)
        profile.switch_to_path(store, path)
        assert (profile.environment, _numbers(profile)) == (path, [1])
        # What the link says can be read on the host.
        assert profile.path.read_text() == "a"


def test_the_lock_is_a_file_lock_that_others_see(store: Store, profile: Profile) -> None:
    attempt = ["flock", "--nonblock", f"{profile.path}.lock", "true"]
    with profile.lock():
        assert subprocess.run(attempt, check=False).returncode == 1
        waiter = threading.Thread(target=profile.switch_to_path, args=(store, _add(store, "a")), daemon=True)
        waiter.start()
        waiter.join(0.2)
        assert waiter.is_alive() and profile.generations() == []
    waiter.join(30)
    assert profile.current() == 1


def test_the_default_profile(store: Store, tmp_path: Path) -> None:
    layout = store.layout
    home = tmp_path / "home"
    home.mkdir()
    own = layout.profiles_dir / "per-user/me/profile"
    assert find_default_profile(layout, {"HOME": str(home)}, "me") == own
    assert os.readlink(home / ".nix-profile") == str(own)
    # The link counts, wherever it leads, and is not replaced.
    link_default_profile({"HOME": str(home)}, tmp_path / "nowhere/profile")
    assert find_default_profile(layout, {"HOME": str(home)}, "root") == tmp_path / "nowhere/profile"
    assert find_default_profile(layout, {}, "root") == layout.profiles_dir / "default"
    moved = StoreLayout.under(tmp_path / "root")
    assert find_default_profile(moved, {"HOME": str(home)}, "root") == moved.profiles_dir / "default"


SWITCHER = """
    import sys
    from pathlib import Path
    from nivalis.profile import Profile
    from nivalis.store import Store, StoreLayout

    folder, *paths = sys.argv[1:]
    layout = StoreLayout.parse("", {"NIX_STORE_DIR": f"{folder}/store", "NIX_STATE_DIR": f"{folder}/var", "NIX_LOG_DIR": f"{folder}/log"})
    with Store.open(layout) as store:
        profile = Profile(layout.profiles_dir / "per-user/me/profile", layout)
        print("ready", flush=True)
        while True:
            for path in paths:
                profile.switch_to_path(store, path)
            profile.switch_to()
            profile.keep_last(2)
"""


def _read(profile: Path) -> str:
    """What the current generation says; one that is removed between two steps of looking it up was not current any more."""
    try:
        return profile.read_text()
    except FileNotFoundError:
        assert profile.is_symlink()
        return profile.read_text()


def test_killed_while_switching(store: Store, profile: Profile, tmp_path: Path) -> None:
    paths = [_add(store, name) for name in ("one", "two")]
    profile.switch_to_path(store, paths[0])
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    for _ in range(32):
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SWITCHER), str(tmp_path), *paths], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            stop = time.monotonic() + moments.random() * 0.05
            while time.monotonic() < stop:
                # Also while it goes on, there is always a generation.
                assert _read(profile.path) in ("one", "two"), seed
        finally:
            child.send_signal(signal.SIGKILL)
            child.communicate()
        assert profile.environment in paths, seed
        assert profile.current() in _numbers(profile), seed
        # Nothing that the dead process held keeps others from going on.
        assert profile.switch_to_path(store, paths[1]) and profile.environment == paths[1]
    assert max(_numbers(profile)) > 32
    # What the dead left half made keeps nothing.
    assert [name for name in os.listdir(profile.path.parent) if ".tmp-" in name] == []
