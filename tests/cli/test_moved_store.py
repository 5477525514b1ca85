"""A store under another root from its user's side: every word that leads into it names the same store path.

Links to it say where its files really are, so that they can be read on the host; so do paths that a shell completes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

EXPRESSION = """
derivation {
  name = "a"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "echo ${builtins.toFile "needed" "x"} > $out" ];
}
"""

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NIX_REMOTE": f"local?root={tmp_path}/root", "HOME": str(tmp_path / "home"), "NIX_PATH": ""}
        answer = subprocess.run(
            [Path(sys.executable).parent / name, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer

    return run


def test_words_that_lead_into_the_store(program: Program, tmp_path: Path) -> None:
    (tmp_path / "default.nix").write_text(EXPRESSION)
    drv_link = program("nix-instantiate", "--add-root", "drv").stdout.strip()
    (drv_path,) = program("nix-store", "--query", "--resolve", drv_link).stdout.split()
    for word in (drv_link, f"{tmp_path}/root{drv_path}", drv_path):
        path = program("nix-build", word).stdout.strip()
        assert program("nix-store", "--realise", word).stdout.strip() == path
    needed = program("nix-store", "--query", "--references", path).stdout
    assert (tmp_path / "result").read_text() == needed
    for word in ("./result", os.readlink(tmp_path / "result"), path):
        assert program("nix-store", "--query", "--references", word).stdout == needed
        assert program("nix-store", "--query", "--deriver", word).stdout.strip() == drv_path
    assert f"{tmp_path}/result -> {path}" in program("nix-store", "--gc", "--print-roots").stdout.splitlines()
    assert f"{tmp_path}/result -> {path}" in program("nix-store", "--query", "--roots", "result").stdout.splitlines()


def test_the_language_names_store_paths(program: Program, tmp_path: Path) -> None:
    (tmp_path / "default.nix").write_text(EXPRESSION)
    path = program("nix-build").stdout.strip()
    for place in ("./result", os.readlink(tmp_path / "result"), path):
        assert program("nix-instantiate", "--eval", "-E", f"builtins.storePath {place}").stdout == f'"{path}"\n'
    context = program("nix-instantiate", "--eval", "--strict", "-E", "builtins.getContext (builtins.storePath ./result)").stdout
    assert context == f'{{ "{path}" = {{ path = true; }}; }}\n'
    # Symlinks on the way are followed too.
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").touch()
    tree = program("nix-store", "--add", "tree").stdout.strip()
    program("nix-store", "--realise", tree, "--add-root", "links/tree")
    (tmp_path / "more").symlink_to("./links")
    for place in ("./links/tree/sub/file", "./more/tree/sub/file"):
        assert program("nix-instantiate", "--eval", "-E", f"builtins.storePath {place}").stdout == f'"{tree}/sub/file"\n'
    # The answer is kept, and looked at again when the link has changed.
    other = program("nix-store", "--add", "default.nix").stdout.strip()
    (tmp_path / "result").unlink()
    program("nix-store", "--realise", other, "--add-root", "result")
    assert program("nix-instantiate", "--eval", "-E", "builtins.storePath ./result").stdout == f'"{other}"\n'


def test_packages_of_channels(program: Program, tmp_path: Path) -> None:
    (tmp_path / "channel").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "channel/default.nix").write_text("{ ... }: { a = " + EXPRESSION + "; }")
    with tarfile.open(tmp_path / "channel.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "channel", "channel")
    program("nix-channel", "--add", f"file://{tmp_path}/channel.tar.gz", "mine")
    program("nix-channel", "--update")
    # Links on the way lead to logical places.
    assert not (tmp_path / "home/.nix-defexpr/channels/mine").exists()
    assert program("nix-env", "-qaP").stdout.split() == ["mine.a", "a"]
    program("nix-env", "-iA", "mine.a")
    assert program("nix-env", "-q").stdout == "a\n"
