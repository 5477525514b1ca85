"""`builtin:fetchurl`: one file from the network, whose hash the derivation fixes; unpacked or executable if it asks for that.

Runs inside the sandbox, in a process of its own (see `nivalis.build.builtin_builders`); the hash is checked by whoever started it.  Who one is to a
server stands in the user's netrc file, which is outside the sandbox: the process is told what it says, and tells it to the servers it names.
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

__all__ = ["build", "builder_variables"]

_NETRC = "NIVALIS_NETRC"


def builder_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What the builder is told: the text of the file that NETRC names, if it can be read."""
    try:
        with open(environment.get("NETRC", ""), encoding="utf-8") as file:
            return {_NETRC: file.read()}
    except (OSError, UnicodeError):
        return {}


def build(environment: Mapping[str, str], out: str) -> None:
    """Fetch what the derivation with these variables names.  Raises FetchError."""
    addresses = (environment.get("urls") or environment.get("url") or "").split()
    if not addresses:
        raise FetchError("derivation names no address to fetch", hint="its attribute `url` does")
    unpacks = environment.get("unpack") == "1"
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        file, netrc = f"{folder}/file", ""
        if environment.get(_NETRC):
            netrc = f"{folder}/netrc"
            with open(netrc, "x", encoding="utf-8") as stream:
                stream.write(environment[_NETRC])
        for number, address in enumerate(addresses, 1):
            try:
                download(address, file, network=Network(environment, netrc_file=netrc))
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
