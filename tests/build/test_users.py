"""Build users: root's builds run as users of their own, as far as these can reach the store."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nivalis.build import mounter
from nivalis.build import users as build_users
from nivalis.build.errors import CannotBuildError
from nivalis.build.events import BuildLine
from nivalis.build.users import can_reach, take_user
from nivalis.store import Store, StoreLayout

GROUP = "nixbld"


def _members() -> list[int]:
    try:
        return [pwd.getpwnam(name).pw_uid for name in grp.getgrnam(GROUP).gr_mem]
    except KeyError:
        return []


pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not _members(), reason="build users are root's, and members of the group nixbld")


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everyone may enter; those of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="nivalis-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("inputs", [1, 2 * mounter.WORTHWHILE])
def test_builds_run_as_build_users(inputs: int, open_place: Path, workshop: Any) -> None:
    environment = {**workshop.environment, "TMPDIR": str(open_place)}
    with Store.open(StoreLayout.under(open_place / "root")) as store:
        seen = _Owners(open_place)
        shop = type(workshop)(store, environment, seen)
        text = """shWith "who" { passAsFile = [ "long" ]; long = "text"; i = texts COUNT; } "
          echo seen; cat $i; mkdir $out; id -u > $out/id; touch /build/x /tmp/x; ln $out/id $out/again; cat $longPath > $out/long
        " """
        place = Path(shop.build(text.replace("COUNT", str(inputs))))
        assert set(seen.owners) <= set(_members()) and seen.owners
        assert ((place / "id").read_text(), (place / "long").read_text()) == ("1000\n", "text")
        assert {path.lstat().st_uid for path in (place, *place.iterdir())} == {0}
        assert shop.fail('sh "fails" "mkdir -p $out/x /build/y; exit 1"').code == "build-failed"
    assert sorted(os.listdir(open_place)) == ["root"]


def test_a_store_that_they_cannot_reach(workshop: Any) -> None:
    seen = _Owners(Path(workshop.environment["TMPDIR"]))
    shop = type(workshop)(workshop.store, workshop.environment, seen)
    shop.build('sh "who" "echo seen; echo > $out"')
    assert seen.owners == [0]


class _Owners(list[Any]):
    """A list of events that, whenever a builder says something, looks whose the build folder is."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.owners: list[int] = []
        self._folder = folder

    def append(self, event: Any) -> None:
        super().append(event)
        if isinstance(event, BuildLine):
            self.owners += [path.stat().st_uid for path in self._folder.glob("nix-build-*")]


def test_there_are_none_in_a_namespace_without_them(workshop: Any, tmp_path: Path) -> None:
    program = """
import os, sys
from nivalis.build import BuildSettings, realise
from nivalis.store import Store, StoreLayout
with Store.open(StoreLayout.under(sys.argv[1])) as store:
    realise(store, sys.argv[2:], BuildSettings.make("x86_64-linux", dict(os.environ))).check()
"""
    drv_path = workshop.instantiate('shWith "x" { i = texts 99; } "id -u > $out"')
    argv = ["unshare", "--user", "--map-root-user", sys.executable, "-c", program, str(tmp_path / "root"), drv_path]
    if subprocess.run([*argv[:3], "true"], check=False).returncode != 0:
        pytest.skip("there can be no such namespace here")
    subprocess.run(argv, env={**os.environ, **workshop.environment}, check=True)
    assert Path(workshop.store.real_path(workshop.realise(drv_path).paths[0])).read_text() == "1000\n"


def test_each_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Others may be at work on this machine, and some of its build users theirs.
    monkeypatch.setattr(build_users, "_MACHINE_POOL", tmp_path / "machine")
    users = [take_user(GROUP, tmp_path) for _ in _members()]
    assert len({user.uid for user in users if user is not None}) == len(_members())
    # Not for a store that is elsewhere on this machine, either.
    for state_dir in (tmp_path, tmp_path / "other"):
        with pytest.raises(CannotBuildError, match="busy"):
            take_user(GROUP, state_dir)
    for user in users:
        assert user is not None
        user.release()
    again = take_user(GROUP, tmp_path)
    assert again is not None
    tmp_path.chmod(0o700)
    assert not can_reach(again, [str(tmp_path / "x")])
    again.release()
    assert take_user("no-such-group", tmp_path) is None
