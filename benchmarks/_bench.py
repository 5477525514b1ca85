"""What every benchmark shares: the peers, the command line, and what has to be said of a run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.oracle import Oracle, cppnix28, cppnix226

from benchmarks._measure import BenchmarkError, Figures, Program, describe_machine, measure, smallest_memory, warn_if_busy
from benchmarks._report import Report, Row

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Plan:
    """What a run is to measure, and where: `only` are parts of the names of rows, none for all."""

    folder: Path
    peers: Sequence[Oracle]
    rounds: int
    only: Sequence[str]
    # What was left out, and other things that a reader has to know.
    notes: list[str] = field(default_factory=list)
    # Names and versions of peers that are no CppNix.
    others: list[str] = field(default_factory=list)

    def is_wanted(self, name: str) -> bool:
        return not self.only or any(part in name for part in self.only)

    def measure(self, name: str, programs: Sequence[Program], *, compare_output: bool = True) -> dict[str, Figures]:
        """The figures of a row.  Raises BenchmarkError."""
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            return measure(programs, self.rounds, self.folder, compare_output=compare_output)
        except BenchmarkError as error:
            raise BenchmarkError(f"{name}: {error}") from None


def run_bench(plan: Plan, make_rows: Callable[[Plan], list[Row]]) -> Report:
    """Measure, and say what has to be known of it.  Raises BenchmarkError."""
    # Before the first run: a benchmark takes minutes, in which a checkout may change.
    load, commit = os.getloadavg()[0], describe_commit()
    rows = make_rows(plan)
    if not rows:
        raise BenchmarkError("; ".join(["no row to measure", *plan.notes]))
    smallest = min(figures.memory for row in rows for figures in row.figures.values())
    if smallest <= smallest_memory():
        plan.notes.append("peaks below that of the measuring process cannot be seen")
    versions = ", ".join([*(f"CppNix {peer.version}" for peer in plan.peers), *plan.others]) or "no peer"
    return Report(
        rows,
        [
            f"{time.strftime('%Y-%m-%d')}, nivalis at commit {commit}, Python {sys.version.split()[0]}, beside {versions}.",
            f"{describe_machine()}; load {load:.1f} before the first run.",
            f"Median of {plan.rounds} rounds after one to warm up, all programs in turn. Spread: from the fastest run of a program to its slowest, "
            "in parts of the median; of the least even program.",
            *plan.notes,
        ],
    )


def describe_commit() -> str:
    """The commit of the checkout, with `+` where files have been changed since."""
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty=+", "--exclude=*"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def run_main(name: str, description: str, page: str, make_rows: Callable[[Plan], list[Row]], command: Path, *, beside_cppnix: bool = True) -> int:
    """The program of the benchmark `name`; `page` is what stands before the tables in the documentation."""
    parser = argparse.ArgumentParser(prog=f"./dev bench {name}", description=description)
    parser.add_argument("--rounds", type=int, default=7, help="counted runs of each program, at least 5 (7)")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="only rows whose names contain PART; may be repeated")
    parser.add_argument("--json", action="store_true", help="print every run, as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the page of the documentation")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("a median of fewer than 5 runs says little")
    if not command.exists():
        parser.error(f"no command {command}")
    warn_if_busy()
    found = [cppnix28(), cppnix226()] if beside_cppnix else []
    peers = [peer for peer, _ in found if peer is not None]
    missing = [reason for peer, reason in found if peer is None]
    with tempfile.TemporaryDirectory(prefix="nivalis-bench-", ignore_cleanup_errors=True) as folder:
        try:
            if beside_cppnix and not peers:
                raise BenchmarkError("no peer: " + "; ".join(missing))
            report = run_bench(Plan(Path(folder), peers, options.rounds, options.only, missing), make_rows)
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(report.json() if options.json else report.text())
    if options.markdown is not None:
        options.markdown.write_text(page + report.markdown())
    return 0
