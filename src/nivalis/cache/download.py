"""One NAR from a cache into the store, up to where only its registration is missing.

What comes is unpacked while it comes, so memory does not grow with size; a download that breaks off goes on where it was (HTTP's Range).
At the end all is compared with what was announced: the file's hash and size, the NAR's hash and size, and the address by content.
Until then it lies under a temporary name, as `nivalis.store.nars` has it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable

from nivalis import _native
from nivalis._native import Hash, NarInfo
from nivalis.cache.cache import BinaryCache
from nivalis.cache.compression import UnpackedStream, unpack_whole
from nivalis.cache.errors import CacheContentError, CacheError, CacheUnreachableError
from nivalis.cache.stores import CacheStore, Stream
from nivalis.errors import FormatError, StoreContentError
from nivalis.store.database import PathInfo
from nivalis.store.nars import Staged, stage_nar
from nivalis.store.store import Store

__all__ = ["Progress", "download", "is_small", "path_info_of", "unpack"]

# Told how many bytes of the file have come.
Progress = Callable[[int], object]

_PIECE = 1 << 16
# What is no larger is taken whole: its hash is compared before anything is unpacked.
_WHOLE = 1 << 18
# ... and is unpacked as one piece, if that is not much larger.
_WHOLE_NAR = 1 << 22
_PAUSE = 0.25
# The slowest that a cache may be, in bytes a second over so many seconds: one that sends a byte now and then holds nobody for ever.
_SLOWEST, _WINDOW = 100, 20.0


def path_info_of(info: NarInfo) -> PathInfo:
    """What the store's database is to hold of a path that a cache offers."""
    return PathInfo(
        path=info.store_path,
        nar_hash=info.nar_hash,
        nar_size=info.nar_size,
        references=frozenset(info.references),
        deriver=info.deriver,
        signatures=tuple(info.signatures),
        ca=info.ca,
    )


def is_small(info: NarInfo) -> bool:
    """Whether the file and what is in it are best taken as one piece each."""
    return info.file_size is not None and info.file_size <= _WHOLE and info.nar_size <= _WHOLE_NAR


def unpack(cache: CacheStore, store: Store, info: NarInfo, data: bytes) -> Staged:
    """Unpack a small file that has come whole.  Raises CacheError, and OSError of the store's disk."""
    try:
        _check_size(info, len(data))
        if info.file_hash is not None and not _is_plain(info):
            _check_hash(info, _native.hash_bytes(info.file_hash.algo, data))
        nar = unpack_whole(data, info.compression, info.nar_size)
        try:
            return stage_nar(store, path_info_of(info), nar)
        except (FormatError, StoreContentError) as error:
            raise CacheContentError(error.message, code="cache-nar", hint=error.hint) from error
    except CacheError as error:
        error.where = error.where or f"{cache.url}/{info.url}"
        raise


def download(cache: BinaryCache, store: Store, info: NarInfo, attempts: int, progress: Progress, is_stopped: Callable[[], bool]) -> Staged:
    """Fetch and unpack what `info` offers, which is trusted, however large it is.  Raises CacheError, and OSError of the store's disk."""
    stream = _File(cache, info, attempts, progress, is_stopped)
    try:
        packed = stream.read_whole() if info.file_size is not None and info.file_size <= _WHOLE else None
        reader = stream.read if packed is None else io.BytesIO(packed).read
        unpacked = UnpackedStream(reader, info.compression, info.nar_size)
        try:
            staged = stage_nar(store, path_info_of(info), unpacked)
        except (FormatError, StoreContentError) as error:
            # Damage on the way shows as a bad NAR first, and its cause is the file's hash.
            stream.check()
            raise CacheContentError(error.message, code="cache-nar", where=f"{cache.url}/{info.url}", hint=error.hint) from error
        try:
            stream.check()
        except BaseException:
            staged.discard()
            raise
        return staged
    except CacheError as error:
        error.where = error.where or f"{cache.url}/{info.url}"
        raise
    finally:
        stream.close()


def _is_plain(info: NarInfo) -> bool:
    """Whether file and NAR are the same, so that hashing the NAR is enough."""
    return info.compression == "none" and info.file_hash in (None, info.nar_hash)


def _check_size(info: NarInfo, size: int) -> None:
    if info.file_size is not None and size != info.file_size:
        raise CacheContentError(
            f"file has another size than announced: `{info.url}`", code="cache-file-size", hint=f"announced: {info.file_size}, got: {size}"
        )


def _check_hash(info: NarInfo, found: Hash) -> None:
    if info.file_hash is not None and found != info.file_hash:
        raise CacheContentError(
            f"file has another hash than announced: `{info.url}`",
            code="cache-file-hash",
            hint=f"announced: {info.file_hash.format_prefixed('base32')}, got: {found.format_prefixed('base32')}",
        )


class _File:
    """The compressed file, read once from its beginning to its end, and resumed where it breaks off."""

    def __init__(self, cache: BinaryCache, info: NarInfo, attempts: int, progress: Progress, is_stopped: Callable[[], bool]) -> None:
        self._cache = cache
        self._info = info
        self._attempts = max(1, attempts)
        self._progress = progress
        self._is_stopped = is_stopped
        self._stream: Stream | None = None
        self._received = 0
        self._failures = 0
        self._window = (time.monotonic(), 0)
        self._is_plain = _is_plain(info)
        # No compressor makes an archive much larger.
        self._limit = info.file_size if info.file_size is not None else info.nar_size + info.nar_size // 8 + _PIECE
        self._hash = hashlib.sha256()
        self._other = None if info.file_hash is None or info.file_hash.algo == "sha256" else hashlib.new(info.file_hash.algo)

    def read(self, size: int) -> bytes:
        while True:
            if self._is_stopped():
                raise CacheError(f"given up: `{self._info.store_path}`", code="cache-stopped")
            try:
                if self._stream is None:
                    self._stream = self._cache.store.open(self._info.url, self._received)
                data = self._stream.read(size)
            except CacheUnreachableError as error:
                self._retry(error)
                continue
            if data:
                self._take(data)
            return data

    def read_whole(self) -> bytes:
        pieces = []
        while piece := self.read(_PIECE):
            pieces.append(piece)
        data = b"".join(pieces)
        self.check()
        return data

    def check(self) -> None:
        """Compare what came, to its end, with what was announced.  Raises CacheContentError."""
        info = self._info
        while self.read(_PIECE):
            pass
        _check_size(info, self._received)
        if info.file_hash is not None and not self._is_plain:
            _check_hash(info, Hash(info.file_hash.algo, (self._other or self._hash).digest()))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _take(self, data: bytes) -> None:
        self._received += len(data)
        self._failures = 0
        self._cache.answered()
        now = time.monotonic()
        begin, received = self._window
        if now - begin > _WINDOW:
            if self._received - received < _SLOWEST * _WINDOW and self._received < self._limit and not self._cache.store.is_local:
                raise CacheContentError(f"download is too slow: `{self._info.url}`", code="cache-slow")
            self._window = (now, self._received)
        if self._received > self._limit:
            raise CacheContentError(f"file does not end where announced: `{self._info.url}`", code="cache-file-size")
        if not self._is_plain:
            (self._other or self._hash).update(data)
        self._progress(self._received)

    def _retry(self, error: CacheUnreachableError) -> None:
        """Wait and have the file opened again, unless there is to be no further attempt.  One that brought something does not count."""
        self.close()
        with self._cache.trying_again:
            while True:
                self._failures += 1
                is_silent = error.code == "cache-timeout" and (self._failures > 1 or not self._received)
                if self._failures >= self._attempts or self._is_stopped() or self._cache.is_dead or is_silent:
                    raise error
                time.sleep(min(_PAUSE * 2 ** (self._failures - 1), 4))
                try:
                    self._stream = self._cache.store.open(self._info.url, self._received)
                    return
                except CacheUnreachableError as further:
                    error = further
