"""Adding objects to the store, so that it is valid at every moment.

The order is the proof: temporary roots, then the question which objects are there already, then for each missing one its lock,
the question again, its content under a temporary name, a rename, and last the registration of all in one transaction.  Whoever is
killed in between leaves garbage, which a collector removes and the next attempt replaces, but never a valid path whose content
is not complete.  As in CppNix, files are not forced to the disk one by one.

A large batch goes in portions, each after what it refers to, because every lock is an open file.

The temporary name begins with the object's own hash part: collectors of every version then spare it, as its path is a root.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nivalis import _native
from nivalis.errors import InvalidPathError
from nivalis.store.content import Content
from nivalis.store.database import Database, PathInfo, Registration
from nivalis.store.layout import StoreLayout
from nivalis.store.locks import lock_paths
from nivalis.store.metadata import remove_tree
from nivalis.store.paths import hash_part, is_derivation
from nivalis.store.references import sort_by_references
from nivalis.store.temproots import TempRoots

# Well below the 1024 open files that a process usually may have.
_PORTION = 256

_counter = itertools.count()


@dataclass(frozen=True, slots=True)
class Addition:
    """An object to be added: its store path, its content, and what it refers to."""

    path: str
    content: Content
    references: frozenset[str] = frozenset()


def add_all(layout: StoreLayout, database: Database, temp_roots: TempRoots, additions: Iterable[Addition]) -> None:
    """Make all of `additions` valid.  Raises InvalidPathError if a reference is neither valid nor in the batch."""
    batch = {addition.path: addition for addition in additions}
    outside = set().union(*(addition.references for addition in batch.values())).difference(batch)
    temp_roots.add([*batch, *outside])
    valid = database.valid_among([*batch, *outside])
    for path in outside.difference(valid):
        referrer = next(addition.path for addition in batch.values() if path in addition.references)
        raise InvalidPathError(f"reference is not valid: `{path}`", where=referrer)
    missing = {path: addition for path, addition in batch.items() if path not in valid}
    order = sort_by_references({path: addition.references for path, addition in missing.items()})
    for start in range(0, len(order), _PORTION):
        _add_portion(layout, database, [missing[path] for path in order[start : start + _PORTION]])


def _add_portion(layout: StoreLayout, database: Database, additions: Sequence[Addition]) -> None:
    with lock_paths(layout.real_path(addition.path) for addition in additions):
        # Another process may have been faster.
        valid = database.valid_among(addition.path for addition in additions)
        database.register([_write(layout, addition) for addition in additions if addition.path not in valid])


def _write(layout: StoreLayout, addition: Addition) -> Registration:
    place = layout.real_path(addition.path)
    with _temporary_place(place, addition.path) as part:
        written = addition.content.write(addition.path, part)
        try:
            os.rename(part, place)
        except OSError:
            # An unregistered folder stands there, from a process that was killed.
            remove_tree(place)
            os.rename(part, place)
    info = PathInfo(addition.path, written.nar_hash, written.nar_size, addition.references, ca=written.ca)
    return Registration(info, _outputs_of(layout, addition, place))


def _outputs_of(layout: StoreLayout, addition: Addition, place: str) -> tuple[tuple[str, str], ...]:
    if not is_derivation(addition.path):
        return ()
    data = getattr(addition.content, "data", None)
    if data is None:
        with open(place, "rb") as file:
            data = file.read()
    return tuple(_native.derivation_outputs(data, layout.store_dir))


@contextmanager
def _temporary_place(place: str, path: str) -> Iterator[str]:
    """A name beside `place`; what stands there in the end, if anything, is removed."""
    part = f"{os.path.dirname(place)}/{hash_part(path)}-{os.getpid()}-{next(_counter)}.tmp"
    remove_tree(part)
    try:
        yield part
    except BaseException:
        remove_tree(part)
        raise
