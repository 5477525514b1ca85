"""Compression of NARs, as streams: what a cache's `Compression` field names.

All are the standard library's but zstd, which it has from Python 3.14 on, and the backport of that module before, and xz of a whole file, which
is the kernel's.  For the parameters that CppNix uses, xz and bzip2 give its very bytes.  gzip has no date here, so that equal NARs are equal files.

Compressed bytes come from an enemy: memory is bounded by `_MEMORY`, and what comes out by the size that was announced, so that a
small file cannot become an endless archive.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from nivalis import _native
from nivalis.cache.errors import CacheContentError

__all__ = ["SUFFIXES", "Compressor", "UnpackedStream", "check_compression", "make_compressor", "pack_whole", "unpack_whole"]

# What CppNix appends to a NAR's name; gzip has nothing.
SUFFIXES = {"none": "", "xz": ".xz", "zstd": ".zst", "bzip2": ".bz2", "gzip": ""}
# xz's own highest level takes 65 MiB to unpack, zstd's longest window 128 MiB.
_MEMORY = 192 << 20
# A larger one is memory that the system gives, and zeroes, anew each time.
_PIECE = 1 << 16


class Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def check_compression(name: str) -> str:
    """`name`, if it is one that is known.  Raises CacheContentError."""
    if name not in SUFFIXES:
        raise CacheContentError(
            f"compression is not known: `{name}`", code="cache-compression", hint="known are " + ", ".join(f"`{known}`" for known in SUFFIXES)
        )
    return name


def make_compressor(name: str, level: int | None = None) -> Compressor | None:
    """A compressor for one NAR, at `level` or what CppNix uses; None for `none`.  Raises CacheContentError."""
    match check_compression(name):
        case "xz":
            return lzma.LZMACompressor(preset=6 if level is None else level)
        case "bzip2":
            return bz2.BZ2Compressor(9 if level is None else level)
        case "gzip":
            return zlib.compressobj(6 if level is None else level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        case "zstd":
            from nivalis.cache._zstd import ZstdCompressor

            compressor: Compressor = ZstdCompressor(level=3 if level is None else level)
            return compressor
    return None


def pack_whole(data: bytes, compression: str, level: int | None = None) -> bytes:
    """A whole file, as a compressor of `make_compressor` makes it.  Raises CacheContentError."""
    if compression == "xz" and level in (None, 6):
        return _native.compress_xz(data)
    compressor = make_compressor(compression, level)
    return data if compressor is None else compressor.compress(data) + compressor.flush()


class UnpackedStream:
    """What `read_packed(size)` gives up to its end, decompressed; at most `limit` bytes of it.  Its `read` raises CacheContentError."""

    def __init__(self, read_packed: Callable[[int], bytes], compression: str, limit: int) -> None:
        self._read_packed = read_packed
        self._make = _decompressor_of(compression)
        self._decompressor: _Decompressor | None = None
        self._pending = b""
        self._left = limit

    def read(self, size: int, /) -> bytes:
        data = self._read(size)
        self._left -= len(data)
        if self._left < 0:
            raise CacheContentError("archive is larger than announced", code="cache-nar")
        return data

    def _read(self, size: int) -> bytes:
        if self._make is None:
            return self._read_packed(size)
        while True:
            if self._decompressor is None:
                # A file may consist of several streams one after the other, as parallel compressors write.
                packed = self._pending or self._more()
                self._pending = b""
                if not packed:
                    return b""
                self._decompressor = self._make()
            else:
                packed = self._more() if self._decompressor.needs_input else b""
            wants_more = self._decompressor.needs_input and not packed
            try:
                data = self._decompressor.decompress(packed, size)
            except Exception as error:  # each library has its own class, and memory limits have yet others
                raise CacheContentError(f"compressed file is damaged: {error}", code="cache-nar") from error
            if self._decompressor.eof:
                self._pending = self._decompressor.unused_data
                self._decompressor = None
            elif wants_more and not data:
                raise CacheContentError("compressed file is cut short", code="cache-nar")
            if data:
                return data

    def _more(self) -> bytes:
        return self._read_packed(_PIECE)


def unpack_whole(packed: bytes, compression: str, size: int) -> bytes:
    """All of a small archive of `size` bytes, as one piece.  Raises CacheContentError."""
    if compression == "none":
        return packed
    reader = UnpackedStream(io.BytesIO(packed).read, compression, size)
    pieces = []
    # The end is found with the last piece or beyond it.
    while piece := reader.read(size + 1):
        pieces.append(piece)
    return b"".join(pieces)


class _Inflater:
    """zlib's decompressor with the interface of all others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _decompressor_of(name: str) -> Callable[[], _Decompressor] | None:
    match check_compression(name):
        case "xz":
            return lambda: lzma.LZMADecompressor(memlimit=_MEMORY)
        case "bzip2":
            return bz2.BZ2Decompressor
        case "gzip":
            return _Inflater
        case "zstd":
            from nivalis.cache._zstd import ZstdDecompressor

            make: Callable[[], _Decompressor] = ZstdDecompressor
            return make
    return None
