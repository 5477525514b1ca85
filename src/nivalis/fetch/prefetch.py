"""Prefetching: a file or an archive from an address into the store, and its hash, before an expression has it.

What comes into the store is what `fetchurl` of the same name and hash would make, so that a build finds it there.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from nivalis import _native
from nivalis._native import Hash
from nivalis._types import HashAlgo
from nivalis.errors import StorePathError
from nivalis.fetch.archive import unpack
from nivalis.fetch.errors import ArchiveError, FetchedHashError, FetchError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download
from nivalis.store.store import Source, Store

__all__ = ["Prefetched", "name_of", "prefetch"]


class Prefetched(NamedTuple):
    """A store path, and the hash that fixes it: of the bytes, or of the archive of what was unpacked or is executable."""

    path: str
    hash: Hash


def prefetch(
    store: Store,
    address: str,
    *,
    network: Network,
    name: str | None = None,
    algo: HashAlgo = "sha256",
    expected: Hash | None = None,
    unpacks: bool = False,
    executable: bool = False,
    **transport: Any,
) -> Prefetched:
    """Fetch `address` into the store; nothing is fetched if what has the `expected` hash is there.

    `transport` are further arguments of `download`.  An archive with one thing at its top becomes that thing.  Raises FetchError,
    FetchedHashError, ArchiveError, StorePathError.
    """
    method: Literal["flat", "nar"] = "nar" if unpacks or executable else "flat"
    name = name or name_of(address)
    if expected is not None:
        path = _native.make_fixed_output_path(name, method, expected, [], store.store_dir)
        store.protect([path])
        if store.is_valid(path):
            return Prefetched(path, expected)
    with tempfile.TemporaryDirectory(prefix="nivalis-fetch-") as folder:
        source = f"{folder}/file"
        download(address, source, network=network, **transport)
        if unpacks:
            source = _unpack(source, f"{folder}/unpacked", address)
        elif executable:
            os.chmod(source, 0o700)
        found = (_native.hash_file(algo, source) if method == "flat" else _native.hash_nar(source, algo))[0]
        if expected is not None and found != expected:
            specified, got = expected.format_prefixed("sri"), found.format_prefixed("sri")
            raise FetchedHashError(f"hash mismatch in what was fetched from `{address}`\n  specified: {specified}\n     got:    {got}")
        return Prefetched(store.add_sources([Source(source, name, method, algo)])[0], found)


def name_of(address: str) -> str:
    """The name that an address gives to what it leads to: the last part of its path.  Raises FetchError, StorePathError."""
    name = os.path.basename(unquote(urlsplit(address).path).rstrip("/"))
    if not name:
        raise FetchError(f"address has no file name: `{address}`", hint="`--name` gives one")
    try:
        _native.make_fixed_output_path(name, "flat", _native.hash_bytes("sha256", b""), [], "/nix/store")
    except StorePathError as error:
        raise StorePathError(
            f"file name in the address cannot be that of a store path: `{name}`", where=address, hint="`--name` gives another"
        ) from error
    return name


def _unpack(archive: str, target: str, address: str) -> str:
    os.mkdir(target)
    try:
        unpack(archive, target)
    except ArchiveError as error:
        error.where = address
        raise
    names = os.listdir(target)
    if not names:
        raise ArchiveError(f"archive is empty: `{address}`")
    return f"{target}/{names[0]}" if len(names) == 1 else target
