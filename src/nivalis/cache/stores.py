"""Where a cache's files are: the one seam between binary caches and the places they can be in.

A cache is a set of files with names such as `nix-cache-info`, `<hash part>.narinfo` and `nar/<hash>.nar.xz`.  A `CacheStore` reads them, and
writes them where the place allows it; it knows nothing of what is in them.  A folder is here, HTTP in `nivalis.cache.http`; others (S3, ssh)
get a class of their own and a line in `open_store`.
"""

from __future__ import annotations

import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from nivalis.cache.errors import CacheAddressError, CacheError, CacheUnreachableError, NotInCacheError
from nivalis.cache.settings import CacheSettings

__all__ = ["CacheAddress", "CacheStore", "FolderStore", "NewFile", "Result", "Stream", "open_store"]

# No file that is read in one piece is larger.
MAX_SMALL = 1 << 20
_PAUSE = 0.005
_process = os.urandom(4).hex()
_counter = itertools.count()


@dataclass(frozen=True, slots=True)
class CacheAddress:
    """An address in two parts: what is asked, and the parameters that say how (`?priority=10&compression=zstd`)."""

    url: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> CacheAddress:
        """An absolute path stands for the folder there."""
        url, _, query = text.partition("?")
        return cls((f"file://{url}" if url.startswith("/") else url).rstrip("/"), tuple(parse_qsl(query, keep_blank_values=True)))

    @property
    def shown(self) -> str:
        """The address as people and files may see it."""
        return hide_password(self.url)

    def get(self, name: str) -> str | None:
        return dict(self.parameters).get(name)


def hide_password(url: str) -> str:
    """`url` as it may be told: with `***` for a password."""
    scheme, separator, rest = url.partition("://")
    server = rest.partition("/")[0]
    user, at, _ = server.rpartition("@")
    if not at:
        # A password with a slash in it ends what looks like the server's name; a port has digits only.
        port = server.rpartition(":")[2]
        if port == server or port.isdigit() or server.endswith("]") or "@" not in rest:
            return url
        server, user = rest, rest.rpartition("@")[0]
    name, colon, _ = user.partition(":")
    return f"{scheme}{separator}{name}:***{rest[len(user) :]}" if colon else url


class Stream(Protocol):
    """The bytes of a file, from some place in it on."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end.  Raises CacheUnreachableError, also for a file cut short."""

    def close(self) -> None: ...


# What became of a file that was asked for; None: it is not there.
Result: TypeAlias = bytes | CacheError | None


class CacheStore(ABC):
    """The files of one cache.  Used by several threads at once."""

    # As it may be told.
    url: str
    # So many requests at once make sense.
    connections: int
    is_local: bool = False

    @abstractmethod
    def read(self, name: str, *, timeout: float | None = None) -> bytes | None:
        """A small file, within so many seconds; None if there is none.  Raises CacheUnreachableError."""

    def read_many(self, names: Iterator[str | None], take: Callable[[str, Result], object], *, timeout: float | None = None) -> None:
        """Small files, as many at once as make sense; `take` hears of each, in this thread, in the order in which they come.

        None instead of a name: there will be more, but not yet.  Each file must come within `timeout` seconds; without it, as long as it moves.
        """
        for name in names:
            if name is None:
                time.sleep(_PAUSE)
                continue
            result: Result
            try:
                result = self.read(name, timeout=timeout)
            except CacheError as error:
                result = error
            take(name, result)

    @abstractmethod
    def open(self, name: str, offset: int = 0) -> Stream:
        """A file from `offset` on.  Raises NotInCacheError, CacheUnreachableError."""

    def abort(self) -> None:
        """End all that goes on; whoever waits for something gets an error."""
        return

    def close(self) -> None:
        """Give up what is kept open."""
        return

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return self.read(name) is not None

    def write(self, name: str, data: bytes) -> None:
        """Make a file, all or nothing.  Raises CacheError."""
        with self.create() as file:
            file.write(data)
            file.commit(name)

    def create(self) -> AbstractContextManager[NewFile]:
        """A file to be written, which is there under the name that it is given in the end, and not before.  Raises CacheError."""
        raise CacheError(f"cache cannot be written: `{self.url}`", code="cache-not-writable", hint="push to a folder or a `file://` address")


class NewFile(Protocol):
    """A file that is being written."""

    def write(self, data: bytes, /) -> object: ...

    def commit(self, name: str) -> None:
        """Let it be there, complete, as `name`."""


class FolderStore(CacheStore):
    """A cache in a folder of this machine."""

    is_local = True

    def __init__(self, folder: str) -> None:
        self.url = f"file://{folder}"
        self.folder = folder
        # What takes time here is processors and the disk.
        self.connections = max(2, os.cpu_count() or 1)

    def read(self, name: str, *, timeout: float | None = None) -> bytes | None:
        try:
            with open(self._place(name), "rb") as file:
                return file.read(MAX_SMALL + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CacheUnreachableError(f"cache cannot be read: `{self.url}/{name}` ({error.strerror})") from error

    def open(self, name: str, offset: int = 0) -> Stream:
        try:
            file = open(self._place(name), "rb", buffering=0)  # noqa: SIM115  (the caller closes it)
            file.seek(offset)
            return file
        except FileNotFoundError as error:
            raise NotInCacheError(f"file is not in the cache: `{self.url}/{name}`") from error
        except OSError as error:
            raise CacheUnreachableError(f"cache cannot be read: `{self.url}/{name}` ({error.strerror})") from error

    def has(self, name: str) -> bool:
        return os.path.exists(self._place(name))

    def write(self, name: str, data: bytes) -> None:
        # Of these there are thousands, so this is done in the fewest steps where all goes well.
        place, part = self._place(name), self._part()
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                written = os.write(descriptor, data)
            finally:
                os.close(descriptor)
            if written == len(data):
                os.rename(part, place)
                return
        except OSError:
            pass
        with suppress(OSError):
            os.unlink(part)
        super().write(name, data)

    @contextmanager
    def create(self) -> Iterator[NewFile]:
        part = self._part()
        try:
            with _open_new(part) as file:
                yield _NewFile(file, part, self._place)
        except OSError as error:
            raise CacheError(f"cache cannot be written: `{self.folder}` ({error.strerror})", code="cache-not-writable") from error
        finally:
            with suppress(OSError):
                os.unlink(part)

    def _part(self) -> str:
        # In the cache itself: a rename across file systems would not be atomic.
        return f"{self.folder}/.part-{os.getpid()}-{_process}-{next(_counter)}"

    def _place(self, name: str) -> str:
        if name.startswith("/") or ".." in name.split("/"):
            raise NotInCacheError(f"file is not in the cache: `{name}`", where=self.url)
        return f"{self.folder}/{name}"


class _NewFile:
    def __init__(self, file: IO[bytes], part: str, place: Callable[[str], str]) -> None:
        self.write = file.write
        self._file = file
        self._part = part
        self._place = place

    def commit(self, name: str) -> None:
        self._file.flush()
        place = self._place(name)
        try:
            os.rename(self._part, place)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.rename(self._part, place)


def _open_new(part: str) -> IO[bytes]:
    try:
        return open(part, "xb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(part), exist_ok=True)
        return open(part, "xb")


def open_store(address: CacheAddress, settings: CacheSettings) -> CacheStore:
    """What reads the cache at an address; nothing is asked yet.  Raises CacheAddressError."""
    try:
        parts = urlsplit(address.url)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        # Neither is it said: what is no port may be a password.
        is_server = False
    else:
        if parts.scheme == "file" and parts.netloc in ("", "localhost"):
            return FolderStore(unquote(parts.path))
    if is_server:
        from nivalis.cache.http import HttpStore

        return HttpStore(address.url, settings)
    raise CacheAddressError(f"not the address of a binary cache: `{address.shown}`", hint="known are `https:`, `http:`, `file:` and absolute paths")
