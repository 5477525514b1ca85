"""`./dev bench store`: the store and sandboxed builds beside CppNix 2.8 and 2.26.

Every program has folders of its own below the temporary folder, TMPDIR's: /dev/shm for what the programs cost, a folder on a disk for what the
disk costs too.  What a run changes is made anew before it, the same for all programs, and then the disk is waited for; so what is read
comes from memory, and what is written is written there, as long as the kernel has room.  No program forces the files of a store to the disk.

All programs print the same, or the benchmark stops; of archives all bytes are compared.  The store of 50,000 paths is half live: a tree of
references below one root; one path in four is a folder of three files, the others are files.  Its content is made up, its
database is made by `nix-store --register-validity`, and all programs are given copies of it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.oracle import Oracle

from benchmarks._bench import CHECKOUT, Plan, run_main
from benchmarks._measure import BenchmarkError, Program
from benchmarks._report import OURS, Row

COMMAND = Path(os.environ.get("NIVALIS_NIX_STORE") or CHECKOUT / ".venv/bin/nix-store")
GRAPH = Path(__file__).resolve().parent / "store/graph.nix"

FILES = 20_000
LARGE = 1 << 30
PATHS = 50_000
BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"

NEVER_SLOWER = {"wall": 1.0}
# Where CppNix starts processes one by one, or asks its database path by path.
HALF = {"wall": 0.5}


class Bench:
    """The programs, and the rows they are measured in."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def rows(self) -> list[Row]:
        """All that are wanted.  Raises BenchmarkError."""
        table: list[tuple[str, Callable[[str], Row]]] = [
            ("add 1 MiB", functools.partial(self.add_row, self.make_small)),
            ("add 1 GiB", functools.partial(self.add_row, self.make_large)),
            (f"add {FILES} files", functools.partial(self.add_row, self.make_many)),
            ("dump 1 GiB", functools.partial(self.dump_row, self.make_large)),
            (f"dump {FILES} files", functools.partial(self.dump_row, self.make_many)),
            ("restore 1 GiB", functools.partial(self.restore_row, self.make_large)),
            (f"restore {FILES} files", functools.partial(self.restore_row, self.make_many)),
            ("build 500 derivations", self.build_row),
            (f"requisites among {PATHS} paths", functools.partial(self.read_row, ["--query", "--requisites", store_path(0)])),
            (f"verify {PATHS} paths", functools.partial(self.read_row, ["--verify"])),
            (f"verify the contents of {PATHS} paths", functools.partial(self.read_row, ["--verify", "--check-contents"])),
            (f"collect half of {PATHS} paths", self.collect_row),
            (f"collect a tree of {FILES} files", self.collect_tree_row),
        ]
        return [make(name) for name, make in table if self.plan.is_wanted(name)]

    # ---- the rows ----

    def add_row(self, make_source: Callable[[], Path], name: str) -> Row:
        source = make_source()
        # A small file takes Python's start, and is there to see that memory does not grow with the size.
        goals = {"small": {}, "large": NEVER_SLOWER | {"memory": 1.0}}.get(source.name, NEVER_SLOWER)
        programs = self.programs(["--add", str(source)], prepare=self.initialise)
        return Row(name, self.plan.measure(name, programs), goals)

    def dump_row(self, make_source: Callable[[], Path], name: str) -> Row:
        arguments = ["--dump", str(make_source())]
        out = self.plan.folder / "dumped.nar"
        programs = [dataclasses.replace(one, stdout=out) for one in self.programs(arguments, prepare=lambda *_: remove(out))]
        row = Row(name, self.plan.measure(name, programs), NEVER_SLOWER)
        remove(out)
        return row

    def restore_row(self, make_source: Callable[[], Path], name: str) -> Row:
        nar = self.make_nar(make_source())
        target = self.plan.folder / "restored"
        programs = [dataclasses.replace(one, stdin=nar) for one in self.programs(["--restore", str(target)], prepare=lambda *_: remove(target))]
        row = Row(name, self.plan.measure(name, programs), NEVER_SLOWER)
        remove(target, nar)
        return row

    def build_row(self, name: str) -> Row:
        shell = shutil.which("busybox")
        if shell is None:
            raise BenchmarkError("no static shell: install busybox-static")
        template = self.folder("graph")
        self.run([str(COMMAND.with_name("nix-instantiate")), "--store", str(template), str(GRAPH)])
        drv = next(path for path in (template / "nix/store").iterdir() if path.name.endswith("-top.drv"))
        arguments = ["--realise", f"/nix/store/{drv.name}", "--max-jobs", str(len(os.sched_getaffinity(0)))]
        options = {"sandbox": "true", "sandbox-paths": f"/bin/sh={shell}", "build-users-group": ""}
        arguments += [word for pair in options.items() for word in ("--option", *pair)]
        return Row(name, self.plan.measure(name, self.programs(arguments, prepare=functools.partial(self.copy, template))), HALF)

    def read_row(self, arguments: Sequence[str], name: str) -> Row:
        template = self.make_store()
        programs = self.programs(arguments)
        for one in programs:
            self.copy(template, root_of(one))
        # CppNix writes the closure in an order that hangs on its hash tables.
        return Row(name, self.plan.measure(name, programs, compare_output=False), NEVER_SLOWER)

    def collect_row(self, name: str) -> Row:
        programs = self.programs(["--gc"], prepare=functools.partial(self.copy, self.make_store()))
        return Row(name, self.plan.measure(name, programs), HALF)

    def collect_tree_row(self, name: str) -> Row:
        template = self.folder("tree-store")
        if not any(template.iterdir()):
            self.run([str(COMMAND), "--store", str(template), "--add", str(self.make_many())])
        programs = self.programs(["--gc"], prepare=functools.partial(self.copy, template))
        return Row(name, self.plan.measure(name, programs), NEVER_SLOWER)

    # ---- the programs ----

    def programs(self, arguments: Sequence[str], *, prepare: Callable[[Path], None] | None = None) -> list[Program]:
        """`nix-store` with `arguments`, of all; `prepare` gets the root of the program's store."""
        return [self.program(None, arguments, prepare), *(self.program(peer, arguments, prepare) for peer in self.plan.peers)]

    def program(self, oracle: Oracle | None, arguments: Sequence[str], prepare: Callable[[Path], None] | None) -> Program:
        name = OURS if oracle is None else f"CppNix {oracle.version}"
        root = self.folder(name.replace(" ", "-"))
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder("home")), "LC_ALL": "C.UTF-8", "TMPDIR": str(self.folder("tmp"))}
        env["NIX_REMOTE"] = f"local?root={root}"
        argv = [str(COMMAND), *arguments]
        if oracle is not None:
            argv = [*oracle.command("nix-store"), *arguments]
            env |= oracle.env
            if oracle.folder is not None:
                # Unpacked as it is, it cannot start itself again to ask for machines that build.
                argv += ["--option", "build-hook", ""]
        return Program(name, argv, env, None if prepare is None else functools.partial(prepare_run, prepare, root))

    def initialise(self, root: Path) -> None:
        remove(root)
        root.mkdir()
        self.run([str(COMMAND), "--store", str(root), "--init"])

    def copy(self, template: Path, root: Path) -> None:
        remove(root)
        self.run(["cp", "--archive", "--reflink=auto", str(template), str(root)])

    def run(self, argv: Sequence[str], **options: object) -> None:
        done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, **options)  # type: ignore[call-overload]
        if done.returncode != 0:
            raise BenchmarkError(f"{argv[0]} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")

    # ---- what they work on ----

    def folder(self, name: str) -> Path:
        made = self.plan.folder / name
        made.mkdir(exist_ok=True)
        return made

    def make_small(self) -> Path:
        return self.make_file("small", 1 << 20)

    def make_large(self) -> Path:
        return self.make_file("large", LARGE)

    def make_file(self, name: str, size: int) -> Path:
        """A folder with one file of `size` bytes that do not repeat."""
        folder = self.plan.folder / name
        if not folder.exists():
            folder.mkdir()
            numbers = random.Random(1)
            with (folder / "file").open("wb") as file:
                for _ in range(size >> 20):
                    file.write(numbers.randbytes(1 << 20))
        return folder

    def make_many(self) -> Path:
        """A tree as sources are: files of 0 to 16 KiB, twenty to a folder, one in ten executable, one in twenty a symlink beside."""
        top = self.plan.folder / "many"
        if not top.exists():
            numbers = random.Random(2)
            for number in range(FILES):
                folder = top / f"part-{number // 400}" / f"folder-{number // 20}"
                if number % 20 == 0:
                    folder.mkdir(parents=True)
                    (folder / "link").symlink_to("file-0")
                file = folder / f"file-{number % 20}.c"
                file.write_bytes(numbers.randbytes(numbers.randrange(16 * 1024)))
                if number % 10 == 0:
                    file.chmod(0o755)
        return top

    def make_nar(self, source: Path) -> Path:
        nar = self.plan.folder / f"{source.name}.nar"
        with nar.open("wb") as out:
            subprocess.run([str(COMMAND), "--dump", str(source)], stdout=out, check=True)
        return nar

    def make_store(self) -> Path:
        """The store of many paths."""
        root = self.folder("paths")
        if any(root.iterdir()):
            return root
        self.initialise(root)
        text = self.plan.folder / "registrations"
        with text.open("w") as out:
            for number in range(PATHS):
                below = list(references(number))
                write_object(root, number, below)
                lines = [store_path(number), "", str(len(below)), *map(store_path, below)]
                out.write("".join(f"{line}\n" for line in lines))
        with text.open("rb") as stream:
            self.run([str(COMMAND), "--store", str(root), "--register-validity"], stdin=stream)
        (root / "nix/var/nix/gcroots/top").symlink_to(store_path(0))
        return root


def store_path(number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).digest()
    return f"/nix/store/{''.join(BASE32[byte % 32] for byte in digest)}-object-{number}"


def references(number: int) -> Iterator[int]:
    """What an object refers to: two more below it, in its own half, and sometimes one elsewhere that comes later."""
    half = PATHS // 2
    start = number - number % half
    place = number - start
    found = {2 * place + 1, 2 * place + 2, *([place + 7 * (place % 11) + 3] if place % 3 == 0 else [])}
    return (start + one for one in sorted(found) if one < half)


def write_object(root: Path, number: int, below: Sequence[int]) -> None:
    place = Path(f"{root}{store_path(number)}")
    text = f"object {number}\n" * 20 + "".join(f"{store_path(one)}\n" for one in below)
    if number % 4:
        place.write_text(text)
        return
    place.mkdir()
    for name in ("one", "three", "two"):
        (place / name).write_text(name + text)


def prepare_run(prepare: Callable[[Path], None], root: Path) -> None:
    """Make what the run needs, and wait until the disk has it: nothing of it is to fall into the time of the run."""
    prepare(root)
    os.sync()


def remove(*places: Path) -> None:
    """Remove files and trees, read-only folders too."""
    for place in places:
        if place.is_dir():
            subprocess.run(["chmod", "--recursive", "u+w", str(place)], check=True)
        subprocess.run(["rm", "--recursive", "--force", str(place)], check=True)


def root_of(program: Program) -> Path:
    return Path(program.env["NIX_REMOTE"].removeprefix("local?root="))


def find_filesystem(folder: Path) -> str:
    """The type of the file system that `folder` is on."""
    done = subprocess.run(["stat", "--file-system", "--format=%T", str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_rows(plan: Plan) -> list[Row]:
    """Measure everything that is wanted.  Raises BenchmarkError."""
    plan.notes.append(f"the folders are on {find_filesystem(plan.folder)}")
    return Bench(plan).rows()


PAGE = """\
# The store and builds, measured

How long the work of a store takes and how much memory it needs, beside CppNix 2.8 (Debian 12) and 2.26 (Debian 13) on the same machine in
the same run. A ratio is ours divided by the better of the two, in each table for itself. Python is part of our time and memory.

```sh
TMPDIR=/dev/shm ./dev bench store --markdown docs/reference/benchmarks-store.md
```

Everything lies in memory (some 6 GB of it), so that programs are measured and no disk; `TMPDIR` chooses. Before each run everything is as before
the first, and what was written has been waited for. *Build* makes 500 derivations that write one line each,
in the sandbox, as many at once as there are cores. *Collect half* and the rows above it work on a store of 50,000 paths, of which a root
needs 25,000. The goal is 1.0 everywhere, and 0.5 where CppNix is held up by processes or by questions to its database one by one: building, and
collecting many paths. Adding 1 MiB, which takes Python's start, has none: that memory does not depend on the size of a file is to be
seen by comparing it with adding 1 GiB.

"""


if __name__ == "__main__":
    sys.exit(run_main("store", "The store and sandboxed builds beside CppNix 2.8 and 2.26.", PAGE, make_rows, COMMAND))
