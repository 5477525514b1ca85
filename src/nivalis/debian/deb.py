"""Reading a .deb: an `ar` archive of two tars, for control and for data (deb(5)).

It is read as a stream, in pieces of bounded size, and what it says of itself is not believed: a .deb may come from an enemy.  Of tar, this
knows what deb(5) allows and no more (v7, ustar, and GNU's long names), which is what dpkg knows; whatever else there is in a
.deb, dpkg would refuse as well.  That is why `tarfile` is not used: it takes several times as long for each file, and there are thousands.

What it does not do: it writes nothing and decides nothing about the names.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import IO, Any, Literal, NamedTuple

from nivalis._native import XzDecompressor
from nivalis.debian.errors import DebError

__all__ = ["Contents", "Member", "open_part"]

_PIECE = 1 << 18
_BLOCK = 512
# What one .deb may become, in bytes and in files.
_LARGEST = 64 << 30
_MOST_MEMBERS = 2_000_000
_LONGEST_NAME = 4096
# Of the decompressor; xz's own strongest preset needs 65 MiB.
_MOST_MEMORY = 1 << 30

Kind = Literal["file", "folder", "symlink", "hardlink"]
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "folder"}


class Member(NamedTuple):
    """A member of a tar, as it is named there; `target` is that of a link, `mode` has the special bits too."""

    kind: Kind
    name: str
    size: int
    mode: int
    target: str
    owner: str
    group: str


class Contents:
    """The members of one tar.  Between two of them, `read` gives the pieces of the one that came last."""

    def __init__(self, pieces: Iterator[bytes], place: str) -> None:
        self._pieces = pieces
        self._place = place
        self._piece = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """Raises DebError."""
        long: dict[bytes, str] = {}
        count = total = 0
        while True:
            self._skip()
            header = self._take(_BLOCK)
            if header == bytes(_BLOCK):
                return
            member, kind = self._parse(header, long)
            count += 1
            total += member.size
            if total > _LARGEST or count > _MOST_MEMBERS:
                raise DebError("package is too large, or says so", code="deb-too-large", where=self._place)
            self._left, self._padding = member.size, -member.size % _BLOCK
            if kind in (b"L", b"K"):
                if member.size > _LONGEST_NAME + 1:
                    raise DebError(f"name of {member.size} bytes", where=self._place)
                long[kind] = _text(b"".join(self.read()))
                continue
            yield member
            long = {}

    def read(self) -> Iterator[bytes]:
        """The rest of the current member."""
        while self._left:
            piece = self._next(self._left)
            self._left -= len(piece)
            yield piece

    def _skip(self) -> None:
        for _ in self.read():
            pass
        self._take(self._padding)
        self._padding = 0

    def _parse(self, header: bytes, long: Mapping[bytes, str]) -> tuple[Member, bytes]:
        """A member, with what is `long` of it; and its type."""
        if _number(header[148:156], self._place) != sum(header) - sum(header[148:156]) + 8 * 0x20:
            raise DebError("tar has a wrong checksum", where=self._place)
        name = _text(header[:100])
        if header[257:263] == b"ustar\0" and header[345]:
            name = f"{_text(header[345:500])}/{name}"
        kind = header[156:157]
        if kind in b"346":
            raise DebError(f"package has a device or a pipe: `{name}`", code="deb-device", where=self._place)
        if kind not in _KINDS and kind not in (b"L", b"K"):
            raise DebError(f"tar has a member of the unknown type {kind!r}: `{name}`", where=self._place)
        # The header has the beginning of a long name, which may well end with a slash.
        name = long.get(b"L", name)
        meaning = _KINDS.get(kind, "file")
        if meaning == "file" and name.endswith("/"):
            meaning = "folder"  # as tar of 1979 has it
        size = _number(header[124:136], self._place) if meaning == "file" else 0
        mode = _number(header[100:108], self._place)
        target = long.get(b"K") or _text(header[157:257])
        return Member(meaning, name, size, mode, target, _text(header[265:297]), _text(header[297:329])), kind

    def _take(self, size: int) -> bytes:
        piece = self._next(size)
        while len(piece) < size:
            piece += self._next(size - len(piece))
        return piece

    def _next(self, size: int) -> bytes:
        """At least one byte and at most `size`, unless that is 0."""
        while self._at >= len(self._piece) and size:
            try:
                self._piece, self._at = next(self._pieces), 0
            except StopIteration:
                raise DebError("tar ends early", where=self._place) from None
        found = self._piece[self._at : self._at + size]
        self._at += len(found)
        return found


def open_part(file: IO[bytes], part: Literal["control", "data"]) -> Contents:
    """The tar of that name in the .deb that is open as `file`.  Raises DebError."""
    place = file.name
    file.seek(0)
    if file.read(8) != b"!<arch>\n":
        raise DebError("not a .deb", where=place)
    version = False
    while header := file.read(60):
        if len(header) < 60 or header[58:] != b"`\n" or not header[48:58].strip().isdigit():
            raise DebError("ar archive is damaged", where=place)
        name, size = header[:16].rstrip().removesuffix(b"/").decode("latin-1"), int(header[48:58])
        if not version:
            if name != "debian-binary" or not file.read(size).startswith(b"2."):
                raise DebError("not a .deb of format 2", where=place)
            version = True
        elif name.startswith(f"{part}.tar"):
            return Contents(_expanded(_pieces(file, size, place), name.removeprefix(f"{part}.tar"), place), f"{place}, {name}")
        else:
            file.seek(size, os.SEEK_CUR)
        file.seek(size & 1, os.SEEK_CUR)
    raise DebError(f"not a .deb: it has no {part}.tar", where=place)


def _pieces(file: IO[bytes], size: int, place: str) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, _PIECE))
        if not piece:
            raise DebError("ar archive ends early", where=place)
        size -= len(piece)
        yield piece


def _expanded(pieces: Iterator[bytes], suffix: str, place: str) -> Iterator[bytes]:
    """What was compressed as the suffix says."""
    if suffix == "":
        return pieces
    if suffix == ".gz":
        return _inflated(pieces, place)
    if suffix == ".xz":
        return _decompressed(pieces, XzDecompressor(_MOST_MEMORY), ValueError, place)
    if suffix == ".zst":
        # Not part of every Python.
        zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        return _decompressed(pieces, zstd.ZstdDecompressor(), zstd.ZstdError, place)
    raise DebError(f"compressed in a way that is not known: `{suffix}`", where=place)


def _decompressed(pieces: Iterator[bytes], decompressor: Any, error_class: type[Exception], place: str) -> Iterator[bytes]:
    try:
        for piece in pieces:
            data = decompressor.decompress(piece, _PIECE)
            while data:
                yield data
                data = b"" if decompressor.eof or decompressor.needs_input else decompressor.decompress(b"", _PIECE)
            if decompressor.eof:
                return
    except error_class as error:
        raise DebError(f"compressed data are damaged: {error}", where=place) from error


def _inflated(pieces: Iterator[bytes], place: str) -> Iterator[bytes]:
    inflater = zlib.decompressobj(31)
    try:
        for piece in pieces:
            while piece and not inflater.eof:
                yield inflater.decompress(piece, _PIECE)
                piece = inflater.unconsumed_tail
    except zlib.error as error:
        raise DebError(f"compressed data are damaged: {error}", where=place) from error


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, place: str) -> int:
    """Octal digits, or GNU's binary for what is too large for them."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise DebError(f"tar has no number where one belongs: {field!r}", where=place) from None
