"""Folders of expressions as one set, and ~/.nix-defexpr; `tests/cli/test_nix_env.py` has them beside CppNix's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nivalis.errors import NivalisError
from nivalis.lang import AttrSet, EvalSettings, Evaluator
from nivalis.profile.default_expression import eval_source, find_expressions, make_default_expression
from nivalis.store import StoreLayout


def _derivation(name: str) -> str:
    return f'derivation {{ name = "{name}"; system = "x86_64-linux"; builder = "/bin/sh"; }}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files, a folder that is an expression, folders of folders, and what has to be passed over."""
    top = tmp_path / "defexpr"
    for place in ("channels/nixpkgs", "channels/other", "deep/er", "folder"):
        (top / place).mkdir(parents=True)
    (top / "channels/nixpkgs/default.nix").write_text(f"{{ ... }}: {{ hello = {_derivation('hello-1')}; }}")
    (top / "channels/other/default.nix").write_text(f"{{ a = {_derivation('a-1')}; }}")
    (top / "channels/manifest.nix").write_text("throw 1")
    (top / "deep/er/single.nix").write_text(_derivation("single-1"))
    (top / "deep/er/nixpkgs.nix").write_text("throw 2")
    (top / "top.nix").write_text(f"{{ top = {_derivation('top-1')}; }}")
    (top / "README").write_text("no expression")
    (top / "dangling").symlink_to("/nowhere")
    return top


def test_folder(folder: Path) -> None:
    warnings: list[str] = []
    found = find_expressions(str(folder), warn=warnings.append)
    assert sorted(found) == ["nixpkgs", "other", "single", "top"]
    assert found["nixpkgs"] == f"{folder}/channels/nixpkgs"
    assert warnings == [f"name collision in input Nix expressions, skipping '{folder}/deep/er/nixpkgs.nix'"]
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as evaluator:
        combined = eval_source(evaluator, str(folder), warn=lambda _: None)
        assert isinstance(combined, AttrSet) and sorted(combined) == ["_combineChannels", "nixpkgs", "other", "single", "top"]
        file = eval_source(evaluator, str(folder / "top.nix"), warn=lambda _: None)
        assert isinstance(file, AttrSet) and list(file) == ["top"]


def test_what_is_no_expression(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(1025):
        (many / f"e{number}.nix").touch()
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as evaluator:
        with pytest.raises(NivalisError, match="neither a folder nor an expression"):
            eval_source(evaluator, str(fifo), warn=lambda _: None)
        with pytest.raises(NivalisError, match="more than 1024") as caught:
            eval_source(evaluator, str(many), warn=lambda _: None)
        assert caught.value.code == "default-expression"
        with pytest.raises(FileNotFoundError):
            eval_source(evaluator, str(tmp_path / "missing"), warn=lambda _: None)


@pytest.mark.parametrize("user", ["me", "root"])
def test_made_when_missing(tmp_path: Path, user: str) -> None:
    layout = StoreLayout.under(tmp_path)
    made = make_default_expression(layout, tmp_path / "home", user)
    links = {link.name: os.readlink(link) for link in made.iterdir()}
    channels = f"{layout.profiles_dir}/per-user/{user}/channels"
    root = {} if user == "root" else {"channels_root": f"{layout.profiles_dir}/per-user/root/channels"}
    assert links == {"channels": channels} | root
    made.rename(tmp_path / "moved")
    made.symlink_to("/nowhere")
    assert os.readlink(make_default_expression(layout, tmp_path / "home", user)) == "/nowhere"
