"""A derivation that brings its own /usr."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from nivalis.build import realise
from nivalis.build.errors import CannotBuildError, SandboxError
from nivalis.store import Store, StoreLayout


@pytest.fixture
def farm(tmp_path: Path, shell: str) -> str:
    """An expression for a tree with a shell."""
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc").mkdir()
    shutil.copy2(shell, tree / "usr/bin/sh")
    for applet in ("cat", "ls", "readlink"):
        (tree / "usr/bin" / applet).symlink_to("sh")
    (tree / "bin").symlink_to("usr/bin")
    (tree / "etc/motd").write_text("from the farm\n")
    (tree / "etc/passwd").write_text("of the farm\n")
    return f'(builtins.path {{ name = "farm"; path = {tree}; }})'


def test_it_is_seen_where_tools_look(workshop: Any, farm: str) -> None:
    script = "cat /etc/motd; readlink /bin; ls /; cat /etc/passwd; echo x > /usr/x || echo closed"
    place = workshop.build(f'shWith "seen" {{ usrFarm = {farm}; PATH = "/usr/bin"; }} "({script}) > $out 2>&1"')
    lines = Path(place).read_text().splitlines()
    assert lines[:2] == ["from the farm", "usr/bin"]
    assert {"bin", "build", "etc", "nix", "usr"} <= set(lines)
    assert any(line.startswith("nixbld:") for line in lines) and "of the farm" not in lines
    assert lines[-1] == "closed"


def test_what_is_no_farm(workshop: Any) -> None:
    error = workshop.fail('shWith "none" { usrFarm = builtins.toFile "x" ""; } "echo > $out"')
    assert isinstance(error, CannotBuildError) and "usrFarm" in error.message


def test_nothing_of_this_machine_comes_in(workshop: Any) -> None:
    error = workshop.fail('shWith "elsewhere" { usrFarm = "/usr"; } "echo > $out"')
    assert isinstance(error, CannotBuildError)
    link = 'sh "link" "mkdir $out; ln -s / $out/usr"'
    error = workshop.fail(f'shWith "linked" {{ usrFarm = {link}; }} "echo > $out"')
    assert isinstance(error, CannotBuildError)


def test_without_a_sandbox_there_is_none(tmp_path: Path, workshop: Any, farm: str) -> None:
    layout = StoreLayout.parse("", {"NIX_STORE_DIR": str(tmp_path / "s"), "NIX_STATE_DIR": str(tmp_path / "v"), "NIX_LOG_DIR": str(tmp_path / "l")})
    with Store.open(layout) as store:
        other = type(workshop)(store, workshop.environment)
        drv_path = other.instantiate(f'shWith "bare" {{ usrFarm = {farm}; }} "echo > $out"')
        result = realise(store, [drv_path], other.settings(sandbox="false"))
    assert isinstance(next(iter(result.failures.values())), SandboxError)
