"""A checkout of the channel in Git: changed, rebased on a newer one, and bisected for a change that broke something.

Over a snapshot of a few packages that is made here, with the commands that `docs/guides/checkout.md` has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debian_archive import stanza
from nivalis.debian.index import join_pockets, read_packages
from nivalis.debian.release import Release
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import write_snapshot

CHANNEL = Path(__file__).resolve().parents[2] / "channel"
BIN = Path(sys.executable).parent
PACKAGES = [stanza("libc6", "2.36-9"), stanza("curl", depends="libc6"), stanza("fd-find", depends="libc6"), stanza("make", depends="libc6")]

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs a command in the checkout; what it printed."""
    checkout = tmp_path / "nivalis"
    checkout.mkdir()
    identity = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NIX_REMOTE": f"local?root={tmp_path}/root",
        "NIX_CONFIG": "substituters =",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        **identity,
    }

    def run(*words: str, status: int = 0) -> str:
        answer = subprocess.run(words, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == status, f"{words}: {answer.stdout}{answer.stderr}"
        return answer.stdout.strip()

    yield run


@pytest.fixture
def checkout(tmp_path: Path, run: Run) -> Path:
    """A branch `main` with one commit, with the channel, and the snapshot in it, which is in no commit."""
    text = "".join(PACKAGES).encode()
    packages = join_pockets([read_packages(text, "main/binary-amd64/Packages", len(text), "test")], "amd64")
    release = Release("stable", "testix", 1_700_000_000, None, ("amd64",), ("main",), False, "0" * 64, {})
    write_snapshot(str(tmp_path / "snapshot"), [(release, ["main"])], packages, Resolver(packages, "amd64").resolve(), "amd64")
    place = tmp_path / "nivalis"
    shutil.copytree(CHANNEL, place / "channel")
    (place / "channel/snapshot").symlink_to(tmp_path / "snapshot")
    run("git", "init", "--quiet", "--initial-branch=main")
    (place / ".git/info/exclude").write_text("/channel/snapshot\n")
    run("git", "add", ".")
    run("git", "commit", "--quiet", "--message", "the channel of a day")
    return place


def _change(run: Run, file: Path, before: str, after: str, message: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    run("git", "commit", "--quiet", "--all", "--message", message)


def test_changed_rebased_and_bisected(checkout: Path, run: Run) -> None:
    names = checkout / "channel/pkgs/names.nix"
    name_of = ["nix-instantiate", "--eval", "-I", "nixpkgs=channel", "-E"]
    # A change of one's own.
    run("git", "switch", "--quiet", "--create", "own")
    _change(run, names, "  packages = {\n", '  packages = {\n    my-tool = "curl";\n', "a name of our own")
    assert run(*name_of, "(import <nixpkgs> { }).my-tool.name") == '"curl-1.0-1"'
    # Meanwhile the channel moves on, and something breaks.
    run("git", "switch", "--quiet", "main")
    for number in range(6):
        if number == 3:
            _change(run, names, 'fd = "fd-find";', 'fd = "fd-finder";', "names: a deliberate break")
        (checkout / f"change-{number}").write_text("")
        run("git", "add", ".")
        run("git", "commit", "--quiet", "--message", f"change {number}")
    run("git", "switch", "--quiet", "own")
    run("git", "rebase", "--quiet", "main")
    assert run(*name_of, "(import <nixpkgs> { }).my-tool.name") == '"curl-1.0-1"'
    run(*name_of, "(import <nixpkgs> { }).fd.name", status=1)
    # Which change was it?
    run("git", "bisect", "start", "own", "main~7")
    said = run("git", "bisect", "run", *name_of, "(import <nixpkgs> { }).fd.name")
    assert "is the first bad commit" in said and "names: a deliberate break" in said
    assert run("git", "show", "--no-patch", "--format=%s", "refs/bisect/bad") == "names: a deliberate break"
    run("git", "bisect", "reset")
    # It is taken back, and our own change is still there.
    run("git", "revert", "--no-edit", "refs/heads/main~3")
    assert run(*name_of, "with import <nixpkgs> { }; [ my-tool.name fd.name ]") == "[ <CODE> <CODE> ]"
    assert run(*name_of, "with import <nixpkgs> { }; my-tool.name + fd.name") == '"curl-1.0-1fd-find-1.0-1"'
    # The same, as a build would ask for it: a derivation of an expression that is no package of the channel.
    drv = run("nix-instantiate", "-I", "nixpkgs=channel", "-E", "(import <nixpkgs> { }).fd")
    assert drv.endswith("-fd-find-1.0-1.drv")
