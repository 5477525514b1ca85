"""The evaluation cache: answers of earlier evaluations, each with all that it was made from.

An evaluation is a function of its request (arguments, settings, the evaluator itself) and of what it looked at: files, folders,
symlinks, existence, environment variables, store paths.  The kernel records the second while it runs.  Here both are kept beside
the answer in an SQLite file; the request, hashed, is the key, and an answer is given again only after every recorded question was
asked anew and answered as before.

The invariant: **a stale answer never comes back**.  What makes it hold:

- A file is compared by its times, size, inode and mode, as `stat` gave them before it was read.  Where it had been changed just
  then, so that a later change could have left the same, its content is compared too.
- A folder's listing (names and types), a symlink's target, a type, an existence are compared themselves, not by times.
- A store path that was looked into must be valid and have the content it had; one that the evaluation wrote must be valid.  They
  are made temporary roots before that is asked.
- An answer is kept only if all of it still holds at the end of the evaluation, and if nothing impure (the time, a download
  without a hash) went into it.  An evaluation that fails is not kept.
- A damaged entry is found by its own checksum, and is no answer.

The cache is never needed: where it cannot be read or written, evaluation goes on without it.

A hit is to cost little more than Python's start, so this module imports next to nothing: not the kernel, not `typing`, not `json`.
That is also why records are fields between zero bytes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from functools import cache
from hashlib import sha256

import nivalis
from nivalis.lang.encoding import decode, encode
from nivalis.store.temproots import TempRoots
from nivalis.store.validity import read_nar_hashes

TYPE_CHECKING = False  # importing `typing` for its own would cost as much as all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

__all__ = ["EvalCache", "Hit", "evaluator_identity", "make_key"]

# Counts changes of the tables and of the records in them.
_FORMAT = 1
_SCHEMA = """
create table if not exists Answers (
    key         blob primary key not null,
    used        integer not null, -- about when it was given last, in seconds since the epoch
    size        integer not null, -- of all that follows
    checksum    blob not null,
    store       blob not null, -- the state folder of the store whose paths are meant, with `+` before it if it is written to
    derivations blob not null,
    messages    blob not null,
    output      blob not null,
    inputs      blob not null
);
create index if not exists IndexUsed on Answers(used, size);
"""

# How long another process may keep the file locked before evaluation goes on without it.
_PATIENCE = 0.5
# An answer that is given often is not noted as used each time.
_USED_INTERVAL = 6 * 3600
# As in the kernel: files' times are this coarse on the coarsest file systems.
_GRAIN_NS = 2_000_000_000
_LIMIT = 128 * 1024 * 1024
# Kinds of questions, and how many fields each record of them has: file (`r`: no symlink leads to it), directory, type, existence,
# link, variable, store path.
_FIELDS = {"f": 3, "r": 3, "d": 2, "t": 2, "e": 2, "l": 2, "v": 2, "s": 2}


class Hit:
    """An answer: the bytes for stdout, what was said on the way (kind `trace` or `warn`, and text), and the derivations it names.

    Until `close` the store paths of the answer are temporary roots.
    """

    __slots__ = ("_roots", "derivations", "messages", "output")

    def __init__(self, output: bytes, messages: list[tuple[str, bytes]], derivations: list[str], roots: TempRoots | None) -> None:
        self.output = output
        self.messages = messages
        self.derivations = derivations
        self._roots = roots

    def close(self) -> None:
        if self._roots is not None:
            self._roots.close()

    def outlive(self) -> None:
        """Let the temporary roots hold until this process has ended, whatever program it becomes."""
        if self._roots is not None:
            self._roots.outlive()


class EvalCache:
    """An open cache.  No method raises because of the cache's own state; `problem` says why something was not possible."""

    def __init__(self, file: str, connection: sqlite3.Connection, limit: int, clock: Callable[[], float]) -> None:
        self.problem: str | None = None
        self._file = file
        self._connection = connection
        self._limit = limit
        self._clock = clock

    @classmethod
    def open(
        cls,
        folder: str,
        *,
        limit: int = _LIMIT,
        clock: Callable[[], float] = time.time,
        say: Callable[[str], object] | None = None,
    ) -> EvalCache | None:
        """Open the cache in `folder`, made where there is none; None, and a line to `say`, if that is not possible.

        `limit` is in bytes: what was not used for longest makes room.
        """
        file = os.path.join(folder, "eval.sqlite")
        reason: object = None
        for _ in range(2):
            try:
                os.makedirs(folder, mode=0o700, exist_ok=True)
                return cls(file, _connect(file), limit, clock)
            except sqlite3.Error as error:
                reason = error
                if not _is_damage(error):
                    break
                _remove(file)
            except OSError as error:
                reason = error
                break
        if say is not None:
            say(f"no evaluation cache: `{file}`: {reason}")
        return None

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> EvalCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lookup(self, key: bytes, environment: Mapping[str, str]) -> Hit | None:
        """The answer to a request, if there is one and all that it was made from is as it was.  To be closed."""
        row = self._read(key)
        if row is None:
            return None
        used, _, store, derivations, messages, output, inputs = row
        records = _decode(inputs)
        check = _Check(self._clock())
        if not (_are_variables(records["v"], environment) and check.is_same(records)):
            return None
        roots = None
        if records["s"]:
            paths = [decode(path) for path in records["s"][::2]]
            state_dir = decode(store[1:])
            try:
                if store[:1] == b"+":
                    roots = TempRoots(state_dir)
                    roots.add(paths)
                hashes = read_nar_hashes(state_dir, paths)
            except (OSError, sqlite3.Error):
                hashes = {}
            if any(hashes.get(path) != decode(nar_hash) for path, nar_hash in zip(paths, records["s"][1::2], strict=True)):
                if roots is not None:
                    roots.close()
                return None
        self._note_use(key, used, check, row, records)
        return Hit(output, _decode_messages(messages), decode(derivations).split("\0") if derivations else [], roots)

    def store(
        self,
        key: bytes,
        recording: Mapping[str, Any],
        output: bytes,
        *,
        state_dir: str,
        is_written: bool,
        derivations: Sequence[str] = (),
        environment: Mapping[str, str],
    ) -> bool:
        """Keep an answer; whether it was kept.

        To be called when all that the evaluation wrote is in the store and still held by temporary roots.  `recording` is
        `Evaluator.recording()`.  `state_dir` is that of the store; `is_written` says whether it was opened for writing: if not,
        what the evaluation would have written need not be there.
        """
        if recording["impure"] is not None:
            self.problem = f"not kept: {recording['impure']}"
            return False
        hashes = self._read_hashes(state_dir, set(recording["store_paths"]).union(recording["written"] if is_written else ()))
        if hashes is None:
            return False
        inputs = _encode(recording["seen"], recording["variables"], hashes)
        records = None if inputs is None else _decode(inputs)
        if inputs is None or records is None or not (_are_variables(records["v"], environment) and _Check(0).is_same(records)):
            self.problem = "not kept: something was changed during the evaluation"
            return False
        place = encode(("+" if is_written else "-") + state_dir)
        return self._insert(key, place, encode("\0".join(derivations)), _encode_messages(recording["messages"]), output, inputs)

    def extend(self, key: bytes, new_key: bytes, output: bytes, *, links: Mapping[str, str], paths: Iterable[str]) -> bool:
        """Keep an answer that follows from the one under `key`; whether it was kept.

        It holds as long as that one does, `links` (place: text) say the same, and the store paths `paths` are valid.
        """
        row = self._read(key)
        if row is None:
            return False
        _, _, store, derivations, messages, _, inputs = row
        hashes = self._read_hashes(decode(store[1:]), set(paths))
        if hashes is None:
            return False
        records = _decode(inputs)
        for place, text in links.items():
            records["l"] += (encode(place), encode(text))
        for path, nar_hash in hashes.items():
            records["s"] += (encode(path), encode(nar_hash))
        return self._insert(new_key, store, derivations, messages, output, _join(records))

    def _read(self, key: bytes) -> Sequence[Any] | None:
        """The row of an answer, from `used` on, if there is one and it is whole."""
        try:
            row: Sequence[Any] | None = self._connection.execute(
                "select used, checksum, store, derivations, messages, output, inputs from Answers where key = ?", (key,)
            ).fetchone()
        except sqlite3.Error as error:
            self._fail(error)
            return None
        if row is None:
            return None
        values = row[2:]
        if not all(isinstance(value, bytes) for value in values) or row[1] != _checksum(key, *values):
            self.problem = "an entry is damaged"
            return None
        return row

    def _read_hashes(self, state_dir: str, paths: set[str]) -> dict[str, str] | None:
        """The hashes of store paths; None if not all of them are valid."""
        try:
            hashes = read_nar_hashes(state_dir, sorted(paths)) if paths else {}
        except sqlite3.Error as error:
            self.problem = f"not kept: {error}"
            return None
        if len(hashes) != len(paths):
            self.problem = f"not kept: path is not valid: `{min(paths.difference(hashes))}`"
            return None
        return hashes

    def _insert(self, key: bytes, *values: bytes) -> bool:
        size = sum(map(len, values))
        if size > self._limit // 2:
            self.problem = "not kept: too large"
            return False
        row = (key, int(self._clock()), size, _checksum(key, *values), *values)
        return self._write("insert or replace into Answers values (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def _note_use(self, key: bytes, used: int, check: _Check, row: Sequence[Any], records: dict[str, list[bytes]]) -> None:
        now = int(self._clock())
        if check.settled:
            # Their contents were compared, and their times are old enough now to tell of every later change.
            _, _, store, derivations, messages, output, _ = row
            inputs = _join(_without_hashes(records, check.settled))
            checksum = _checksum(key, store, derivations, messages, output, inputs)
            self._write("update Answers set used = ?, inputs = ?, checksum = ? where key = ? and checksum = ?", (now, inputs, checksum, key, row[1]))
        elif abs(now - used) > _USED_INTERVAL:
            self._write("update Answers set used = ? where key = ?", (now, key))

    def _write(self, statement: str, values: tuple[Any, ...]) -> bool:
        try:
            with self._connection as db:
                db.execute("begin immediate")
                db.execute(statement, values)
                (total,) = db.execute("select sum(size) from Answers").fetchone()
                while total > self._limit:
                    oldest, size = db.execute("select rowid, size from Answers order by used, rowid limit 1").fetchone()
                    db.execute("delete from Answers where rowid = ?", (oldest,))
                    total -= size
        except sqlite3.Error as error:
            self._fail(error)
            return False
        return True

    def _fail(self, error: sqlite3.Error) -> None:
        self.problem = f"evaluation cache `{self._file}`: {error}"
        if _is_damage(error):
            # The next process makes a new one.
            _remove(self._file)


def make_key(words: Iterable[str | bytes]) -> bytes:
    """The key of a request: of its words (command, arguments, settings, store, folder …) and of who asks and answers."""
    digest = sha256()
    for word in (evaluator_identity(), str(os.geteuid()), *os.uname()[::4], *words):
        data = word if isinstance(word, bytes) else encode(word)
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()


@cache
def evaluator_identity() -> str:
    """What tells this evaluator from every other: its version, and the times and sizes of its files (as they were when first asked)."""
    package = os.path.dirname(nivalis.__file__)
    words = [nivalis.__version__]
    for name in ("", "cli", "lang", "settings", "store"):
        try:
            with os.scandir(os.path.join(package, name)) as entries:
                files = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith((".py", ".so"))]
        except OSError:
            continue
        words += sorted(f"{name}/{file} {status.st_mtime_ns} {status.st_size}" for file, status in files)
    return "\n".join(words)


# ---- asking again ----


class _Check:
    """Asks recorded questions again.  `settled` are the files whose hash need not be compared any more."""

    def __init__(self, now: float) -> None:
        # With 0 nothing is read: a file that has the same stamp counts as the same.
        self._now_ns = int(now * 1_000_000_000)
        self.settled: set[bytes] = set()

    def is_same(self, records: Mapping[str, list[bytes]]) -> bool:
        try:
            return (
                self._are_files(records["r"], os.lstat)
                and self._are_files(records["f"], os.stat)
                and all(all(map(ask, records[question][::2], records[question][1::2])) for question, ask in _QUESTIONS)
            )
        except (OSError, ValueError):
            return False

    def _are_files(self, fields: list[bytes], stat: Callable[[bytes], os.stat_result]) -> bool:
        hashed = []
        for path, stamp, content_hash in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
            s = stat(path)
            if b"%d %d %d %d %d" % (s.st_mtime_ns, s.st_ctime_ns, s.st_size, s.st_ino, s.st_mode) != stamp:
                return False
            if content_hash and self._now_ns:
                hashed.append((path, content_hash, s))
        for path, content_hash, s in hashed:
            with open(path, "rb", buffering=0) as file:
                content = file.read()
            if sha256(content).hexdigest().encode() != content_hash:
                return False
            if self._now_ns - max(s.st_mtime_ns, s.st_ctime_ns) > _GRAIN_NS and len(content) == s.st_size > 0:
                self.settled.add(path)
        return True


def _is_listing(path: bytes, answer: bytes) -> bool:
    digest = sha256()
    with os.scandir(path) as entries:
        for name, kind in sorted((entry.name, _letter(entry)) for entry in entries):
            digest.update(name + b"\0" + kind)
    return digest.hexdigest().encode() == answer


def _letter(entry: os.DirEntry[bytes]) -> bytes:
    if entry.is_symlink():
        return b"l"
    if entry.is_file(follow_symlinks=False):
        return b"r"
    return b"d" if entry.is_dir(follow_symlinks=False) else b"u"


def _is_type(path: bytes, answer: bytes) -> bool:
    try:
        kind = os.lstat(path).st_mode & 0o170000
    except (FileNotFoundError, NotADirectoryError):
        return answer == b"-"
    return {0o100000: b"r", 0o040000: b"d", 0o120000: b"l"}.get(kind, b"u") == answer


def _is_existence(path: bytes, answer: bytes) -> bool:
    try:
        os.stat(path)
    except OSError:
        return answer == b"0"
    return answer == b"1"


def _is_link(path: bytes, answer: bytes) -> bool:
    return os.readlink(path) == answer


_QUESTIONS = (("e", _is_existence), ("t", _is_type), ("l", _is_link), ("d", _is_listing))


def _are_variables(fields: list[bytes], environment: Mapping[str, str]) -> bool:
    for name, answer in zip(fields[::2], fields[1::2], strict=True):
        value = environment.get(decode(name))
        if answer != (b"" if value is None else b"=" + encode(value)):
            return False
    return True


# ---- records ----


def _encode(seen: Iterable[Sequence[Any]], variables: Mapping[str, str | None], hashes: Mapping[str, str]) -> bytes | None:
    """None for what cannot be kept: a zero byte in a path."""
    records: dict[str, list[bytes]] = {kind: [] for kind in _FIELDS}
    seen = list(seen)
    # Most files were asked for their type before they were read: `lstat` answers both.
    regular = {path for question, path, *answer in seen if question == "t" and answer[0] == "r"}
    regular.intersection_update([record[1] for record in seen if record[0] == "f"])
    # By path, which is how a file system is quickest.
    for question, path, *answer in sorted(seen, key=lambda record: record[1]):
        if path in regular:
            if question == "t":
                continue
            if question == "f":
                question = "r"
        fields = records[question]
        fields.append(encode(path))
        if question in ("f", "r"):
            *stamp, content_hash = answer
            fields += (b"%d %d %d %d %d" % tuple(stamp), encode(content_hash or ""))
        elif question == "e":
            fields.append(b"1" if answer[0] else b"0")
        else:
            fields.append(encode(answer[0]))
    for name, value in variables.items():
        records["v"] += (encode(name), b"" if value is None else b"=" + encode(value))
    for path, nar_hash in hashes.items():
        records["s"] += (encode(path), encode(nar_hash))
    if any(b"\0" in field for fields in records.values() for field in fields):
        return None
    return _join(records)


def _join(records: Mapping[str, list[bytes]]) -> bytes:
    counts = [b"%d" % len(records[kind]) for kind in _FIELDS]
    return b"\0".join((*counts, *(field for kind in _FIELDS for field in records[kind])))


def _decode(inputs: bytes) -> dict[str, list[bytes]]:
    fields = inputs.split(b"\0")
    records = {}
    start = len(_FIELDS)
    for kind, count in zip(_FIELDS, fields[:start], strict=True):
        end = start + int(count)
        records[kind] = fields[start:end]
        start = end
    return records


def _without_hashes(records: Mapping[str, list[bytes]], settled: set[bytes]) -> dict[str, list[bytes]]:
    changed = dict(records)
    for kind in ("f", "r"):
        files = changed[kind] = list(records[kind])
        for i in range(0, len(files), _FIELDS[kind]):
            if files[i] in settled:
                files[i + 2] = b""
    return changed


def _encode_messages(messages: Iterable[tuple[str, bytes]]) -> bytes:
    return b"".join(b"%s %d\n%s" % (kind.encode(), len(text), text) for kind, text in messages)


def _decode_messages(data: bytes) -> list[tuple[str, bytes]]:
    messages = []
    while data:
        head, _, rest = data.partition(b"\n")
        kind, length = head.split(b" ")
        messages.append((kind.decode(), rest[: int(length)]))
        data = rest[int(length) :]
    return messages


def _checksum(key: bytes, *values: bytes) -> bytes:
    digest = sha256(key)
    for value in values:
        digest.update(b"%d:" % len(value))
        digest.update(value)
    return digest.digest()


# ---- the file ----


def _connect(file: str) -> sqlite3.Connection:
    """Raises sqlite3.Error."""
    connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        (version,) = connection.execute("pragma user_version").fetchone()
        # Nothing is lost with the cache, and every entry has its checksum: the disk is not waited for.
        connection.execute("pragma synchronous = off")
        if version != _FORMAT:
            with connection:
                connection.execute("begin immediate")
                connection.execute("drop table if exists Answers")
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {_FORMAT}")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.Error) -> bool:
    # SQLite's primary codes ERROR (no such table or column), CORRUPT and NOTADB.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (1, 11, 26)


def _remove(file: str) -> None:
    for name in (file, file + "-journal"):
        try:
            os.unlink(name)
        except OSError:
            continue
