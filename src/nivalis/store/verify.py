"""Verifying: that what the database calls valid is there, and, on request, that it is what it was.

A path that has disappeared is removed from the database where nothing valid refers to it; otherwise it is an error.  A path whose
content no longer has its hash is an error.  Either can be mended by a *repairer*, which gets the path's content from elsewhere (a
binary cache, another build): a higher package hands it in, and it calls `nivalis.store.nars.add_nar(..., repair=True)`.

Collectors are held off meanwhile by a shared lock of `gc.lock`.  Reading is what takes the time, so contents are hashed by several
threads (the kernel lets go of the interpreter's lock).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from nivalis import _native
from nivalis.errors import NivalisError
from nivalis.store.database import PathInfo
from nivalis.store.store import Store

__all__ = ["Finding", "Repairer", "find_modified", "verify_store"]

# Makes the content of a valid path right again; raises NivalisError or OSError if it cannot.
Repairer = Callable[[str], object]

_AT_ONCE = 2048
_PER_TASK = 32


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was wrong: a path (or the file of a link), what it was, and whether it has been put right."""

    path: str
    kind: Literal["disappeared", "missing", "modified", "link-modified", "unreadable", "incomplete"]
    message: str
    is_mended: bool


def verify_store(store: Store, *, check_contents: bool = False, repairer: Repairer | None = None, repair: bool = False) -> Iterator[Finding]:
    """Look at everything in the store; what is wrong, as it is found.

    With `repair`, what can be removed harmlessly is (bad links), and `repairer`, if there is one, is called for the rest.  Raises
    DatabaseError.
    """
    if store.read_only:
        repair = False
    mend = repairer if repair else None
    with _collectors_held_off(store):
        valid = yield from _check_existence(store, mend)
        if check_contents:
            yield from _check_links(store, repair)
            yield from find_modified(store, sorted(valid), mend)


def find_modified(store: Store, paths: list[str], repairer: Repairer | None = None) -> Iterator[Finding]:
    """Those of the valid `paths` whose content does not have the hash that the database says."""
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            still_valid = store.valid_among(paths[start : start + _AT_ONCE])
            infos = store.database.infos([path for path in paths[start : start + _AT_ONCE] if path in still_valid])
            places = [store.real_path(path) for path in infos]
            # Handing over a single small file would cost more than hashing it.
            slices = [places[i : i + _PER_TASK] for i in range(0, len(places), _PER_TASK)]
            hashed = (found for answers in pool.map(_hash_all, slices) for found in answers)
            for info, found in zip(infos.values(), hashed, strict=True):
                finding = _judge(store, info, found, repairer)
                if finding is not None:
                    yield finding


def _hash_all(places: list[str]) -> list[tuple[_native.Hash, int] | NivalisError | OSError]:
    return [_hash(place) for place in places]


def _hash(place: str) -> tuple[_native.Hash, int] | NivalisError | OSError:
    try:
        return _native.hash_nar(place)
    except (NivalisError, OSError) as error:
        return error


def _judge(store: Store, info: PathInfo, found: tuple[_native.Hash, int] | NivalisError | OSError, repairer: Repairer | None) -> Finding | None:
    if isinstance(found, NivalisError | OSError):
        reason = found.message if isinstance(found, NivalisError) else found.strerror
        return Finding(info.path, "unreadable", f"path '{info.path}' cannot be read: {reason}", _repaired(info.path, repairer))
    nar_hash, nar_size = found
    if not any(info.nar_hash.digest) or (nar_hash == info.nar_hash and not info.nar_size):
        if not store.read_only:
            store.database.set_content(info.path, nar_hash, nar_size)
        return Finding(info.path, "incomplete", f"fixing missing hash or size of '{info.path}'", is_mended=True)
    if nar_hash == info.nar_hash:
        return None
    message = (
        f"path '{info.path}' was modified! expected hash '{info.nar_hash.format_prefixed('base32')}', got '{nar_hash.format_prefixed('base32')}'"
    )
    return Finding(info.path, "modified", message, _repaired(info.path, repairer))


def _repaired(path: str, repairer: Repairer | None) -> bool:
    if repairer is None:
        return False
    try:
        repairer(path)
    except (NivalisError, OSError):
        return False
    return True


def _check_existence(store: Store, repairer: Repairer | None) -> Generator[Finding, None, set[str]]:
    """Says what is not there; the valid paths that are."""
    there = set(os.listdir(store.layout.real_store_dir))
    prefix = len(store.store_dir) + 1
    valid = set(store.database.all_valid())
    lost = {path for path in valid if path[prefix:] not in there}
    if not lost:
        return valid
    # In one go: what is lost, and nothing that is there refers to it.
    removable = sorted(lost) if store.read_only else store.database.invalidate_unreferenced(sorted(lost))
    for path in removable:
        yield Finding(path, "disappeared", f"path '{path}' disappeared, removing from database...", is_mended=True)
    for path in sorted(lost.difference(removable)):
        message = f"path '{path}' disappeared, but it still has valid referrers!"
        yield Finding(path, "missing", message, _repaired(path, repairer))
    return valid - lost


def _check_links(store: Store, repair: bool) -> Iterator[Finding]:
    folder = store.layout.links_dir
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        place = f"{folder}/{name}"
        found = _hash(place)
        if isinstance(found, FileNotFoundError):
            continue
        if isinstance(found, NivalisError | OSError) or found[0].format("base32") != name:
            if repair:
                os.unlink(place)
            yield Finding(place, "link-modified", f"link '{place}' was modified!", is_mended=repair)


@contextmanager
def _collectors_held_off(store: Store) -> Iterator[None]:
    if store.read_only:
        yield
        return
    descriptor = os.open(store.layout.state_dir / "gc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
