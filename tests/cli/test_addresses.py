"""Addresses where files are named: in search paths and as arguments, by all commands that evaluate."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetch_server import Server, serve
from oracle import cppnix28

Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("NIX_", "XDG_"))}
    place = {"NIX_STORE_DIR": str(tmp_path / "store"), "NIX_STATE_DIR": str(tmp_path / "var"), "NIX_LOG_DIR": str(tmp_path / "log")}
    return {**kept, **place, "HOME": str(tmp_path / "home"), "NIX_CONF_DIR": str(tmp_path / "etc")}


@pytest.fixture
def program(environment: dict[str, str], tmp_path: Path) -> Program:
    def run(name: str, *words: str, input: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        codes = {
            "nix-instantiate": "from nivalis.cli.start import nix_instantiate as main",
            "nix-build": "from nivalis.cli.start import nix_build as main",
            "nivalis": "from nivalis.cli import main",
        }
        command = [sys.executable, "-c", f"{codes[name]}; main()", *words]
        return subprocess.run(command, env={**environment, **variables}, cwd=tmp_path, input=input, capture_output=True, text=True, check=False)

    return run


def _archive(**files: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"top/{name}.nix")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def test_search_path(program: Program, server: Server, tmp_path: Path) -> None:
    server.files["/x.tar.gz"] = _archive(default='{ }: "one"', other='"two"')
    address = f"{server.address}/x.tar.gz"
    file = tmp_path / "x.tar.gz"
    file.write_bytes(server.files["/x.tar.gz"])
    ask = ["--eval", "-E", "[ (import <n> { }) (import <n/other.nix>) ]", "--strict"]
    for answer in (
        program("nix-instantiate", *ask, "-I", f"n={address}"),
        # A port would end the entry, as with CppNix.
        program("nix-instantiate", *ask, NIX_PATH=f"m=/none:n=file://{file}:k=/none"),
        program("nix-instantiate", *ask, "--option", "nix-path", f"n={address}"),
    ):
        assert (answer.stdout, answer.stderr) == ('[ "one" "two" ]\n', "")
    assert program("nivalis", "eval", "-E", "import <other.nix>", "-I", address).stdout == '"two"\n'
    assert program("nivalis", "repl", "-I", address, input="import <other.nix>\n").stdout == '"two"\n'
    assert program("nix-instantiate", "--find-file", "n/other.nix", "-I", f"n={address}").stdout.endswith("-source/other.nix\n")
    assert server.asked == [("/x.tar.gz", 200)], "what has been fetched is good for an hour"


def test_how_long_it_is_good(program: Program, server: Server) -> None:
    server.files["/x.tar.gz"] = _archive(default='"one"')
    ask = ["nix-instantiate", "--eval", f"{server.address}/x.tar.gz"]
    assert program(*ask).stdout == '"one"\n'
    server.files["/x.tar.gz"] = _archive(default='"two"')
    assert program(*ask).stdout == '"one"\n'
    assert program(*ask, "--tarball-ttl", "0").stdout == '"two"\n'
    assert program(*ask, "--tarball-ttl", "0").stdout == '"two"\n'
    assert [status for _, status in server.asked] == [200, 200, 304]
    # A server that is gone: what is there serves on, but not to whom asks for what is there now.
    server.failures = 100
    old = program(*ask, "--option", "tarball-ttl", "1", "--option", "download-attempts", "1")
    assert old.stdout == '"two"\n'
    now = program(*ask, "--option", "tarball-ttl", "0", "--option", "download-attempts", "1")
    assert now.returncode == 1 and "download failed" in now.stderr


def test_entries_that_cannot_be_had_are_passed_over(program: Program, tmp_path: Path) -> None:
    (tmp_path / "n").mkdir()
    (tmp_path / "n/default.nix").write_text("1")
    search = ["-I", "http://127.0.0.1:1/x.tar.gz", "-I", f"{tmp_path}", "--option", "download-attempts", "1"]
    answer = program("nix-instantiate", "--eval", "-E", "import <n>", *search)
    assert answer.stdout == "1\n" and answer.stderr.count("passed over") == 1
    answer = program("nix-instantiate", "--eval", "-E", "import <missing>", *search)
    assert answer.returncode == 1 and "error[search-path]" in answer.stderr


@pytest.mark.parametrize("word", ["http://127.0.0.1:1/x.tar.gz", "channel:no/such", "git://127.0.0.1:1/x", "s3://x/y", "file:///none.tar.gz"])
def test_arguments_that_cannot_be_had(word: str, program: Program) -> None:
    proxy = "http://127.0.0.1:1"
    answer = program("nix-instantiate", "--eval", word, "--option", "download-attempts", "1", https_proxy=proxy)
    assert answer.returncode == 1
    assert answer.stdout == "" and word.rpartition("x")[0] in answer.stderr, answer.stderr


def test_beside_cppnix(program: Program, server: Server, environment: dict[str, str], tmp_path: Path) -> None:
    oracle, reason = cppnix28()
    if oracle is None:
        pytest.skip(reason)
    text = 'derivation { name = "x"; system = "x86_64-linux"; builder = "/none"; args = [ ./other.nix <n/other.nix> ]; }'
    server.files["/x.tar.gz"] = _archive(default=text, other="1")
    address = f"{server.address}/x.tar.gz"
    words = [address, "-I", f"n={address}"]
    answer = oracle.run("nix-instantiate", words, store=tmp_path, env={**environment, "NIX_REMOTE": ""})
    assert answer.status == 0, answer.stderr
    assert program("nix-instantiate", *words).stdout == answer.stdout
    built = program("nix-build", "--dry-run", *words)
    assert answer.stdout.strip() in built.stderr, built.stderr
