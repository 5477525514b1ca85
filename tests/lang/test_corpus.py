"""Every case of the corpus, evaluated by this project's `nix-instantiate`.

Cases share one store and one cache folder, both temporary: what one leaves behind must not change what another answers.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import lang_corpus


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
    """Evaluate `case` by the command; the one place to change for another way of evaluating."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NIX_")}
    environment |= lang_corpus.ENVIRONMENT
    environment |= {"HOME": str(world / "home"), "XDG_CACHE_HOME": str(world / "cache")}
    done = subprocess.run(
        [lang_corpus.COMMAND, "--store", str(world / "store"), *case.arguments],
        cwd=lang_corpus.FOLDER,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


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
