"""`./dev bench eval`: evaluation beside CppNix 2.8 and 2.26.

Real work first: the Brightbox image of a nixpkgs of July 2016 (NIVALIS_NIXPKGS names its folder; without it those rows are left out).
Every program has a store of its own, in which a run before has put all `.drv` files, so that evaluation is measured and not the disk;
the row "first run" starts with an empty store each time instead.  Then small expressions of one kind each, in benchmarks/eval/.

All programs print the same, or the benchmark stops.  Settings are each program's own defaults, except that sandbox and
substituters are off, which evaluation does not use.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lang_corpus import COMMAND
from tests.oracle import Oracle, cppnix28, cppnix226

from benchmarks._measure import BenchmarkError, Figures, Program, describe_machine, measure, smallest_memory, warn_if_busy
from benchmarks._report import OURS, Report, Row

CHECKOUT = Path(__file__).resolve().parent.parent
CASES = Path(__file__).resolve().parent / "eval"
CONFIG = "nixos/modules/virtualisation/brightbox-config.nix"
CACHED = "nivalis, cached"

# Files that are no Nix, or use a variable that nothing binds: every program refuses them.
REFUSED = {
    "nixos/tests/mpich.nix",
    "pkgs/applications/misc/tnef/tnef/default.nix",
    "pkgs/build-support/builder-defs/template-auto-callable.nix",
    "pkgs/build-support/builder-defs/template-bdp-uud.nix",
    "pkgs/build-support/builder-defs/template-composing-builder.nix",
    "pkgs/development/interpreters/python/docs/template.nix",
}

GOALS = {"wall": 0.5, "memory": 0.6}
CACHED_GOALS = {"wall": 0.15}


class Bench:
    """The programs, each with its own folder below `folder`, and the rows they are measured in."""

    def __init__(self, folder: Path, peers: Sequence[Oracle], nixpkgs: Path | None, rounds: int) -> None:
        self.folder = folder
        self.peers = peers
        self.nixpkgs = nixpkgs
        self.rounds = rounds

    def program(self, name: str, arguments: Sequence[str], *, place: str, oracle: Oracle | None = None, cold: bool = False) -> Program:
        """One program with a store below `place`; `cold` empties it, and our cache of evaluations, before each run."""
        root = self.folder / place / name.replace(" ", "-")
        home = root / "home"
        home.mkdir(parents=True, exist_ok=True)
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
        if oracle is None:
            argv = [str(COMMAND), "--store", str(root), *arguments]
        else:
            argv = [*oracle.command(), *arguments]
            env |= {**oracle.env, "NIX_REMOTE": f"local?root={root}"}
        if self.nixpkgs is not None:
            env |= {"NIX_PATH": f"nixpkgs={self.nixpkgs}", "NIXOS_CONFIG": str(self.nixpkgs / CONFIG)}
        return Program(name, argv, env, functools.partial(empty, root, home) if cold else None)

    def image_rows(self, nixpkgs: Path) -> list[Row]:
        """The Brightbox image: without our cache, with it, and into an empty store."""
        arguments = [str(nixpkgs / "nixos"), "-A", "config.system.build.brightboxImage", "--argstr", "system", "x86_64-linux"]
        programs = [
            self.program(OURS, ["--no-eval-cache", *arguments], place="image"),
            self.program(CACHED, arguments, place="image"),
            *(self.program(f"CppNix {peer.version}", arguments, place="image", oracle=peer) for peer in self.peers),
        ]
        warm = self._measure("the Brightbox image", programs)
        cached = {OURS: warm.pop(CACHED)} | {name: figures for name, figures in warm.items() if name != OURS}
        programs = [
            self.program(OURS, arguments, place="first", cold=True),
            *(self.program(f"CppNix {peer.version}", arguments, place="first", oracle=peer, cold=True) for peer in self.peers),
        ]
        first = self._measure("the Brightbox image, first run", programs)
        return [
            Row("Brightbox image", warm, GOALS),
            Row("Brightbox image, again, with the cache", cached, CACHED_GOALS),
            Row("Brightbox image, first run, empty store", first),
        ]

    def parse_row(self, nixpkgs: Path) -> Row:
        """Every file of nixpkgs, parsed by one process and shown."""
        # Links are left out: the two would be read twice.
        found = (path for path in nixpkgs.rglob("*.nix") if path.is_file() and not path.is_symlink())
        files = sorted(str(path) for path in found if str(path.relative_to(nixpkgs)) not in REFUSED)
        return self._row(f"parse nixpkgs ({len(files)} files)", ["--parse", *files], compare_output=False)

    def case_row(self, name: str) -> Row:
        """One file of benchmarks/eval."""
        return self._row(name, ["--eval", "--strict", str(CASES / f"{name}.nix")])

    def _row(self, name: str, arguments: Sequence[str], *, compare_output: bool = True) -> Row:
        # The cache is off: what is asked is how fast the evaluator is.
        programs = [
            self.program(OURS, ["--no-eval-cache", *arguments], place="cases"),
            *(self.program(f"CppNix {peer.version}", arguments, place="cases", oracle=peer) for peer in self.peers),
        ]
        return Row(name, self._measure(name, programs, compare_output=compare_output))

    def _measure(self, name: str, programs: Sequence[Program], compare_output: bool = True) -> dict[str, Figures]:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            return measure(programs, self.rounds, self.folder, compare_output=compare_output)
        except BenchmarkError as error:
            raise BenchmarkError(f"{name}: {error}") from None


def empty(root: Path, home: Path) -> None:
    """Remove all below `root`, and wait until the disk has it."""
    shutil.rmtree(root)
    home.mkdir(parents=True)
    # What the removal leaves to be written must not fall into the time of the next run.
    os.sync()


def find_nixpkgs() -> tuple[Path | None, str]:
    """The nixpkgs of July 2016, or None and the reason."""
    named = os.environ.get("NIVALIS_NIXPKGS")
    if not named:
        return None, "without the rows of nixpkgs: NIVALIS_NIXPKGS does not name its folder"
    folder = Path(named).resolve()
    if not (folder / CONFIG).exists():
        return None, f"without the rows of nixpkgs: NIVALIS_NIXPKGS has no {CONFIG}"
    return folder, ""


def describe_commit() -> str:
    """The commit of the checkout, with `+` where files have been changed since."""
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty=+", "--exclude=*"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def run_bench(folder: Path, rounds: int, only: Sequence[str]) -> Report:
    """Measure everything, or only the rows whose names contain one of `only`.  Raises BenchmarkError."""
    found = [cppnix28(), cppnix226()]
    peers = [peer for peer, _ in found if peer is not None]
    left_out = [reason for peer, reason in found if peer is None]
    if not peers:
        raise BenchmarkError("no peer: " + "; ".join(left_out))
    nixpkgs, reason = find_nixpkgs()
    left_out += [reason] if reason else []
    bench = Bench(folder, peers, nixpkgs, rounds)
    # Before the first run: a benchmark takes minutes, in which a checkout may change.
    load, commit = os.getloadavg()[0], describe_commit()

    def is_wanted(name: str) -> bool:
        return not only or any(part in name for part in only)

    rows: list[Row] = []
    if nixpkgs is not None and is_wanted("image"):
        rows += bench.image_rows(nixpkgs)
    if nixpkgs is not None and is_wanted("parse"):
        rows.append(bench.parse_row(nixpkgs))
    rows += [bench.case_row(case.stem) for case in sorted(CASES.glob("*.nix")) if is_wanted(case.stem)]
    if not rows:
        raise BenchmarkError("; ".join(["no row to measure", *left_out]))
    smallest = min(figures.memory for row in rows for figures in row.figures.values())
    if smallest <= smallest_memory():
        left_out.append("peaks below that of the measuring process cannot be seen")
    versions = ", ".join(f"CppNix {peer.version}" for peer in peers)
    return Report(
        rows,
        [
            f"{time.strftime('%Y-%m-%d')}, nivalis at commit {commit}, Python {sys.version.split()[0]}, beside {versions}.",
            f"{describe_machine()}; load {load:.1f} before the first run.",
            f"Median of {rounds} rounds after one to warm up, all programs in turn. Spread: from the fastest run of a program to its slowest, "
            "in parts of the median; of the least even program.",
            *left_out,
        ],
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench eval", description="Evaluation beside CppNix 2.8 and 2.26.")
    parser.add_argument("--rounds", type=int, default=7, help="counted runs of each program, at least 5 (7)")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="only rows whose names contain PART; may be repeated")
    parser.add_argument("--json", action="store_true", help="print every run, as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the page of the documentation")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("a median of fewer than 5 runs says little")
    if not COMMAND.exists():
        parser.error(f"no command {COMMAND}")
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="nivalis-bench-", ignore_cleanup_errors=True) as folder:
        try:
            report = run_bench(Path(folder), options.rounds, options.only)
        except BenchmarkError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(report.json() if options.json else report.text())
    if options.markdown is not None:
        options.markdown.write_text(PAGE + report.markdown())
    return 0


PAGE = """\
# Evaluation, measured

How long evaluation takes and how much memory it needs, beside CppNix 2.8 (Debian 12) and 2.26 (Debian 13) on the same machine in
the same run. A ratio is ours divided by the better of the two, in each table for itself. Python is part of our time and memory.

```sh
NIVALIS_NIXPKGS=/path/to/nixpkgs ./dev bench eval --markdown docs/reference/benchmarks-eval.md
```

The nixpkgs is that of July 2016 (commit 3f53280 of ericbmerritt/nixpkgs). *Brightbox image* is what
`nix-instantiate nixos -A config.system.build.brightboxImage` does with its `brightbox-config.nix`; all `.drv` files are in each
program's store already, except for the first run. *Again, with the cache* compares our second evaluation with theirs. The other rows
are the files of `benchmarks/eval/`, evaluated without a cache; *startup* is what starting a program costs, and part of each of them.

"""


if __name__ == "__main__":
    sys.exit(main())
