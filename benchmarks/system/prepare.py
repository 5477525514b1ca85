"""Builds what `./dev bench system` works on, from the mirrors that this machine is set to use.

`prepare.py FOLDER SUITE` makes below FOLDER:

    channel/, src/  the checkout's, which may change while it is measured
    store/          a store with the systems of `system/*.nix`, and all that they are made from
    old.nix, new.nix
                    the containers' configurations
    set.json        the snapshot's place; of `server`, the paths that are no packages (`made`), those of them that a server without the
                    service does not have (`added`); the toplevels `old` and `new`, and their derivations (`containers`)
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from nivalis.build import BuildSettings, realise
from nivalis.debian.address import DebianAddress
from nivalis.debian.archive import SnapshotMaker
from nivalis.debian.mirror import read_mirrors
from nivalis.fetch.network import Network
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = Path(__file__).resolve().parent
SYSTEM = "x86_64-linux"
# What comes from elsewhere, and is no work of a system's.
PACKAGES = ("builtin:debian-fetch", "builtin:debian-package", "builtin:pypi-fetch")


def main(folder: Path, suite: str) -> None:
    without = shutil.ignore_patterns("__pycache__", "snapshot")
    shutil.copytree(CHECKOUT / "channel", folder / "channel", ignore=without)
    shutil.copytree(CHECKOUT / "src/nivalis", folder / "src/nivalis", ignore=without, symlinks=True)
    text = (CONFIGURATIONS / "container.nix").read_text()
    for name in ("old", "new"):
        (folder / f"{name}.nix").write_text(text.replace("@folder@", name))
    with Store.open(StoreLayout.under(folder / "store")) as store:
        maker = SnapshotMaker(store=store, network=Network(os.environ), system=SYSTEM, clock=time.time)
        snapshot = maker.make(DebianAddress.parse(f"debian:{suite}"), read_mirrors(os.environ).all)
        image = folder / "channel/nixos/modules/virtualisation/brightbox-config.nix"
        places = {"image": image, "server": CONFIGURATIONS / "server.nix", "old": folder / "old.nix", "new": folder / "new.nix"}
        derivations = instantiate(store, folder, store.real_path(snapshot), places)
        result = realise(store, list(derivations.values()), BuildSettings.make(SYSTEM, os.environ, {"max-jobs": "auto"}))
        result.check()
        toplevels = {name: result.outputs[derivation][0] for name, derivation in derivations.items()}
        made = find_made(store, derivations["server"])
        found = {
            "snapshot": snapshot,
            "made": sorted(made),
            "added": sorted(made - find_made(store, derivations["image"])),
            "old": toplevels["old"],
            "new": toplevels["new"],
            "containers": [derivations["old"], derivations["new"]],
        }
    (folder / "set.json").write_text(json.dumps(found, indent=1))


def instantiate(store: Store, folder: Path, snapshot: str, places: dict[str, Path]) -> dict[str, str]:
    """The derivations of the configurations' toplevels."""
    found = {}
    for name, place in places.items():
        with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
            text = f"(import {folder}/channel/nixos {{ configuration = {place}; snapshot = {snapshot}; }}).system.drvPath"
            found[name] = str(evaluator.eval(text).to_python())
            evaluator.flush()
    return found


def find_made(store: Store, derivation: str) -> set[str]:
    """The outputs of all derivations that one needs, packages apart."""
    found: set[str] = set()
    for path in store.database.closure([derivation]):
        if path.endswith(".drv"):
            read = store.read_derivation(path)
            if read.builder not in PACKAGES:
                found |= {output.path for output in read.outputs.values() if output.path is not None}
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
