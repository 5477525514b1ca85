"""Builds that substitute: as programs, with caches that this program and CppNix wrote, dead ones and lying ones."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_prelude import PRELUDE
from nivalis.build.realisation import realise
from nivalis.build.settings import BuildSettings
from nivalis.cache import SecretKey
from nivalis.settings.machine import find_static_shell
from nivalis.store import Store, StoreLayout
from nivalis.store.verify import verify_store

Program = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.skipif(find_static_shell() is None, reason="no static shell: install busybox-static")

EXPRESSION = """rec {
  leaf = sh "leaf" "echo leaf > $out; echo building leaf";
  middle = sh "middle" "echo ${leaf} > $out; echo building middle";
  top = sh "top" "mkdir $out; echo ${middle} > $out/m; echo ${leaf} > $out/l; echo building top";
  local = shWith "local" { allowSubstitutes = false; } "cat ${leaf} > $out; echo building local";
  imported = sh "imported" "echo ${import file} > $out";
  file = sh "file.nix" "echo '\\"text\\"' > $out; echo building file";
}"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "default.nix").write_text(PRELUDE + EXPRESSION)
    return tmp_path


@pytest.fixture
def program(folder: Path) -> Program:
    """Runs a program of ours on the store below `folder` of that name, with settings."""

    def run(store: str, name: str, *words: object, **settings: object) -> subprocess.CompletedProcess[str]:
        lines = {"substituters": "", **{setting.replace("_", "-"): value for setting, value in settings.items()}}
        env = {
            **os.environ,
            "NIX_REMOTE": f"local?root={folder}/{store}",
            "HOME": str(folder / "home"),
            "NIX_PATH": "",
            "TMPDIR": str(folder),
            "NIX_CONFIG": "".join(f"{setting} = {value}\n" for setting, value in lines.items()),
        }
        argv = [str(Path(sys.executable).parent / name), *map(str, words)]
        return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def key(key_file: Path) -> SecretKey:
    return SecretKey.read(key_file)


@pytest.fixture
def filled(program: Program, folder: Path, key_file: Path) -> tuple[Path, dict[str, str]]:
    """A cache with all that the expression gives, and the paths by name."""
    paths = {}
    for name in ("leaf", "middle", "top", "local", "file"):
        built = program("builder", "nix-build", "-A", name, "--no-out-link")
        assert built.returncode == 0, built.stderr
        paths[name] = built.stdout.strip()
    pushed = program("builder", "nivalis", "cache", "push", "-q", "-k", key_file, folder / "cache", *paths.values())
    assert pushed.returncode == 0, pushed.stderr
    return folder / "cache", paths


def _built(answer: subprocess.CompletedProcess[str]) -> set[str]:
    return set(re.findall(r"^building (\w+)$", answer.stderr, re.MULTILINE))


def test_nix_build_substitutes(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    answer = program("reader", "nix-build", "-A", "top", "--no-out-link", substituters=cache, trusted_public_keys=key.public)
    assert (answer.returncode, answer.stdout.strip()) == (0, paths["top"]), answer.stderr
    assert _built(answer) == set()
    assert "these 3 paths will be fetched (0.00 MiB download, 0.00 MiB unpacked):" in answer.stderr
    assert answer.stderr.count("copying path") == 3


def test_import_from_derivation_substitutes(program: Program, filled: Any, key: SecretKey) -> None:
    cache, _ = filled
    for store, name, words in (("one", "nix-build", ["--no-out-link"]), ("two", "nix-instantiate", ["."]), ("three", "nix-build", ["--dry-run"])):
        answer = program(store, name, *words, "-A", "imported", substituters=cache, trusted_public_keys=key.public)
        assert answer.returncode == 0, answer.stderr
        assert "building file" not in answer.stderr and "-file.nix' from" in answer.stderr


def test_what_does_not_want_to_be_substituted(program: Program, filled: Any, key: SecretKey) -> None:
    cache, _ = filled
    settings = {"substituters": cache, "trusted_public_keys": key.public}
    assert _built(program("one", "nix-build", "-A", "local", "--no-out-link", **settings)) == {"local"}
    assert _built(program("two", "nix-build", "-A", "local", "--no-out-link", always_allow_substitutes="true", **settings)) == set()
    assert _built(program("three", "nix-build", "-A", "top", "--no-out-link", "--no-substitute", **settings)) == {"leaf", "middle", "top"}


def test_dry_run(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    settings = {"substituters": cache, "trusted_public_keys": key.public}
    (cache / f"{paths['top'][11:43]}.narinfo").unlink()
    answer = program("reader", "nix-build", "-A", "top", "--dry-run", **settings)
    assert answer.returncode == 0 and "this derivation will be built:" in answer.stderr
    assert "these 2 paths will be fetched (0.00 MiB download, 0.00 MiB unpacked):" in answer.stderr
    assert not (cache.parent / "reader" / paths["leaf"].lstrip("/")).exists()
    plan = json.loads(program("reader", "nivalis", "build", "-A", "top", "--dry-run", "--json", **settings).stdout)
    assert sorted(plan["fetches"]) == sorted([paths["leaf"], paths["middle"]])
    assert plan["downloadSize"] > 0 and plan["unpackedSize"] > 0


def test_realise_of_a_plain_path(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    settings = {"substituters": cache, "trusted_public_keys": key.public}
    answer = program("reader", "nix-store", "--realise", paths["top"], **settings)
    assert (answer.returncode, answer.stdout.strip()) == (0, paths["top"]), answer.stderr
    missing = paths["top"].replace("-top", "-tip")
    answer = program("reader", "nix-store", "--realise", missing, **settings)
    assert answer.returncode == 1 and "error[path-not-valid]" in answer.stderr


def test_an_incomplete_closure_is_built(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    (cache / f"{paths['leaf'][11:43]}.narinfo").unlink()
    answer = program("reader", "nix-build", "-A", "top", "--no-out-link", substituters=cache, trusted_public_keys=key.public)
    assert answer.returncode == 0 and _built(answer) == {"leaf", "middle", "top"}


def test_a_failed_download_is_built(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    settings = {"substituters": cache, "trusted_public_keys": key.public}
    narinfo = (cache / f"{paths['middle'][11:43]}.narinfo").read_text()
    (cache / narinfo.partition("URL: ")[2].partition("\n")[0]).write_bytes(b"rubbish")
    strict = program("strict", "nix-build", "-A", "top", "--no-out-link", "--no-fallback", **settings)
    assert strict.returncode == 1 and _built(strict) == set()
    assert "error[cache-file-size]" in strict.stderr and "with `--fallback` it is built instead" in strict.stderr
    answer = program("reader", "nix-build", "-A", "top", "--no-out-link", **settings)
    assert (answer.returncode, answer.stdout.strip()) == (0, paths["top"]), answer.stderr
    assert _built(answer) == {"middle", "top"}
    assert answer.stderr.count("warning: [cache-file-size]") == 1


def test_a_dead_cache_does_not_hold_a_build_up(program: Program, filled: Any, key: SecretKey, dead_address: str) -> None:
    cache, _ = filled
    began = time.monotonic()
    answer = program("reader", "nix-build", "-A", "top", "--no-out-link", substituters=f"{dead_address} {cache}", trusted_public_keys=key.public)
    assert answer.returncode == 0 and _built(answer) == set(), answer.stderr
    assert answer.stderr.count("warning: [") == 1 and "[cache-timeout]" in answer.stderr
    # The wait itself is three seconds; the rest is this machine's.
    assert time.monotonic() - began < 15
    answer = program("other", "nix-build", "-A", "top", "--no-out-link", substituters=dead_address)
    assert answer.returncode == 0 and _built(answer) == {"leaf", "middle", "top"}


def test_repair_fetches(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    settings = {"substituters": cache, "trusted_public_keys": key.public}
    assert program("reader", "nix-store", "--realise", paths["top"], **settings).returncode == 0
    place = cache.parent / "reader" / paths["middle"].lstrip("/")

    def damage() -> None:
        place.chmod(0o644)
        place.write_text("damage")

    damage()
    assert program("reader", "nix-store", "--verify", "--check-contents", **settings).returncode == 1
    for words in (["--verify", "--check-contents", "--repair"], ["--repair-path", paths["middle"]], ["--realise", "--repair", paths["top"]]):
        damage()
        answer = program("reader", "nix-store", *words, **settings)
        assert answer.returncode == 0, answer.stderr
        assert program("reader", "nix-store", "--verify", "--check-contents", **settings).returncode == 0
    damage()
    answer = program("reader", "nix-store", "--repair-path", paths["middle"])
    assert answer.returncode == 1 and "error[cannot-repair]" in answer.stderr


def test_events(program: Program, filled: Any, key: SecretKey) -> None:
    cache, paths = filled
    answer = program("reader", "nix-build", "-A", "leaf", "--no-out-link", "--json-events", substituters=cache, trusted_public_keys=key.public)
    events = [json.loads(line) for line in answer.stderr.splitlines()]
    assert [event["event"] for event in events] == ["plan-made", "fetch-started", "fetch-finished"]
    assert events[0]["download_size"] == events[1]["size"] and events[1]["path"] == paths["leaf"]


def test_a_cache_of_cppnix(program: Program, folder: Path, nix: Any, key_file: Path, key: SecretKey, filled: Any) -> None:
    _, paths = filled
    nix(folder / "builder", "nix", "copy", "--to", f"file://{folder}/theirs?secret-key={key_file}", paths["top"])
    answer = program("reader", "nix-build", "-A", "top", "--no-out-link", substituters=f"file://{folder}/theirs", trusted_public_keys=key.public)
    assert answer.returncode == 0 and _built(answer) == set(), answer.stderr


def test_killed_while_substituting(source: Any, cache: Path, key: SecretKey, tmp_path: Path) -> None:
    """Whenever it is killed, the store verifies clean, and the work can be repeated."""
    environment = {**os.environ, "NIX_CONFIG": f"substituters = {cache}\ntrusted-public-keys = {key.public}\n", "HOME": str(tmp_path)}
    layout = StoreLayout.under(tmp_path / "reader")
    chance = random.Random(1)
    words = [str(Path(sys.executable).parent / "nix-store"), "--store", f"local?root={tmp_path}/reader", "--realise", source.top]
    began = time.monotonic()
    assert subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0
    whole = time.monotonic() - began
    for _ in range(15):
        subprocess.run(["rm", "-rf", tmp_path / "reader"], check=True)
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 1) * whole)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if layout.database_dir.is_dir():
            with Store.open(layout) as store:
                assert list(verify_store(store, check_contents=True)) == []
    assert subprocess.run(words, env=environment, capture_output=True, check=False).returncode == 0
    with Store.open(layout) as store:
        assert store.valid_among(source.closure) == source.closure


def test_through_the_library(source: Any, reader: Any, cache: Path) -> None:
    from nivalis.cache import CacheSubstituter

    settings = BuildSettings.make("x86_64-linux", dict(os.environ))
    with CacheSubstituter(reader.store, reader.settings(cache)) as substituter:
        result = realise(reader.store, [source.top], settings, substituter=substituter)
    assert result.paths == [source.top] and not result.failures
