"""Every file of real nixpkgs, parsed by us and by CppNix 2.26, and shown: the same text, and the same files refused at the same place.

2.26, since 2.8 shows the attributes of a set in an order that changes from run to run.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import lang_corpus
from oracle import Oracle, Result, cppnix226

# What neither reads: texts with holes to be filled in, and variables that nothing binds.
REFUSED = [
    "nixos/tests/mpich.nix",
    "pkgs/applications/misc/tnef/tnef/default.nix",
    "pkgs/build-support/builder-defs/template-auto-callable.nix",
    "pkgs/build-support/builder-defs/template-bdp-uud.nix",
    "pkgs/build-support/builder-defs/template-composing-builder.nix",
    "pkgs/development/interpreters/python/docs/template.nix",
]


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    found, reason = cppnix226()
    if found is None:
        pytest.skip(reason)
    return found


def run_ours(arguments: Sequence[str], root: Path) -> Result:
    if not lang_corpus.COMMAND.exists():
        pytest.skip(f"no command {lang_corpus.COMMAND}")
    argv = [lang_corpus.COMMAND, "--store", str(root), *arguments]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=False)
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def test_all_files(nixpkgs: Path, oracle: Oracle, tmp_path: Path) -> None:
    found = sorted(path for path in nixpkgs.rglob("*.nix") if path.is_file() and not path.is_symlink())
    files = [str(path) for path in found if str(path.relative_to(nixpkgs)) not in REFUSED]
    ours = run_ours(["--parse", *files], tmp_path)
    theirs = oracle.instantiate(["--parse", *files], store=tmp_path, timeout=600)
    assert theirs.status == 0, theirs.stderr
    assert ours.status == 0, ours.stderr
    pairs = zip(files, ours.stdout.splitlines(), theirs.stdout.splitlines(), strict=True)
    assert [file for file, our_line, their_line in pairs if our_line != their_line][:5] == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused_file(nixpkgs: Path, oracle: Oracle, tmp_path: Path, name: str) -> None:
    file = str(nixpkgs / name)
    results = [run_ours(["--parse", file], tmp_path), oracle.instantiate(["--parse", file], store=tmp_path)]
    assert [result.status for result in results] == [1, 1], results
    places = [re.search(rf"{re.escape(file)}:\d+:\d+", result.stderr) for result in results]
    assert places[0] is not None and places[1] is not None, results
    assert places[0][0] == places[1][0]
