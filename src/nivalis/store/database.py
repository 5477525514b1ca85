"""The store's database: which paths are valid, and what is known of them.

It is CppNix's SQLite database of schema version 10, table by table, so that both programs work on one store at once.  A path is
*valid* when it has a row here; whatever else lies in the store directory is garbage.  So a path is registered last, when its
content stands complete, and a batch of paths in one transaction.

The journal is a write-ahead log and `synchronous` is `normal`, CppNix's `fsync-metadata`: a transaction may be lost when the
machine (not the program) dies, but never half of one.  Every writer takes the write lock at the beginning of its transaction.
Waiting for another process is done here rather than in SQLite, so that Ctrl-C is heard.

A damaged database is never mended or made anew here: it is an error that says what can be done.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nivalis._native import Hash
from nivalis.errors import DatabaseBusyError, DatabaseCorruptError, DatabaseError, DatabaseSchemaError, InvalidPathError, StoreReadOnlyError
from nivalis.store.layout import SCHEMA_VERSION
from nivalis.store.validity import BUSY_CODES, connect_read_only

_T = TypeVar("_T")

_SCHEMA = """
create table if not exists ValidPaths (
    id               integer primary key autoincrement not null,
    path             text unique not null,
    hash             text not null,
    registrationTime integer not null,
    deriver          text,
    narSize          integer,
    ultimate         integer, -- null implies "false"
    sigs             text, -- space-separated
    ca               text -- if not null, an assertion that the path is content-addressed; see ValidPathInfo
);
create table if not exists Refs (
    referrer  integer not null,
    reference integer not null,
    primary key (referrer, reference),
    foreign key (referrer) references ValidPaths(id) on delete cascade,
    foreign key (reference) references ValidPaths(id) on delete restrict
);
create index if not exists IndexReferrer on Refs(referrer);
create index if not exists IndexReference on Refs(reference);
create trigger if not exists DeleteSelfRefs before delete on ValidPaths
  begin
    delete from Refs where referrer = old.id and reference = old.id;
  end;
create table if not exists DerivationOutputs (
    drv  integer not null,
    id   text not null, -- symbolic output id, usually "out"
    path text not null,
    primary key (drv, id),
    foreign key (drv) references ValidPaths(id) on delete cascade
);
create index if not exists IndexDerivationOutputs on DerivationOutputs(path);
"""

# Freed by a collector when the disk is full, so that there is room for its transactions.
_RESERVED_SIZE = 8 * 1024 * 1024
_SPENT_AT_ONCE = 128 * 1024
# How long to wait for other processes, in seconds: a collector deletes many paths in one go.
_PATIENCE = 3600.0

# SQLite's primary result codes.
_NOT_OWNER = "use a store of your own with `--store <folder>`, or run as the store's owner"
_CORRUPT_CODES = {11, 26}  # CORRUPT, NOTADB
_NO_ROOM_CODES = {10, 13}  # IOERR, as of a file that cannot grow, and FULL
_READONLY = 8


# Named tuples and no dataclasses, here and in what else every use of a store loads: loading `dataclasses` takes longer than most uses.
class PathInfo(NamedTuple):
    """What is known of a valid path.

    `nar_hash` is of type SHA-256; `references` may hold the path itself; `registration_time` is in seconds since the epoch (0:
    the time of registration); `ultimate` says that it was built here; `ca` is its content address where it has one.
    """

    path: str
    nar_hash: Hash
    nar_size: int
    references: frozenset[str] = frozenset()
    deriver: str | None = None
    registration_time: int = 0
    ultimate: bool = False
    signatures: tuple[str, ...] = ()
    ca: str | None = None


class Registration(NamedTuple):
    """A path to be made valid, with the outputs (name, path) of the derivation that it is, if it is one."""

    info: PathInfo
    outputs: tuple[tuple[str, str], ...] = ()


class Graph(NamedTuple):
    """The whole database at one moment, by the numbers of its rows: paths, references (referrer, reference), derivers and outputs."""

    paths: dict[int, str]
    references: list[tuple[int, int]]
    derivers: dict[int, str]
    outputs: list[tuple[int, str]]


class Database:
    """An open database.  Safe to use from several threads; not across a fork."""

    def __init__(self, connection: sqlite3.Connection | None, folder: Path, big_lock: int | None, patience: float) -> None:
        self._connection = connection
        self._folder = folder
        self._big_lock = big_lock
        self._patience = patience
        self._mutex = threading.RLock()
        # Called with the paths that were registered.
        self.on_register: Callable[[list[str]], object] | None = None

    @classmethod
    def open(cls, folder: Path, *, read_only: bool = False, patience: float = _PATIENCE) -> Database:
        """Open the database in `folder`, made anew where the folder has none.

        With `read_only` nothing is created, and a store without a database is an empty one.  Raises DatabaseSchemaError,
        DatabaseCorruptError, DatabaseBusyError, StoreReadOnlyError, and DatabaseError (`disk-full`).
        """
        schema = _read_schema(folder)
        file = folder / "db.sqlite"
        if schema is not None and not file.exists():
            raise DatabaseCorruptError(
                f"the store's database is missing: `{file}`",
                where=str(folder),
                hint=f"restore it from a backup, or remove `{folder / 'schema'}` to begin with an empty one",
            )
        if read_only:
            connection = _connect_read_only(file) if file.exists() else None
            return cls(connection, folder, None, patience)
        big_lock = _take_big_lock(folder)
        try:
            return cls._connected(file, big_lock, patience, is_new=schema is None)
        except BaseException:
            os.close(big_lock)
            raise

    @classmethod
    def _connected(cls, file: Path, big_lock: int, patience: float, *, is_new: bool) -> Database:
        while True:
            connection = _connect(file)
            try:
                database = cls(connection, file.parent, big_lock, patience)
                database._prepare(is_new=is_new)
                return database
            except DatabaseError as error:
                connection.close()
                # SQLite's own files beside the database need room before anything can be collected.
                if error.code != "disk-full" or not _spend_reserve(file.parent / "reserved"):
                    raise

    def close(self) -> None:
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            if self._big_lock is not None:
                os.close(self._big_lock)
            self._connection = self._big_lock = None

    def _prepare(self, *, is_new: bool) -> None:
        self._run(lambda db: db.execute("pragma foreign_keys = 1"))
        self._run(lambda db: db.execute("pragma synchronous = normal"))
        if self._select("pragma main.journal_mode") != [("wal",)]:
            self._run(lambda db: db.execute("pragma main.journal_mode = wal"))
        # An evaluation's worth of derivations fits; the log is written back when the last process closes it.
        self._run(lambda db: db.execute("pragma wal_autocheckpoint = 40000"))
        if is_new:
            reserve_space(self._folder / "reserved")
            self._run(lambda db: db.executescript(_SCHEMA))
            _write_schema(self._folder)
        elif not self._select("select 1 from sqlite_master where name = 'ValidPaths'"):
            raise DatabaseCorruptError(
                f"the store's database has no table `ValidPaths`: `{self._folder / 'db.sqlite'}`",
                where=str(self._folder),
                hint="restore it from a backup",
            )

    # ---- questions ----

    def is_valid(self, path: str) -> bool:
        return bool(self._select("select 1 from ValidPaths where path = ?", (path,)))

    def valid_among(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths` that are valid."""
        return {path for (path,) in self._select("select path from ValidPaths where path in (select value from json_each(?))", (_json(paths),))}

    def all_valid(self) -> list[str]:
        return [path for (path,) in self._select("select path from ValidPaths")]

    def info(self, path: str) -> PathInfo:
        """Raises InvalidPathError."""
        return self.infos([path])[path]

    def infos(self, paths: Collection[str]) -> dict[str, PathInfo]:
        """What is known of each of `paths`.  Raises InvalidPathError if one is not valid."""
        wanted = _json(paths)
        rows = self._select(
            "select path, hash, narSize, deriver, registrationTime, ultimate, sigs, ca from ValidPaths"
            " where path in (select value from json_each(?))",
            (wanted,),
        )
        references: dict[str, set[str]] = {row[0]: set() for row in rows}
        for path in paths:
            if path not in references:
                raise _not_valid(path)
        pairs = self._select(
            "select a.path, b.path from ValidPaths a join Refs on a.id = referrer join ValidPaths b on b.id = reference"
            " where a.path in (select value from json_each(?))",
            (wanted,),
        )
        for referrer, reference in pairs:
            # Another process may have registered between the two questions.
            if referrer in references:
                references[referrer].add(reference)
        return {row[0]: _info_of(row, references[row[0]]) for row in rows}

    def references(self, paths: Collection[str]) -> dict[str, list[str]]:
        """What each of `paths` refers to; those that are not valid, or refer to nothing, are left out."""
        pairs = self._select(
            "select a.path, b.path from ValidPaths a join Refs on a.id = referrer join ValidPaths b on b.id = reference"
            " where a.path in (select value from json_each(?))",
            (_json(paths),),
        )
        found: dict[str, list[str]] = {}
        for referrer, reference in pairs:
            found.setdefault(referrer, []).append(reference)
        return found

    def referrers(self, path: str) -> set[str]:
        rows = self._select(
            "select path from Refs join ValidPaths on referrer = id where reference = (select id from ValidPaths where path = ?)", (path,)
        )
        return {row[0] for row in rows}

    def closure(self, paths: Collection[str], *, referrers: bool = False) -> set[str]:
        """`paths` and all that they refer to (or, with `referrers`, all that refers to them), directly or not."""
        start, end = ("reference", "referrer") if referrers else ("referrer", "reference")
        rows = self._select(
            "with recursive closure(id) as (select id from ValidPaths where path in (select value from json_each(?))"
            f" union select Refs.{end} from closure join Refs on Refs.{start} = closure.id)"
            " select path from closure join ValidPaths using (id)",
            (_json(paths),),
        )
        found = {row[0] for row in rows}
        for path in paths:
            if path not in found:
                raise _not_valid(path)
        return found

    def outputs(self, drv_path: str) -> dict[str, str]:
        """Names and paths of the outputs of a valid derivation.  Raises InvalidPathError."""
        rows = self._select("select o.id, o.path from ValidPaths v join DerivationOutputs o on o.drv = v.id where v.path = ?", (drv_path,))
        if not rows and not self.is_valid(drv_path):
            raise _not_valid(drv_path)
        return dict(rows)

    def outputs_among(self, drv_paths: Collection[str]) -> dict[str, dict[str, str]]:
        """As `outputs`, of many derivations."""
        rows = self._select(
            "select v.path, o.id, o.path from ValidPaths v join DerivationOutputs o on o.drv = v.id where v.path in (select value from json_each(?))",
            (_json(drv_paths),),
        )
        found: dict[str, dict[str, str]] = {}
        for drv_path, name, path in rows:
            found.setdefault(drv_path, {})[name] = path
        for drv_path in drv_paths:
            if drv_path not in found:
                found[drv_path] = self.outputs(drv_path)
        return found

    def derivers(self, path: str) -> set[str]:
        """The valid derivations that have `path` as an output."""
        rows = self._select("select v.path from DerivationOutputs d join ValidPaths v on d.drv = v.id where d.path = ?", (path,))
        return {row[0] for row in rows}

    def graph(self) -> Graph:
        """All that is valid, and how it hangs together, read at once."""
        with self._mutex:
            if self._connection is None and self._big_lock is None:
                return Graph({}, [], {}, [])
            # One transaction sees one moment.
            self._run(lambda db: db.execute("begin"))
            try:
                rows = self._select("select id, path, deriver from ValidPaths")
                references = self._select("select referrer, reference from Refs where referrer <> reference")
                outputs = self._select("select drv, path from DerivationOutputs")
            finally:
                self._roll_back()
        paths = {row[0]: row[1] for row in rows}
        return Graph(paths, references, {row[0]: row[2] for row in rows if row[2]}, outputs)

    def path_of_hash_part(self, store_dir: str, hash_part: str) -> str | None:
        """The valid path whose text begins with the store directory and `hash_part`."""
        prefix = f"{store_dir}/{hash_part}"
        rows = self._select("select path from ValidPaths where path >= ? order by path limit 1", (prefix,))
        return str(rows[0][0]) if rows and str(rows[0][0]).startswith(f"{prefix}-") else None

    def nar_hashes(self, after: int = 0) -> list[tuple[int, str, str]]:
        """Row, NAR hash (as `str(Hash)`) and path of all that became valid after the row `after`, in order.  No index finds a path by its hash."""
        return self._select("select id, hash, path from ValidPaths where id > ? order by id", (after,))

    # ---- changes ----

    def register(self, registrations: Sequence[Registration]) -> None:
        """Make paths valid, all or none.  A path that is valid already has its hash, size, signatures and address updated.

        References must be valid, or in the batch; raises InvalidPathError otherwise.
        """
        if registrations:
            with self._transaction() as db:
                _register(db, registrations, int(time.time()))
            if self.on_register is not None:
                self.on_register([registration.info.path for registration in registrations])

    def set_content(self, path: str, nar_hash: Hash, nar_size: int) -> None:
        """Fill in what an old store left out."""
        with self._transaction() as db:
            db.execute("update ValidPaths set hash = ?, narSize = ? where path = ?", (str(nar_hash), nar_size, path))

    def invalidate_unreferenced(self, paths: Sequence[str]) -> list[str]:
        """Make those of `paths` invalid that nothing refers to but others of them that become so too; which those are, in the same order."""
        kept: set[str] = set()
        with self._transaction() as db:
            while True:
                wanted = _json(path for path in paths if path not in kept)
                rows = db.execute(
                    "select v.path from ValidPaths v join Refs on reference = v.id where v.path in (select value from json_each(?))"
                    " and referrer <> reference"
                    " and referrer not in (select id from ValidPaths where path in (select value from json_each(?)))",
                    (wanted, wanted),
                ).fetchall()
                if not rows:
                    break
                kept.update(row[0] for row in rows)
            _delete(db, wanted)
        return [path for path in paths if path not in kept]

    def invalidate(self, paths: Collection[str]) -> None:
        """Make paths invalid.  Raises DatabaseError if something that stays refers to one."""
        with self._transaction() as db:
            _delete(db, _json(paths))

    # ---- the connection ----

    def _select(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        if self._connection is None and self._big_lock is None:
            return []
        return self._run(lambda db: db.execute(sql, parameters).fetchall())

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do one statement's work, again and again while another process is in the way."""
        deadline = time.monotonic() + self._patience
        pause = 0.001
        with self._mutex:
            if self._connection is None:
                raise DatabaseError("the store's database has been closed")
            while True:
                try:
                    return work(self._connection)
                except sqlite3.Error as error:
                    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                    if code not in BUSY_CODES or time.monotonic() > deadline:
                        raise _explain(error, code, self._folder) from error
                time.sleep(pause)
                pause = min(pause * 2, 0.1)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._big_lock is None:
            raise StoreReadOnlyError("the store was opened for reading only", where=str(self._folder))
        with self._mutex:
            self._run(lambda db: db.execute("begin immediate"))
            try:
                assert self._connection is not None
                yield self._connection
                self._run(lambda db: db.execute("commit"))
            except sqlite3.Error as error:
                self._roll_back()
                raise _explain(error, getattr(error, "sqlite_errorcode", 0) & 0xFF, self._folder) from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")


def _delete(db: sqlite3.Connection, wanted: str) -> None:
    # References among the paths themselves must not stand in the way of one another's deletion.
    db.execute("delete from Refs where referrer in (select id from ValidPaths where path in (select value from json_each(?)))", (wanted,))
    db.execute("delete from ValidPaths where path in (select value from json_each(?))", (wanted,))


def _register(db: sqlite3.Connection, registrations: Sequence[Registration], now: int) -> None:
    infos = [registration.info for registration in registrations]
    db.executemany(
        "insert into ValidPaths (path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca) values (?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict (path) do update set narSize = excluded.narSize, hash = excluded.hash, ultimate = excluded.ultimate,"
        " sigs = excluded.sigs, ca = excluded.ca",
        [
            (
                info.path,
                str(info.nar_hash),
                info.registration_time or now,
                info.deriver,
                info.nar_size or None,
                1 if info.ultimate else None,
                " ".join(sorted(info.signatures)) or None,
                info.ca,
            )
            for info in infos
        ],
    )
    wanted = {info.path for info in infos}.union(*(info.references for info in infos))
    ids: dict[str, int] = dict(
        db.execute("select path, id from ValidPaths where path in (select value from json_each(?))", (_json(wanted),)).fetchall()
    )
    pairs = []
    for info in infos:
        referrer = ids[info.path]
        for reference in info.references:
            if reference not in ids:
                raise InvalidPathError(f"reference is not valid: `{reference}`", where=info.path)
            pairs.append((referrer, ids[reference]))
    db.executemany("insert or ignore into Refs (referrer, reference) values (?, ?)", sorted(pairs))
    db.executemany(
        "insert or replace into DerivationOutputs (drv, id, path) values (?, ?, ?)",
        [(ids[registration.info.path], name, path) for registration in registrations for name, path in registration.outputs],
    )


def _json(paths: Iterable[str]) -> str:
    return json.dumps(list(paths), ensure_ascii=False)


def _info_of(row: tuple[Any, ...], references: set[str]) -> PathInfo:
    path, nar_hash, nar_size, deriver, registered, ultimate, signatures, ca = row
    return PathInfo(
        path=path,
        nar_hash=Hash.parse(nar_hash),
        nar_size=nar_size or 0,
        references=frozenset(references),
        deriver=deriver or None,
        registration_time=registered,
        ultimate=ultimate == 1,
        signatures=tuple((signatures or "").split()),
        ca=ca or None,
    )


def _not_valid(path: str) -> InvalidPathError:
    return InvalidPathError(f"path is not valid: `{path}`")


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=64)


def _connect_read_only(file: Path) -> sqlite3.Connection:
    try:
        connection = connect_read_only(str(file.absolute()))
    except sqlite3.Error as error:
        raise _explain(error, error.sqlite_errorcode & 0xFF, file.parent) from error
    if connection is None:
        raise DatabaseError(f"cannot read the store's database: `{file}`", where=str(file.parent))
    return connection


def _explain(error: sqlite3.Error, code: int, folder: Path) -> DatabaseError | StoreReadOnlyError:
    place = folder / "db.sqlite"
    if code in BUSY_CODES:
        return DatabaseBusyError(
            f"the store's database is locked by another process: `{place}`", where=str(folder), hint="wait for it to end, or end it"
        )
    if code in _CORRUPT_CODES:
        return DatabaseCorruptError(
            f"the store's database is damaged: `{place}` ({error})",
            where=str(folder),
            hint=f"restore it from a backup, or save what is left of it: `sqlite3 {place} .recover`",
        )
    if code == _READONLY:
        return StoreReadOnlyError(f"no permission to write the store's database: `{place}`", where=str(folder), hint=_NOT_OWNER)
    if code in _NO_ROOM_CODES and _is_full(folder):
        return DatabaseError(
            f"the disk is full: `{folder}`", code="disk-full", hint="remove something from it; `nix-collect-garbage` removes what no root needs"
        )
    return DatabaseError(f"the store's database failed: {error}", where=str(place))


def _is_full(folder: Path) -> bool:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize < _SPENT_AT_ONCE


def _read_schema(folder: Path) -> int | None:
    file = folder / "schema"
    try:
        text = file.read_text("ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = "?"
    if not text.isdigit():
        raise DatabaseCorruptError(f"not a schema version in `{file}`", where=str(folder), hint=f"write `{SCHEMA_VERSION}` into it")
    version = int(text)
    if version != SCHEMA_VERSION:
        hint = "a newer Nix made this store" if version > SCHEMA_VERSION else "open it once with a Nix of version 2.3 to 2.30, which upgrades it"
        raise DatabaseSchemaError(f"the store's schema has version {version}, and only {SCHEMA_VERSION} is known", where=str(folder), hint=hint)
    return version


def _write_schema(folder: Path) -> None:
    # Written last, and whole or not at all: without it, the next one to open the database makes what is missing.
    part = folder / f"schema.tmp-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(descriptor, str(SCHEMA_VERSION).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(part, folder / "schema")
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def reserve_space(file: Path) -> None:
    # A reserve that cannot be had is no reason to refuse work.
    with suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != _RESERVED_SIZE:
                os.posix_fallocate(descriptor, 0, _RESERVED_SIZE)
        finally:
            os.close(descriptor)


def _spend_reserve(file: Path) -> bool:
    """Give a little of the reserve back to a full disk, so that the rest is left for a collector; whether there was any."""
    try:
        size = file.stat().st_size
        os.truncate(file, max(size - _SPENT_AT_ONCE, 0))
    except OSError:
        return False
    return size > 0


def _take_big_lock(folder: Path) -> int:
    """The lock that whoever changes the schema takes exclusively; everyone else shares it."""
    try:
        descriptor = os.open(folder / "big-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.EROFS:
            raise StoreReadOnlyError(f"store is in a file system that is mounted for reading only: `{error.filename}`", where=str(folder)) from error
        if not isinstance(error, PermissionError):
            raise
        raise StoreReadOnlyError(f"no permission to write the store: `{error.filename}`", where=str(folder), hint=_NOT_OWNER) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
