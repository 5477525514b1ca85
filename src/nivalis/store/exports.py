"""The stream of `nix-store --export`: store objects with what is known of them, one after the other, each after its references.

    for each object: 1, its NAR, the magic number, path, references, deriver (or nothing), 0
    at the end:      0

Numbers are 8 bytes, little-endian; strings have their length before them and zeros behind, up to a multiple of 8; a list of strings
has its length before it.  That is CppNix's format.  There is no length before a NAR: the kernel's reader finds its end, and gives back what it
has read beyond it.

The stream carries no hash and no signature: importing means trusting whoever made it, as with CppNix.  What is imported is still
confined: see `nivalis.store.nars`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Protocol

from nivalis import _native
from nivalis.errors import InvalidPathError, NarError, StoreContentError
from nivalis.store.add import outputs_of, temporary_place
from nivalis.store.database import PathInfo, Registration
from nivalis.store.locks import lock_paths
from nivalis.store.metadata import remove_tree
from nivalis.store.paths import check
from nivalis.store.queries import sort_paths
from nivalis.store.store import Store

__all__ = ["export_paths", "import_paths"]

_MAGIC = 0x4558494E
_END = b"\0" * 8
_NEXT = b"\1" + b"\0" * 7
# No path or signature is longer.
_MAX_STRING = 64 * 1024
_MAX_REFERENCES = 1_000_000


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def export_paths(store: Store, paths: Collection[str], out: _Writable) -> None:
    """Write `paths` (just these, not their closure) to `out`.  Raises InvalidPathError; StoreContentError for one that has changed."""
    infos = store.database.infos(paths)
    store.protect(paths)
    for path in sort_paths(store, paths):
        info = infos[path]
        out.write(_NEXT)
        nar_hash, _ = _native.dump_nar(store.real_path(path), out)
        if nar_hash != info.nar_hash:
            raise StoreContentError(
                f"path was modified: `{path}`",
                where=path,
                hint=f"expected {info.nar_hash.format_prefixed('base32')}, got {nar_hash.format_prefixed('base32')}; "
                "`nix-store --verify --check-contents --repair` may mend it",
            )
        references = b"".join(_string(reference) for reference in sorted(info.references))
        out.write(_number(_MAGIC) + _string(path) + _number(len(info.references)) + references + _string(info.deriver or "") + _END)
    out.write(_END)


def import_paths(store: Store, stream: _Readable) -> Iterator[str]:
    """Add what `stream` holds, up to its end; the paths, each as soon as it is valid.

    Raises NarError for a stream that is not one or is cut short, InvalidPathError for a missing reference.
    """
    words = _Words(stream)
    while True:
        more = words.number()
        if more == 0:
            return
        if more != 1:
            raise NarError("not a stream of `nix-store --export`", hint="a single NAR is unpacked by `nix-store --restore`")
        yield _import_one(store, words)


def _import_one(store: Store, words: _Words) -> str:
    # The path comes after the content.
    with store.waiting_place() as part:
        nar_hash, nar_size = words.restore_nar(part)
        info = _read_info(store, words, nar_hash, nar_size)
        store.protect([info.path, *info.references])
        if store.is_valid(info.path):
            return info.path
        missing = set(info.references - {info.path}).difference(store.valid_among(info.references))
        if missing:
            raise InvalidPathError(f"reference is not valid: `{min(missing)}`", where=info.path, hint="export the closure: `nix-store -qR`")
        _register(store, info, part)
        return info.path


def _register(store: Store, info: PathInfo, part: str) -> None:
    place = store.real_path(info.path)
    with lock_paths([place]):
        if store.is_valid(info.path):
            return
        outputs = outputs_of(store.layout, info.path, part)
        with temporary_place(place, info.path) as old:
            if os.path.lexists(place):
                os.rename(place, old)
            os.rename(part, place)
            remove_tree(old)
        store.database.register([Registration(info, outputs)])


def _read_info(store: Store, words: _Words, nar_hash: _native.Hash, nar_size: int) -> PathInfo:
    if words.number() != _MAGIC:
        raise NarError("not a stream of `nix-store --export`: the end of an object is not where it should be")
    path = check(words.text(), store.store_dir)
    count = words.number()
    if count > _MAX_REFERENCES:
        raise NarError(f"object has too many references: {count}", where=path)
    references = frozenset(check(words.text(), store.store_dir) for _ in range(count))
    deriver = words.text()
    if deriver:
        check(deriver, store.store_dir)
    if words.number() == 1:
        words.text()  # a signature, in streams of very old programs
    return PathInfo(path, nar_hash, nar_size, references, deriver or None)


class _Words:
    """The numbers and strings of a stream, and the NARs in it."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream
        # Read already, but not used.
        self._rest = b""

    def number(self) -> int:
        return int.from_bytes(self._exactly(8), "little")

    def text(self) -> str:
        length = self.number()
        if length > _MAX_STRING:
            raise NarError(f"string is too long: {length} bytes", hint="the stream is damaged, or not one of `nix-store --export`")
        return os.fsdecode(self._exactly(length + -length % 8)[:length])

    def restore_nar(self, target: str) -> tuple[_native.Hash, int]:
        nar_hash, nar_size, self._rest = _native.restore_nar_prefix(self, target)
        return nar_hash, nar_size

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            return self._stream.read(size)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.read(size - len(data))
            if not more:
                raise NarError("unexpected end of the stream", hint="the stream was cut short")
            data += more
        return data


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def _string(text: str) -> bytes:
    data = os.fsencode(text)
    return _number(len(data)) + data + b"\0" * (-len(data) % 8)
