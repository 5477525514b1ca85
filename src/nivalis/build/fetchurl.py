"""`builtin:fetchurl`: one file from the network, whose hash the derivation fixes; unpacked or executable if it asks for that.

Runs inside the sandbox, in a process of its own (see `nivalis.build.builtin_builders`); the hash is checked by whoever started it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping

from nivalis.fetch.archive import unpack, unpack_single
from nivalis.fetch.errors import FetchError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download

__all__ = ["build"]


def build(environment: Mapping[str, str], out: str) -> None:
    """Fetch what the derivation with these variables names.  Raises FetchError."""
    addresses = (environment.get("urls") or environment.get("url") or "").split()
    if not addresses:
        raise FetchError("derivation names no address to fetch", hint="its attribute `url` does")
    unpacks = environment.get("unpack") == "1"
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        file = f"{folder}/file"
        for number, address in enumerate(addresses, 1):
            try:
                download(address, file, network=Network(environment))
                break
            except FetchError:
                if number == len(addresses):
                    raise
        if unpacks:
            unpacked = f"{folder}/unpacked"
            os.mkdir(unpacked)
            # Only the channel's `fetchzip` says so.
            is_whole = environment.get("stripRoot", "1") != "1"
            if is_whole:
                unpack(file, unpacked)
            shutil.move(unpacked if is_whole else unpack_single(file, unpacked), out)
        else:
            shutil.move(file, out)
            if environment.get("executable") == "1":
                os.chmod(out, 0o755)
