"""Adding objects to the store, so that it is valid at every moment.

The order is the proof: temporary roots, then the question which objects are there already, then for each missing one its content
under a temporary name, a rename, and last the registration of all in one transaction.  Whoever is killed in between leaves
garbage, which a collector removes and the next attempt replaces, but never a valid path whose content is not complete.  As in
CppNix, files are not forced to the disk one by one.

*Files and trees* are added under the locks of their paths, in portions, because every lock is an open file.

*Texts*, of which an evaluation writes thousands, are renamed into place without locks.  Every writer of such a path writes the
same bytes; what a lock guards against is CppNix, which deletes what it takes for garbage and then writes in place.  It makes its
lock file before it asks whether the path is valid.  So it either sees our registration, and deletes nothing, or its lock file is
there when we look for it after our commit (or it has finished): then we wait for that lock, and see to the content again.
Creating and removing a lock file for each text would cost more than all else, since file systems avoid the numbers of files that
were removed a moment ago.

The temporary name begins with the object's own hash part: collectors of every version then spare it, as its path is a root.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from nivalis import _native
from nivalis.errors import InvalidPathError
from nivalis.store.content import Content, Text
from nivalis.store.database import Database, PathInfo, Registration
from nivalis.store.layout import StoreLayout
from nivalis.store.locks import lock_paths
from nivalis.store.metadata import remove_tree
from nivalis.store.paths import hash_part, is_derivation
from nivalis.store.references import sort_by_references
from nivalis.store.temproots import TempRoots

# Well below the 1024 open files that a process usually may have.
_PORTION = 256

# Makes names that no other process uses, in this process-number namespace or another.
_process = os.urandom(4).hex()
_counter = itertools.count()


class Addition(NamedTuple):
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
    texts = [addition for addition in missing.values() if isinstance(addition.content, Text)]
    _add_texts(layout, database, texts)
    order = sort_by_references({path: addition.references for path, addition in missing.items() if not isinstance(addition.content, Text)})
    for start in range(0, len(order), _PORTION):
        _add_portion(layout, database, [missing[path] for path in order[start : start + _PORTION]])


def _add_texts(layout: StoreLayout, database: Database, additions: Sequence[Addition]) -> None:
    database.register([_write(layout, addition) for addition in additions])
    for addition in additions:
        place = layout.real_path(addition.path)
        if os.path.lexists(f"{place}.lock"):
            with lock_paths([place]):
                _mend_text(addition, place)


def _mend_text(addition: Addition, place: str) -> None:
    """Write a valid text again, if another process has removed it or was killed while writing it."""
    try:
        with open(place, "rb") as file:
            if isinstance(addition.content, Text) and file.read() == addition.content.data:
                return
    except FileNotFoundError:
        pass
    with temporary_place(place, addition.path) as part:
        addition.content.write(addition.path, part)
        os.rename(part, place)


def _add_portion(layout: StoreLayout, database: Database, additions: Sequence[Addition]) -> None:
    with lock_paths(layout.real_path(addition.path) for addition in additions):
        # Another process may have been faster.
        valid = database.valid_among(addition.path for addition in additions)
        database.register([_write(layout, addition) for addition in additions if addition.path not in valid])


def _write(layout: StoreLayout, addition: Addition) -> Registration:
    place = layout.real_path(addition.path)
    with temporary_place(place, addition.path) as part:
        written = addition.content.write(addition.path, part)
        try:
            os.rename(part, place)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Garbage that cannot be renamed over stands there, from a process that was killed.
            remove_tree(place)
            os.rename(part, place)
    info = PathInfo(addition.path, written.nar_hash, written.nar_size, addition.references, ca=written.ca)
    return Registration(info, _outputs(layout, addition, place))


def _outputs(layout: StoreLayout, addition: Addition, place: str) -> tuple[tuple[str, str], ...]:
    if isinstance(addition.content, Text) and is_derivation(addition.path):
        return tuple(_native.derivation_outputs(addition.content.data, layout.store_dir))
    return outputs_of(layout, addition.path, place)


def outputs_of(layout: StoreLayout, path: str, place: str) -> tuple[tuple[str, str], ...]:
    """The outputs (name, path) of the derivation at `place`; none of an object that is no derivation.  Raises DerivationError."""
    if not is_derivation(path):
        return ()
    with open(place, "rb") as file:
        return tuple(_native.derivation_outputs(file.read(), layout.store_dir))


@contextmanager
def temporary_place(place: str, path: str) -> Iterator[str]:
    """A name beside `place`; what stands there in the end, if anything, is removed."""
    part = f"{os.path.dirname(place)}/{hash_part(path)}-{os.getpid()}-{_process}-{next(_counter)}.tmp"
    try:
        yield part
    except BaseException:
        remove_tree(part)
        raise
