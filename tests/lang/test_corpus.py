"""Every case of the corpus, evaluated as this project's `nix-instantiate` does it.

Cases share one store and one cache folder, both temporary: what one leaves behind must not change what another answers.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

import lang_corpus
from nivalis.cli import failures, nix_instantiate

# One in twenty.
BY_PROGRAM = {case.name for case in lang_corpus.find_cases()[::20]}


@dataclass(frozen=True)
class Answer:
    """What evaluating a case gave."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a cache of its own."""
    if not lang_corpus.COMMAND.exists():
        pytest.skip(f"no command {lang_corpus.COMMAND}")
    return tmp_path_factory.mktemp("world")


def run_case(case: lang_corpus.Case, world: Path) -> Answer:
    """Evaluate `case` as the command does it: mostly in this process, which takes a tenth of the time, some by the program itself."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NIX_")}
    environment |= lang_corpus.ENVIRONMENT
    environment |= {"HOME": str(world / "home"), "XDG_CACHE_HOME": str(world / "cache")}
    words = ["--store", str(world / "store"), *case.arguments]
    run = _run_program if case.name in BY_PROGRAM else _run_here
    status, out, err = run(words, environment)
    return Answer(status, out.decode(errors="replace"), err.decode(errors="replace"))


def _run_program(words: list[str], environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [lang_corpus.COMMAND, *words],
        cwd=lang_corpus.FOLDER,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _run_here(words: list[str], environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.chdir(lang_corpus.FOLDER),
        contextlib.redirect_stdout(io.TextIOWrapper(out)) as stdout,
        contextlib.redirect_stderr(io.TextIOWrapper(err)) as stderr,
    ):
        status = failures.run(lambda: nix_instantiate.nix_instantiate(words))
        stdout.flush()
        stderr.flush()
        return status, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("case", lang_corpus.find_cases(), ids=lambda case: case.name)
def test_case(case: lang_corpus.Case, world: Path) -> None:
    answer = run_case(case, world)
    if case.failure is not None:
        assert answer.status == 1, f"must fail with {case.failure}; printed {answer.stdout!r}"
        assert f"error[{case.failure.code}]" in answer.stderr, answer.stderr
        assert case.failure.text in answer.stderr, answer.stderr
    else:
        assert answer.status == 0, answer.stderr
        assert answer.stdout == case.expected
    for line in case.stderr:
        assert line in answer.stderr, answer.stderr
