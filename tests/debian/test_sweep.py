"""A sweep over a real archive: packages chosen by a fixed seed become store paths, and everything in them is looked at.

For each: it and all that it needs is unpacked, without a word of complaint; every library that its programs and libraries name is in a folder of
their RUNPATH; and every link leads somewhere, in a farm of the package with Debian's essential ones.  What passes is counted and printed.

It takes many minutes and some gigabytes, so only with the number of packages in NIVALIS_SWEEP, and a suite in NIVALIS_DEBIAN:

    NIVALIS_DEBIAN=debian:bookworm NIVALIS_SWEEP=300 .venv/bin/pytest -s tests/debian/test_sweep.py

Packages with more than 60 MB to download, with all that they need, are passed over.
"""

from __future__ import annotations

import json
import os
import posixpath
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from debian_packages import SYSTEM, closure_of, make_snapshot
from nivalis._native import read_elf
from nivalis.build import BuildSettings, realise
from nivalis.build.errors import SandboxError
from nivalis.build.events import BuildLine, Event
from nivalis.build.sandbox import check_available
from nivalis.debian.snapshot import Snapshot
from nivalis.errors import ElfError
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

CHANNEL = Path(__file__).resolve().parents[2] / "channel"
SEED = 2016
LARGEST = 60_000_000
# Of all packages that were chosen.
GOAL = 0.97
# What is there only while a system runs, or is made by its administrator.
OF_THE_SYSTEM = ("dev", "etc", "home", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp", "var")


def test_sweep(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    suite, number = os.environ.get("NIVALIS_DEBIAN"), int(os.environ.get("NIVALIS_SWEEP") or 0)
    if not suite or not number:
        pytest.skip("no suite in NIVALIS_DEBIAN, or no number in NIVALIS_SWEEP")
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        snapshot = make_snapshot(store, suite)
        names = choose(snapshot, number)
        drvs = instantiate(store, snapshot, names)
        complaints: dict[str, list[str]] = {}

        def hear(event: Event) -> None:
            # A file for another machine is looked for by nothing that runs here.
            if isinstance(event, BuildLine) and not event.text.startswith("left as it is"):
                complaints.setdefault(event.derivation, []).append(event.text)

        wanted = [drv for pair in drvs.values() for drv in pair]
        settings = BuildSettings.make(SYSTEM, os.environ, {"keep-going": "true", "max-jobs": str(os.cpu_count())})
        result = realise(store, wanted, settings, listen=hear)
        found = {}
        for name, (package, farm) in drvs.items():
            failures = [f"{drv}: {result.failures[drv].message}" for drv in (package, farm) if drv in result.failures]
            if not failures:
                checked = Checked(store, result.outputs[package][0], result.outputs[farm][0])
                failures = [*complaints.get(package, ()), *checked.libraries(), *checked.links()]
            found[name] = failures
    failed = {name: failures for name, failures in found.items() if failures}
    for name, failures in sorted(failed.items()):
        print(f"{name}: {len(failures)}", *failures[:5], sep="\n    ")
    kinds = Counter(failure.partition(":")[0] for failures in failed.values() for failure in failures)
    share = 1 - len(failed) / len(found)
    said = f"{suite}: {len(found) - len(failed)} of {len(found)} packages pass ({share:.1%})"
    print(f"\n{said}; {dict(kinds.most_common(5))}")
    record_property("found", said)
    assert share >= GOAL


def choose(snapshot: Snapshot, number: int) -> list[str]:
    records = dict(snapshot.records())
    everything = sorted(records)
    random.Random(SEED).shuffle(everything)
    found: list[str] = []
    for name in everything:
        if len(found) < number and "broken" not in records[name]:
            needed = closure_of(snapshot, [name]) if records[name]["size"] <= LARGEST else {}
            if needed and sum(int(str(one["size"])) for one in needed.values()) <= LARGEST:
                found.append(name)
    return found


def instantiate(store: Store, snapshot: Snapshot, names: list[str]) -> dict[str, tuple[str, str]]:
    """The derivations of the packages, and of a farm for each."""
    essential = [name for name, record in snapshot.records() if record.get("essential")]
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        text = f"""
          let
            archive = import {CHANNEL}/pkgs/archive.nix {{ lib = import {CHANNEL}/lib; snapshot = {snapshot.folder}; }};
            read = text: map (name: archive.packages.${{name}}) (builtins.fromJSON text);
            essential = read {json.dumps(json.dumps(essential))};
          in map (one: [ one.drvPath (archive.makeFarm ([ one ] ++ essential)).drvPath ]) (read {json.dumps(json.dumps(names))})"""
        pairs = evaluator.eval(text).to_python()
        evaluator.flush()
    return {name: (package, farm) for name, (package, farm) in zip(names, pairs, strict=True)}


class Checked:
    """One package's tree, and the farm in which its links are looked up."""

    def __init__(self, store: Store, package: str, farm: str) -> None:
        self.store = store
        self.package = package
        self.farm = store.real_path(farm)
        self.files: list[str] = []
        self.symlinks: list[str] = []
        top = store.real_path(package)
        for parent, folders, files in os.walk(top):
            for name in (*folders, *files):
                place = os.path.join(parent, name)
                (self.symlinks if os.path.islink(place) else self.files).append(os.path.relpath(place, top))

    def libraries(self) -> list[str]:
        """The libraries that are named and are in no folder of the RUNPATH."""
        failures = []
        for path in self.files:
            place = self.store.real_path(f"{self.package}/{path}")
            if not os.path.isfile(place) or path.startswith("usr/lib/debug/"):
                continue
            with open(place, "rb") as file:
                if file.read(4) != b"\x7fELF":
                    continue
            try:
                elf = read_elf(place)
            except ElfError:
                continue
            if elf is None or elf[0] != 62:
                continue
            _, interpreter, _, needed, runpath = elf
            here = posixpath.dirname(f"{self.package}/{path}")
            folders = [folder.replace("${ORIGIN}", here).replace("$ORIGIN", here) for folder in (runpath or "").split(":")]
            if interpreter is not None and not self.exists(interpreter):
                failures.append(f"interpreter: {path} has `{interpreter}`")
            failures += [
                f"library: {path} needs `{name}`"
                for name in needed
                if not name.startswith("ld-linux") and not any(self.exists(f"{folder}/{name}") for folder in folders)
            ]
        return failures

    def links(self) -> list[str]:
        """The links that lead nowhere."""
        failures = []
        for path in self.symlinks:
            target = os.readlink(self.store.real_path(f"{self.package}/{path}"))
            if self.exists(f"/{path}", follow=False) and not self.exists(f"/{path}"):
                failures.append(f"link: {path} leads to `{target}`")
        return failures

    def exists(self, path: str, *, follow: bool = True) -> bool:
        """Whether there is anything at a path, where the farm is /usr and the store is the store; what is a running system's is."""
        waiting = [part for part in reversed(path.split("/")) if part]
        done: list[str] = []
        for _ in range(2000):
            if not waiting:
                return True
            part = waiting.pop()
            if part in (".", ".."):
                done = done[:-1] if part == ".." else done
                continue
            done.append(part)
            whole = "/" + "/".join(done)
            place = self.store.real_path(whole) if whole.startswith(f"{self.store.store_dir}/") else f"{self.farm}{whole}"
            if whole in ("/nix", "/nix/store"):
                continue
            if not os.path.lexists(place):
                return done[0] in OF_THE_SYSTEM
            if os.path.islink(place) and (waiting or follow):
                target = os.readlink(place)
                done = [] if target.startswith("/") else done[:-1]
                waiting += [part for part in reversed(target.split("/")) if part]
        return False
