"""What can become a store object: text, bytes at hand, a file or a tree on disk.

A content knows its content address, and how to write itself to a place that does not exist yet, with a store's modes and times.

A small file is read once and kept.  Anything larger is copied into the store directory, and hashed on the way, before its path is
known: so it is read once too, what lies there is what its path says even if the source changes meanwhile, and no more than a
few buffers' length is held at any time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from typing import NamedTuple, Protocol

from nivalis import _native
from nivalis._native import Hash
from nivalis._types import Filter, HashAlgo, Method
from nivalis.errors import StoreContentError
from nivalis.store.metadata import TIMES

# Regular files up to this size are read once and kept until they are written.
_SMALL = 1024 * 1024


class Written(NamedTuple):
    """What was written: the SHA-256 and size of its NAR, and its content address."""

    nar_hash: Hash
    nar_size: int
    ca: str


class Content(Protocol):
    """The seam between the ways to make an object and the one way to add it."""

    def write(self, path: str, place: str) -> Written:
        """Write the object for the store path `path` to `place`, which does not exist."""


class Text(NamedTuple):
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


class Blob(NamedTuple):
    """A regular file whose bytes are at hand.  `hash` is over its bytes (`flat`) or its NAR (`nar`); `source` is what an error calls it."""

    data: bytes
    executable: bool
    method: Method
    hash: Hash
    source: str = ""

    @classmethod
    def make(cls, data: bytes, *, executable: bool = False, method: Method = "nar", algo: HashAlgo = "sha256") -> Blob:
        if method == "flat":
            return cls(data, False, method, _native.hash_bytes(algo, data))
        return cls(data, executable, method, _native.hash_nar_of_bytes(data, algo, executable=executable)[0])

    def write(self, path: str, place: str) -> Written:
        try:
            write_file(place, self.data, executable=self.executable)
        except OSError as error:
            raise _with_source(error, place, self.source or path) from None
        nar_hash, nar_size = _native.hash_nar_of_bytes(self.data, executable=self.executable)
        return Written(nar_hash, nar_size, _native.make_content_address(self.method, self.hash))


class Staged(NamedTuple):
    """A file or tree that lies in the store directory already, at `part`, and only needs its name.  Made by `stage`."""

    part: str
    method: Method
    hash: Hash
    nar_hash: Hash
    nar_size: int

    def write(self, path: str, place: str) -> Written:
        os.rename(self.part, place)
        return Written(self.nar_hash, self.nar_size, _native.make_content_address(self.method, self.hash))


def read_small(source: str, method: Method, algo: HashAlgo) -> Blob | None:
    """The content of a small regular file; None if it is anything else.  Raises OSError."""
    source = _resolve(source, method)
    status = os.lstat(source)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _SMALL:
        return None
    with open(source, "rb") as file:
        # The mode may have changed since; what counts is that of the file that is read.
        executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
        return Blob.make(file.read(), executable=executable, method=method, algo=algo)._replace(source=source)


def hash_source(source: str, method: Method, algo: HashAlgo, filter: Filter | None) -> Hash:
    """What the file or tree at `source` is addressed by.  `filter(path, type)` says what below it belongs in.  Raises OSError, StoreContentError."""
    source = _resolve(source, method)
    return _native.hash_nar(source, algo, filter=filter)[0] if method == "nar" else _native.hash_file(algo, source)[0]


def stage(source: str, part: str, method: Method, algo: HashAlgo, filter: Filter | None) -> Staged:
    """Copy the file or tree at `source` to `part`, and hash what is written there.  Raises OSError, StoreContentError."""
    source = _resolve(source, method)
    try:
        nar_hash, nar_size = _native.copy_path(source, part, filter=filter)
    except OSError as error:
        raise _with_source(error, part, source) from None
    if method == "nar":
        return Staged(part, method, nar_hash if algo == "sha256" else _native.hash_nar(part, algo)[0], nar_hash, nar_size)
    if os.lstat(part).st_mode & stat.S_IXUSR:
        # Addressed by its bytes alone, the object is not executable.
        os.chmod(part, 0o444)
        nar_hash, nar_size = _native.hash_nar(part)
    return Staged(part, method, _native.hash_file(algo, part)[0], nar_hash, nar_size)


def _resolve(source: str, method: Method) -> str:
    """What is really to be read.  Raises StoreContentError for what cannot be added flat."""
    if method != "flat":
        return source
    source = os.path.realpath(source)
    if not stat.S_ISREG(os.stat(source).st_mode):
        raise StoreContentError(f"not a regular file: `{source}`", hint="only regular files can be added flat; add it recursively")
    return source


def _with_source(error: OSError, place: str, source: str) -> OSError:
    """An error of writing what is at `place` or below, which says what of `source` was to be written there: that of a full disk, for one."""
    written = place if error.filename is None else os.fsdecode(error.filename)
    if written != place and not written.startswith(f"{place}/"):
        return error
    return OSError(error.errno, error.strerror, source + written[len(place) :], None, written)


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
