"""Signing paths in the store: the signatures stand in its database, and go wherever the paths are copied."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nivalis.cache.keys import SecretKey
from nivalis.cache.narinfo import make_narinfo
from nivalis.store.database import PathInfo, Registration
from nivalis.store.store import Store

__all__ = ["sign_info", "sign_paths"]


def sign_info(info: PathInfo, store_dir: str, keys: Collection[SecretKey]) -> PathInfo:
    """`info` with the signatures of `keys` as well."""
    # What is signed is the same whatever file the NAR will be in.
    text = make_narinfo(info, store_dir, url="-", compression="none", file_hash=None, file_size=None).fingerprint
    return info._replace(signatures=tuple(sorted({*info.signatures, *(key.sign(text) for key in keys)})))


def sign_paths(store: Store, paths: Collection[str], keys: Sequence[SecretKey]) -> int:
    """Add the signatures of `keys` to valid paths; how many there were not yet.  Raises InvalidPathError."""
    changed = []
    count = 0
    for info in store.database.infos(paths).values():
        signed = sign_info(info, store.store_dir, keys)
        new = len(signed.signatures) - len(info.signatures)
        if new:
            changed.append(Registration(signed))
            count += new
    store.database.register(changed)
    return count
