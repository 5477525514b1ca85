"""The substituter: what builds and the language are handed so that store paths come from binary caches.

Caches are asked in the order of their priorities, each for what those before it do not have: all paths of a step at once, and then all that
those refer to, so a closure costs as many round trips as it is deep, not as it is large.  Downloads begin all at once, so many at a time as the
settings say; a path is made valid when all that it refers to is, in batches, so that a store never has a path without its references.

A path is locked before it is downloaded and until it is valid: of two processes that want it, the second waits, and has it from the first.
Nobody waits for ever.  Each goes through its closure in the order of references, so whoever holds a path that it has, and waits for one that this
refers to, has that one already or waits for a process that is further down; and references have no cycles.

A cache that fails is passed over, and what it said it had comes from the next one that has it.  Only when no cache is left does a path fail, with the
error of the last; whether that fails a build too is for the one who asked to say.
"""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from nivalis._native import NarInfo
from nivalis.build.events import CacheFailed, FetchFinished, FetchProgress, FetchStarted, FetchWaiting, Listener
from nivalis.build.goals import Closure, Fetch
from nivalis.cache.cache import PATIENCE, BinaryCache
from nivalis.cache.download import download
from nivalis.cache.errors import CacheError, CacheUnreachableError, NotInCacheError
from nivalis.cache.keys import PublicKey, SecretKey, public_keys
from nivalis.cache.lookups import Lookups
from nivalis.cache.settings import CacheSettings
from nivalis.cache.stores import CacheAddress, open_store
from nivalis.errors import InvalidPathError, NivalisError
from nivalis.store.locks import PathLocks
from nivalis.store.nars import Staged, register_staged
from nivalis.store.references import sort_by_references
from nivalis.store.store import Store

__all__ = ["CacheSubstituter"]

# So many are registered in one transaction.
_BATCH = 256
# So many are locked at once, since each lock is an open file, and so often, in seconds, it is looked whether another process is done with one.
_LOCKED, _LOCK_PAUSE = 400, 0.05
# So long, in seconds, more are waited for before those that are there are registered, and so often it is looked: each look, and each
# transaction, disturbs the threads that unpack.
_GATHERING, _LOOK = 0.1, 0.01
# Progress is told no more often than this, in seconds.
_TELLING = 0.2
_POLL = 0.5

Done = Callable[[str, NivalisError | None], object]


@dataclass(frozen=True, slots=True)
class _Offer:
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
        self._offers: dict[str, _Offer | None] = {}
        # Paths that a cache said it had, and could not deliver.
        self._failed: dict[str, set[str]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End what goes on, and close what is open."""
        self.abort()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
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
        _Transfer(self, self._store, set(paths), done, is_stopped).run()

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

    @property
    def workers(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.connections, "cache")
        return self._pool

    @property
    def connections(self) -> int:
        """How much may be done at once."""
        return max((cache.store.connections for cache in self._open()), default=1)

    def abort(self) -> None:
        """End all that goes on; what waits for a cache gets an error."""
        for cache in self._caches or ():
            cache.store.abort()

    def offer_of(self, path: str) -> NarInfo | None:
        offer = self._offers.get(path)
        return None if offer is None else offer.info

    def download(self, path: str, is_stopped: Callable[[], bool]) -> Staged:
        """Fetch one path, from the first cache that delivers it; it is not valid yet.  Raises NivalisError."""
        last: NivalisError | None = None
        while True:
            offer = self._offers.get(path)
            if offer is None:
                raise last or NotInCacheError(f"no binary cache has the path: `{path}`")
            cache, info = offer.cache, offer.info
            try:
                if cache.is_dead:
                    raise CacheUnreachableError(f"cache is passed over, since it failed a moment ago: `{cache.url}`", where=path)
                self.tell(FetchStarted(path, cache.url, info.file_size))
                attempts = self._settings.download_attempts
                staged = download(cache.store, self._store, info, attempts, self._progress_of(path, info), is_stopped)
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
            # Not in the pool, whose threads may all be waiting here.
            with ThreadPoolExecutor(1) as own:
                self._find([path], own)

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

    def _find(self, paths: Iterable[str], pool: ThreadPoolExecutor | None = None) -> None:
        """Have in `_offers` what there is of `paths`."""
        wanted = [path for path in paths if path not in self._offers]
        if not wanted or not self._settings.substitute:
            return
        found: dict[str, _Offer | None] = {}
        for cache in self._open():
            asked = [path for path in wanted if path not in found and cache.url not in self._failed.get(path, ())]
            if asked:
                found.update((path, _Offer(cache, info)) for path, info in cache.find(asked, pool or self.workers).items())
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


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A path that is here and locked; not staged is what another process has made valid."""

    staged: Staged | None
    locks: PathLocks
    permits: threading.Semaphore

    def discard(self) -> None:
        """Remove what is not valid yet."""
        if self.staged is not None:
            self.staged.discard()
        self.release()

    def release(self) -> None:
        self.locks.release()
        self.permits.release()


@dataclass(slots=True)
class _Transfer:
    """One call of `substitute`: what is downloaded, what waits for its references, what is valid."""

    substituter: CacheSubstituter
    store: Store
    wanted: set[str]
    done: Done
    is_stopped: Callable[[], bool]
    waiting: dict[str, set[str]] = field(default_factory=dict)
    referrers: dict[str, list[str]] = field(default_factory=dict)
    here: dict[str, _Arrival] = field(default_factory=dict)
    arrived: queue.SimpleQueue[tuple[str, _Arrival | BaseException]] = field(default_factory=queue.SimpleQueue)
    permits: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_LOCKED))

    def run(self) -> None:
        closure = self.substituter.closure(self.wanted)
        for path in sorted(self.wanted - closure.fetches.keys()):
            error = NotInCacheError(f"no binary cache has the path, or all that it refers to: `{path}`") if path in closure.incomplete else None
            self.done(path, error)
        references = {path: set((self.substituter.offer_of(path) or _gone(path)).references) - {path} for path in closure.fetches}
        for path, targets in references.items():
            self.waiting[path] = targets & references.keys()
            for target in self.waiting[path]:
                self.referrers.setdefault(target, []).append(path)
        # What others need comes first.
        order = collections.deque(sort_by_references(references))
        running = len(order)
        count = min(self.substituter.connections, running)
        threads = [threading.Thread(target=self._work, args=[order], name="substitute") for _ in range(count)]
        for thread in threads:
            thread.start()
        try:
            while running:
                batch = self._take(running)
                running -= len(batch)
                for path, result in batch:
                    if isinstance(result, _Arrival):
                        if path in self.waiting:
                            self.here[path] = result
                        else:
                            result.discard()
                    elif isinstance(result, NivalisError | OSError):
                        self._fail(path, result)
                    else:
                        raise result
                self._register([path for path, _ in batch])
        finally:
            order.clear()
            for thread in threads:
                thread.join()
            while not self.arrived.empty():
                _, result = self.arrived.get()
                if isinstance(result, _Arrival):
                    result.discard()
            for left in self.here.values():
                left.discard()

    def _work(self, order: collections.deque[str]) -> None:
        """Fetch one path after the other until none is left.  Threads of one's own: futures would cost more than a small download."""
        while True:
            # Before a path is taken: what has been taken must be able to go on, since others may refer to it.
            while not self.permits.acquire(timeout=_POLL):
                if not order:
                    return
            try:
                path = order.popleft()
            except IndexError:
                self.permits.release()
                return
            try:
                self.arrived.put((path, self._fetch(path)))
            except BaseException as error:
                self.permits.release()
                self.arrived.put((path, error))

    def _fetch(self, path: str) -> _Arrival:
        locks = self._lock(path)
        try:
            staged = None if self.store.is_valid(path) else self.substituter.download(path, self.is_stopped)
            return _Arrival(staged, locks, self.permits)
        except BaseException:
            locks.release()
            raise

    def _lock(self, path: str) -> PathLocks:
        place = self.store.real_path(path)
        told = False
        while True:
            if self.is_stopped():
                raise CacheError(f"given up: `{path}`", code="cache-stopped")
            if path not in self.waiting:
                raise NotInCacheError(f"given up, since something that it refers to cannot be had: `{path}`")
            locks = PathLocks.try_take([place])
            if locks is not None:
                return locks
            if not told:
                told = True
                self.substituter.tell(FetchWaiting(path))
            time.sleep(_LOCK_PAUSE)

    def _take(self, running: int) -> list[tuple[str, _Arrival | BaseException]]:
        batch: list[tuple[str, _Arrival | BaseException]] = []
        while not batch:
            try:
                batch.append(self.arrived.get(timeout=_POLL))
            except queue.Empty:
                if self.is_stopped():
                    self.substituter.abort()
        full = min(_BATCH, running) - 1
        end = time.monotonic() + _GATHERING
        while self.arrived.qsize() < full and time.monotonic() < end:
            time.sleep(_LOOK)
        while len(batch) <= full and not self.arrived.empty():
            batch.append(self.arrived.get())
        return batch

    def _register(self, candidates: list[str]) -> None:
        """Make valid what can be, beginning from those that have just come."""
        while candidates:
            ready: list[str] = []
            pending = list(candidates)
            candidates = []
            while pending:
                path = pending.pop()
                if path not in self.here or self.waiting.get(path, True):
                    continue
                if len(ready) == _BATCH:
                    candidates.append(path)
                    continue
                ready.append(path)
                # In this order the batch can be registered at once, though nothing of it is valid yet.
                del self.waiting[path]
                for referrer in self.referrers.get(path, ()):
                    if referrer in self.waiting:
                        self.waiting[referrer].discard(path)
                        pending.append(referrer)
            if not ready:
                return
            staged = [self.here[path].staged for path in ready]
            register_staged(self.store, [one for one in staged if one is not None], locked=True)
            for path in ready:
                self.here.pop(path).release()
                if path in self.wanted:
                    self.done(path, None)

    def _fail(self, path: str, error: NivalisError | OSError) -> None:
        told = error if isinstance(error, NivalisError) else CacheError(f"{error.strerror}: `{error.filename or path}`", code="os-error", where=path)
        reached = [path]
        while reached:
            failed = reached.pop()
            if self.waiting.pop(failed, None) is None:
                continue
            arrival = self.here.pop(failed, None)
            if arrival is not None:
                arrival.discard()
            if failed in self.wanted:
                self.done(failed, told)
            reached += self.referrers.get(failed, ())


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


def _gone(path: str) -> NarInfo:
    raise NotInCacheError(f"no binary cache has the path: `{path}`")
