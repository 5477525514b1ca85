"""Fetches what `./dev bench debian` works on, from the mirrors that this machine is set to use.

`prepare.py FOLDER SUITE` makes below FOLDER:

    mirror/     the signed Releases and the indices of the suite and its pockets, as a mirror has them
    store/      a store with the snapshot, and the .debs and derivations of the set of packages
    flat/       the same .debs as an archive for apt, with those that maintainer scripts need beside them
    set.json    the snapshot's store path, the packages, their derivations, and the names for apt
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from benchmarks._packages import close

from nivalis.build import BuildSettings, realise
from nivalis.debian.address import DebianAddress
from nivalis.debian.archive import SnapshotMaker
from nivalis.debian.deb import open_part
from nivalis.debian.index import plan_index
from nivalis.debian.keys import debian_keys
from nivalis.debian.mirror import order_mirrors, read_mirrors, try_each
from nivalis.debian.release import read_release, verify
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import Snapshot
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

CHECKOUT = Path(__file__).resolve().parents[2]
SYSTEM = "x86_64-linux"
# With what they need, these are two hundred.
WANTED = ["ca-certificates", "curl", "gcc", "git", "nginx", "openssh-server", "perl", "postgresql", "python3-numpy", "ruby", "systemd"]


def main(folder: Path, suite: str) -> None:
    address = DebianAddress.parse(f"debian:{suite}")
    fetch_indices(folder / "mirror", address)
    with Store.open(StoreLayout.under(folder / "store")) as store:
        maker = SnapshotMaker(store=store, network=Network(os.environ), system=SYSTEM, clock=time.time)
        path = maker.make(address, read_mirrors(os.environ).all)
        snapshot = Snapshot.open(store.real_path(path))
        essential = [name for name, record in snapshot.records() if record.get("essential")]
        depends = {name: record["depends"] for name, record in snapshot.records()}
        groups = {name: record["group"] for name, record in snapshot.records() if "group" in record}
        names = close(depends, [*WANTED, *essential], groups)
        # apt runs maintainer scripts, and so needs all that the packages name.
        resolution = Resolver(snapshot.resolver().packages, snapshot.architecture, {}).resolve()
        more = close(resolution.depends, names, resolution.groups)
        derivations, debs = instantiate(store, store.real_path(path), names, more)
        fetched = realise(store, debs, BuildSettings.make(SYSTEM, os.environ))
        fetched.check()
        places = [store.real_path(fetched.outputs[deb][0]) for deb in debs]
        make_archive(folder / "flat", suite, {snapshot.record(name)["sha256"]: place for name, place in zip(more, places, strict=True)})
    found = {"snapshot": path, "packages": names, "derivations": derivations, "apt": more, "suite": suite}
    (folder / "set.json").write_text(json.dumps(found, indent=1))


def fetch_indices(mirror: Path, address: DebianAddress) -> None:
    addresses = read_mirrors(os.environ).all
    network = Network(os.environ)
    for pocket in address.pockets:
        is_security = pocket.endswith("-security")
        base = mirror / ("debian-security" if is_security else "debian")
        file = base / "dists" / pocket / "InRelease"
        file.parent.mkdir(parents=True)
        release_file, release_address = str(file), f"dists/{pocket}/InRelease"
        source = try_each(
            order_mirrors(addresses, security=is_security),
            lambda source, file=release_file, name=release_address: download(f"{source}/{name}", file, network=network),  # type: ignore[misc]
        )
        release = read_release(verify(file.read_bytes(), debian_keys(), source), source)
        for component in address.components:
            index, _ = plan_index(release, component, "amd64", source)
            data = file.parent / index.path
            data.parent.mkdir(parents=True, exist_ok=True)
            download(f"{source}/dists/{pocket}/{quote(index.path)}", str(data), network=network)
            hashed = data.parent / "by-hash/SHA256" / index.sha256
            hashed.parent.mkdir(parents=True, exist_ok=True)
            os.link(data, hashed)


def instantiate(store: Store, snapshot: str, names: list[str], more: list[str]) -> tuple[list[str], list[str]]:
    """The derivations of packages, and those of the files of more."""
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        text = f"""
          let
            archive = import {CHECKOUT}/channel/pkgs/archive.nix {{ lib = import {CHECKOUT}/channel/lib; snapshot = {snapshot}; }};
            read = text: map (name: archive.packages.${{name}}) (builtins.fromJSON text);
          in {{
            packages = map (one: one.drvPath) (read {quoted(names)});
            debs = map (one: one.debian.record.sha256) (read {quoted(more)});
            files = builtins.concatMap (one: map (deb: {{ name = deb.outputHash; value = deb.drvPath; }}) one.drvAttrs.sources) (read {quoted(more)});
          }}"""
        found = evaluator.eval(text).to_python()
        evaluator.flush()
    files = {one["name"]: one["value"] for one in found["files"]}
    return sorted(set(found["packages"])), [files[digest] for digest in found["debs"]]


def quoted(names: list[str]) -> str:
    return json.dumps(json.dumps(names))


def make_archive(flat: Path, codename: str, files: Mapping[str, str]) -> None:
    """A folder that is an archive to apt: the files, by their SHA-256, and an index."""
    flat.mkdir()
    paragraphs = []
    for number, (digest, place) in enumerate(files.items()):
        name = f"{number}.deb"
        os.link(place, flat / name)
        with open(place, "rb") as file:
            members = open_part(file, "control")
            control = next(b"".join(members.read()) for member in members if member.name.removeprefix("./") == "control")
        paragraphs.append(f"{control.decode().strip()}\nFilename: {name}\nSize: {os.path.getsize(place)}\nSHA256: {digest}\n")
    index = "\n".join(paragraphs).encode()
    (flat / "Packages").write_bytes(index)
    # By these names mmdebstrap finds out which packages are essential.
    lines = ["Suite: stable", f"Codename: {codename}", "Date: Thu, 01 Jan 1970 00:00:00 UTC", "SHA256:"]
    (flat / "Release").write_text("\n".join([*lines, f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages", ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
