"""What was looked up in caches, remembered: a small SQLite database in the user's cache folder.

For each cache: what its `nix-cache-info` said, until when it is passed over because it failed, and which narinfos it had or did not have.
The idea and the times are CppNix's; the file is our own, and holds whole narinfos, which the kernel reads faster than columns are put together.

It is only ever a help: what it says is checked as if it came from the cache itself, and if it cannot be opened, is damaged or locked,
everything is asked again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

__all__ = ["KnownCache", "Lookups"]

_FILE = "binary-caches-v1.sqlite"
_SCHEMA = """
pragma journal_mode = wal;
pragma synchronous = off;
create table if not exists Caches (
    url       text primary key not null,
    info      blob,
    checked   integer not null,
    deadUntil integer not null default 0,
    reason    text
) without rowid;
create table if not exists NarInfos (
    url      text not null,
    hashPart text not null,
    checked  integer not null,
    narInfo  blob, -- null: the cache does not have it
    primary key (url, hashPart)
) without rowid;
"""
# Once in so many seconds what is too old is removed.
_PURGE_INTERVAL = 24 * 3600


class KnownCache(NamedTuple):
    """What is remembered of a cache: its `nix-cache-info`, and until when (seconds since the epoch) and why it is passed over."""

    info: bytes | None
    dead_until: float
    reason: str


class Lookups:
    """The database in the folder `cache_dir` (None: nothing is remembered).  Times are in seconds; `clock` gives seconds since the epoch."""

    def __init__(self, cache_dir: str | None, positive_ttl: int, negative_ttl: int, meta_ttl: int, clock: Callable[[], float]) -> None:
        self._mutex = threading.Lock()
        self._positive = positive_ttl
        self._negative = negative_ttl
        self._meta = meta_ttl
        self._clock = clock
        self._connection = None if cache_dir is None else _connect(cache_dir)
        if self._connection is not None:
            self._purge()

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def cache(self, url: str) -> KnownCache | None:
        rows = self._select("select info, checked, deadUntil, reason from Caches where url = ?", (url,))
        if not rows:
            return None
        info, checked, dead_until, reason = rows[0]
        return KnownCache(info if checked > self._clock() - self._meta else None, dead_until, reason or "")

    def keep_cache(self, url: str, info: bytes) -> None:
        self._change([("insert or replace into Caches (url, info, checked) values (?, ?, ?)", [(url, info, int(self._clock()))])])

    def keep_dead(self, url: str, until: float, reason: str) -> None:
        """A cache is to be passed over until then."""
        sql = (
            "insert into Caches (url, checked, deadUntil, reason) values (?1, 0, ?2, ?3) on conflict (url) do update set deadUntil = ?2, reason = ?3"
        )
        self._change([(sql, [(url, int(until), reason)])])

    def narinfos(self, url: str, hash_parts: Collection[str]) -> dict[str, bytes | None]:
        """What is remembered of paths, by hash part; None for those that the cache does not have."""
        now = self._clock()
        rows = self._select(
            "select hashPart, narInfo, checked from NarInfos where url = ? and hashPart in (select value from json_each(?))",
            (url, json.dumps(list(hash_parts))),
        )
        return {part: text for part, text, checked in rows if checked > now - (self._negative if text is None else self._positive)}

    def keep_narinfos(self, url: str, found: Mapping[str, bytes | None]) -> None:
        now = int(self._clock())
        rows = [(url, part, now, text) for part, text in found.items()]
        self._change([("insert or replace into NarInfos (url, hashPart, checked, narInfo) values (?, ?, ?, ?)", rows)])

    def forget(self, url: str, hash_part: str) -> None:
        """What was said of a path has turned out to be wrong."""
        self._change([("delete from NarInfos where url = ? and hashPart = ?", [(url, hash_part)])])

    def _purge(self) -> None:
        now = int(self._clock())
        rows = self._select("pragma user_version")
        # A version has 31 bits: it counts days.
        if rows and rows[0][0] < now // _PURGE_INTERVAL:
            self._change(
                [
                    ("delete from NarInfos where checked < ? or narInfo is null and checked < ?", [(now - self._positive, now - self._negative)]),
                    (f"pragma user_version = {now // _PURGE_INTERVAL}", [()]),
                ]
            )

    def _select(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        with self._mutex:
            if self._connection is None:
                return []
            try:
                return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.Error:
                return []

    def _change(self, statements: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> None:
        with self._mutex:
            if self._connection is None:
                return
            with suppress(sqlite3.Error):
                self._connection.execute("begin immediate")
                try:
                    for sql, rows in statements:
                        self._connection.executemany(sql, rows) if rows != [()] else self._connection.execute(sql)
                    self._connection.execute("commit")
                except BaseException:
                    self._connection.execute("rollback")
                    raise


def _connect(folder: str) -> sqlite3.Connection | None:
    place = f"{folder}/{_FILE}"
    for attempt in range(2):
        connection = None
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            connection = sqlite3.connect(place, timeout=1, isolation_level=None, check_same_thread=False)
            connection.executescript(_SCHEMA)
            return connection
        except sqlite3.DatabaseError as error:
            if connection is not None:
                connection.close()
            if attempt or isinstance(error, sqlite3.OperationalError):
                return None
            # Damaged: it can be made anew at any time.
            with suppress(OSError):
                os.unlink(place)
        except OSError:
            return None
    return None
