"""`./dev bench eval`: evaluation beside CppNix 2.8 and 2.26.

Real work first: the Brightbox image of a nixpkgs of July 2016 (NIVALIS_NIXPKGS names its folder; without it those rows are left out).
Every program has a store of its own, in which a run before has put all `.drv` files, so that evaluation is measured and not the disk;
the row "first run" starts with an empty store each time instead.  Then small expressions of one kind each, in benchmarks/eval/.

All programs print the same, or the benchmark stops.  Settings are each program's own defaults, except that sandbox and
substituters are off, which evaluation does not use.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lang_corpus import COMMAND
from tests.oracle import Oracle

from benchmarks._bench import Plan, run_main
from benchmarks._measure import Program
from benchmarks._report import OURS, Row

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
    """The programs, each with its own folder below the plan's, and the rows they are measured in."""

    def __init__(self, plan: Plan, nixpkgs: Path | None) -> None:
        self.plan = plan
        self.peers = plan.peers
        self.nixpkgs = nixpkgs

    def program(self, name: str, arguments: Sequence[str], *, place: str, oracle: Oracle | None = None, cold: bool = False) -> Program:
        """One program with a store below `place`; `cold` empties it, and our cache of evaluations, before each run."""
        root = self.plan.folder / place / name.replace(" ", "-")
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
        warm = self.plan.measure("the Brightbox image", programs)
        cached = {OURS: warm.pop(CACHED)} | {name: figures for name, figures in warm.items() if name != OURS}
        programs = [
            self.program(OURS, arguments, place="first", cold=True),
            *(self.program(f"CppNix {peer.version}", arguments, place="first", oracle=peer, cold=True) for peer in self.peers),
        ]
        first = self.plan.measure("the Brightbox image, first run", programs)
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
        return Row(name, self.plan.measure(name, programs, compare_output=compare_output))


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


def make_rows(plan: Plan) -> list[Row]:
    """Measure everything that is wanted.  Raises BenchmarkError."""
    nixpkgs, reason = find_nixpkgs()
    if reason:
        plan.notes.append(reason)
    bench = Bench(plan, nixpkgs)
    rows: list[Row] = []
    if nixpkgs is not None and plan.is_wanted("image"):
        rows += bench.image_rows(nixpkgs)
    if nixpkgs is not None and plan.is_wanted("parse"):
        rows.append(bench.parse_row(nixpkgs))
    return rows + [bench.case_row(case.stem) for case in sorted(CASES.glob("*.nix")) if plan.is_wanted(case.stem)]


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
    sys.exit(run_main("eval", "Evaluation beside CppNix 2.8 and 2.26.", PAGE, make_rows, COMMAND))
