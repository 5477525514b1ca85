"""A suite as it was released: the first generation of the tour's channel, so that an upgrade has something to bring.

Debian's mirrors have no older state of a suite.  But they have the suite without its pockets, which is what it was at its last point
release, with the signature of that day.  Nobody should want such a channel, which is why `nivalis channel` has no word for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nivalis.build import BuildSettings, realise
from nivalis.debian.address import DebianAddress
from nivalis.debian.archive import SnapshotMaker
from nivalis.debian.mirror import read_mirrors
from nivalis.fetch.network import Network
from nivalis.profile.channels import Channel, Places, read_channels, update_channels
from nivalis.store import Store, StoreLayout

__all__ = ["update_to_release"]

_SYSTEM = "x86_64-linux"


class _Released(DebianAddress):
    """A suite without its updates."""

    @property
    def pockets(self) -> list[str]:
        return [self.suite]


class _Source:
    """What brings a channel's contents; it knows Debian's suites only."""

    def __init__(self, store: Store) -> None:
        self._maker = SnapshotMaker(store=store, network=Network(os.environ), system=_SYSTEM, clock=time.time)

    def make_snapshot(self, channel: Channel, last: str | None) -> str:
        # Not compared with the last one: it is to be older.
        return self._maker.make(_Released.parse(channel.address), read_mirrors(os.environ).of_channel(channel.name))

    def find_final_address(self, address: str) -> str:
        raise NotImplementedError

    def fetch(self, address: str, name: str) -> str:
        raise NotImplementedError


def update_to_release(root: Path, home: Path, user: str) -> None:
    """Make what the subscribed suites were when they were released the next generation of a user's channels.

    The store is below `root`, the subscriptions are in `home`.  Raises NivalisError.
    """
    with Store.open(StoreLayout.under(root)) as store:
        places = Places.of(str(home), user, store.layout.profiles_dir)

        def build(derivations: Sequence[str]) -> None:
            realise(store, derivations, BuildSettings(system=_SYSTEM)).check()

        update_channels(store, places, _Source(store), build, [channel.name for channel in read_channels(places.list)])


if __name__ == "__main__":
    update_to_release(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
