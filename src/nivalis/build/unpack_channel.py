"""`builtin:unpack-channel`: the archive of a channel, unpacked, under the channel's name.

Runs inside the sandbox, in a process of its own (see `nivalis.build.builtin_builders`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from nivalis.fetch.archive import unpack_single
from nivalis.fetch.errors import ArchiveError

__all__ = ["build"]


def build(environment: Mapping[str, str], out: str) -> None:
    """Unpack `$src` to `$out/$channelName`.  Raises ArchiveError."""
    name, source = environment.get("channelName", ""), environment.get("src", "")
    if not name or not source:
        raise ArchiveError("derivation lacks `channelName` or `src`")
    if "/" in name or name in (".", ".."):
        raise ArchiveError(f"not a channel's name: `{name}`")
    os.mkdir(out)
    found = unpack_single(source, out)
    os.rename(found, f"{out}/{name}")
