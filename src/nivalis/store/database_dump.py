"""The database as text: what `nix-store --dump-db` writes and `--load-db` and `--register-validity` read.

Each path is a few lines: the path, the SHA-256 of its NAR in base 16 and the NAR's size (where hashes are given), the deriver (an empty
line where there is none), the number of references, and one line for each.  An image's first boot registers its store from such a
text.

All that a text holds is registered in one transaction: paths in it may refer to each other in any order.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from typing import Protocol

from nivalis import _native
from nivalis._native import Hash
from nivalis.errors import FormatError, InvalidPathError
from nivalis.store.add import outputs_of
from nivalis.store.database import PathInfo, Registration
from nivalis.store.metadata import make_canonical
from nivalis.store.paths import check
from nivalis.store.store import Store

__all__ = ["dump_database", "read_registrations", "register_text"]

_AT_ONCE = 2000
_NO_HASH = Hash("sha256", bytes(32))


class _Lines(Protocol):
    def readline(self) -> bytes: ...


def dump_database(store: Store, paths: Collection[str] | None = None) -> Iterator[str]:
    """The text for `paths`, in this order, or for all valid ones in alphabetical order.  Raises InvalidPathError."""
    wanted = sorted(store.database.all_valid()) if paths is None else list(paths)
    for start in range(0, len(wanted), _AT_ONCE):
        portion = wanted[start : start + _AT_ONCE]
        if paths is None:
            # What was collected since is left out.
            valid = store.valid_among(portion)
            portion = [path for path in portion if path in valid]
        infos = store.database.infos(portion)
        for path in portion:
            yield _describe(infos[path])


def read_registrations(lines: _Lines, store_dir: str, *, hash_given: bool) -> Iterator[PathInfo]:
    """The paths that a text describes; those without a given hash have one of zeros.  Raises FormatError, StorePathError, HashError."""
    number = 0

    def next_line(what: str) -> str:
        nonlocal number
        number += 1
        line = lines.readline()
        if not line.endswith(b"\n"):
            raise FormatError(f"input ends where {what} should stand", where=f"line {number}")
        return os.fsdecode(line[:-1])

    def next_number(what: str) -> int:
        text = next_line(what)
        if not (text.isascii() and text.isdigit()):
            raise FormatError(f"not {what}: `{text}`", where=f"line {number}")
        return int(text)

    while True:
        number += 1
        line = lines.readline()
        if not line.endswith(b"\n"):
            return
        path = check(os.fsdecode(line[:-1]), store_dir)
        nar_hash, nar_size = _NO_HASH, 0
        if hash_given:
            nar_hash = Hash.parse(next_line("a hash"), "sha256")
            nar_size = next_number("a size")
        deriver = next_line("a deriver")
        if deriver:
            check(deriver, store_dir)
        count = next_number("a number of references")
        references = frozenset(check(next_line("a reference"), store_dir) for _ in range(count))
        yield PathInfo(path, nar_hash, nar_size, references, deriver or None)


def register_text(store: Store, infos: Iterable[PathInfo], *, hash_given: bool, reregister: bool, canonicalise: bool) -> None:
    """Make the paths of a text valid; their content must be in its place.

    Paths that are valid already are left as they are, unless `reregister` is set.  Where no hash is given it is computed;
    `canonicalise` gives the files a store's modes and times first.  Raises InvalidPathError for a missing reference or content.
    """
    batch = {info.path: info for info in infos}
    store.protect(batch)
    valid = store.valid_among(batch)
    registrations = []
    for path, info in batch.items():
        if path in valid and not reregister:
            continue
        place = store.real_path(path)
        if canonicalise or not hash_given:
            if not os.path.lexists(place):
                raise InvalidPathError(f"path is not in the store: `{path}`")
            if canonicalise:
                make_canonical(place)
            if not hash_given:
                nar_hash, nar_size = _native.hash_nar(place)
                info = info._replace(nar_hash=nar_hash, nar_size=nar_size)
        outputs = outputs_of(store.layout, path, place) if os.path.lexists(place) else ()
        registrations.append(Registration(info, outputs))
    store.database.register(registrations)


def _describe(info: PathInfo) -> str:
    lines = [info.path, info.nar_hash.format("base16"), str(info.nar_size), info.deriver or "", str(len(info.references)), *sorted(info.references)]
    return "\n".join(lines) + "\n"
