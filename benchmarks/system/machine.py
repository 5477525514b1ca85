"""A container for `./dev bench system`: `machine.py FOLDER TOPLEVEL` starts it over what `prepare.py` has made in FOLDER.

It prints the container's first process, as this machine counts, and keeps the container until its standard input ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))

from nivalis.store import Store, StoreLayout  # noqa: E402
from nixos_machines import Container, Factory  # noqa: E402


def main(folder: Path, toplevel: str) -> None:
    with Store.open(StoreLayout.under(folder / "store")) as store:
        # Its generations are its own.
        (folder / "profiles").mkdir()
        binds = ((store.layout.state_dir, "/nix/var/nix"), (folder / "profiles", "/nix/var/nix/profiles"), (folder, "/bench"))
        container = Container(Factory(store, folder), toplevel, folder / "machine", binds)
    try:
        print(container.leader, flush=True)
        sys.stdin.read()
    finally:
        container.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
