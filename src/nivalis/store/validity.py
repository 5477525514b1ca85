"""Asking a store's database for nothing but which paths are valid, at the least cost.

`nivalis.store.database` is the database's own module; this one exists for programs that may have nothing else to do with a store,
and imports what they can afford.  It writes nothing and makes nothing.
"""

from __future__ import annotations

import sqlite3

TYPE_CHECKING = False  # `typing` itself is expensive here
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["connect_read_only", "read_nar_hashes"]

# SQLite's primary result codes BUSY, LOCKED, PROTOCOL.
BUSY_CODES = {5, 6, 15}
# Every SQLite takes as many parameters.
_AT_ONCE = 500


def connect_read_only(file: str, timeout: float = 0) -> sqlite3.Connection | None:
    """A connection that cannot write, to a database that is there; None if it cannot be read.  Raises sqlite3.Error if it is damaged."""
    quoted = file.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    # Reading a log needs its index beside it; where that cannot be written, the file alone is what there is.
    for mode in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(f"file:{quoted}?{mode}", uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("select 1 from ValidPaths limit 1")
            return connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in BUSY_CODES:
                return connection
            connection.close()
        except BaseException:
            connection.close()
            raise
    return None


def read_nar_hashes(state_dir: str, paths: Sequence[str]) -> dict[str, str]:
    """For those of `paths` that are valid the hash of their NAR, as the database has it.  Raises sqlite3.Error."""
    connection = connect_read_only(f"{state_dir}/db/db.sqlite", timeout=5)
    if connection is None:
        return {}
    hashes: dict[str, str] = {}
    try:
        for start in range(0, len(paths), _AT_ONCE):
            portion = paths[start : start + _AT_ONCE]
            marks = ",".join("?" * len(portion))
            hashes.update(connection.execute(f"select path, hash from ValidPaths where path in ({marks})", portion).fetchall())
    finally:
        connection.close()
    return hashes
