"""Raw disks as compressed qcow2 images, by all processors and to the same bytes whatever their number.

qemu-img compresses either on one processor or in an order that differs each time.  Here clusters are compressed side by side and written in their
order; one of zeros is not written at all, so that what the host keeps as holes makes no difference.  The image has no snapshots and no backing
file.

Format: QEMU's docs/interop/qcow2, version 3.  References in deflated clusters reach back through the whole cluster, further than the 4 KiB to which
QEMU's own encoder keeps.  QEMU's decoder has always inflated a cluster in one call into a buffer of that size, in which zlib finds all of them
whatever the window it was started with (its manual, inflate, Z_FINISH).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
ZEROS = bytes(CLUSTER)
SECTOR = 512
# Entries of 8 bytes in a cluster of L1, L2 and the refcount table; of 2 bytes in one of refcounts.
ENTRIES = CLUSTER // 8
COUNTS = CLUSTER // 2
HEADER_LENGTH = 112
COMPRESSION_TYPE_BIT = 1 << 3
# Flags of entries: of one reference; of data that are compressed, with the bit where their number of sectors begins.
COPIED = 1 << 63
COMPRESSED = 1 << 62
SECTORS_SHIFT = 62 - (CLUSTER_BITS - 8)
# In bytes: what one processor takes at once.
CHUNK = 16 * CLUSTER

Compressor = Callable[[bytes], bytes]


def write_qcow2(source: str, target: str, kind: str, workers: int) -> None:
    """Write the disk `source` as an image, compressed by `kind`: zlib or zstd."""
    compress = COMPRESSORS[kind]()
    with open(source, "rb") as disk, open(target, "wb", buffering=1 << 20) as file:
        image = Image(file)
        for number, data in compress_all(disk.fileno(), compress, workers):
            image.add(number, data)
        image.finish(os.fstat(disk.fileno()).st_size, compression=int(kind == "zstd"))


class Image:
    """An image that is being written: clusters in any order, then all tables, then the header that says where they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        # The end of what is written, in bytes; tables of the second level, by the place of each in the first; references to each cluster.
        self._end = CLUSTER
        self._tables: dict[int, array[int]] = {}
        self._counts = array("H", [1])
        file.write(ZEROS)

    def add(self, number: int, data: bytes) -> None:
        """A cluster's data, compressed if they are less than a cluster."""
        if len(data) < CLUSTER:
            start, last = self._end, (self._end + len(data) - 1) // SECTOR
            entry = COMPRESSED | (last - start // SECTOR) << SECTORS_SHIFT | start
            self._file.write(data)
            self._end += len(data)
            # Each of the host's clusters that has a part of it, in whole sectors.
            self._count(start // CLUSTER, last * SECTOR // CLUSTER + 1)
        else:
            entry = self._place(data) | COPIED
        table = self._tables.setdefault(number // ENTRIES, array("Q", bytes(CLUSTER)))
        table[number % ENTRIES] = entry

    def finish(self, size: int, compression: int) -> None:
        """Write the tables and the header of a disk of `size` bytes."""
        first = array("Q", bytes(8 * -(-size // (CLUSTER * ENTRIES))))
        for index, table in sorted(self._tables.items()):
            first[index] = self._place(swapped(table)) | COPIED
        first_place = self._place(swapped(first))
        # The counts count themselves, and are therefore counted first.
        used = self._end // CLUSTER
        blocks = table_size = 0
        while blocks * COUNTS < used + blocks + table_size:
            blocks += 1
            table_size = -(-blocks // ENTRIES)
        self._count(used, used + blocks + table_size)
        self._counts.extend([0] * (blocks * COUNTS - len(self._counts)))
        blocks_place = self._append(swapped(self._counts))
        places = array("Q", range(blocks_place, blocks_place + blocks * CLUSTER, CLUSTER))
        table_place = self._append(swapped(places))
        head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, CLUSTER_BITS, size, 0, len(first), first_place, table_place, table_size, 0, 0)
        # Counts have 2^4 bits.
        head += struct.pack(">QQQIIB7x", COMPRESSION_TYPE_BIT if compression else 0, 0, 0, 4, HEADER_LENGTH, compression)
        self._file.seek(0)
        self._file.write(head)

    def _place(self, data: bytes) -> int:
        """Write whole clusters that have one reference: where they begin."""
        place = self._append(data)
        self._count(place // CLUSTER, self._end // CLUSTER)
        return place

    def _append(self, data: bytes) -> int:
        place = -(-self._end // CLUSTER) * CLUSTER
        end = place + -(-len(data) // CLUSTER) * CLUSTER
        self._file.write(bytes(place - self._end) + data + bytes(end - place - len(data)))
        self._end = end
        return place

    def _count(self, first: int, end: int) -> None:
        self._counts.extend([0] * (end - len(self._counts)))
        for cluster in range(first, end):
            self._counts[cluster] += 1


def swapped(table: array[int]) -> bytes:
    """A table as an image has it, with the most significant byte first."""
    copy = table[:]
    if sys.byteorder == "little":
        copy.byteswap()
    return copy.tobytes()


# ---- clusters ----


def compress_all(disk: int, compress: Compressor, workers: int) -> Iterator[tuple[int, bytes]]:
    """The clusters that are not zeros, in their order: number and data."""

    def read(start: int) -> list[tuple[int, bytes]]:
        found = []
        data = os.pread(disk, CHUNK, start)
        for at in range(0, len(data), CLUSTER):
            cluster = data[at : at + CLUSTER].ljust(CLUSTER, b"\0")
            if cluster != ZEROS:
                compressed = compress(cluster)
                found.append(((start + at) // CLUSTER, compressed if len(compressed) < CLUSTER else cluster))
        return found

    waiting: deque[Future[list[tuple[int, bytes]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in find_chunks(disk):
            waiting.append(pool.submit(read, start))
            # What is compressed and not yet written takes memory.
            if len(waiting) > 4 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def find_chunks(disk: int) -> Iterator[int]:
    """Where the chunks begin that are not in holes."""
    size, at = os.fstat(disk).st_size, 0
    while at < size:
        try:
            at = os.lseek(disk, at, os.SEEK_DATA) // CHUNK * CHUNK
        except OSError as error:
            if error.errno == errno.ENXIO:  # the rest is a hole
                return
            raise
        yield at
        at += CHUNK


# ---- compression ----


def make_zlib() -> Compressor:
    """Libdeflate takes a third of the time of Python's zlib for images of the same size.  As with zstd, other threads run meanwhile."""
    library = ctypes.CDLL("libdeflate.so.0")
    library.libdeflate_alloc_compressor.restype = ctypes.c_void_p
    library.libdeflate_alloc_compressor.argtypes = [ctypes.c_int]
    library.libdeflate_deflate_compress.restype = ctypes.c_size_t
    library.libdeflate_deflate_compress.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t]
    # A compressor is one thread's at a time; it ends with the process.
    compressors = threading.local()

    def compress(data: bytes) -> bytes:
        if not hasattr(compressors, "one"):
            compressors.one = library.libdeflate_alloc_compressor(1)
            if compressors.one is None:
                raise MemoryError("libdeflate has no room")
        room = ctypes.create_string_buffer(len(data))
        # 0 is said of what does not become smaller.
        size = library.libdeflate_deflate_compress(compressors.one, data, len(data), room, len(data))
        return ctypes.string_at(room, size) if size else data

    return compress


def make_zstd() -> Compressor:
    """Python before 3.14 has no zstd."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compress.restype = library.ZSTD_compressBound.restype = ctypes.c_size_t
    library.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    capacity = library.ZSTD_compressBound(CLUSTER)

    def compress(data: bytes) -> bytes:
        room = ctypes.create_string_buffer(capacity)
        size = library.ZSTD_compress(room, capacity, data, len(data), 3)
        if library.ZSTD_isError(size):
            raise MemoryError("zstd cannot compress")
        return ctypes.string_at(room, size)

    return compress


COMPRESSORS: dict[str, Callable[[], Compressor]] = {"zlib": make_zlib, "zstd": make_zstd}
