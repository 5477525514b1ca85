"""What can become a store object: text, bytes at hand, a file or a tree on disk.

A content knows its content address, and how to write itself to a place that does not exist yet, with a store's modes and times.
It checks what it writes: a source that changes between the computing of its path and its copying is an error, never an object
that is not what its path says.

Each file is copied through memory only if it is small; of a tree, no more than a buffer's length is held at any time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from nivalis import _native
from nivalis._native import Hash
from nivalis._types import Filter, HashAlgo, Method
from nivalis.errors import StoreContentError
from nivalis.store.metadata import TIMES, make_symlinks_canonical

# Regular files up to this size are read once and kept until they are written.
_SMALL = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the SHA-256 and size of its NAR, and its content address."""

    nar_hash: Hash
    nar_size: int
    ca: str


class Content(Protocol):
    """The seam between the ways to make an object and the one way to add it."""

    def write(self, path: str, place: str) -> Written:
        """Write the object for the store path `path` to `place`, which does not exist."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text with references: a .drv file, `builtins.toFile`."""

    data: bytes
    references: Collection[str]
    store_dir: str

    def path(self, name: str) -> str:
        return _native.make_text_path(name, _native.hash_bytes("sha256", self.data), list(self.references), self.store_dir)

    def write(self, path: str, place: str) -> Written:
        digest = _native.hash_bytes("sha256", self.data)
        name = path[len(self.store_dir) + 34 :]
        right = _native.make_text_path(name, digest, list(self.references), self.store_dir)
        if right != path:
            raise StoreContentError(f"text does not belong to its store path: `{path}`", where=path, hint=f"its path is `{right}`")
        write_file(place, self.data, executable=False)
        nar_hash, nar_size = _native.hash_nar_of_bytes(self.data)
        return Written(nar_hash, nar_size, _native.make_content_address("text", digest))


@dataclass(frozen=True, slots=True)
class Blob:
    """A regular file whose bytes are at hand.  `hash` is over its bytes (`flat`) or its NAR (`nar`)."""

    data: bytes
    executable: bool
    method: Method
    hash: Hash

    @classmethod
    def make(cls, data: bytes, *, executable: bool = False, method: Method = "nar", algo: HashAlgo = "sha256") -> Blob:
        if method == "flat":
            return cls(data, False, method, _native.hash_bytes(algo, data))
        return cls(data, executable, method, _native.hash_nar_of_bytes(data, algo, executable=executable)[0])

    def write(self, path: str, place: str) -> Written:
        write_file(place, self.data, executable=self.executable)
        nar_hash, nar_size = _native.hash_nar_of_bytes(self.data, executable=self.executable)
        return Written(nar_hash, nar_size, _native.make_content_address(self.method, self.hash))


@dataclass(frozen=True, slots=True)
class Tree:
    """A file or tree on disk, added as its NAR.  `filter(path, type)` says what below it belongs in."""

    source: str
    filter: Filter | None
    hash: Hash

    @classmethod
    def make(cls, source: str, algo: HashAlgo = "sha256", filter: Filter | None = None) -> Tree:
        return cls(source, filter, _native.hash_nar(source, algo, filter=filter)[0])

    def write(self, path: str, place: str) -> Written:
        nar_hash, nar_size = _native.copy_path(self.source, place, filter=self.filter)
        _check_unchanged(self.source, self.hash, nar_hash if self.hash.algo == "sha256" else _native.hash_nar(place, self.hash.algo)[0])
        make_symlinks_canonical(place)
        return Written(nar_hash, nar_size, _native.make_content_address("nar", self.hash))


@dataclass(frozen=True, slots=True)
class LargeFile:
    """A regular file on disk that is addressed by its bytes."""

    source: str
    hash: Hash

    @classmethod
    def make(cls, source: str, algo: HashAlgo = "sha256") -> LargeFile:
        return cls(source, _native.hash_file(algo, source)[0])

    def write(self, path: str, place: str) -> Written:
        _native.copy_path(self.source, place)
        # Addressed by its bytes alone, the object is not executable.
        os.chmod(place, 0o444)
        _check_unchanged(self.source, self.hash, _native.hash_file(self.hash.algo, place)[0])
        nar_hash, nar_size = _native.hash_nar(place)
        return Written(nar_hash, nar_size, _native.make_content_address("flat", self.hash))


def make_content(source: str, method: Method = "nar", algo: HashAlgo = "sha256", filter: Filter | None = None) -> Blob | Tree | LargeFile:
    """The content of the file or tree at `source`.  Raises OSError, or StoreContentError for what cannot be added."""
    status = os.lstat(source)
    if method == "flat" and stat.S_ISLNK(status.st_mode):
        source = os.path.realpath(source)
        status = os.lstat(source)
    if method == "flat" and not stat.S_ISREG(status.st_mode):
        raise StoreContentError(f"not a regular file: `{source}`", hint="only regular files can be added flat; add it recursively")
    if stat.S_ISREG(status.st_mode) and status.st_size <= _SMALL:
        with open(source, "rb") as file:
            # The mode may have changed since; what counts is that of the file that is read.
            executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
            return Blob.make(file.read(), executable=executable, method=method, algo=algo)
    if method == "flat":
        return LargeFile.make(source, algo)
    return Tree.make(source, algo, filter)


def write_file(place: str, data: bytes, *, executable: bool) -> None:
    """Write a new file with a store's mode and time."""
    mode = 0o555 if executable else 0o444
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        # Whatever the umask took away.
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=TIMES)
    finally:
        os.close(descriptor)


def _check_unchanged(source: str, expected: Hash, found: Hash) -> None:
    if expected != found:
        raise StoreContentError(f"file changed while it was added to the store: `{source}`", hint="try again when nothing writes to it")
