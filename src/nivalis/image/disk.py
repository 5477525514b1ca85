"""A disk in a file: raw, or qcow2 as QEMU writes it; read at any place, and only what is asked for.

qcow2 maps clusters of the disk to places in the file by a table of tables; a cluster may be compressed (raw deflate, or zstd), and one that is
nowhere is zeros.  The format: docs/interop/qcow2.rst of QEMU, versions 2 and 3.

What is not read: a disk that is not complete in its file (backing or data files), an encrypted one, and extended tables.  Any bytes may come:
what is wrong with them is an ImageError.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import OrderedDict
from pathlib import Path
from types import TracebackType

from nivalis.errors import FormatError

__all__ = ["Disk", "ImageError"]

_MAGIC = b"QFI\xfb"
# Bits of the features without which a file cannot be read: dirty and corrupt do not change where things are; how clusters are compressed.
_HARMLESS, _COMPRESSION_TYPE = 0b11, 1 << 3
_OFFSET = (1 << 56) - (1 << 9)
_COMPRESSED = 1 << 62
_ZERO = 1
# Clusters and tables that are kept: neighbours are read one after the other.
_KEPT = 64
# The format's own bounds, in bytes: of a cluster, and of the first table.
_CLUSTER_BITS = range(9, 22)
_LARGEST_TABLE = 32 << 20


class ImageError(FormatError):
    """A file is no disk image, or none that can be read; or there is no system on it."""

    default_code = "invalid-image"


class Disk:
    """A disk; `format` is raw or qcow2, `size` is in bytes, and `file_size` that of the file.  Raises ImageError, OSError."""

    def __init__(self, file: Path) -> None:
        self.path = file
        self._stream = open(file, "rb")  # noqa: SIM115
        try:
            self.file_size = self._stream.seek(0, os.SEEK_END)
            head = self._at(0, 112, short=True)
            self.format = "qcow2" if head.startswith(_MAGIC) else "raw"
            self.size = self.file_size
            if self.format == "qcow2":
                self._read_header(head.ljust(112, b"\0"))
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def fail(self, message: str, hint: str | None = None) -> ImageError:
        """An error about this file, to be raised."""
        return ImageError(message, where=str(self.path), hint=hint)

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes of the disk from `offset` on.  Raises ImageError where there are not so many."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise self.fail(f"disk ends before byte {offset + length}")
        if self.format == "raw":
            return self._at(offset, length)
        pieces = []
        while length:
            inside = offset % self._cluster
            piece = self._read_cluster(offset // self._cluster)[inside : inside + length]
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    # ---- qcow2 ----

    def _read_header(self, head: bytes) -> None:
        version, backing, _, bits, size, encryption, l1_size, l1_offset = struct.unpack_from(">IQIIQIIQ", head, 4)
        features, compression = (struct.unpack_from(">Q", head, 72)[0], head[104]) if version == 3 else (0, 0)
        if version not in (2, 3) or bits not in _CLUSTER_BITS:
            raise self.fail(f"qcow2 of an unknown kind: version {version}, clusters of 2^{bits} bytes")
        if backing or encryption or features & ~(_HARMLESS | _COMPRESSION_TYPE) or compression > 1:
            hint = "`qemu-img convert -O qcow2` makes a copy that is whole and plain"
            raise self.fail("qcow2 is not complete in its file, or is encrypted, or of a kind that is not read", hint)
        self.size = size
        self._cluster = 1 << bits
        self._bits = bits
        self._is_zstd = bool(features & _COMPRESSION_TYPE) and compression == 1
        self._per_table = self._cluster // 8
        if l1_size * 8 > _LARGEST_TABLE or l1_size * self._per_table * self._cluster < size:
            raise self.fail("qcow2 has no table for its size")
        self._l1 = struct.unpack(f">{l1_size}Q", self._at(l1_offset, l1_size * 8))
        self._tables: OrderedDict[int, tuple[int, ...]] = OrderedDict()
        self._clusters: OrderedDict[int, bytes] = OrderedDict()

    def _read_cluster(self, number: int) -> bytes:
        found = self._clusters.get(number)
        if found is None:
            found = self._clusters[number] = self._load_cluster(number)
            if len(self._clusters) > _KEPT:
                self._clusters.popitem(last=False)
        return found

    def _load_cluster(self, number: int) -> bytes:
        table = self._l1[number // self._per_table] & _OFFSET
        entry = self._read_table(table)[number % self._per_table] if table else 0
        if entry & _COMPRESSED:
            return self._unpack(entry)
        offset = entry & _OFFSET
        if entry & _ZERO or not offset:
            return bytes(self._cluster)
        # The last cluster of a file may be shorter than it is on the disk.
        return self._at(offset, self._cluster, short=True).ljust(self._cluster, b"\0")

    def _read_table(self, offset: int) -> tuple[int, ...]:
        found = self._tables.get(offset)
        if found is None:
            found = self._tables[offset] = struct.unpack(f">{self._per_table}Q", self._at(offset, self._cluster))
            if len(self._tables) > _KEPT:
                self._tables.popitem(last=False)
        return found

    def _unpack(self, entry: int) -> bytes:
        shift = 62 - (self._bits - 8)
        offset = entry & ((1 << shift) - 1)
        sectors = (entry & (_COMPRESSED - 1)) >> shift
        packed = self._at(offset, (sectors + 1) * 512 - offset % 512, short=True)
        try:
            if self._is_zstd:
                from nivalis.cache._zstd import ZstdDecompressor  # few images are

                data = ZstdDecompressor().decompress(packed, self._cluster)
            else:
                data = zlib.decompressobj(-15).decompress(packed, self._cluster)
        except Exception as error:  # the two libraries' errors have no common class
            raise self.fail(f"compressed cluster is damaged: {error}") from None
        if len(data) != self._cluster:
            raise self.fail("compressed cluster is damaged: it is too short")
        return data

    def _at(self, offset: int, length: int, *, short: bool = False) -> bytes:
        """Bytes of the file."""
        if not short and offset + length > self.file_size:
            raise self.fail(f"file ends before byte {offset + length}")
        data = os.pread(self._stream.fileno(), length, offset) if offset <= self.file_size else b""
        if not short and len(data) != length:
            raise self.fail("file became shorter while it was read")
        return data
