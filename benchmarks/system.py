"""`./dev bench system`: a machine from its configuration, beside CppNix where it does the same.

The configuration is that of a cloud server whose image has been given a web server (`benchmarks/system/server.nix`).  What it is made from comes
from the mirrors that this machine is set to use, once, before anything is measured; then all is on this machine.

- *Evaluation*: its toplevel's derivation, which CppNix finds to be the same; all `.drv` files are there.  Again: with what the first one has left.
- *Toplevel*: the packages are in the store, and nothing else.  After the image: what the server's image has is there too.
- *Switch*: on a running machine, from one system to another that differs in one service.  Rebuilding: the same by `nixos-rebuild switch`, so
  evaluated before, and found to be built.
- *Plan*: of that change, by `nivalis plan` on the running machine.  Again: a rebuild after it finds the evaluation done as well.

The running machine is a container of systemd-nspawn, which needs root; its own nivalis evaluates and plans.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.oracle import Oracle

from benchmarks._bench import CHECKOUT, Plan, run_main
from benchmarks._measure import BenchmarkError, Program, check_run
from benchmarks._report import OURS, Row

BIN = CHECKOUT / ".venv/bin"
SCRIPTS = Path(__file__).resolve().parent / "system"
SUITE = "bookworm"
# As `nix-build` is asked.
WANTED = ["<nixpkgs/nixos>", "-A", "system"]
UNCACHED = ["--option", "eval-cache", "false"]
# What a login on the container has.
INSIDE = {"PATH": "/run/wrappers/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin", "HOME": "/root", "LC_ALL": "C.UTF-8"}


class Bench:
    """The programs, and the rows they are measured in."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.data = plan.folder / "data"
        self.empty = plan.folder / "empty"
        self._leader = ""

    def rows(self) -> list[Row]:
        """All that are wanted.  Raises BenchmarkError."""
        on_host: list[tuple[str, Callable[[str], Row]]] = [
            ("evaluation", self.evaluation_row),
            ("evaluation, again, with the cache", self.evaluation_row),
            ("toplevel", self.toplevel_row),
            ("toplevel, after the image", self.toplevel_row),
        ]
        on_machine: list[tuple[str, Callable[[str], Row]]] = [
            ("switch, one service changed", self.switch_row),
            ("rebuilding, one service changed", self.switch_row),
            ("plan, one service changed", self.plan_row),
            ("plan, again, with the cache", self.plan_row),
        ]
        on_host, on_machine = ([(name, make) for name, make in table if self.plan.is_wanted(name)] for table in (on_host, on_machine))
        if on_machine and os.geteuid() != 0:
            self.plan.notes.append("without the rows of the running machine: systemd-nspawn needs root")
            on_machine = []
        if not on_host and not on_machine:
            return []
        print("building systems ...", file=sys.stderr, flush=True)
        self.data.mkdir()
        self.empty.mkdir()
        check_run([sys.executable, str(SCRIPTS / "prepare.py"), str(self.data), SUITE])
        rows = [make(name) for name, make in on_host]
        with ExitStack() as stack:
            if on_machine:
                self._leader = stack.enter_context(self.machine())
            return rows + [make(name) for name, make in on_machine]

    # ---- the rows ----

    def evaluation_row(self, name: str) -> Row:
        is_cached = name.endswith("cache")
        programs = []
        for peer in (None, *self.plan.peers):
            # CppNix has no such cache.
            words = [] if peer is not None or is_cached else ["--no-eval-cache"]
            command = [str(BIN / "nix-instantiate")] if peer is None else peer.command("nix-instantiate")
            place = self.plan.folder / f"evaluated-{'ours' if peer is None else peer.version}"
            programs.append(Program(_name(peer), [*command, *words, *WANTED], self.environment(place, peer)))
        return Row(name, self.plan.measure(name, programs), limits={"wall": 0.5})

    def toplevel_row(self, name: str) -> Row:
        paths = self.found()["added" if name.endswith("image") else "made"]
        store = self.data / "store"
        environment = self.environment(store)

        def prepare() -> None:
            present = [path for path in paths if os.path.lexists(f"{store}{path}")]
            # What is evaluated, and other systems, may have what is to be gone.
            users = check_run([str(BIN / "nix-store"), "--query", "--referrers-closure", *present], environment).split()
            outputs = [path for path in users if not path.endswith(".drv")]
            # Set aside, not deleted: ext4 without a journal is slow to give an inode again that was in use a minute ago.
            aside = Path(tempfile.mkdtemp(dir=self.plan.folder))
            for path in outputs:
                os.rename(f"{store}{path}", aside / os.path.basename(path))
            check_run([str(BIN / "nix-store"), "--delete", "--ignore-liveness", *outputs], environment)
            os.sync()

        argv = [str(BIN / "nix-build"), *WANTED, "--no-out-link", "--max-jobs", "auto", "--option", "substitute", "false"]
        figures = self.plan.measure(name, [Program(OURS, argv, environment, prepare)], compare_output=False)
        return Row(f"{name}: {len(paths)} derivations built", figures, limits={"wall": 5.0})

    def switch_row(self, name: str) -> Row:
        found = self.found()

        def switch(which: str) -> list[str]:
            return [f"{found[which]}/bin/switch-to-configuration", "switch"]

        words = switch("new") if name.startswith("switch") else ["nixos-rebuild", "switch", *UNCACHED]
        program = dataclasses.replace(self.inside(words), prepare=lambda: self.run_inside(switch("old")))
        limits = {"wall": 2.0} if name.startswith("switch") else {}
        return Row(name, self.plan.measure(name, [program], compare_output=False), limits=limits)

    def plan_row(self, name: str) -> Row:
        self.run_inside([f"{self.found()['old']}/bin/switch-to-configuration", "switch"])
        words = [] if name.endswith("cache") else UNCACHED
        return Row(name, self.plan.measure(name, [self.inside(["nivalis", "plan", *words])]), limits={"wall": 1.0})

    # ---- what they work on ----

    def found(self) -> dict[str, Any]:
        """What `prepare.py` says of what it has made."""
        found: dict[str, Any] = json.loads((self.data / "set.json").read_text())
        return found

    def environment(self, store: Path, oracle: Oracle | None = None) -> dict[str, str]:
        """What a program sees that works with `store`."""
        snapshot = f"{self.data}/store{self.found()['snapshot']}"
        search = {"nixpkgs": self.data / "channel", "debian-snapshot": snapshot, "nixos-config": SCRIPTS / "server.nix"}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.empty), "LC_ALL": "C.UTF-8", "NIX_CONF_DIR": str(self.empty)}
        env |= {} if oracle is None else oracle.env
        return env | {"NIX_REMOTE": f"local?root={store}", "NIX_PATH": _search_path(search)}

    def inside(self, words: Sequence[str]) -> Program:
        """A program of the running machine's own."""
        search = {"nixpkgs": "/bench/channel", "debian-snapshot": self.found()["snapshot"], "nixos-config": "/bench/new.nix"}
        settings = (f"{name}={text}" for name, text in (INSIDE | {"NIX_PATH": _search_path(search)}).items())
        enter = ["/usr/bin/nsenter", "-t", self._leader, *(f"-{letter}" for letter in "muinpCrw")]
        return Program(OURS, [*enter, "/usr/bin/env", "-i", *settings, *words], {})

    def run_inside(self, words: Sequence[str]) -> None:
        check_run(self.inside(words).argv)

    @contextmanager
    def machine(self) -> Iterator[str]:
        """The container; its first process."""
        # The rows of the toplevel have removed much of them.
        words = [str(BIN / "nix-store"), "--realise", *self.found()["containers"], "--option", "substitute", "false"]
        check_run(words, self.environment(self.data / "store"))
        argv = [sys.executable, str(SCRIPTS / "machine.py"), str(self.data), self.found()["old"]]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            leader = process.stdout.readline().strip()
            if not leader:
                raise BenchmarkError("the machine does not start")
            try:
                yield leader
            finally:
                process.stdin.close()


def _name(oracle: Oracle | None) -> str:
    return OURS if oracle is None else f"CppNix {oracle.version}"


def _search_path(entries: dict[str, Any]) -> str:
    return ":".join(f"{name}={place}" for name, place in entries.items())


PAGE = """\
# Systems, measured

Made by `./dev bench system --markdown docs/reference/benchmarks-system.md`, as root, on a disk; what is measured stands at the top of
`benchmarks/system.py`. Of switches, processor time is without that of the service manager: compare the wall time.

"""


def main() -> int:
    return run_main("system", "Systems: evaluated, built, planned and switched to.", PAGE, lambda plan: Bench(plan).rows(), BIN / "nivalis")


if __name__ == "__main__":
    sys.exit(main())
