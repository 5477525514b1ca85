"""`./dev bench debian`: Debian's packages, beside apt, mmdebstrap and CppNix.

What is worked on comes from the mirrors that this machine is set to use, once, before anything is measured; then all is on this machine.  The
packages are what a server may have (`benchmarks/debian/prepare.py`), with all that they need: some 200.

- *Index update*: from nothing, over HTTP on loopback, signatures and hashes checked.  Ours makes the snapshot; apt has its lists and its cache.
- *Closure*: the .debs are there.  Ours ends with valid store paths, mmdebstrap with a tar of a system of the same packages, for which it runs their
  maintainer scripts.
- *Evaluation* is of one package, and again with what the first one has left; CppNix has no such thing left by itself.
- *Shell*: the packages are there, and so is what an earlier start has left.

mmdebstrap and apt run as root.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.oracle import Oracle

from benchmarks._bench import CHECKOUT, Plan, run_main
from benchmarks._measure import BenchmarkError, Program, check_run
from benchmarks._report import OURS, Row

BIN = CHECKOUT / ".venv/bin"
SCRIPTS = Path(__file__).resolve().parent
SUITE = "bookworm"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SHELL = ["curl", "git", "python3"]


class Bench:
    """The programs, and the rows they are measured in."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.data = plan.folder / "data"

    def rows(self) -> list[Row]:
        """All that are wanted.  Raises BenchmarkError."""
        table: list[tuple[str, Callable[[str], Row]]] = [
            ("index update: main, updates, security", self.index_row),
            ("closure of {count} packages from .debs", self.closure_row),
            ("evaluation of one package", self.evaluation_row),
            ("evaluation of one package, again", self.evaluation_row),
            ("shell of three packages", self.shell_row),
        ]
        wanted = [(name, make) for name, make in table if self.plan.is_wanted(name)]
        if wanted:
            print("fetching packages ...", file=sys.stderr, flush=True)
            self.data.mkdir()
            check_run([sys.executable, str(SCRIPTS / "debian/prepare.py"), str(self.data), SUITE], os.environ | {"PYTHONPATH": str(CHECKOUT)})
        return [make(name) for name, make in wanted]

    # ---- the rows ----

    def index_row(self, name: str) -> Row:
        root, home, apt = self.plan.folder / "root", self.plan.folder / "home", self.plan.folder / "apt"
        with self.serve(self.data / "mirror") as address:
            env = self.environment(None) | {"HOME": str(home), "NIX_REMOTE": f"local?root={root}"}

            def prepare() -> None:
                remove(root)
                remove(home)
                home.mkdir()
                check_run([str(BIN / "nivalis"), "channel", "add", "nixpkgs", f"debian:{SUITE}", "--mirror", f"{address}/debian"], env)

            def prepare_apt() -> None:
                remove(apt)
                for place in ("lists/partial", "cache/archives/partial", "etc"):
                    (apt / place).mkdir(parents=True)
                lines = [
                    f"deb [signed-by={KEYRING}] {address}/debian{archive} {SUITE}{pocket} main"
                    for archive, pocket in (("", ""), ("", "-updates"), ("-security", "-security"))
                ]
                (apt / "etc/sources.list").write_text("\n".join(lines) + "\n")
                # Read before the machine's own configuration, which it leaves out.
                options = {
                    "Dir::Etc::main": "/dev/null",
                    "Dir::Etc::parts": "/dev/null",
                    "Dir::Etc::sourceparts": "/dev/null",
                    "Dir::Etc::sourcelist": f"{apt}/etc/sources.list",
                    "Dir::State::lists": f"{apt}/lists",
                    "Dir::Cache": f"{apt}/cache",
                    "Acquire::Languages": "none",
                    "APT::Sandbox::User": "root",
                }
                (apt / "etc/apt.conf").write_text("".join(f'{key} "{text}";\n' for key, text in options.items()))

            programs = [
                Program(OURS, [str(BIN / "nix-channel"), "--update"], env, prepare=prepare),
                Program("apt", [tool("apt-get"), "update"], self.environment(None) | {"APT_CONFIG": f"{apt}/etc/apt.conf"}, prepare=prepare_apt),
            ]
            return Row(name, self.plan.measure(name, programs, compare_output=False), limits={"wall": 3.0})

    def closure_row(self, name: str) -> Row:
        found = self.found()
        root, tree = self.plan.folder / "root", self.plan.folder / "tree.tar"
        argv = [str(BIN / "nix-store"), "--realise", *found["derivations"], "--max-jobs", "auto"]
        bootstrap = [
            *(tool("mmdebstrap"), "--mode=root", "--variant=essential", "--quiet", f"--include={','.join(found['apt'])}"),
            *(SUITE, str(tree), f"deb [trusted=yes] copy:{self.data}/flat ./"),
        ]
        programs = [
            Program(OURS, argv, self.environment(None) | {"NIX_REMOTE": f"local?root={root}"}, prepare=lambda: self.make_root(root)),
            Program("mmdebstrap", bootstrap, self.environment(None) | {"TMPDIR": str(self.plan.folder)}, prepare=lambda: remove(tree)),
        ]
        figures = self.plan.measure(name, programs, compare_output=False)
        remove(tree)
        return Row(name.format(count=len(found["packages"])), figures, {"wall": 0.3})

    def evaluation_row(self, name: str) -> Row:
        channel = self.make_channel()
        home = self.plan.folder / "home"
        programs = []
        for peer in (None, *self.plan.peers):
            command = [str(BIN / "nix-instantiate")] if peer is None else peer.command("nix-instantiate")
            place = self.plan.folder / f"evaluated-{'ours' if peer is None else peer.version}"
            env = self.environment(peer) | {"NIX_REMOTE": f"local?root={place}", "NIX_PATH": f"debian={channel}", "HOME": str(home)}

            def prepare() -> None:
                home.mkdir(exist_ok=True)
                if not name.endswith("again"):
                    remove(home / ".cache")

            programs.append(Program(_name(peer), [*command, "-E", "(import <debian> { }).curl"], env, prepare=prepare))
        return Row(name, self.plan.measure(name, programs))

    def shell_row(self, name: str) -> Row:
        root = self.plan.folder / "root"
        self.make_root(root)
        home = self.plan.folder / "home"
        home.mkdir(exist_ok=True)
        env = self.environment(None) | {"NIX_REMOTE": f"local?root={root}", "NIX_PATH": f"nixpkgs={self.make_channel()}", "HOME": str(home)}
        argv = [str(BIN / "nivalis"), "shell", *SHELL, "--command", "git --version"]
        return Row(name, self.plan.measure(name, [Program(OURS, argv, env)], compare_output=False), limits={"wall": 0.5})

    # ---- what they work on ----

    def found(self) -> dict[str, Any]:
        """What `prepare.py` says of what it has made."""
        found: dict[str, Any] = json.loads((self.data / "set.json").read_text())
        return found

    def make_root(self, root: Path) -> None:
        """A store with the .debs and the derivations."""
        remove(root)
        shutil.copytree(self.data / "store", root, symlinks=True, copy_function=_link)

    def make_channel(self) -> Path:
        """The channel's files, beside the snapshot, as `nix-channel --update` leaves them."""
        place = self.plan.folder / "channel"
        if not place.exists():
            shutil.copytree(CHECKOUT / "channel", place)
            (place / "snapshot").symlink_to(f"{self.data}/store{self.found()['snapshot']}")
        return place

    @contextmanager
    def serve(self, folder: Path) -> Iterator[str]:
        with subprocess.Popen([sys.executable, str(SCRIPTS / "cache/server.py"), str(folder), "0"], stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
            finally:
                server.kill()

    def environment(self, oracle: Oracle | None) -> dict[str, str]:
        """What a program sees, but for its store."""
        empty = self.plan.folder / "empty"
        empty.mkdir(exist_ok=True)
        env = {"PATH": os.environ["PATH"], "HOME": str(empty), "LC_ALL": "C.UTF-8", "NIX_CONF_DIR": str(empty)}
        return env if oracle is None else env | dict(oracle.env)


def _name(oracle: Oracle | None) -> str:
    return OURS if oracle is None else f"CppNix {oracle.version}"


def _link(source: str, target: str) -> None:
    """What is in the store never changes; its database does."""
    if "/nix/store/" in source:
        os.link(source, target, follow_symlinks=False)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def tool(name: str) -> str:
    """Where a program of Debian's is.  Raises BenchmarkError."""
    place = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if place is None:
        raise BenchmarkError(f"there is no {name}: `apt-get install {name}` brings it")
    return place


def remove(place: Path) -> None:
    """Remove a file, or a tree with folders that are read-only."""
    if place.is_dir():
        check_run(["chmod", "-R", "u+w", str(place)])
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


PAGE = """\
# Debian's packages, measured

Made by `TMPDIR=/dev/shm ./dev bench debian --markdown docs/reference/benchmarks-debian.md`, as root; what is measured stands at the top of
`benchmarks/debian.py`. All lies in memory (some 4 GB of it). Of the closure, our processor time
is without that in sandboxes, for which bubblewrap does not wait: compare the wall time.

"""


def main() -> int:
    return run_main("debian", "Debian's packages, beside apt, mmdebstrap and CppNix.", PAGE, lambda plan: Bench(plan).rows(), BIN / "nivalis")


if __name__ == "__main__":
    sys.exit(main())
