"""What is configured takes effect: nix.conf, NIX_CONFIG and flags, in every command, beside CppNix where both say something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import oracle
from nivalis.settings.machine import find_static_shell

SHELL = find_static_shell()
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Program:
    """One of our programs, by its function, in `folder`, with `folder/nix.conf` as all the configuration there is."""

    def run(function: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        module, _, name = function.partition(":")
        code = f"import sys; from nivalis.cli.{module} import {name}; sys.exit({name}())"
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("NIX_", "XDG_"))}
        environment = {**kept, "HOME": str(folder / "home"), "NIX_CONF_DIR": str(folder), "NIX_REMOTE": f"local?root={folder}/root", **variables}
        return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


def configure(folder: Path, text: str) -> None:
    (folder / "nix.conf").write_text(text)


def evaluate(program: Program, *words: str, **variables: str) -> str:
    answer = program("start:nix_instantiate", "--eval", *words, **variables)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


# ---------------------------------------------------------------------------------------------------- evaluation


def test_a_cached_answer_is_that_of_its_configuration(folder: Path, program: Program) -> None:
    expression = ["-E", "builtins.currentSystem"]
    configure(folder, "include system.conf\n")
    for system in ("one-linux", "two-linux", "one-linux"):
        (folder / "system.conf").write_text(f"system = {system}\n")
        assert evaluate(program, *expression) == f'"{system}"'
        assert evaluate(program, *expression) == f'"{system}"'
        assert evaluate(program, *expression, NIX_CONFIG="eval-system = three-linux") == '"three-linux"'
        assert evaluate(program, *expression, "--system", "four-linux") == '"four-linux"'


def test_a_broken_configuration_is_reported_even_where_the_answer_is_known(folder: Path, program: Program) -> None:
    configure(folder, "cores = 2\n")
    assert evaluate(program, "-E", "1") == "1"
    for text, code in [("cores 2\n", "invalid-configuration"), ("\ncores = two\n", "invalid-setting")]:
        configure(folder, text)
        answer = program("start:nix_instantiate", "--eval", "-E", "1")
        line = text.count("\n")
        assert answer.returncode == 1 and f"error[{code}]" in answer.stderr and f"at {folder}/nix.conf:{line}" in answer.stderr


def test_unknown_settings_are_warned_about_once_each(folder: Path, program: Program) -> None:
    configure(folder, "no-such = 1\nno-such = 2\n")
    for _ in range(2):  # the second is answered from the cache
        answer = program("start:nix_instantiate", "--eval", "-E", "1", "--option", "nor-this", "1", "--option", "nor-this", "2")
        warnings = [line for line in answer.stderr.splitlines() if "setting" in line]
        assert warnings == [f"warning: unknown setting 'no-such' in {folder}/nix.conf:1", "warning: unknown setting 'nor-this'"]


@pytest.mark.parametrize(
    ("configured", "variable", "words", "found"),
    [
        ("nix-path = a=/one", None, [], "/one"),
        ("nix-path = a=/one", "a=/two", [], "/two"),
        ("", "a=/two", ["--nix-path", "a=/three"], "/three"),
        ("nix-path = b=/one a=/one", None, ["-I", "a=/four"], "/four"),
        ("extra-nix-path = a=/five", None, [], "/five"),
        ("", "b=/two", ["--extra-nix-path", "a=/six"], "/six"),
    ],
)
def test_search_path(folder: Path, program: Program, configured: str, variable: str | None, words: list[str], found: str) -> None:
    configure(folder, f"{configured}\n")
    variables = {} if variable is None else {"NIX_PATH": variable}
    expression = "(builtins.head (builtins.filter (x: x.prefix == ''a'') builtins.nixPath)).path"
    assert evaluate(program, "-E", expression, *words, **variables) == f'"{found}"'


def test_features_are_added_to(folder: Path, program: Program) -> None:
    configure(folder, "extra-experimental-features = pipe-operators\n")
    assert evaluate(program, "-E", "1 |> (x: x + 1)", "--extra-experimental-features", "nix-command") == "2"
    assert program("start:nix_instantiate", "--eval", "-E", "1 |> (x: x)", "--experimental-features", "").returncode == 1


def test_evaluation_may_be_forbidden_to_build(folder: Path, program: Program) -> None:
    configure(folder, "allow-import-from-derivation = false\n")
    text = 'import (derivation { name = "x"; system = builtins.currentSystem; builder = "/bin/sh"; })'
    answer = program("start:nix_instantiate", "--eval", "--read-write-mode", "-E", text)
    assert answer.returncode == 1 and "error[forbidden]" in answer.stderr


def test_evaluation_may_be_restricted(folder: Path, program: Program) -> None:
    configure(folder, f"restrict-eval = true\nallowed-uris = file://{folder}/fetched\n")
    for name in ("value.nix", "fetched"):
        (folder / name).write_text("1")
    evaluated = program("start:nix_instantiate", "--eval", "value.nix")
    assert evaluated.returncode == 1 and "error[forbidden]" in evaluated.stderr
    assert evaluate(program, "value.nix", "-I", f"here={folder}") == "1"
    text = f"builtins.readFile (builtins.fetchurl file://{folder}/NAME)"
    assert evaluate(program, "--read-write-mode", "-E", text.replace("NAME", "fetched")) == '"1"'
    fetched = program("start:nix_instantiate", "--eval", "--read-write-mode", "-E", text.replace("NAME", "value.nix"))
    assert fetched.returncode == 1 and "error[forbidden]" in fetched.stderr


# ---------------------------------------------------------------------------------------------------- builds and the store


@pytest.mark.skipif(SHELL is None, reason="no static shell")
def test_builds_are_as_configured(folder: Path, program: Program) -> None:
    (folder / "shown").write_text("hello\n")
    configure(
        folder,
        f"cores = 3\nextra-sandbox-paths = /shown={folder}/shown\nauto-optimise-store = true\nkeep-build-log = false\nsubstitute = false\n",
    )
    text = """
        let one = name: derivation {
          inherit name; system = builtins.currentSystem; builder = "/bin/sh";
          args = [ "-c" "read line < /shown; echo $line $NIX_BUILD_CORES > $out" ];
        }; in [ (one "a") (one "b") ]
    """
    answer = program("nix_build:run_program", "-E", text, "--no-out-link")
    assert answer.returncode == 0, answer.stderr
    places = [folder / f"root{path}" for path in answer.stdout.split()]
    assert [place.read_text() for place in places] == ["hello 3\n"] * 2
    assert places[0].stat().st_ino == places[1].stat().st_ino
    assert not (folder / "root/nix/var/log/nix/drvs").exists()


@pytest.mark.skipif(SHELL is None, reason="no static shell")
@pytest.mark.parametrize("configured", ["", "keep-outputs = true", "keep-derivations = false", "gc-keep-outputs = true\ngc-keep-derivations = false"])
def test_what_a_collection_keeps_is_as_configured(folder: Path, program: Program, configured: str) -> None:
    theirs, reason = oracle.cppnix28()
    if theirs is None:
        pytest.skip(reason)
    configure(folder, "substitute = false\n")
    text = """
        let one = name: rest: derivation ({
          inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo > $out" ];
        } // rest); in one "top" { below = one "below" { }; }
    """
    assert program("nix_build:run_program", "-E", text, "-o", "result").returncode == 0
    drv = program("start:nix_instantiate", "-E", text.replace("top", "other"), "--add-root", str(folder / "other"))
    assert drv.returncode == 0, drv.stderr
    configure(folder, f"{configured}\nsubstitute = false\n")
    ours = program("nix_store:main", "--gc", "--print-dead")
    other = theirs.run("nix-store", ["--gc", "--print-dead"], store=folder / "root", env={"NIX_CONF_DIR": str(folder)})
    assert sorted(ours.stdout.split()) == sorted(other.stdout.split())
    collected = program("nix_collect_garbage:main")
    assert collected.returncode == 0, collected.stderr
    assert all(not (folder / f"root{path}").exists() for path in ours.stdout.split())


# ---------------------------------------------------------------------------------------------------- nivalis config


def test_config(folder: Path, program: Program) -> None:
    configure(folder, "build-max-jobs = auto\nextra-substituters = https://other.example\nbuilders = @/x\n")

    def config(*words: str) -> str:
        answer = program("group:nivalis_group", "config", *words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    assert config("--set").splitlines() == [
        f"builders = @/x  # {folder}/nix.conf:3",
        f"max-jobs = auto  # {folder}/nix.conf:1",
        f"substituters = https://cache.nixos.org/ https://other.example  # {folder}/nix.conf:2",
    ]
    assert f"from: {folder}/nix.conf:1" in config("build-max-jobs")
    assert "without effect: builds run on this machine" in config("builders")
    rows = json.loads(config("--json", "--option", "cores", "2"))
    assert rows["max-jobs"]["value"] == os.cpu_count() and rows["max-jobs"]["default"] == 1
    assert (rows["cores"]["value"], rows["cores"]["places"]) == (2, ["command line"])
    assert json.loads(config("cores", "--json"))["value"] == 0
    answer = program("group:nivalis_group", "config", "max-jbs")
    assert answer.returncode == 1 and "did you mean `max-jobs`?" in answer.stderr
