"""The substituter: what builds and the language are handed so that store paths come from binary caches.

Caches are asked in the order of their priorities, each for what those before it do not have: all paths of a step at once, and then all that
those refer to, so a closure costs as many round trips as it is deep, not as it is large.  What is fetched then is the business of
`nivalis.cache.transfer`.

A cache that fails is passed over, and what it said it had comes from the next one that has it.  Only when no cache is left does a path fail, with the
error of the last; whether that fails a build too is for the one who asked to say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from nivalis._native import NarInfo
from nivalis.build.events import CacheFailed, FetchFinished, FetchProgress, FetchStarted, FetchWaiting, Listener
from nivalis.build.goals import Closure, Fetch
from nivalis.cache.cache import PATIENCE, BinaryCache
from nivalis.cache.download import download, unpack
from nivalis.cache.errors import CacheError, CacheUnreachableError, NotInCacheError
from nivalis.cache.keys import PublicKey, SecretKey, public_keys
from nivalis.cache.lookups import Lookups
from nivalis.cache.settings import CacheSettings
from nivalis.cache.stores import CacheAddress, open_store
from nivalis.cache.transfer import Done, Transfer
from nivalis.errors import InvalidPathError, NivalisError
from nivalis.store.nars import Staged, register_staged
from nivalis.store.store import Store

__all__ = ["CacheSubstituter", "Offer"]

# Progress is told no more often than this, in seconds.
_TELLING = 0.2


@dataclass(frozen=True, slots=True)
class Offer:
    """What a cache offers of a path; it is trusted."""

    cache: BinaryCache
    info: NarInfo


class CacheSubstituter:
    """Fetches into `store` from the caches that `settings` name.  Nothing is asked before something is wanted.

    Events go to `listen`, from several threads, one at a time.
    """

    def __init__(self, store: Store, settings: CacheSettings, listen: Listener = lambda event: None, clock: Callable[[], float] = time.time) -> None:
        """Raises KeyFormatError for a key that is none."""
        self._store = store
        self._settings = settings
        self._hear = listen
        self._clock = clock
        self._mutex = threading.Lock()
        self._lookups: Lookups | None = None
        self._caches: list[BinaryCache] | None = None
        self._keys = public_keys(settings.trusted_public_keys) if settings.require_sigs else None
        self._offers: dict[str, Offer | None] = {}
        # Paths that a cache said it had, and could not deliver.
        self._failed: dict[str, set[str]] = {}

    def close(self) -> None:
        """End what goes on, and close what is open."""
        self.abort()
        if self._lookups is not None:
            self._lookups.close()
            self._lookups = None
        for cache in self._caches or ():
            cache.store.close()
        self._caches = None

    def __enter__(self) -> CacheSubstituter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ---- questions ----

    def available(self, paths: Collection[str]) -> set[str]:
        """Those of `paths` that some cache offers."""
        self._find(paths)
        return {path for path in paths if self._offers.get(path) is not None}

    def closure(self, paths: Collection[str]) -> Closure:
        """What has to be fetched for `paths` to be valid."""
        fetches: dict[str, Fetch] = {}
        references: dict[str, list[str]] = {}
        missing: set[str] = set()
        wanted = set(paths)
        seen = set(wanted)
        while wanted:
            self._store.protect(wanted)
            wanted -= self._store.valid_among(wanted)
            self._find(wanted)
            found: set[str] = set()
            for path in wanted:
                offer = self._offers.get(path)
                if offer is None:
                    missing.add(path)
                    continue
                info = offer.info
                fetches[path] = Fetch(path, info.file_size, info.nar_size)
                references[path] = info.references
                found.update(references[path])
            wanted = found - seen
            seen |= wanted
        incomplete = _dependents(missing, references)
        return Closure({path: fetch for path, fetch in fetches.items() if path not in incomplete}, incomplete)

    # ---- fetching ----

    def substitute(self, paths: Collection[str], done: Done, is_stopped: Callable[[], bool] = lambda: False) -> None:
        """Make `paths` valid, and all that they refer to.  `done` hears of each of `paths`, with the error of one that failed."""
        Transfer(self, self._store, set(paths), done, is_stopped).run()

    def fetch(self, path: str) -> None:
        """Make one path valid, and all that it refers to.  Raises NivalisError."""
        errors: list[NivalisError] = []
        self.substitute([path], lambda _, error: None if error is None else errors.append(error))
        if errors:
            raise errors[0]

    def repair(self, path: str) -> None:
        """Replace the content of a valid path by that of a cache.  Raises NivalisError."""
        self._store.protect([path])
        known = self._store.path_info(path)
        self._find([path])
        offer = self._offers.get(path)
        if offer is None:
            raise InvalidPathError(f"path cannot be repaired, since no binary cache has it: `{path}`", code="cannot-repair")
        if offer.info.nar_hash != known.nar_hash:
            raise CacheError(
                f"cache has another content of the path than the one that was damaged: `{path}`", where=offer.cache.url, code="cannot-repair"
            )
        for reference in set(offer.info.references) - {path} - self._store.valid_among(offer.info.references):
            self.fetch(reference)
        staged = self.download(path, lambda: False)
        register_staged(self._store, [staged], repair=True)

    # ---- for a transfer ----

    def abort(self) -> None:
        """End all that goes on; what waits for a cache gets an error."""
        for cache in self._caches or ():
            cache.store.abort()

    def offer_of(self, path: str) -> Offer | None:
        """What is known to be offered of a path, by the cache that is to be asked first."""
        return self._offers.get(path)

    def unpack(self, path: str, data: bytes) -> Staged:
        """Unpack the file that was offered of `path`, and has come whole.  Raises NivalisError."""
        offer = self._offers.get(path)
        if offer is None:
            raise NotInCacheError(f"no binary cache has the path: `{path}`")
        return unpack(offer.cache.store, self._store, offer.info, data)

    def download(self, path: str, is_stopped: Callable[[], bool], failed: CacheError | None = None) -> Staged:
        """Fetch one path, from the first cache that delivers it; it is not valid yet.  Raises NivalisError.

        `failed` is how the first has failed to deliver it already.
        """
        last: NivalisError | None = None
        while True:
            offer = self._offers.get(path)
            if offer is None:
                raise last or NotInCacheError(f"no binary cache has the path: `{path}`")
            cache, info = offer.cache, offer.info
            try:
                if failed is not None:
                    known, failed = failed, None
                    raise known
                if cache.is_dead:
                    raise CacheUnreachableError(f"cache is passed over, since it failed a moment ago: `{cache.url}`", where=path)
                self.tell(FetchStarted(path, cache.url, info.file_size))
                attempts = self._settings.download_attempts
                staged = download(cache, self._store, info, attempts, self._progress_of(path, info), is_stopped)
                self.tell(FetchFinished(path))
                return staged
            except CacheError as error:
                if is_stopped():
                    raise
                last = error
                if isinstance(error, CacheUnreachableError):
                    cache.fail(error)
                else:
                    cache.forget(path)
                    cache.report(error)
            with self._mutex:
                self._failed.setdefault(path, set()).add(cache.url)
                self._offers.pop(path, None)
            self._find([path])

    def tell(self, event: CacheFailed | FetchWaiting | FetchStarted | FetchProgress | FetchFinished) -> None:
        with self._mutex:
            self._hear(event)

    def _progress_of(self, path: str, info: NarInfo) -> Callable[[int], None]:
        told = time.monotonic()

        def progress(received: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= _TELLING:
                told = now
                self.tell(FetchProgress(path, received, info.file_size))

        return progress

    # ---- the caches ----

    def _find(self, paths: Iterable[str]) -> None:
        """Have in `_offers` what there is of `paths`."""
        wanted = [path for path in paths if path not in self._offers]
        if not wanted or not self._settings.substitute:
            return
        found: dict[str, Offer | None] = {}
        for cache in self._open():
            asked = [path for path in wanted if path not in found and cache.url not in self._failed.get(path, ())]
            if asked:
                found.update((path, Offer(cache, info)) for path, info in cache.find(asked).items())
        for path in wanted:
            self._offers[path] = found.get(path)

    def _open(self) -> list[BinaryCache]:
        """The caches, those that are to be asked first before the others."""
        if self._caches is None:
            settings = self._settings
            if self._keys is not None:
                self._keys |= _own_keys(settings.secret_key_files)
            self._lookups = Lookups(
                settings.cache_dir,
                settings.narinfo_cache_positive_ttl,
                settings.narinfo_cache_negative_ttl,
                settings.narinfo_cache_meta_ttl,
                self._clock,
            )
            caches: dict[str, BinaryCache] = {}
            for text in settings.substituters:
                address = CacheAddress.parse(text)
                if address.url in caches:
                    continue
                try:
                    store = open_store(address, settings)
                except CacheError as error:
                    self._report(address.shown, error)
                    continue
                caches[address.url] = BinaryCache(
                    address, store, self._store.store_dir, self._keys, self._lookups, lambda store, error: self._report(store.url, error), self._clock
                )
            self._caches = list(caches.values())
        _greet([cache for cache in self._caches if cache.needs_greeting()])
        return sorted((cache for cache in self._caches if not cache.is_dead), key=lambda cache: cache.priority)

    def _report(self, url: str, error: NivalisError) -> None:
        self.tell(CacheFailed(url, error.code, error.message))


def _greet(caches: list[BinaryCache]) -> None:
    """Ask caches at once what they are.  Looking up a name may hang for minutes, so nobody waits for these threads."""
    threads = [threading.Thread(target=cache.greet, daemon=True, name="greet") for cache in caches]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE + 1
    for cache, thread in zip(caches, threads, strict=True):
        thread.join(max(0, deadline - time.monotonic()))
        if thread.is_alive():
            cache.give_up_waiting()


def _dependents(failed: set[str], references: Mapping[str, Collection[str]]) -> set[str]:
    """`failed`, and all that refers to it, directly or not."""
    if not failed:
        return set()
    referrers: dict[str, list[str]] = {}
    for path, targets in references.items():
        for target in targets:
            referrers.setdefault(target, []).append(path)
    found: set[str] = set()
    pending = list(failed)
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += referrers.get(path, ())
    return found


def _own_keys(files: Iterable[str]) -> dict[str, PublicKey]:
    """The public keys of those that sign here, as far as they may be read."""
    keys: dict[str, PublicKey] = {}
    for file in files:
        try:
            key = SecretKey.read(file).public
        except (OSError, NivalisError):
            continue
        keys[key.name] = key
    return keys
