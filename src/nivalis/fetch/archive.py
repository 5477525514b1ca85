"""Unpacking archives that may be hostile.

Only directories, regular files, symlinks and hard links to files of the same archive are made, only below the target, and never
through a symlink, wherever it came from.  Owners, times and special mode bits are not taken over; a file is executable or not.
Depth, names and sizes are bounded, those of an archive's own records too.
"""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any

from nivalis.fetch.errors import ArchiveError

__all__ = ["unpack", "unpack_single"]

_DEEPEST = 200
_LONGEST_NAME = 255
_LARGEST = 64 << 30
_MOST_ENTRIES = 5_000_000
_LONGEST_TARGET = 4096
_LARGEST_RECORD = 1 << 20
_ZSTD = b"\x28\xb5\x2f\xfd"
# Types of records that say something of the next member, and are read as a whole.
_RECORDS = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE})
# What the file system says of names that cannot be; anything else (a full disk) is no fault of the archive.
_OF_NAMES = frozenset({errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
# What the libraries raise for damaged archives, and for kinds of compression or encryption that they do not know.
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, zlib.error, UnicodeError, ValueError, NotImplementedError, RuntimeError)


def unpack(archive: str, target: str) -> None:
    """Unpack a tar (plain, gzip, bzip2, xz, zstd) or zip archive into the existing folder `target`.  Raises ArchiveError."""
    unpacker = _Unpacker(archive, target)
    try:
        if zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
            unpacker.unpack_zip()
        else:
            unpacker.unpack_tar()
    except _DAMAGED as error:
        raise ArchiveError(f"archive cannot be unpacked: `{archive}` ({error})") from error
    except OSError as error:
        # The decompressors say by an OSError without a number that the bytes are bad.
        if error.errno is not None and error.errno not in _OF_NAMES:
            raise
        raise ArchiveError(f"archive cannot be unpacked: `{archive}` ({error.strerror or error})") from error


def unpack_single(archive: str, target: str) -> str:
    """Unpack into `target`; the path of the one thing that the archive has at its top.  Raises ArchiveError if there are more."""
    unpack(archive, target)
    names = os.listdir(target)
    if len(names) != 1:
        raise ArchiveError(f"archive has {'more than one' if names else 'no'} file or folder at its top: `{archive}`")
    return f"{target}/{names[0]}"


class _Member(tarfile.TarInfo):
    """A member whose records are not read into memory whatever size they claim."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _RECORDS and self.size > _LARGEST_RECORD:
            raise tarfile.HeaderError(f"a record of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


class _Unpacker:
    def __init__(self, archive: str, target: str) -> None:
        self._archive = archive
        self._target = target
        self._size = 0
        self._count = 0

    def unpack_tar(self) -> None:
        with self._open() as file, tarfile.open(fileobj=file, mode="r:*", errors="surrogateescape", tarinfo=_Member) as stream:
            for member in stream:
                place = self._place(member.name)
                if member.isdir():
                    self._make_folder(place)
                elif place == self._target:
                    raise ArchiveError(f"archive has a file in place of its top: `{self._archive}`")
                elif member.isreg():
                    source = stream.extractfile(member)
                    assert source is not None
                    self._write(place, source, member.size, bool(member.mode & 0o100))
                elif member.issym():
                    self._make_symlink(place, member.linkname)
                elif member.islnk():
                    self._link(member.linkname, place)
                elif member.type not in (tarfile.XGLTYPE, tarfile.XHDTYPE):
                    raise ArchiveError(f"archive has a device, pipe or the like: `{member.name}`", where=self._archive)

    def unpack_zip(self) -> None:
        with zipfile.ZipFile(self._archive) as stream:
            for member in stream.infolist():
                place = self._place(member.filename)
                mode = member.external_attr >> 16
                if member.is_dir():
                    self._make_folder(place)
                elif stat.S_ISLNK(mode):
                    if member.file_size > _LONGEST_TARGET:
                        raise ArchiveError(f"archive has a symlink to a name that is too long: `{member.filename}`", where=self._archive)
                    self._make_symlink(place, stream.read(member).decode("utf-8", "surrogateescape"))
                else:
                    with stream.open(member) as source:
                        self._write(place, source, member.file_size, bool(mode & 0o100))

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The archive, without the one compression that tarfile does not know."""
        with open(self._archive, "rb") as file:
            if file.read(4) != _ZSTD:
                file.seek(0)
                yield file
                return
        # Loaded for such an archive only: the module is not part of every Python.
        zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        try:
            with zstd.open(self._archive, "rb") as file:
                yield file
        except zstd.ZstdError as error:
            raise ArchiveError(f"archive cannot be unpacked: `{self._archive}` ({error})") from error

    def _place(self, name: str) -> str:
        """Where a member belongs; the folders above it are made."""
        self._count += 1
        parts = [part for part in name.split("/") if part not in ("", ".")]
        bad = name.startswith("/") or ".." in parts or "\0" in name
        if bad or len(parts) > _DEEPEST or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts) or self._count > _MOST_ENTRIES:
            raise ArchiveError(f"archive has a name that leaves its folder, or is too long: `{name}`", where=self._archive)
        place = self._target
        for part in parts[:-1]:
            place = f"{place}/{part}"
            self._make_folder(place)
        return f"{place}/{parts[-1]}" if parts else place

    def _make_folder(self, place: str) -> None:
        try:
            os.mkdir(place)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                raise ArchiveError(f"archive goes through what is no folder: `{place[len(self._target) + 1 :]}`", where=self._archive) from None

    def _make_symlink(self, place: str, target: str) -> None:
        self._clear(place)
        os.symlink(target, place)

    def _clear(self, place: str) -> None:
        try:
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                os.unlink(place)
        except FileNotFoundError:
            pass

    def _write(self, place: str, source: IO[bytes], size: int, executable: bool) -> None:
        self._size += size
        if size < 0 or self._size > _LARGEST:
            raise ArchiveError(f"archive is too large, or says so: `{self._archive}`")
        self._clear(place)
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o777 if executable else 0o666)
        with open(descriptor, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def _link(self, name: str, place: str) -> None:
        source = self._place(name)
        if not stat.S_ISREG(os.lstat(source).st_mode):
            raise ArchiveError(f"archive links to what is no file in it: `{name}`", where=self._archive)
        self._clear(place)
        shutil.copy(source, place, follow_symlinks=False)
