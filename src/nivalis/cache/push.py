"""Writing: closures into a cache, to the bytes that `nix copy --to` writes.

What is there already is skipped.  A NAR is there before its narinfo, and a narinfo after those of all that it refers to, so whoever reads
meanwhile, or after this was killed, never finds half of anything; what was done is skipped when it is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from nivalis import _native
from nivalis._native import Hash, NarInfo
from nivalis.cache.compression import SUFFIXES, Compressor, check_compression, make_compressor, pack_whole
from nivalis.cache.errors import CacheAddressError, CacheInfoError
from nivalis.cache.keys import SecretKey
from nivalis.cache.narinfo import make_narinfo
from nivalis.cache.settings import CacheSettings
from nivalis.cache.stores import CacheAddress, CacheStore, NewFile, open_store
from nivalis.errors import StoreContentError
from nivalis.store.database import PathInfo
from nivalis.store.paths import hash_part
from nivalis.store.references import sort_by_references
from nivalis.store.store import Store

__all__ = ["Pushed", "push"]

_INFO_FILE = "nix-cache-info"
# What one thread is given at a time: so many NARs, or as few as make so many bytes.
_PORTION, _PORTION_SIZE = 32, 1 << 18
# No larger NAR is kept in memory: it goes through a file.
_WHOLE = 1 << 22


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of it: the paths that were written, those that were there, and the bytes of the files that were written."""

    written: tuple[str, ...]
    present: tuple[str, ...]
    size: int


def push(
    store: Store,
    paths: Collection[str],
    address: str,
    *,
    settings: CacheSettings | None = None,
    keys: Sequence[SecretKey] = (),
    on_path: Callable[[str], object] = lambda path: None,
) -> Pushed:
    """Copy the closure of `paths` to the cache at `address`, signed by `keys` and by that of the parameter `secret-key`.

    Further parameters are `compression` (`xz` if there is none) and `compression-level`.  `on_path` hears of each path before it is
    written.  Raises CacheError, InvalidPathError; StoreContentError for a path that has changed.
    """
    target = CacheAddress.parse(address)
    with closing(open_store(target, settings or CacheSettings())) as cache:
        writer = _Writer(store, cache, target, keys)
        writer.check_cache()
        wanted = store.database.closure(paths)
        store.protect(wanted)
        infos = store.database.infos(wanted)
        order = sort_by_references({path: info.references for path, info in infos.items()})
        present = {path for path in order if cache.has(f"{hash_part(path)}.narinfo")}
        missing = [infos[path] for path in order if path not in present]
        size = writer.write_all(missing, on_path)
    return Pushed(tuple(info.path for info in missing), tuple(path for path in order if path in present), size)


class _Writer:
    def __init__(self, store: Store, cache: CacheStore, address: CacheAddress, keys: Iterable[SecretKey]) -> None:
        """Raises CacheError, KeyFormatError, OSError for a key that cannot be read."""
        self._store = store
        self.cache = cache
        self._compression = check_compression(address.get("compression") or "xz")
        self._level = _level(address)
        named = address.get("secret-key")
        self._keys = [*keys, *([] if named is None else [SecretKey.read(named)])]

    def check_cache(self) -> None:
        """Have the folder be a cache of this store directory.  Raises CacheInfoError."""
        text = self.cache.read(_INFO_FILE)
        if text is None:
            self.cache.write(_INFO_FILE, f"StoreDir: {self._store.store_dir}\n".encode())
            return
        for line in text.decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name == "StoreDir" and value.strip() != self._store.store_dir:
                raise CacheInfoError(
                    f"cache is for the store directory `{value.strip()}`, and not for `{self._store.store_dir}`", where=self.cache.url
                )

    def write_all(self, infos: Sequence[PathInfo], on_path: Callable[[str], object]) -> int:
        """Write what is not there, which is in the order of references; the bytes of all files."""

        def make(portion: Sequence[PathInfo]) -> list[NarInfo]:
            made = []
            for info in portion:
                on_path(info.path)
                made.append(self.write_nar(info))
            return made

        size = 0
        with ThreadPoolExecutor(self.cache.connections, "push") as pool:
            try:
                for portion in pool.map(make, _portions(infos)):
                    for narinfo in portion:
                        self.write_info(narinfo)
                        size += narinfo.file_size or 0
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return size

    def write_nar(self, info: PathInfo) -> NarInfo:
        """Have the NAR in the cache; what is to be said of it."""
        place = self._store.real_path(info.path)
        write = self._write_small if info.nar_size <= _WHOLE else self._write_large
        file_hash, file_size = write(info, place)
        return make_narinfo(
            info,
            self._store.store_dir,
            url=self._file_name(file_hash),
            compression=self._compression,
            file_hash=file_hash,
            file_size=file_size,
            keys=self._keys,
        )

    def write_info(self, narinfo: NarInfo) -> None:
        self.cache.write(f"{hash_part(narinfo.store_path)}.narinfo", narinfo.print().encode())

    def _write_small(self, info: PathInfo, place: str) -> tuple[Hash, int]:
        pieces = _Pieces()
        _check_unchanged(info, *_native.dump_nar(place, pieces))
        packed = pack_whole(pieces.joined(), self._compression, self._level)
        file_hash = info.nar_hash if self._compression == "none" else _native.hash_bytes("sha256", packed)
        name = self._file_name(file_hash)
        if not self.cache.has(name):
            self.cache.write(name, packed)
        return file_hash, len(packed)

    def _write_large(self, info: PathInfo, place: str) -> tuple[Hash, int]:
        with self.cache.create() as file:
            sink = _Packed(file, make_compressor(self._compression, self._level))
            _check_unchanged(info, *_native.dump_nar(place, sink))
            file_hash, size = sink.finish()
            file.commit(self._file_name(file_hash))
        return file_hash, size

    def _file_name(self, file_hash: Hash) -> str:
        return f"nar/{file_hash.format('base32')}.nar{SUFFIXES[self._compression]}"


def _portions(infos: Iterable[PathInfo]) -> Iterator[list[PathInfo]]:
    portion: list[PathInfo] = []
    size = 0
    for info in infos:
        portion.append(info)
        size += info.nar_size
        if len(portion) == _PORTION or size >= _PORTION_SIZE:
            yield portion
            portion, size = [], 0
    yield portion


class _Pieces:
    """What is written, in memory."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> None:
        self._pieces.append(data)

    def joined(self) -> bytes:
        return b"".join(self._pieces)


class _Packed:
    """What is written, compressed into `file` and hashed."""

    def __init__(self, file: NewFile, compressor: Compressor | None) -> None:
        import hashlib  # takes a while to load

        self._file = file
        self._compressor = compressor
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: bytes, /) -> None:
        self._put(data if self._compressor is None else self._compressor.compress(data))

    def finish(self) -> tuple[Hash, int]:
        """The hash and the size of the file."""
        if self._compressor is not None:
            self._put(self._compressor.flush())
        return Hash("sha256", self._hash.digest()), self._size

    def _put(self, packed: bytes) -> None:
        self._file.write(packed)
        self._hash.update(packed)
        self._size += len(packed)


def _check_unchanged(info: PathInfo, found: Hash, size: int) -> None:
    if found != info.nar_hash:
        raise StoreContentError(
            f"path was modified: `{info.path}`",
            where=info.path,
            hint=f"expected {info.nar_hash.format_prefixed('base32')}, got {found.format_prefixed('base32')} ({size} bytes); "
            "`nix-store --verify --check-contents --repair` may mend it",
        )


def _level(address: CacheAddress) -> int | None:
    text = address.get("compression-level")
    if text is None or text == "-1":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 3):
        raise CacheAddressError(f"not a level of compression: `{text}`", where=address.shown)
    return int(text)
