"""One binary cache: what it says of itself, and what it says of store paths.

A cache is *passed over* from the moment when it fails (no answer in time, a server's own error, rubbish where `nix-cache-info` should be) for
`DEAD_TIME` seconds, in this process and in those that share the look-up cache; after that it is tried again, but by this process no more once it
has failed `ENOUGH` times in a row.  What it offers has been
checked already: a narinfo that is damaged, speaks of another path, or is signed by nobody who is trusted is no offer.  Each kind of such trouble
is reported once for a cache.

Nothing is downloaded here: see `nivalis.cache.download`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from nivalis._native import NarInfo
from nivalis.cache.compression import check_compression
from nivalis.cache.errors import CacheContentError, CacheError, CacheInfoError, CacheUnreachableError
from nivalis.cache.keys import PublicKey, check_trusted
from nivalis.cache.lookups import Lookups
from nivalis.cache.stores import CacheAddress, CacheStore, Result
from nivalis.errors import NivalisError
from nivalis.store.paths import hash_part

__all__ = ["DEAD_TIME", "ENOUGH", "BinaryCache", "CacheInfo"]

# For how long a cache that failed is passed over, in seconds.
DEAD_TIME = 60
# After so many failures without an answer to anything but what it is, it is passed over to the end.
ENOUGH = 3
# How long a cache may take to say that it is one, in seconds: builds wait for it.
PATIENCE = 3.0
_DEFAULT_PRIORITY = 50
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What `nix-cache-info` says.  Of two caches that have a path, the one with the lower priority is asked first."""

    store_dir: str
    priority: int = _DEFAULT_PRIORITY
    wants_mass_query: bool = False

    @classmethod
    def parse(cls, data: bytes) -> CacheInfo:
        """Raises CacheInfoError."""
        fields: dict[str, str] = {}
        for line in data.decode("utf-8", "replace").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields[name] = value.strip()
        store_dir, priority = fields.get("StoreDir", ""), fields.get("Priority", str(_DEFAULT_PRIORITY))
        if not store_dir.startswith("/") or not (priority.isascii() and priority.isdigit() and len(priority) < 10):
            raise CacheInfoError("`nix-cache-info` is not that of a binary cache", hint="is there a cache at that address?")
        return cls(store_dir, int(priority), fields.get("WantMassQuery") == "1")


class BinaryCache:
    """A cache as it is used for reading.  `report` is told what is wrong with it, once for each kind of trouble."""

    def __init__(
        self,
        address: CacheAddress,
        store: CacheStore,
        store_dir: str,
        keys: Mapping[str, PublicKey] | None,
        lookups: Lookups,
        report: Callable[[CacheStore, NivalisError], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """With `keys` None everything is believed."""
        self.url = address.shown
        self.store = store
        self.info: CacheInfo | None = None
        self._priority = address.get("priority")
        self._store_dir = store_dir
        self._keys = None if address.get("trusted") in ("true", "1") else keys
        self._lookups = lookups
        self._report = report
        self._reported: set[str] = set()
        self._clock = clock
        self._dead_until = 0.0
        self._failures = 0
        self._mutex = threading.Lock()
        # Held by the one who tries again what has failed: while many wait for a cache, one asks whether it is back.
        self.trying_again = threading.Lock()

    @property
    def is_dead(self) -> bool:
        """Whether it is to be passed over for now."""
        return self._clock() < self._dead_until

    @property
    def priority(self) -> int:
        if self._priority is not None and self._priority.isdigit():
            return int(self._priority)
        return self.info.priority if self.info is not None else _DEFAULT_PRIORITY

    def needs_greeting(self) -> bool:
        """Whether the cache itself has to be asked what it is; what is remembered is taken here."""
        if self.info is not None or self.is_dead:
            return False
        known = None if self.store.is_local else self._lookups.cache(self.url)
        if known is not None and known.dead_until > self._clock():
            self._dead_until = known.dead_until
            self._say(CacheUnreachableError(f"cache is passed over, since it failed a moment ago: `{self.url}` ({known.reason})"))
            return False
        if known is not None and known.info is not None:
            self._take_info(known.info)
            return False
        return True

    def greet(self) -> None:
        """Ask what it is."""
        try:
            data = self._read("nix-cache-info")
        except CacheError as error:
            self.fail(error)
            return
        if data is None:
            self.fail(CacheInfoError(f"there is no binary cache at the address: `{self.url}`", hint="it has no file `nix-cache-info`"))
        elif self._take_info(data) and not self.store.is_local:
            self._lookups.keep_cache(self.url, data)

    def _take_info(self, data: bytes) -> bool:
        try:
            info = CacheInfo.parse(data)
            if info.store_dir != self._store_dir:
                raise CacheInfoError(f"cache is for the store directory `{info.store_dir}`, and not for `{self._store_dir}`")
        except CacheInfoError as error:
            error.where = self.url
            self.fail(error)
            return False
        self.info = info
        return True

    def fail(self, error: NivalisError) -> None:
        """It cannot be used for now."""
        with self._mutex:
            if self.is_dead:
                return
            until = self._clock() + DEAD_TIME
            self._failures += 1
            self._dead_until = until if self._failures < ENOUGH else math.inf
        self.info = None
        self.store.abort()
        if not self.store.is_local:
            self._lookups.keep_dead(self.url, until, error.message)
        self._say(error)
        if self._failures == ENOUGH:
            message = f"cache is given up for this run, since it failed {ENOUGH} times in a row: `{self.url}`"
            self._say(CacheUnreachableError(message, code="cache-given-up"))

    def answered(self) -> None:
        """It has given something that was asked for: it works."""
        self._failures = 0

    def give_up_waiting(self) -> None:
        """It did not say in time what it is."""
        self.fail(CacheUnreachableError(f"cache does not answer: `{self.url}` (nothing within {PATIENCE:g} seconds)"))

    def find(self, paths: Collection[str]) -> dict[str, NarInfo]:
        """What it offers of `paths`.  It fails while it is asked if it ceases to answer."""
        if self.is_dead or self.info is None:
            return {}
        by_part = {hash_part(path): path for path in paths}
        known = {} if self.store.is_local else self._lookups.narinfos(self.url, by_part)
        asked = self._ask([part for part in by_part if part not in known])
        offers = self._check({**known, **asked}, by_part)
        if not self.store.is_local and asked:
            # What is rubbish now may not be so when it is asked for again.
            sound = {part: data for part, data in asked.items() if data is None or by_part[part] in offers}
            self._lookups.keep_narinfos(self.url, sound)
        return offers

    def forget(self, path: str) -> None:
        """It does not have what it said it had."""
        if not self.store.is_local:
            self._lookups.forget(self.url, hash_part(path))

    def report(self, error: NivalisError) -> None:
        """Say what is wrong with it, if that has not been said yet."""
        self._say(error)

    def _ask(self, parts: list[str]) -> dict[str, bytes | None]:
        """What it says of `parts`, as far as it does; it fails when it stumbles twice over the same."""
        found: dict[str, bytes | None] = {}
        stumbled: dict[str, CacheError] = {}
        doubtful: set[str] = set()

        def names() -> Iterator[str]:
            for part in parts:
                if stumbled or self.is_dead:
                    return
                yield f"{part}.narinfo"

        def take(name: str, result: Result) -> None:
            part = name.removesuffix(".narinfo")
            if not isinstance(result, CacheError):
                found[part] = result
            elif result.code == "cache-timeout" or part in doubtful:
                self.fail(result)
            else:
                stumbled[part] = result

        while parts and not self.is_dead:
            self.store.read_many(names(), take, timeout=PATIENCE)
            if found:
                self.answered()
            # What it has stumbled over comes first, so that a cache which fails is not asked for all of it again.
            parts = [*stumbled, *(part for part in parts if part not in found and part not in stumbled)]
            if stumbled:
                doubtful.update(stumbled)
                stumbled.clear()
                time.sleep(_PAUSE)
                self.store.read_many(iter([f"{parts[0]}.narinfo"]), take, timeout=PATIENCE)
                parts = [part for part in parts if part not in found]
        return found

    def _read(self, name: str) -> bytes | None:
        try:
            return self.store.read(name, timeout=PATIENCE)
        except CacheUnreachableError as error:
            if self.is_dead or error.code == "cache-timeout":
                raise
        # Anyone may stumble once.
        time.sleep(_PAUSE)
        return self.store.read(name, timeout=PATIENCE)

    def _check(self, found: Mapping[str, bytes | None], by_part: Mapping[str, str]) -> dict[str, NarInfo]:
        offers = {}
        for part, data in found.items():
            if data is None:
                continue
            path = by_part[part]
            try:
                offers[path] = self._read_offer(path, data)
            except NivalisError as error:
                error.where = f"{self.url}/{part}.narinfo"
                self._say(error)
        return offers

    def _read_offer(self, path: str, data: bytes) -> NarInfo:
        info = NarInfo.parse(data, self._store_dir)
        if info.store_path != path:
            raise CacheContentError(f"cache speaks of another path: `{info.store_path}` instead of `{path}`", code="cache-wrong-path")
        check_compression(info.compression)
        if self._keys is not None:
            check_trusted(info, self._keys, self._store_dir)
        return info

    def _say(self, error: NivalisError) -> None:
        with self._mutex:
            if error.code in self._reported:
                return
            self._reported.add(error.code)
        self._report(self.store, error)
