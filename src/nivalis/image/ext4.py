"""An ext4 file system on a disk: finding files by their paths, and reading them.

Only what that takes: superblock, group descriptors, inodes, extents, and folders read from beginning to end, which the entries of an indexed
folder allow too (its index looks like free entries).  The format: https://docs.kernel.org/filesystems/ext4/.

Files that are mapped block by block, as ext2 has them, and data in inodes are not read.  Any bytes may come: what is wrong with them is an
ImageError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from nivalis.image.disk import Disk, ImageError

__all__ = ["Ext4", "find_file_system"]

_MAGIC = 0xEF53
_ROOT = 2
_EXTENTS, _INLINE = 0x80000, 0x10000000
_64BIT = 0x80
_EXTENT_MAGIC = 0xF30A
_FOLDER, _LINK, _FILE = 0o040000, 0o120000, 0o100000
# A target of so many bytes is not in the inode any more.
_LONG_LINK = 60
_MOST_LINKS = 40
_PIECE = 1 << 20
# The most that a folder or a link's target may have, in bytes: what says more is damaged.
_LARGEST_FOLDER, _LONGEST_LINK = 64 << 20, 4096
_DEEPEST = 5
_LONGEST_EXTENT = 32768


class _Inode(NamedTuple):
    mode: int
    size: int
    flags: int
    map: bytes

    @property
    def kind(self) -> int:
        return self.mode & 0o170000


def find_file_system(disk: Disk) -> Ext4:
    """The first ext4 on the disk: the whole of it, or one of the four partitions of a DOS table.  Raises ImageError."""
    starts = [0]
    if disk.size >= 512:
        sector = disk.read(0, 512)
        if sector[510:] == b"\x55\xaa":
            starts += [struct.unpack_from("<I", sector, 446 + 16 * number + 8)[0] * 512 for number in range(4)]
    for start in starts:
        if start + 2048 <= disk.size and struct.unpack("<H", disk.read(start + 1024 + 56, 2))[0] == _MAGIC:
            return Ext4(disk, start)
    raise disk.fail("there is no ext4 on the disk, neither on the whole nor on a partition of a DOS table")


class Ext4:
    """The file system that begins at byte `start`; `size` and `free` are in bytes.  Raises ImageError."""

    def __init__(self, disk: Disk, start: int) -> None:
        self._disk = disk
        self._start = start
        head = disk.read(start + 1024, 1024)
        self._inodes, blocks, _, free, _, first, log_block = struct.unpack_from("<7I", head, 0)
        self._per_group = struct.unpack_from("<I", head, 40)[0]
        magic, self._inode_size, features = struct.unpack_from("<H", head, 56)[0], *struct.unpack_from("<H6xI", head, 88)
        if magic != _MAGIC or log_block > 6 or not self._per_group or self._inode_size < 128:
            raise disk.fail("ext4 is damaged: its superblock makes no sense")
        self._block = 1024 << log_block
        self._descriptor = 32
        if features & _64BIT:
            self._descriptor = struct.unpack_from("<H", head, 254)[0]
            if self._descriptor < 64:
                raise disk.fail("ext4 is damaged: its superblock makes no sense")
            blocks |= struct.unpack_from("<I", head, 0x150)[0] << 32
            free |= struct.unpack_from("<I", head, 0x158)[0] << 32
        self._table = (first + 1) * self._block
        self.size = blocks * self._block
        self.free = free * self._block
        self.label = head[120:136].partition(b"\0")[0].decode("utf-8", "replace")

    def read_file(self, path: str) -> Iterator[bytes]:
        """The content of a regular file, in pieces.  Raises FileNotFoundError, ImageError."""
        inode = self._find(path)
        if inode.kind != _FILE:
            raise self._fail(f"not a regular file: `{path}`")
        return self._read(inode)

    def read_link(self, path: str) -> str:
        """The target of a symlink.  Raises FileNotFoundError, ImageError."""
        inode = self._find(path)
        if inode.kind != _LINK:
            raise self._fail(f"not a symlink: `{path}`")
        return self._target(inode)

    # ---- paths ----

    def _find(self, path: str) -> _Inode:
        """The inode at a path, whose folders may be behind symlinks, but not itself."""
        inode = self._inode(_ROOT)
        way: list[_Inode] = []
        names = [name for name in path.split("/") if name]
        links = 0
        while names:
            name = names.pop(0)
            if name == ".":
                continue
            if name == "..":
                inode = way.pop() if way else inode
                continue
            number = self._entries(inode).get(name.encode(errors="surrogateescape"))
            if number is None:
                raise FileNotFoundError(2, "no such file on the disk", path)
            found = self._inode(number)
            if found.kind == _LINK and names:
                links += 1
                if links > _MOST_LINKS:
                    raise self._fail(f"too many symlinks: `{path}`")
                target = self._target(found)
                if target.startswith("/"):
                    inode, way = self._inode(_ROOT), []
                names = [*(part for part in target.split("/") if part), *names]
                continue
            way.append(inode)
            inode = found
        return inode

    def _target(self, inode: _Inode) -> str:
        if inode.size < _LONG_LINK:
            data = inode.map[: inode.size]
        elif inode.size > _LONGEST_LINK:
            raise self._fail("a symlink is too long")
        else:
            data = b"".join(self._read(inode))
        return data.decode(errors="surrogateescape")

    def _entries(self, inode: _Inode) -> dict[bytes, int]:
        """What is in a folder: inodes by names."""
        if inode.kind != _FOLDER:
            raise self._fail("not a folder")
        if inode.size > _LARGEST_FOLDER:
            raise self._fail("a folder is too large")
        data = b"".join(self._read(inode))
        found = {}
        at = 0
        while at + 8 <= len(data):
            number, length, name_length = struct.unpack_from("<IHB", data, at)
            if length < 8 or name_length + 8 > length:
                raise self._fail("a folder is damaged")
            if number:
                found[data[at + 8 : at + 8 + name_length]] = number
            at += length
        return found

    # ---- inodes and blocks ----

    def _inode(self, number: int) -> _Inode:
        if not 0 < number <= self._inodes:
            raise self._fail(f"there is no inode {number}")
        group, index = divmod(number - 1, self._per_group)
        entry = self._read_at(self._table + group * self._descriptor, self._descriptor)
        table = struct.unpack_from("<I", entry, 8)[0]
        if self._descriptor >= 64:
            table |= struct.unpack_from("<I", entry, 40)[0] << 32
        data = self._read_at(table * self._block + index * self._inode_size, 128)
        size = struct.unpack_from("<I", data, 4)[0] | struct.unpack_from("<I", data, 108)[0] << 32
        return _Inode(struct.unpack_from("<H", data, 0)[0], size, struct.unpack_from("<I", data, 32)[0], data[40:100])

    def _read(self, inode: _Inode) -> Iterator[bytes]:
        """The data of a file: what its extents lead to, and zeros between them."""
        if inode.size > self.size:
            raise self._fail("a file is larger than the disk")
        if inode.flags & _INLINE or not inode.flags & _EXTENTS:
            raise self._fail("a file is not mapped by extents")
        at = following = 0
        for first, length, place in self._extents(inode.map, _DEEPEST):
            if first < following or not length:
                raise self._fail("a file's extents are not in order")
            following = first + length
            start, end = first * self._block, min(following * self._block, inode.size)
            if start >= inode.size:
                break
            if place is None:
                continue
            yield from _zeros(start - at)
            for at in range(start, end, _PIECE):
                yield self._read_at(place * self._block + at - start, min(_PIECE, end - at))
            at = end
        yield from _zeros(inode.size - at)

    def _extents(self, node: bytes, depth_left: int) -> Iterator[tuple[int, int, int | None]]:
        """(first block of the file, number of blocks, where they are; None for such as were never written)."""
        magic, count, _, depth = struct.unpack_from("<4H", node, 0)
        if magic != _EXTENT_MAGIC or 12 + count * 12 > len(node) or depth > depth_left:
            raise self._fail("a file's extents are damaged")
        for number in range(count):
            at = 12 + number * 12
            if depth:
                low, high = struct.unpack_from("<IH", node, at + 4)
                yield from self._extents(self._read_at((high << 32 | low) * self._block, self._block), depth - 1)
                continue
            first, length, high, low = struct.unpack_from("<IHHI", node, at)
            # A longer one was set apart, and never written.
            is_written = length <= _LONGEST_EXTENT
            yield first, length if is_written else length - _LONGEST_EXTENT, (high << 32 | low) if is_written else None

    def _read_at(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise self._fail("what is looked for lies behind the end of the file system")
        return self._disk.read(self._start + offset, length)

    def _fail(self, message: str) -> ImageError:
        return self._disk.fail(f"ext4 cannot be read: {message}")


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield bytes(min(count, _PIECE))
        count -= _PIECE
