"""Time and memory of programs that are run in turn.

Each round runs every program once (A B C, A B C, ...), so that what else the machine does in between meets all of them alike.
The first round is a warm-up: it fills the page cache and is not counted.  A figure is the median of the other rounds.

Wall time is from before the start of the process until it is reaped.  The rest is what the kernel counted for it (wait4): user
and system time include the children it waited for, and the peak of memory is that of the largest single process among them.  A
new process counts the pages of the one that started it until its own program is loaded, so no peak below that of this
process can be seen; nothing large may be imported here.

No shell is between, standard input is empty unless a program has a file for it, and a program that fails ends the benchmark with what
it said.
"""

from __future__ import annotations

import hashlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class BenchmarkError(Exception):
    """A program failed, or programs that have to agree do not."""


def check_run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """What a command prints that prepares a measurement.  Raises BenchmarkError if it fails."""
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{' '.join(argv[:8])} failed: {done.stderr.strip()[-1500:]}")
    return done.stdout


@dataclass(frozen=True)
class Program:
    """One way to do the work.  `prepare` is called before each run, and not timed; `stdin` is a file to read, `stdout` one to write."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    prepare: Callable[[], None] | None = None
    stdin: Path = Path(os.devnull)
    stdout: Path | None = None


@dataclass(frozen=True)
class Run:
    """One run: seconds, and bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Figures:
    """Medians over the counted runs, and the runs themselves."""

    wall: float
    cpu: float
    memory: int
    runs: tuple[Run, ...]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Figures:
        return cls(
            statistics.median(run.wall for run in runs),
            statistics.median(run.cpu for run in runs),
            int(statistics.median(run.memory for run in runs)),
            tuple(runs),
        )

    @property
    def spread(self) -> float:
        """How far the slowest run is from the fastest, in parts of the median."""
        walls = [run.wall for run in self.runs]
        return (max(walls) - min(walls)) / self.wall


def measure(programs: Sequence[Program], rounds: int, scratch: Path, *, compare_output: bool = True) -> dict[str, Figures]:
    """Run all programs `rounds` times and once before.  `scratch` is a folder for what they print.

    With `compare_output` they must print the same, else it is not the same work; without, what they print is not even
    written.  Raises BenchmarkError.
    """
    runs: dict[str, list[Run]] = {program.name: [] for program in programs}
    for number in range(rounds + 1):
        printed: dict[str, tuple[bytes, bytes]] = {}
        for program in programs:
            if program.prepare is not None:
                program.prepare()
            stdout = program.stdout or (scratch / "stdout" if compare_output else Path(os.devnull))
            run = run_once(program, stdout, scratch / "stderr")
            if number > 0:
                runs[program.name].append(run)
            if compare_output:
                printed[program.name] = _digest_of(stdout)
        if len(set(printed.values())) > 1:
            raise BenchmarkError("the programs do not agree: " + "; ".join(f"{name} printed {head!r}" for name, (_, head) in printed.items()))
    return {name: Figures.of(counted) for name, counted in runs.items()}


def _digest_of(file: Path) -> tuple[bytes, bytes]:
    """A digest, and the beginning for a message: what was printed may be larger than memory."""
    with file.open("rb") as stream:
        head = stream.read(200)
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").digest(), head


def run_once(program: Program, stdout: Path, stderr: Path) -> Run:
    """Run one program to its end.  Raises BenchmarkError if it fails."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, str(program.stdin), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(stdout), flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, str(stderr), flags, 0o600),
    ]
    start = time.perf_counter()
    pid = os.posix_spawn(program.argv[0], list(program.argv), program.env, file_actions=actions)
    try:
        _, status, usage = os.wait4(pid, 0)
    except KeyboardInterrupt:
        os.kill(pid, 9)
        os.wait4(pid, 0)
        raise
    wall = time.perf_counter() - start
    if status != 0:
        raise BenchmarkError(f"{program.name} failed: {stderr.read_text(errors='replace').strip()[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def smallest_memory() -> int:
    """No peak below this many bytes can be measured: this process's own."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def describe_machine() -> str:
    """The machine in general words: it is not to be known by them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    uname = os.uname()
    return f"{len(os.sched_getaffinity(0))} cores, {memory / 2**30:.0f} GiB of memory, {uname.machine} {uname.sysname}"


def warn_if_busy() -> None:
    """Say so when others use the machine: times then tell little."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine is busy (load {load:.1f}): times will be too long, and uneven", file=sys.stderr)
