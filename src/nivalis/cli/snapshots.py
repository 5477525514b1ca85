"""Which snapshot of Debian a command is about: the one it is told, or those of the channels that the user has subscribed to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nivalis.debian.snapshot import Snapshot

__all__ = ["find_snapshots"]


def find_snapshots(store: str | None, channel: str | None, place: str | None) -> dict[str, Snapshot]:
    """Snapshots by the names of their channels; the one at `place` has none.  Raises SnapshotError if there is none."""
    from nivalis.cli.building import BuildOptions
    from nivalis.cli.nix_channel import ChannelDesk
    from nivalis.debian.errors import SnapshotError
    from nivalis.debian.snapshot import Snapshot

    if place is not None:
        return {"": Snapshot.open(place)}
    options = BuildOptions()
    if store is not None:
        options.set("store", store)
    found = ChannelDesk(options, dict(os.environ)).find_snapshots()
    if channel is not None:
        found = {name: folder for name, folder in found.items() if name == channel}
    if not found:
        what = "no channel of Debian has been fetched" if channel is None else f"no channel of Debian of that name has been fetched: `{channel}`"
        raise SnapshotError(what, code="no-snapshot", hint="`nivalis channel add nixpkgs debian:bookworm`, then `nivalis channel update`")
    return {name: Snapshot.open(folder) for name, folder in found.items()}
