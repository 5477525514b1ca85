"""Signing paths in the store: the signatures stand in its database, and go wherever the paths are copied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from nivalis.cache.keys import SecretKey
from nivalis.cache.narinfo import make_narinfo
from nivalis.store.database import Registration
from nivalis.store.store import Store

__all__ = ["sign_paths"]


def sign_paths(store: Store, paths: Collection[str], keys: Sequence[SecretKey]) -> int:
    """Add the signatures of `keys` to valid paths; how many there were not yet.  Raises InvalidPathError."""
    changed = []
    count = 0
    for info in store.database.infos(paths).values():
        # What is signed is the same whatever file the NAR will be in.
        text = make_narinfo(info, store.store_dir, url="-", compression="none", file_hash=None, file_size=None).fingerprint
        new = {key.sign(text) for key in keys}.difference(info.signatures)
        if new:
            changed.append(Registration(replace(info, signatures=(*info.signatures, *sorted(new)))))
            count += len(new)
    store.database.register(changed)
    return count
