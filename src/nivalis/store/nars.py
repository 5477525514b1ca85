"""Adding a store object whose path and hash are known from elsewhere, from its NAR: imports, binary caches, repairs.

The NAR may come from an enemy or a broken line.  It is unpacked under a temporary name, by the kernel's reader, which makes nothing
but regular files, directories and symlinks below that name, and refuses bad names and depths; only when the hash and size of all
that was read are what `info` says does it get its place, and then it is registered.  Whoever is killed in between leaves garbage.

Whether `info` itself can be trusted (a signature, an address by content) is for the caller to say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from nivalis import _native
from nivalis.errors import StoreContentError, StoreReadOnlyError
from nivalis.store.add import outputs_of, temporary_place
from nivalis.store.database import PathInfo, Registration
from nivalis.store.locks import lock_paths
from nivalis.store.metadata import remove_tree
from nivalis.store.store import Store

__all__ = ["Readable", "Staged", "add_nar", "register_staged", "restore_checked", "stage_nar"]


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def add_nar(store: Store, info: PathInfo, nar: int | Readable, *, repair: bool = False) -> bool:
    """Make `info.path` valid with the content of the NAR that `nar` (a descriptor or a reader) gives up to its end.

    False if it was valid already; then nothing is read.  With `repair` a valid path's content is replaced.  All references must be
    valid.  Raises NarError, StoreContentError for another hash or size, InvalidPathError.
    """
    if store.read_only:
        raise StoreReadOnlyError("the store was opened for reading only", where=str(store.layout.real_store_dir))
    store.protect([info.path, *info.references])
    store.check_valid(info.references - {info.path})
    if not repair and store.is_valid(info.path):
        return False
    place = store.real_path(info.path)
    with lock_paths([place]):
        if not repair and store.is_valid(info.path):
            return False
        with temporary_place(place, info.path) as part:
            restore_checked(info, lambda target: _native.restore_nar(nar, target, canonical=True), part)
            _check_address(info, part)
            _replace(part, place)
        store.database.register([Registration(info, outputs_of(store.layout, info.path, place))])
    return True


@dataclass(frozen=True, slots=True)
class Staged:
    """An object that lies complete under the temporary name `part`, and is not valid yet."""

    info: PathInfo
    part: str

    def discard(self) -> None:
        """Remove it."""
        remove_tree(self.part)


def stage_nar(store: Store, info: PathInfo, nar: int | bytes | Readable) -> Staged:
    """As `add_nar`, without references being asked for, a lock or a registration: for `register_staged`, of many at once.

    `info.path` must be a temporary root already.
    """
    with temporary_place(store.real_path(info.path), info.path) as part:
        restore_checked(info, lambda target: _native.restore_nar(nar, target, canonical=True), part)
        _check_address(info, part)
    return Staged(info, part)


def register_staged(store: Store, batch: Sequence[Staged], *, repair: bool = False, locked: bool = False) -> None:
    """Make all of `batch` valid, in one transaction; references must be valid, or in the batch.  `locked`: the caller holds their locks.

    What another process has made valid meanwhile is left as it is, unless it is to be repaired.
    """
    places = {one.info.path: store.real_path(one.info.path) for one in batch}
    with lock_paths(() if locked else places.values()):
        valid = set() if repair else store.valid_among(places)
        registrations = []
        for one in batch:
            path = one.info.path
            if path in valid:
                one.discard()
                continue
            _replace(one.part, places[path])
            registrations.append(Registration(one.info, outputs_of(store.layout, path, places[path])))
        store.database.register(registrations)


def restore_checked(info: PathInfo, restore: Callable[[str], tuple[_native.Hash, int]], part: str) -> None:
    """Have `restore` make the object at `part`, and compare what it says it read with `info`.  Raises StoreContentError."""
    found, size = restore(part)
    if found != info.nar_hash:
        raise StoreContentError(
            f"hash mismatch: `{info.path}`",
            where=info.path,
            hint=f"specified: {info.nar_hash.format_prefixed('base32')}, got: {found.format_prefixed('base32')}",
        )
    if info.nar_size and size != info.nar_size:
        raise StoreContentError(f"size mismatch: `{info.path}`", where=info.path, hint=f"specified: {info.nar_size}, got: {size}")


def _check_address(info: PathInfo, part: str) -> None:
    # An object that refers to itself is hashed with its own hash part blanked out, so its path says nothing that could be checked here.
    if info.ca is None or info.path in info.references:
        return
    method, expected = _native.parse_content_address(info.ca)
    if method == "nar" and expected == info.nar_hash:
        return
    found = _native.hash_nar(part, expected.algo)[0] if method == "nar" else _native.hash_file(expected.algo, part)[0]
    if found != expected:
        raise StoreContentError(
            f"content does not have its address: `{info.path}`", where=info.path, hint=f"specified: {info.ca}, got: {found.format_prefixed('base32')}"
        )


def _replace(part: str, place: str) -> None:
    """Give `part` its place; what stands there is moved away first, and removed when the new one is there."""
    if not os.path.lexists(place):
        os.rename(part, place)
        return
    old = f"{part}.old"
    os.rename(place, old)
    try:
        os.rename(part, place)
    except BaseException:
        os.rename(old, place)
        raise
    remove_tree(old)
