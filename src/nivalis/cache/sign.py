"""Signing paths in the store: the signatures stand in its database, and go wherever the paths are copied."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from nivalis import _native
from nivalis.cache.keys import SecretKey
from nivalis.store.database import PathInfo, Registration
from nivalis.store.store import Store

__all__ = ["sign_paths"]


def sign_paths(store: Store, paths: Collection[str], keys: Sequence[SecretKey]) -> int:
    """Add the signatures of `keys` to valid paths; how many there were not yet.  Raises InvalidPathError."""
    changed = []
    count = 0
    for info in store.database.infos(paths).values():
        text = _fingerprint(info, store.store_dir)
        new = {key.sign(text) for key in keys}.difference(info.signatures)
        if new:
            changed.append(Registration(replace(info, signatures=(*info.signatures, *sorted(new)))))
            count += len(new)
    store.database.register(changed)
    return count


def _fingerprint(info: PathInfo, store_dir: str) -> str:
    # What is signed is the same whatever file the NAR will be in.
    return _native.NarInfo(
        store_path=info.path,
        url="-",
        compression="none",
        nar_hash=info.nar_hash,
        nar_size=info.nar_size,
        references=sorted(info.references),
        store_dir=store_dir,
    ).fingerprint
