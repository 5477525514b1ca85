"""`./dev bench cache`: closures into a file cache and back over HTTP, beside CppNix 2.8 and 2.26.

Every program has a store and a cache of its own below the temporary folder (TMPDIR's), made anew before each run, and remembers nothing of
the run before.  The server runs on loopback and has all files in memory; with a delay, each of its answers leaves that much
after its request has come, as over a line with so long a way (connecting is not delayed; kernels without netem can do so, too).

The profile is made by `nix-env --install` of two packages whose 3000 files end in one folder of links, in a store without it, and becomes the current
one by that.

All fetch by `nix-store --realise`.  CppNix's `nix copy`, which fetches in another way, has a row of its own, beside the same command of ours.  With
the delay both are left out, and so is CppNix 2.8: it takes 30 ms for each path, a minute for all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.oracle import Oracle

from benchmarks._bench import CHECKOUT, Plan, run_main
from benchmarks._measure import BenchmarkError, Program, check_run
from benchmarks._report import OURS, Row

COMMAND = CHECKOUT / ".venv/bin/nix-store"
SCRIPTS = Path(__file__).resolve().parent / "cache"
DELAY = 0.02
# ... which is left out where there is one.
TOO_SLOW = "2.8"

BARE = {"wall": 1.0}
DELAYED = {"wall": 0.3}


@dataclass(frozen=True)
class Closure:
    """A closure in a store: so many paths of so many bytes."""

    name: str
    count: int
    size: int


SMALL = Closure("2000 small paths", 2000, 6_000)
LARGE = Closure("4 paths of 96 MiB", 4, 96 << 20)
LINKS = 3000


class Bench:
    """The programs, and the rows they are measured in."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def rows(self) -> list[Row]:
        """All that are wanted.  Raises BenchmarkError."""
        table: list[tuple[str, Callable[[str], Row]]] = [
            (f"push {SMALL.name}, none", partial(self.push_row, SMALL, "none")),
            (f"push {SMALL.name}, xz", partial(self.push_row, SMALL, "xz")),
            (f"push {LARGE.name}, none", partial(self.push_row, LARGE, "none")),
            (f"push {LARGE.name}, zstd", partial(self.push_row, LARGE, "zstd")),
            (f"fetch {SMALL.name} from a folder", partial(self.fetch_row, SMALL, None, "realise")),
            (f"fetch {SMALL.name}", partial(self.fetch_row, SMALL, 0, "realise")),
            (f"fetch {SMALL.name}, nix copy", partial(self.fetch_row, SMALL, 0, "copy")),
            (f"fetch {LARGE.name}", partial(self.fetch_row, LARGE, 0, "realise")),
            (f"fetch {SMALL.name}, 20 ms of delay", partial(self.fetch_row, SMALL, DELAY, "realise")),
            (f"switch to a profile of {LINKS} links", self.profile_row),
        ]
        return [make(name) for name, make in table if self.plan.is_wanted(name)]

    # ---- the rows ----

    def push_row(self, closure: Closure, compression: str, name: str) -> Row:
        store, top = self.make_store(closure)
        programs = []
        for peer in (None, *self.plan.peers):
            cache = self.folder("caches") / _name(peer).replace(" ", "-")
            address = f"file://{cache}?compression={compression}"
            if peer is None:
                argv = [str(COMMAND.with_name("nivalis")), "cache", "push", "--quiet", address, top]
            else:
                argv = [*peer.command("nix"), "--extra-experimental-features", "nix-command", "copy", "--to", address, top]
            programs.append(self.program(peer, argv, store, partial(remove, cache)))
        return Row(name, self.plan.measure(name, programs, compare_output=False), BARE)

    def fetch_row(self, closure: Closure, delay: float | None, how: str, name: str) -> Row:
        """Over HTTP with so many seconds of delay; None: not over HTTP."""
        _, top = self.make_store(closure)
        with self.serve(self.make_cache(closure), delay) as address:
            programs = []
            for peer in (None, *(peer for peer in self.plan.peers if not delay or peer.version != TOO_SLOW)):
                root = self.folder("roots") / _name(peer).replace(" ", "-")
                argv = ["--realise", top, "--option", "substituters", address, "--option", "require-sigs", "false"]
                if peer is None:
                    argv = [str(COMMAND), *argv]
                elif how == "realise":
                    argv = [*peer.command("nix-store"), *argv]
                else:
                    argv = [*peer.command("nix"), "--extra-experimental-features", "nix-command", "copy", "--no-check-sigs", "--from", address, top]
                programs.append(self.program(peer, argv, root, partial(self.forget, root)))
            return Row(name, self.plan.measure(name, programs, compare_output=False), DELAYED if delay else BARE)

    def profile_row(self, name: str) -> Row:
        trees = []
        for package in ("one-1", "two-1"):
            tree = self.folder("trees") / package / "bin"
            tree.mkdir(parents=True)
            for number in range(LINKS // 2):
                (tree / f"{package}-{number}").write_text(package)
            trees.append(str(tree.parent))
        place = self.folder("profile")
        # Not under another root: CppNix looks into the profile that it replaces by what its links say.
        own = {"NIX_STORE_DIR": f"{place}/store", "NIX_STATE_DIR": f"{place}/var", "NIX_LOG_DIR": f"{place}/log", "NIX_REMOTE": ""}
        paths: list[str] = []

        def prepare() -> None:
            remove(place)
            place.mkdir()
            added = check_run([str(COMMAND), "--add", *trees], {**self.environment(None), **own})
            paths[:] = added.split()

        prepare()
        programs = []
        for peer in (None, *self.plan.peers):
            command = [str(COMMAND.with_name("nix-env"))] if peer is None else peer.command("nix-env")
            argv = [*command, "--profile", f"{place}/var/profiles/p", "--install", *paths]
            programs.append(Program(_name(peer), argv, {**self.environment(peer), **own}, prepare=prepare))
        figures = self.plan.measure(name, programs, compare_output=False)
        if len(os.listdir(place / "var/profiles/p/bin")) != LINKS:
            raise BenchmarkError(f"{name}: the profile has not all links")
        return Row(name, figures, BARE)

    # ---- the programs ----

    def program(self, oracle: Oracle | None, argv: Sequence[str], root: Path, prepare: Callable[[], None]) -> Program:
        return Program(_name(oracle), argv, {**self.environment(oracle), "NIX_REMOTE": f"local?root={root}"}, prepare=prepare)

    def environment(self, oracle: Oracle | None) -> dict[str, str]:
        """What a program sees, but for its store."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder("home")), "LC_ALL": "C.UTF-8"}
        return env | ({"NIX_CONF_DIR": str(self.folder("empty"))} if oracle is None else dict(oracle.env))

    def forget(self, root: Path) -> None:
        remove(root)
        remove(self.folder("home") / ".cache")

    # ---- what they work on ----

    def make_store(self, closure: Closure) -> tuple[Path, str]:
        """A store with the closure, and its top."""
        store, top = self.plan.folder / f"store-{closure.count}", self.plan.folder / f"top-{closure.count}"
        if not top.exists():
            argv = [sys.executable, str(SCRIPTS / "fill.py"), str(store), str(closure.count), str(closure.size)]
            top.write_text(check_run(argv).strip())
        return store, top.read_text()

    def make_cache(self, closure: Closure) -> Path:
        store, top = self.make_store(closure)
        cache = self.plan.folder / f"cache-{closure.count}"
        if not cache.exists():
            compression = "zstd" if closure is LARGE else "xz"
            address = f"{cache}?compression={compression}"
            check_run([str(COMMAND.with_name("nivalis")), "cache", "push", "--quiet", "--store", f"local?root={store}", address, top])
        return cache

    @contextmanager
    def serve(self, cache: Path, delay: float | None) -> Iterator[str]:
        if delay is None:
            yield f"file://{cache}"
            return
        with subprocess.Popen([sys.executable, str(SCRIPTS / "server.py"), str(cache), str(delay)], stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
            finally:
                server.kill()

    def folder(self, name: str) -> Path:
        place = self.plan.folder / name
        place.mkdir(exist_ok=True)
        return place


def _name(oracle: Oracle | None) -> str:
    return OURS if oracle is None else f"CppNix {oracle.version}"


def remove(place: Path) -> None:
    """Remove a store, whose folders are read-only, or a cache."""
    if place.exists():
        check_run(["chmod", "-R", "u+w", str(place)])
        shutil.rmtree(place)


PAGE = """\
# Binary caches, measured

Copying closures into a binary cache and back, beside CppNix 2.8 (Debian 12) and 2.26 (Debian 13) on the same machine in the same run. A ratio is
ours divided by the better of the two, in each table for itself. Python is part of our time and memory.

```sh
TMPDIR=/dev/shm ./dev bench cache --markdown docs/reference/benchmarks-cache.md
```

Everything lies in memory (some 3 GB of it), so that programs are measured and no disk; `TMPDIR` chooses. The small paths are folders of three files
and refer to three others each. *From a folder* is a `file://` cache; all other rows fetch over HTTP on loopback, by `nix-store --realise` or,
where it says so, by `nix copy`. With *20 ms of delay* each answer of the server leaves so much later; connecting is not delayed, and CppNix 2.8 is
left out, which takes about a minute there. *Switch to a profile* is `nix-env --install` of two packages of 1500 files each. The goal is 1.0
everywhere, and 0.3 with the delay.

Left out: TLS, HTTP/2, checking signatures (all run without), links that lose packets or are slow, and disks.

"""


def main() -> int:
    return run_main("cache", "Closures into a cache and back, beside CppNix.", PAGE, lambda plan: Bench(plan).rows(), COMMAND)


if __name__ == "__main__":
    sys.exit(main())
