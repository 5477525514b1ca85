"""Write the expectations of the corpus from the two CppNix.

    python3 tests/lang/regenerate.py [part of a name]...

Both evaluate every case; the answer of 2.26 is kept.  Where 2.8 answers in another way, DIFFERENCES.md must hold a line that
says why; what lacks one is reported, and so is a line that is no longer true.  A case with a `.source` file is left alone:
its expectation is written by hand.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import lang_corpus
import oracle


def main(parts: list[str]) -> int:
    old, reason_old = oracle.cppnix28()
    new, reason_new = oracle.cppnix226()
    if old is None or new is None:
        print(reason_old or reason_new, file=sys.stderr)
        return 1
    cases = [case for case in lang_corpus.find_cases() if case.source is None]
    cases = [case for case in cases if not parts or any(part in case.name for part in parts)]
    differences = lang_corpus.read_differences()

    def run(case: lang_corpus.Case) -> tuple[oracle.Result, oracle.Result]:
        options = {"cwd": lang_corpus.FOLDER, "env": lang_corpus.ENVIRONMENT}
        # With the whole trace an error that was thrown can be told from the others.
        arguments = ["--show-trace", *case.arguments]
        return old.instantiate(arguments, **options), new.instantiate(arguments, **options)

    problems: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for case, (before, now) in zip(cases, pool.map(run, cases), strict=True):
            problems += _write_case(case, now)
            # Of two failures neither the wording nor what was printed before counts.
            differs = (before.stdout if before.status == 0 else None) != (now.stdout if now.status == 0 else None)
            if differs and case.name not in differences:
                said = before.stdout.strip() or before.stderr.strip().splitlines()[-1:]
                is_now = now.stdout.strip() or now.stderr.strip()[-200:]
                problems.append(f"{case.name}: 2.8 answers differently\n    2.8:  {said}\n    2.26: {is_now}")
            if not differs and case.name in differences:
                problems.append(f"{case.name}: in DIFFERENCES.md, but 2.8 answers the same")
    print("\n".join(problems), file=sys.stderr)
    print(f"{len(cases)} cases, {len(problems)} to look at")
    return 1 if problems else 0


def _write_case(case: lang_corpus.Case, result: oracle.Result) -> list[str]:
    exp, err = case.path(".exp"), case.path(".err")
    if str(lang_corpus.FOLDER) in result.stdout:
        return [f"{case.name}: prints the place of the checkout"]
    missing = [line for line in case.stderr if line not in result.stderr]
    problems = [f"{case.name}: stderr lacks {missing}: {result.stderr}"] if missing else []
    if result.status == 0:
        exp.write_text(result.stdout)
        err.unlink(missing_ok=True)
        return problems
    failure = lang_corpus.classify(result.stderr)
    if failure is None:
        return [*problems, f"{case.name}: no class for this error:\n{result.stderr}"]
    err.write_text(f"{failure.code}\n{failure.text}\n")
    exp.unlink(missing_ok=True)
    return problems


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
