"""Making a closure valid from binary caches: what is locked, asked for, unpacked and registered, and in which order.

The thread that calls owns the plan: it takes locks, hands out work and registers what has come.  Beside it one thread for each cache asks for small
files, as many at once as there are connections; as many threads as there are processors unpack what came; and a few wait each for a large file,
which is unpacked while it comes.  What goes wrong with a small file is left to the way that large ones take, which tries again, goes on elsewhere
and says what was wrong.

A path is made valid when all that it refers to is, in batches, so that a store never has a path without its references.

A path is locked before it is downloaded and until it is valid: of two processes that want it, the second waits, and has it from the first.
Nobody waits for ever.  Each goes through its closure in the order of references, so whoever holds a path that it has, and waits for one that this
refers to, has that one already or waits for a process that is further down; and references have no cycles.
"""

from __future__ import annotations

import collections
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from nivalis.build.events import FetchFinished, FetchStarted, FetchWaiting
from nivalis.cache.cache import BinaryCache
from nivalis.cache.download import is_small
from nivalis.cache.errors import CacheError, CacheUnreachableError, NotInCacheError
from nivalis.cache.stores import Result
from nivalis.errors import NivalisError
from nivalis.store.locks import PathLocks, remove_locks
from nivalis.store.nars import Staged, register_staged
from nivalis.store.references import sort_by_references
from nivalis.store.store import Store

if TYPE_CHECKING:
    from nivalis.cache.substituter import CacheSubstituter, Offer

__all__ = ["Done", "Transfer"]

# So many are registered in one transaction, at most.
_BATCH = 256
# So many are locked at once, since each lock is an open file, and so many are looked at together; so often, in seconds, it is looked whether another
# process is done with one.
_LOCKED, _PORTION, _LOCK_PAUSE = 400, 64, 0.05
# So many bytes of small files may be on their way or wait to be unpacked.
_AHEAD = 1 << 22
# So many large files come at once: more would not come faster.
_STREAMS = 16
# So long, in seconds, or until they are so many, more are waited for before those that are there are registered, and so often it is looked: each
# look, and each transaction, disturbs the threads that unpack.
_GATHERING, _GATHERED, _LOOK = 0.05, 100, 0.015
_POLL = 0.5

Done = Callable[[str, NivalisError | None], object]
# A path and what became of it; not staged is what another process has made valid.
_Arrival: TypeAlias = tuple[str, Staged | BaseException | None]


class Transfer:
    """One call of `CacheSubstituter.substitute`, which says what the arguments are."""

    def __init__(self, substituter: CacheSubstituter, store: Store, wanted: set[str], done: Done, is_stopped: Callable[[], bool]) -> None:
        self._substituter = substituter
        self._store = store
        self._wanted = wanted
        self._done = done
        self._is_stopped = is_stopped
        # What is not valid yet, and what each waits for; what is here, and waits for its references.
        self._waiting: dict[str, set[str]] = {}
        self._referrers: dict[str, list[str]] = {}
        self._here: dict[str, Staged | None] = {}
        # In the order of references; and what another process has locked.
        self._order: collections.deque[str] = collections.deque()
        self._contested: list[str] = []
        self._told: set[str] = set()
        self._tried = 0.0
        self._locks: dict[str, PathLocks] = {}
        self._unlocked: list[str] = []
        # Work for the threads; None is the end of it.
        self._small: dict[BinaryCache, queue.SimpleQueue[str | None]] = {}
        self._packed: queue.SimpleQueue[tuple[str, Result, int] | None] = queue.SimpleQueue()
        self._large: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._arrived: queue.SimpleQueue[_Arrival] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._streams = 0
        self._mutex = threading.Lock()
        self._ahead = 0
        self._is_over = False

    def run(self) -> None:
        """Until all is valid or has failed."""
        self._plan()
        running = len(self._order)
        try:
            self._start_threads()
            while running:
                self._dispatch()
                batch = self._take(running)
                running -= len(batch)
                for path, result in batch:
                    if path and isinstance(result, NivalisError | OSError):
                        self._release(path)
                        self._fail(path, result)
                    elif isinstance(result, BaseException):
                        raise result
                    elif path in self._waiting:
                        self._here[path] = result
                    else:
                        self._discard(path, result)
                self._register([path for path, _ in batch])
        finally:
            self._end()

    # ---- the plan ----

    def _plan(self) -> None:
        closure = self._substituter.closure(self._wanted)
        for path in sorted(self._wanted - closure.fetches.keys()):
            error = NotInCacheError(f"no binary cache has the path, or all that it refers to: `{path}`") if path in closure.incomplete else None
            self._done(path, error)
        references = {path: set((self._substituter.offer_of(path) or _gone(path)).info.references) - {path} for path in closure.fetches}
        for path, targets in references.items():
            self._waiting[path] = targets & references.keys()
            for target in self._waiting[path]:
                self._referrers.setdefault(target, []).append(path)
        # What others need comes first.
        self._order.extend(sort_by_references(references))

    def _start_threads(self) -> None:
        offers = [offer for path in self._order if (offer := self._substituter.offer_of(path)) is not None]
        for cache in {offer.cache for offer in offers if is_small(offer.info)}:
            self._small[cache] = queue.SimpleQueue()
            self._start(self._ask, cache, self._small[cache])
        large = [offer.cache.store.connections for offer in offers if not is_small(offer.info)]
        for _ in range(os.cpu_count() or 1 if self._small else 0):
            self._start(self._unpack_all)
        self._streams = min(_STREAMS, len(large), max(large, default=0))
        for _ in range(self._streams):
            self._start(self._stream_all)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="substitute")
        thread.start()
        self._threads.append(thread)

    def _dispatch(self) -> None:
        """Lock and hand out as many paths as may be locked."""
        if self._contested and time.monotonic() - self._tried >= _LOCK_PAUSE:
            self._tried = time.monotonic()
            contested, self._contested = self._contested, []
            self._hand_out(contested)
        while self._order and len(self._locks) + len(self._contested) < _LOCKED:
            room = min(_PORTION, _LOCKED - len(self._locks) - len(self._contested), len(self._order))
            self._hand_out([self._order.popleft() for _ in range(room)])
        if not (self._order or self._contested):
            small, self._small = self._small, {}
            for asked in small.values():
                asked.put(None)

    def _hand_out(self, paths: list[str]) -> None:
        locked = [path for path in paths if self._lock(path)]
        # Another process may have been faster.
        valid = self._store.valid_among(locked)
        for path in locked:
            if path in valid:
                self._arrived.put((path, None))
                continue
            offer = self._substituter.offer_of(path)
            # None if its cache has failed meanwhile, and another one has it.
            small = self._small.get(offer.cache) if offer is not None and is_small(offer.info) else None
            if small is not None:
                small.put(path)
            elif self._streams:
                self._large.put(path)
            else:
                self._packed.put((path, None, 0))

    def _lock(self, path: str) -> bool:
        """Whether it is locked; if not, it is contested or has failed."""
        if self._is_stopped():
            self._arrived.put((path, CacheError(f"given up: `{path}`", code="cache-stopped")))
        elif path not in self._waiting:
            self._arrived.put((path, _given_up(path)))
        else:
            locks = PathLocks.try_take([self._store.real_path(path)])
            if locks is not None:
                self._locks[path] = locks
                return True
            self._contested.append(path)
            if path not in self._told:
                self._told.add(path)
                self._substituter.tell(FetchWaiting(path))
        return False

    # ---- in threads ----

    def _ask(self, cache: BinaryCache, paths: queue.SimpleQueue[str | None]) -> None:
        """Ask a cache for small files."""
        asked: dict[str, list[tuple[str, int]]] = {}

        def names() -> Iterator[str | None]:
            while not self._is_over:
                if self._ahead >= _AHEAD or paths.empty():
                    yield None
                    continue
                path = paths.get()
                if path is None:
                    return
                offer = self._substituter.offer_of(path)
                if offer is None or offer.cache is not cache or cache.is_dead or path not in self._waiting or self._is_stopped():
                    self._packed.put((path, None, 0))
                    continue
                size = offer.info.file_size or 0
                self._count(size)
                # Two paths may have the same content, and so the same file.
                asked.setdefault(offer.info.url, []).append((path, size))
                self._substituter.tell(FetchStarted(path, cache.url, size))
                yield offer.info.url

        def take(name: str, result: Result) -> None:
            path, size = asked[name].pop()
            self._packed.put((path, result, size))

        try:
            cache.store.read_many(names(), take)
        except BaseException as error:
            self._arrived.put(("", error))

    def _unpack_all(self) -> None:
        while (job := self._packed.get()) is not None:
            path, result, size = job
            self._deliver(path, self._unpack, result)
            self._count(-size)

    def _stream_all(self) -> None:
        while (path := self._large.get()) is not None:
            self._deliver(path, self._stream, None)

    def _deliver(self, path: str, fetch: Callable[[str, Result], Staged], result: Result) -> None:
        try:
            self._arrived.put((path, fetch(path, result)))
        except BaseException as error:
            self._arrived.put((path, error))

    def _unpack(self, path: str, result: Result) -> Staged:
        if isinstance(result, bytes) and path in self._waiting:
            with suppress(CacheError):
                staged = self._substituter.unpack(path, result)
                self._substituter.tell(FetchFinished(path))
                return staged
        return self._stream(path, result)

    def _stream(self, path: str, result: Result) -> Staged:
        if path not in self._waiting:
            raise _given_up(path)
        # Who is silent was waited for long enough.
        silent = result if isinstance(result, CacheUnreachableError) and result.code == "cache-timeout" else None
        return self._substituter.download(path, self._is_stopped, silent)

    def _count(self, size: int) -> None:
        with self._mutex:
            self._ahead += size

    # ---- what has come ----

    def _take(self, running: int) -> list[_Arrival]:
        batch: list[_Arrival] = []
        while not batch:
            if self._is_stopped():
                self._substituter.abort()
            try:
                batch.append(self._arrived.get(timeout=_LOCK_PAUSE if self._contested else _POLL))
            except queue.Empty:
                if self._contested:
                    break
        enough = min(_GATHERED, running) - 1
        end = time.monotonic() + _GATHERING
        while self._arrived.qsize() < enough and time.monotonic() < end:
            time.sleep(_LOOK)
        while len(batch) < _BATCH and not self._arrived.empty():
            batch.append(self._arrived.get())
        return batch

    def _register(self, candidates: list[str]) -> None:
        """Make valid what can be, beginning from those that have just come."""
        while candidates:
            ready: list[str] = []
            pending = list(candidates)
            candidates = []
            while pending:
                path = pending.pop()
                if path not in self._here or self._waiting.get(path, True):
                    continue
                if len(ready) == _BATCH:
                    candidates.append(path)
                    continue
                ready.append(path)
                # In this order the batch can be registered at once, though nothing of it is valid yet.
                del self._waiting[path]
                for referrer in self._referrers.get(path, ()):
                    if referrer in self._waiting:
                        self._waiting[referrer].discard(path)
                        pending.append(referrer)
            if not ready:
                return
            staged = [self._here[path] for path in ready]
            register_staged(self._store, [one for one in staged if one is not None], locked=True)
            for path in ready:
                del self._here[path]
                self._release(path)
                if path in self._wanted:
                    self._done(path, None)

    def _fail(self, path: str, error: NivalisError | OSError) -> None:
        told = error if isinstance(error, NivalisError) else CacheError(f"{error.strerror}: `{error.filename or path}`", code="os-error", where=path)
        reached = [path]
        while reached:
            failed = reached.pop()
            if self._waiting.pop(failed, None) is None:
                continue
            if failed in self._here:
                self._discard(failed, self._here.pop(failed))
            if failed in self._wanted:
                self._done(failed, told)
            reached += self._referrers.get(failed, ())

    def _discard(self, path: str, staged: Staged | None) -> None:
        """Remove what is not valid yet."""
        if staged is not None:
            staged.discard()
        self._release(path)

    def _release(self, path: str) -> None:
        locks = self._locks.pop(path, None)
        if locks is not None:
            locks.leave()
            self._unlocked.append(path)

    def _end(self) -> None:
        self._is_over = True
        for _ in self._threads:
            self._packed.put(None)
            self._large.put(None)
        for thread in self._threads:
            thread.join()
        while not self._arrived.empty():
            path, result = self._arrived.get()
            self._discard(path, result if isinstance(result, Staged) else None)
        for path, staged in self._here.items():
            self._discard(path, staged)
        for path in list(self._locks):
            self._release(path)
        remove_locks(self._store.real_path(path) for path in self._unlocked)


def _gone(path: str) -> Offer:
    raise NotInCacheError(f"no binary cache has the path: `{path}`")


def _given_up(path: str) -> NotInCacheError:
    return NotInCacheError(f"given up, since something that it refers to cannot be had: `{path}`")
