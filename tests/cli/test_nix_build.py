"""`nix-build`, `nivalis build`, `nivalis log` and `nix-store --realise` as programs, beside CppNix's where it has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from build_prelude import PRELUDE
from nivalis.settings.machine import find_static_shell
from oracle import cppnix28

Program = Callable[..., subprocess.CompletedProcess[str]]
SHELL = find_static_shell()
pytestmark = pytest.mark.skipif(SHELL is None, reason="no static shell: install busybox-static")

EXPRESSION = """{ word ? "hello" }: rec {
  one = sh "one" "echo ${word} > $out; echo building one";
  many = shWith "many" { outputs = [ "out" "dev" ]; } "echo out > $out; echo ${one} > $dev";
  bad = sh "bad" "echo before; exit 7";
  needs = sh "needs" "cat ${bad} > $out";
  slow = sh "slow" "sleep 100";
  random = sh "random" "cat /proc/sys/kernel/random/uuid > $out";
  read = sh "read" "echo ${import made} > $out";
  made = sh "made.nix" "echo '\\"imported\\"' > $out";
}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "default.nix").write_text(PRELUDE + EXPRESSION)
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Program:
    """Runs a program of ours in `folder`, on a store of its own."""

    def run(module: str, *words: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "NIX_REMOTE": f"local?root={folder}/root", "HOME": str(folder / "home"), "NIX_PATH": "", "TMPDIR": str(folder)}
        module, main = ("start", module) if module in ("nix_build", "nix_instantiate") else (module, "main")
        code = f"from nivalis.cli.{module} import {main}; {main}()"
        return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def theirs(folder: Path) -> Program:
    oracle, reason = cppnix28()
    if oracle is None:
        pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("CppNix builds in a store under another root only as root")
    place = folder / "theirs"
    place.mkdir()
    (place / "default.nix").write_text((folder / "default.nix").read_text())

    def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        options = ["--option", "sandbox", "true", "--option", "sandbox-paths", f"/bin/sh={SHELL}", "--option", "build-users-group", ""]
        result = oracle.run(name, [*words, *options], store=place / "root", cwd=place)
        return subprocess.CompletedProcess([name, *words], result.status, result.stdout, result.stderr)

    return run


def _links(folder: Path) -> dict[str, str]:
    """The links in a folder and the store paths that they lead to: ours say where these really are."""
    return {path.name: os.readlink(path).removeprefix(f"{folder}/root") for path in folder.iterdir() if path.is_symlink()}


@pytest.mark.parametrize(
    "words",
    [
        ["-A", "one"],
        ["-A", "one", "-A", "many"],
        ["-A", "many.dev", "-o", "link"],
        ["-A", "one", "--argstr", "word", "other", "--no-out-link"],
        ["-A", "one", "-A", "bad", "-A", "needs", "-k"],
        ["-A", "needs"],
        ["-A", "read"],
        ["-A", "slow", "--timeout", "1"],
        ["-A", "one", "--dry-run"],
        ["-A", "nothing"],
        ["--no-such-flag"],
    ],
)
def test_beside_cppnix(words: list[str], program: Program, theirs: Program, folder: Path) -> None:
    ours, other = program("nix_build", *words), theirs("nix-build", *words)
    assert (ours.returncode, ours.stdout) == (other.returncode, other.stdout), (ours.stderr, other.stderr)
    assert _links(folder) == _links(folder / "theirs")


def test_what_is_said(program: Program, folder: Path) -> None:
    first = program("nix_build", "-A", "one")
    assert first.stderr.splitlines()[0] == "this derivation will be built:"
    assert first.stderr.splitlines()[-1] == "building one"
    # Nothing to do, and the evaluation is known.
    again = program("nix_build", "-A", "one")
    assert (again.stderr, again.stdout) == ("", first.stdout)
    quiet = program("nix_build", "-Q", "-A", "bad")
    assert "> before" in quiet.stderr and "nivalis log" in quiet.stderr


# Only an answer that needs nothing loaded ends this way.
_SAYS_AT_ONCE = """
import os, sys
from nivalis.cli import start
def leave(status, leave=os._exit):
    print("at once", file=sys.stderr, flush=True)
    leave(status)
os._exit = leave
start.nix_build()
"""


def test_answers_at_once(folder: Path) -> None:
    env = {**os.environ, "NIX_REMOTE": f"local?root={folder}/root", "HOME": str(folder / "home"), "NIX_PATH": "", "TMPDIR": str(folder)}

    def build(*words: str, text: str = "") -> tuple[str, bool]:
        answer = subprocess.run(
            [sys.executable, "-c", _SAYS_AT_ONCE, *words], cwd=folder, env=env, input=text, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout, answer.stderr.endswith("at once\n")

    words = ["-A", "many", "-A", "one"]
    outputs, at_once = build(*words)
    assert not at_once
    assert build(*words) == (outputs, True)
    # A link that is gone is made again, ...
    (folder / "result-2").unlink()
    assert build(*words) == (outputs, False) and (folder / "result-2").is_symlink()
    assert build(*words) == (outputs, True)
    # ... one that leads elsewhere is put right, ...
    (folder / "result").unlink()
    (folder / "result").symlink_to(os.readlink(folder / "result-2"))
    assert build(*words) == (outputs, False)
    assert build(*words) == (outputs, True)
    # ... so is what registers it, ...
    for root in (folder / "root/nix/var/nix/gcroots/auto").iterdir():
        root.unlink()
    assert build(*words) == (outputs, False)
    assert build(*words) == (outputs, True)
    # ... and what was collected is built again.
    for link in ("result", "result-2"):
        (folder / link).unlink()
    collect = [sys.executable, "-c", "from nivalis.cli.nix_store import main; main()", "--gc"]
    subprocess.run(collect, env=env, check=True, capture_output=True)
    assert build(*words) == (outputs, False)
    # What else decides is part of the question.
    assert build(*words, "--check")[1] is False and build(*words, "--check")[1] is False
    one = outputs.splitlines()[1] + "\n"
    assert [build("-", text=f"(import {folder} {{ }}).one") for _ in range(2)] == [(one, False)] * 2
    other = (folder / "default.nix").read_text().replace("building one", "building another")
    (folder / "default.nix").write_text(other)
    assert build("-A", "one")[0] != one


def test_events(program: Program) -> None:
    answer = program("nix_build", "-A", "many", "--json-events", "--no-out-link")
    events = [json.loads(line) for line in answer.stderr.splitlines()]
    assert [event["event"] for event in events] == ["plan-made", "build-started", "build-line", "build-finished", "build-started", "build-finished"]


def test_nivalis_build_and_log(program: Program, folder: Path) -> None:
    plan = json.loads(program("__init__", "build", "-A", "many", "--json", "--dry-run").stdout)
    assert ([drv_path.partition("-")[2] for drv_path in plan["builds"]], plan["fetches"]) == (["one.drv", "many.drv"], [])
    answer = program("__init__", "build", "-A", "many", "--json")
    assert answer.returncode == 0, answer.stderr
    (found,) = json.loads(answer.stdout)
    assert found["output"] == "out" and _links(folder)["result"] == found["path"]
    assert program("__init__", "log", found["derivation"]).stdout == ""
    one = program("__init__", "build", "-A", "one", "--no-link").stdout.strip()
    assert program("__init__", "log", one).stdout == "building one\n"
    assert json.loads(program("__init__", "log", "--json", one).stdout)["log"] == "building one\n"
    missing = program("__init__", "log", one.replace("-one", "-two"))
    assert missing.returncode == 1 and "log-missing" in missing.stderr


@pytest.mark.parametrize(
    ("flags", "attribute", "status", "said", "unsaid"),
    [
        (["--timeout", "1"], "slow", 101, "timed out after 1 seconds: ", "silence"),
        (["--max-silent-time", "1"], "slow", 101, "timed out after 1 seconds of silence: ", "dependency-failed"),
        (["--no-fallback", "-K"], "bad", 100, "the build folder is kept", "dependency-failed"),
        (["-Q", "--fallback"], "one", 0, "one.drv", "building one"),
        (["--no-out-link", "--no-build-output"], "one", 0, "one.drv", "building one"),
        (["--check"], "random", 104, "`--keep-failed` keeps the second output", "-random.check`"),
        (["--rebuild", "--keep-failed"], "random", 104, "-random.check`", "`--keep-failed`"),
    ],
)
def test_flags_of_nivalis_build(flags: list[str], attribute: str, status: int, said: str, unsaid: str, program: Program) -> None:
    if attribute == "random":
        assert program("__init__", "build", "-A", attribute).returncode == 0
    answer = program("__init__", "build", "-A", attribute, *flags)
    assert answer.returncode == status, answer.stderr
    assert said in answer.stderr
    assert unsaid not in answer.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--realise", "many"],
        ["--realise", "many!out,dev"],
        ["--realise", "many!dev", "one"],
        ["--realise", "many", "--dry-run"],
        ["--realise", "many!nothing"],
        ["--realise", "bad", "one", "-k"],
        ["--query", "--force-realise", "--use-output", "--references", "many"],
        ["--query", "-f", "--outputs", "bad"],
    ],
)
def test_nix_store_builds_as_cppnix_does(words: list[str], program: Program, theirs: Program) -> None:
    names = ["many", "one", "bad"]
    flags = [word for name in names for word in ("-A", name)]
    drv_paths = dict(zip(names, program("nix_instantiate", *flags).stdout.split(), strict=True))
    assert theirs("nix-instantiate", *flags).returncode == 0
    words = [word.replace(word.partition("!")[0], drv_paths.get(word.partition("!")[0], word.partition("!")[0]), 1) for word in words]
    ours, other = program("nix_store", *words), theirs("nix-store", *words)
    assert (ours.returncode, ours.stdout) == (other.returncode, other.stdout), (ours.stderr, other.stderr)


def test_realise_and_repair(program: Program, folder: Path) -> None:
    built = program("nix_build", "-A", "many", "--no-out-link").stdout.strip()
    drv_path = program("nix_store", "--query", "--deriver", built).stdout.strip()
    outputs = program("nix_store", "--realise", drv_path).stdout.split()
    assert len(outputs) == 2 and built in outputs
    assert program("nix_store", "--realise", drv_path, "--check").returncode == 0
    place = folder / "root" / built[1:]
    place.chmod(0o644)
    place.write_text("damaged")
    assert program("nix_store", "--verify", "--check-contents").returncode == 1
    mended = program("nix_store", "--verify", "--check-contents", "--repair")
    assert mended.returncode == 0, mended.stderr
    assert place.read_text() == "out\n"
    assert program("nix_store", "--verify", "--check-contents").returncode == 0


@pytest.mark.parametrize("command", [["nix_build"], ["__init__", "build"]])
def test_builds_repair(command: list[str], program: Program, folder: Path) -> None:
    def build(*flags: str) -> str:
        answer = program(*command, "-A", "many", *flags)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    built = build()
    place = folder / "root" / built[1:]
    place.chmod(0o644)
    place.write_text("damaged")
    assert (build(), place.read_text()) == (built, "damaged")
    assert (build("--repair"), place.read_text()) == (built, "out\n")


def test_realise_hears_the_flags_of_builds(program: Program, folder: Path) -> None:
    drv_paths = program("nix_instantiate", "-A", "bad", "-A", "one", "-A", "slow").stdout.split()
    answer = program("nix_store", "--realise", *drv_paths, "-k", "-j3", "-K", "--timeout", "2")
    assert answer.returncode == 101
    assert "bad> before" in answer.stderr and "one> building one" in answer.stderr and "timed out" in answer.stderr
    assert len(list(folder.glob("nix-build-*"))) == 2
    only = program("nix_store", "--realise", drv_paths[1], "--add-root", "kept")
    assert only.stdout == f"{folder}/kept\n" and os.path.islink(folder / "kept")


def test_nix_instantiate_builds_and_fetches_what_it_imports(program: Program, folder: Path) -> None:
    answer = program("nix_instantiate", "-A", "read")
    assert answer.returncode == 0 and answer.stdout.strip().endswith("-read.drv"), answer.stderr
    (folder / "word").write_text("fetched")
    expression = f'builtins.readFile (builtins.fetchurl "file://{folder}/word")'
    fetched = program("nix_instantiate", "--eval", "-E", expression)
    assert fetched.stdout == '"fetched"\n', fetched.stderr
    # Nothing is built for an evaluation that writes nothing.
    refused = program("nix_instantiate", "--eval", "-E", f'import (import {folder} {{ word = "x"; }}).one')
    assert refused.returncode == 1 and "not-built" in refused.stderr
