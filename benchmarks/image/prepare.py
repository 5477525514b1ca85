"""Builds what `./dev bench image` works on, from the mirrors that this machine is set to use.

`prepare.py FOLDER SUITE` makes below FOLDER:

    channel/, src/  the checkout's, which may change while it is measured
    store/          a store with the image for Brightbox, and all that it is made from
    mirror/         Debian's packages of the same system as an archive for apt and debootstrap, with those that maintainer scripts and mkosi need
    set.json        the snapshot's place, the image's path, the packages for apt; of what the image is made from, the paths that come from packages'
                    files (`packages`) and those that come from these (`made`)
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks._packages import close

from nivalis.build import BuildSettings, realise
from nivalis.debian.address import DebianAddress
from nivalis.debian.archive import SnapshotMaker
from nivalis.debian.deb import open_part
from nivalis.debian.mirror import read_mirrors
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import Snapshot
from nivalis.fetch.network import Network
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM = "x86_64-linux"
FETCHED = ("builtin:debian-fetch", "builtin:pypi-fetch")
# What mkosi and debootstrap install unasked, and what makes a kernel's initrd for them.
PEERS = ["apt", "ca-certificates", "dbus", "dracut", "initramfs-tools", "libpam-systemd", "systemd-resolved", "systemd-sysv", "usr-is-merged"]


def main(folder: Path, suite: str) -> None:
    without = shutil.ignore_patterns("__pycache__", "snapshot")
    shutil.copytree(CHECKOUT / "channel", folder / "channel", ignore=without)
    shutil.copytree(CHECKOUT / "src/nivalis", folder / "src/nivalis", ignore=without, symlinks=True)
    settings = BuildSettings.make(SYSTEM, os.environ, {"max-jobs": "auto"})
    with Store.open(StoreLayout.under(folder / "store")) as store:
        maker = SnapshotMaker(store=store, network=Network(os.environ), system=SYSTEM, clock=time.time)
        path = maker.make(DebianAddress.parse(f"debian:{suite}"), read_mirrors(os.environ).all)
        snapshot = Snapshot.open(store.real_path(path))
        image, toplevel = instantiate(store, folder, store.real_path(path))
        result = realise(store, [image, toplevel], settings)
        result.check()
        system = set(store.database.closure(result.outputs[toplevel]))
        packages: set[str] = set()
        made: set[str] = set()
        names: set[str] = set()
        for derivation in (one for one in store.database.closure([image]) if one.endswith(".drv")):
            read = store.read_derivation(derivation)
            outputs = {output.path for output in read.outputs.values() if output.path is not None}
            if read.builder == "builtin:debian-package":
                packages |= outputs
                if outputs & system:
                    names |= set(read.env["packages"].split())
            elif read.env.get("name", "").startswith("nivalis-0"):
                packages |= outputs
            elif read.builder not in FETCHED:
                made |= outputs
        # What a package runs on belongs to it: nivalis has a Python.
        packages |= store.database.closure(store.database.valid_among(packages)) & made
        made -= packages
        archive = make_archive(folder, store, snapshot, names, settings)
        found = {
            "snapshot": path,
            "image": result.outputs[image][0],
            "apt": sorted(names),
            "packages": sorted(packages),
            "made": sorted(made),
        }
    write_archive(folder / "mirror", suite, archive)
    (folder / "set.json").write_text(json.dumps(found, indent=1))


def instantiate(store: Store, folder: Path, snapshot: str) -> tuple[str, str]:
    """The derivations of the image and of the system in it."""
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        configuration = folder / "channel/nixos/modules/virtualisation/brightbox-config.nix"
        text = f"""
          let made = import {folder}/channel/nixos {{ configuration = {configuration}; snapshot = {snapshot}; }};
          in [ made.config.system.build.brightboxImage.drvPath made.system.drvPath ]"""
        image, toplevel = evaluator.eval(text).to_python()
        evaluator.flush()
    return str(image), str(toplevel)


def make_archive(folder: Path, store: Store, snapshot: Snapshot, names: Iterable[str], settings: BuildSettings) -> dict[str, str]:
    """Packages with all that they name as their dependencies: the files' places, by their hashes."""
    required = [name for name, record in snapshot.records() if record.get("essential") or record["priority"] == "required"]
    resolution = Resolver(snapshot.resolver().packages, snapshot.architecture, {}).resolve()
    wanted = close(resolution.depends, [*names, *required, *PEERS], resolution.groups)
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        text = f"""
          let archive = import {folder}/channel/pkgs/archive.nix {{ lib = import {folder}/channel/lib; snapshot = {snapshot.folder}; }};
          in builtins.concatMap (name: map (deb: [ deb.outputHash deb.drvPath ]) archive.packages.${{name}}.drvAttrs.sources)
            (builtins.fromJSON {json.dumps(json.dumps(wanted))})"""
        files = dict(evaluator.eval(text).to_python())
        evaluator.flush()
    fetched = realise(store, sorted(set(files.values())), settings)
    fetched.check()
    return {digest: store.real_path(fetched.outputs[derivation][0]) for digest, derivation in files.items()}


def write_archive(mirror: Path, suite: str, files: Mapping[str, str]) -> None:
    """A folder that is an archive: the files, by their SHA-256, and an index, with no signature."""
    (mirror / "pool").mkdir(parents=True)
    paragraphs = []
    for digest, place in sorted(files.items()):
        with open(place, "rb") as file:
            members = open_part(file, "control")
            control = next(b"".join(members.read()) for member in members if member.name.removeprefix("./") == "control").decode().strip()
        fields = dict(line.split(": ", 1) for line in control.splitlines() if not line.startswith(" ") and ": " in line)
        # debootstrap takes a package's name and version from the file's.
        name = f"pool/{fields['Package']}_{fields['Version'].replace(':', '%3a')}_{fields['Architecture']}.deb"
        os.link(place, mirror / name)
        paragraphs.append(f"{control}\nFilename: {name}\nSize: {os.path.getsize(place)}\nSHA256: {digest}\n")
    lists = mirror / f"dists/{suite}/main/binary-amd64"
    lists.mkdir(parents=True)
    index = "\n".join(paragraphs).encode()
    (lists / "Packages").write_bytes(index)
    (lists / "Packages.gz").write_bytes(gzip.compress(index, mtime=0))
    lines = [
        "Origin: Debian",
        "Suite: stable",
        f"Codename: {suite}",
        "Date: Thu, 01 Jan 1970 00:00:00 UTC",
        "Architectures: amd64",
        "Components: main",
    ]
    sums = []
    for name in ("Packages", "Packages.gz"):
        data = (lists / name).read_bytes()
        sums.append(f" {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-amd64/{name}")
    (lists.parents[1] / "Release").write_text("\n".join([*lines, "SHA256:", *sums, ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
