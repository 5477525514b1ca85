"""The long tier: `./dev test --all` runs every test with all that a short run leaves out, and writes how it went into the documentation.

A test that takes long, or much over the network, is skipped or short until a variable of the environment asks for more: the real archive, machines
whose plug is pulled, a sweep over hundreds of packages, fuzzing, a whole nixpkgs.  This sets them all (a variable that is set already stays), and
runs pytest twice, at the same time: everything over Debian 12, and over Debian 13 what reads the archive at all.  The page says of the last run
when it was, of which commit, and what passed, failed and was skipped, with the reasons; it is written in either case.  The tests that make a
bare machine (`tests/bare_*.sh`) are not among them: they need an hour and debootstrap each.

Arguments go to pytest; then it is a part of the tier, and what is found is only printed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from benchmarks._bench import describe_commit
from benchmarks._measure import describe_machine

from nivalis._native import remove_tree

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = CHECKOUT / "docs/reference/long-tier.md"

# Variable, value over Debian 12, value over Debian 13, what for.  An empty one is the user's to set.
VARIABLES = (
    ("NIVALIS_DEBIAN", "debian:bookworm", "debian:trixie", "the suite of the tests over the real archive"),
    ("NIVALIS_SWEEP", "300", "150", "packages of the suite that are unpacked and looked at"),
    ("NIVALIS_PLUGS", "20", "2", "how often the plug of a machine is pulled"),
    ("NIVALIS_HYPOTHESIS", "thorough", "thorough", "2000 examples of each property"),
    ("NIVALIS_FUZZ_SECONDS", "300", "5", "how long the language is fuzzed"),
    ("NIVALIS_RANDOM_CASES", "5000", "1000", "random programs, also for CppNix"),
    ("NIVALIS_NIXPKGS", "", "", "a folder with nixpkgs of July 2016, which is never fetched: without it, what needs it is skipped"),
    ("NIVALIS_DEBIAN_STORE", "", "", "a folder for a store that is kept, so that a second run fetches less"),
)
NEEDS = (
    "root, for containers, mounts and build users",
    "a mirror of Debian in apt's sources, and one of PyPI as pip has it",
    "`systemd-nspawn`, `mke2fs`, `debugfs`, `sfdisk`, `ssh` and QEMU, which may emulate, beside what `./dev setup` installs",
    "30 GB in TMPDIR, and some hours",
)


@dataclass(frozen=True)
class Case:
    """One test: its name, and what became of it (`passed`, `failed` or `skipped`), with the message.  `found` is what it has to say."""

    name: str
    outcome: str
    message: str = ""
    found: str = ""


@dataclass(frozen=True)
class Stage:
    """A run of pytest: what is in it, its cases, and how many seconds it took."""

    title: str
    cases: Sequence[Case]
    seconds: float

    def count(self, outcome: str) -> int:
        return sum(case.outcome == outcome for case in self.cases)


def find_archive_tests() -> list[str]:
    """The test modules that read the real archive: all of them name its variable, or what opens it."""
    modules = sorted((CHECKOUT / "tests").rglob("test_*.py"))
    return [str(module) for module in modules if re.search(r"NIVALIS_DEBIAN|\bnixos_machines\b", module.read_text(encoding="utf-8"))]


def run_stage(title: str, values: Mapping[str, str], arguments: Sequence[str]) -> Stage:
    """Run pytest, with what it says on our output, each line with the title, in a folder that goes again.  Raises ChildProcessError."""
    with tempfile.TemporaryDirectory(prefix="long-tier-") as folder:
        scratch = Path(folder)
        # The suite is the stage's, whatever is set.
        environment = {"NIVALIS_DEBIAN_STORE": str(scratch / "store"), **values, **os.environ, "NIVALIS_DEBIAN": values["NIVALIS_DEBIAN"]}
        report = scratch / "report.xml"
        # Of JUnit's forms, the one in which a test can say more than that it passed.
        options = ["-q", f"--junitxml={report}", "-o", "junit_family=xunit1", f"--basetemp={scratch / 't'}"]
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        started = time.monotonic()
        try:
            with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    print(f"{title}: {line}", end="", flush=True)
            status = process.returncode
        finally:
            # Read-only folders, which the standard library's way does not remove.
            for name in ("store", "t"):
                remove_tree(scratch / name)
        # 0: all passed; 1: not all; 5: there was nothing to run.
        if status not in (0, 1, 5):
            raise ChildProcessError(f"{title}: pytest ended with {status}")
        return Stage(title, read_report(report), time.monotonic() - started)


def read_report(report: Path) -> list[Case]:
    """The cases of pytest's report in JUnit's form (https://github.com/testmoapp/junitxml)."""
    return [_read_case(case) for case in ElementTree.parse(report).iter("testcase")]


def _read_case(case: ElementTree.Element) -> Case:
    name = "::".join(part for part in (case.get("classname", ""), case.get("name", "")) if part)
    found = "; ".join(one.get("value", "") for one in case.iter("property") if one.get("name") == "found")
    for tag, outcome in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        for one in case.iter(tag):
            lines = one.get("message", "").splitlines() or [""]
            return Case(name, outcome, lines[0].replace(f"{CHECKOUT}/", ""), found)
    return Case(name, "passed", found=found)


def make_page(stages: Sequence[Stage], commit: str) -> str:
    """The page of a run, for the documentation."""
    lines = [
        "# The long tier",
        "",
        "`./dev test --all` runs every test, also those that take long or fetch much, and writes this page.",
        "",
        f"The last run was on {time.strftime('%Y-%m-%d')}, of commit {commit}, with Python {sys.version.split()[0]}, on {describe_machine()}:",
        "",
        "| | passed | failed | skipped | minutes |",
        "|---|--:|--:|--:|--:|",
        *(f"| {one.title} | {one.count('passed')} | {one.count('failed')} | {one.count('skipped')} | {one.seconds / 60:.0f} |" for one in stages),
        "",
        "The crates' tests passed before.",
    ]
    other = [f"`{name}={os.environ[name]}`" for name, value, *_ in VARIABLES[1:] if value and os.environ.get(name, value) != value]
    if other:
        lines.append(f"Set otherwise than below: {', '.join(other)}.")
    cases = [(stage, case) for stage in stages for case in stage.cases]
    found = [f"- {stage.title}: {case.found}" for stage, case in cases if case.found]
    failed = [f"- {stage.title}: `{case.name}`: {case.message}" for stage, case in cases if case.outcome == "failed"]
    reasons = Counter((stage.title, case.message) for stage, case in cases if case.outcome == "skipped")
    skipped = [f"- {title}: {reason} ({count})" for (title, reason), count in sorted(reasons.items())]
    for title, items in (("What was counted", found), ("What failed", failed), ("What was skipped, and why", skipped)):
        if items:
            lines += ["", f"## {title}", "", *items]
    lines += [
        "",
        "## What it sets",
        "",
        "A variable that is set already stays, but for the suite.",
        "",
        "| variable | over Debian 12 | over Debian 13 | |",
        "|---|---|---|---|",
        *(f"| `{name}` | {' | '.join(f'`{one}`' if one else '' for one in values)} | {text} |" for name, *values, text in VARIABLES),
        "",
        "## What it needs",
        "",
        *(f"- {need}" for need in NEEDS),
        "",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    # Before the first test: a checkout may change in hours.
    commit = describe_commit()
    bookworm, trixie = ({row[0]: row[column] for row in VARIABLES if row[column]} for column in (1, 2))
    has_names = any((CHECKOUT / one.partition("::")[0]).exists() for one in arguments)
    runs = (
        ("every test, over Debian 12", bookworm, arguments),
        ("the archive's tests, over Debian 13", trixie, arguments if has_names else [*arguments, *find_archive_tests()]),
    )
    # One is mostly alone on a processor.
    with ThreadPoolExecutor(len(runs)) as pool:
        try:
            stages = list(pool.map(lambda run: run_stage(*run), runs))
        except ChildProcessError as error:
            sys.exit(str(error))
    page = make_page(stages, commit)
    if arguments:
        print(page)
    else:
        PAGE.write_text(page, encoding="utf-8")
        print(f"written: {PAGE.relative_to(CHECKOUT)}")
    return 1 if any(stage.count("failed") for stage in stages) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
