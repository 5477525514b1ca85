"""The real CppNix as the judge: of the corpus, and of this project on expressions that nobody wrote.

The corpus is run on both versions of CppNix, so that a wrong expectation cannot stay in it: 2.26 must answer as written, 2.8
likewise but for the cases that DIFFERENCES.md explains, and those must indeed differ.

Random expressions are evaluated by this project and by CppNix 2.26 (or 2.8, where only that can be had), many in each process,
and must give the same output, or fail in both.  NIVALIS_RANDOM_SEED and NIVALIS_RANDOM_CASES choose others and more.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

import lang_corpus
import lang_generator
import oracle

# Runs `nix-instantiate` with these arguments.
Run = Callable[[Sequence[str]], oracle.Result]

BATCH = 200


def _need(found: tuple[oracle.Oracle | None, str]) -> oracle.Oracle:
    cppnix, reason = found
    if cppnix is None:
        pytest.skip(reason)
    return cppnix


def _answers(cppnix: oracle.Oracle, folder: Path) -> dict[str, oracle.Result]:
    """What `cppnix` answers to each case that it can judge, most of them evaluated many to a process."""
    cases = [case for case in lang_corpus.find_cases() if case.source is None]
    plain = [case for case in cases if not case.flags]
    flagged = [case for case in cases if case.flags]

    def run(arguments: Sequence[str], store: Path | None = None) -> oracle.Result:
        # Without a store given, each process makes its own: CppNix fails where two of them make one at once.
        options = {"store": store, "cwd": lang_corpus.FOLDER, "env": lang_corpus.ENVIRONMENT}
        return cppnix.instantiate(["--show-trace", *arguments], **options)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        many = pool.submit(evaluate_all, lambda words: run(words, folder), [case.name + ".nix" for case in plain])
        single = pool.map(run, [case.arguments for case in flagged])
        names = [case.name for case in (*plain, *flagged)]
        return dict(zip(names, [*many.result(), *single], strict=True))


def _is_expected(case: lang_corpus.Case, result: oracle.Result) -> bool:
    if case.failure is not None:
        return result.status != 0
    return result.status == 0 and result.stdout == case.expected


def test_every_case_has_one_expectation() -> None:
    wrong = [case.name for case in lang_corpus.find_cases() if (case.expected is None) == (case.failure is None)]
    assert not wrong


def test_no_file_without_a_case() -> None:
    names = {case.name for case in lang_corpus.find_cases()}
    files = (path for path in lang_corpus.FOLDER.glob("*/*.*") if path.parent.name not in ("fixtures", "__pycache__"))
    assert [path.name for path in files if path.relative_to(lang_corpus.FOLDER).with_suffix("").as_posix() not in names] == []


def test_corpus_on_cppnix_226(tmp_path: Path) -> None:
    answers = _answers(_need(oracle.cppnix226()), tmp_path)
    for case in lang_corpus.find_cases():
        if case.name in answers:
            result = answers[case.name]
            assert _is_expected(case, result), f"{case.name}: {result}"
            if case.failure is not None:
                assert lang_corpus.classify(result.stderr) == case.failure, case.name


def test_corpus_on_cppnix_28(tmp_path: Path) -> None:
    answers = _answers(_need(oracle.cppnix28()), tmp_path)
    differences = lang_corpus.read_differences()
    agreeing = {case.name for case in lang_corpus.find_cases() if case.name in answers and _is_expected(case, answers[case.name])}
    assert set(answers) - agreeing == set(differences)


def evaluate_all(run: Run, files: Sequence[Path | str]) -> list[oracle.Result]:
    """The answer for each of `files`, each of which prints one line if it does not fail.

    Each process goes on until the first failure; what it printed until then tells which file that was.
    """
    answers: list[oracle.Result] = []
    while len(answers) < len(files):
        rest = files[len(answers) : len(answers) + BATCH]
        result = run(["--eval", "--strict", *(str(file) for file in rest)])
        # Not splitlines(): strings may hold other separators of lines.
        lines = result.stdout.split("\n")[:-1]
        assert len(lines) == len(rest) if result.status == 0 else len(lines) < len(rest), result.stderr
        answers += [oracle.Result(0, line + "\n", "") for line in lines]
        if result.status != 0:
            answers.append(oracle.Result(result.status, "", result.stderr))
    return answers


def run_ours(folder: Path) -> Run:
    """This project's `nix-instantiate`, over a store in `folder`."""

    def run(arguments: Sequence[str]) -> oracle.Result:
        environment = {**os.environ, "HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
        argv = [lang_corpus.COMMAND, "--store", str(folder / "store"), *arguments]
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=300, check=False)
        return oracle.Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    return run


def test_random_expressions(tmp_path: Path) -> None:
    cppnix = oracle.cppnix226()[0] or _need(oracle.cppnix28())
    if not lang_corpus.COMMAND.exists():
        pytest.skip(f"no command {lang_corpus.COMMAND}")
    seed = int(os.environ.get("NIVALIS_RANDOM_SEED", "1"))
    random = Random(seed)
    files = []
    for number in range(int(os.environ.get("NIVALIS_RANDOM_CASES", "1000"))):
        files.append(tmp_path / f"{number}.nix")
        files[-1].write_text(lang_generator.generate(random) + "\n")
    theirs = evaluate_all(lambda arguments: cppnix.instantiate(arguments, store=tmp_path / "theirs"), files)
    ours = evaluate_all(run_ours(tmp_path / "ours"), files)
    differing = [
        f"{file.read_text()}  CppNix: {their.stdout or their.stderr}\n  here:   {our.stdout or our.stderr}"
        for file, their, our in zip(files, theirs, ours, strict=True)
        if their.stdout != our.stdout
    ]
    assert not differing, f"{len(differing)} of {len(files)} (seed {seed}) differ, among them:\n" + "\n".join(differing[:10])
