"""The database and the folders around it: made as CppNix makes them, and clear about what is wrong."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from nivalis._native import Hash
from nivalis.errors import DatabaseBusyError, DatabaseCorruptError, DatabaseError, DatabaseSchemaError, InvalidPathError, StorePlaceError
from nivalis.store import PathInfo, Store, StoreLayout
from nivalis.store.database import Database, Registration


def listing(root: Path) -> dict[str, tuple[int, str]]:
    found = {}
    for folder, folders, files in os.walk(root / "nix"):
        for name in folders + files:
            path = Path(folder, name)
            status = path.lstat()
            target = os.readlink(path).replace(str(root), "") if path.is_symlink() else ""
            found[str(path.relative_to(root))] = (0 if target else stat.S_IMODE(status.st_mode), target)
    return found


def info(number: int, *references: int) -> PathInfo:
    def path(i: int) -> str:
        return f"/nix/store/{i:032d}-x"

    return PathInfo(path(number), Hash("sha256", bytes(32)), 100, frozenset(map(path, references)))


def test_new_store_is_as_cppnix_makes_it(oracle, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    umask = os.umask(0o022)
    try:
        Store.open(StoreLayout.under(ours), build_users_group="").close()
        oracle.run("nix-store", ["--gc", "--print-dead"], store=theirs)
    finally:
        os.umask(umask)
    # Those of the running user come with its first profile; the lock with the first temporary root.
    later = {name for name in listing(theirs) if "per-user/" in name or name.endswith(("gc.lock", "gc-socket", "gc-socket/socket"))}
    assert listing(ours) == {name: what for name, what in listing(theirs).items() if name not in later}
    schemas = []
    for root in (ours, theirs):
        assert (root / "nix/var/nix/db/schema").read_text() == "10"
        with contextlib.closing(sqlite3.connect(root / "nix/var/nix/db/db.sqlite")) as db:
            schemas.append(db.execute("select type, name, tbl_name, sql from sqlite_master order by name").fetchall())
            assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    words = [[(*row[:3], " ".join((row[3] or "").split())) for row in schema] for schema in schemas]
    assert words[0] == words[1]


def test_layouts(tmp_path: Path) -> None:
    assert StoreLayout.parse("") == StoreLayout.parse("auto") == StoreLayout.parse("local") == StoreLayout.system()
    root = str(tmp_path)
    assert StoreLayout.parse(root) == StoreLayout.parse(f"local?root={root}") == StoreLayout.under(root)
    assert StoreLayout.under(root).real_path("/nix/store/x/y") == f"{root}/nix/store/x/y"
    assert StoreLayout.parse("", {"NIX_STATE_DIR": "/state"}).database_dir == Path("/state/db")
    assert StoreLayout.parse("local?store=/gnu/store&real=/r&state=/s&log=/l") == StoreLayout("/gnu/store", Path("/r"), Path("/s"), Path("/l"))
    for address in ("daemon", "https://cache", "ssh://host"):
        with pytest.raises(StorePlaceError):
            StoreLayout.parse(address)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    with pytest.raises(StorePlaceError, match="symlink"):
        Store.open(StoreLayout.under(tmp_path / "link"))


def test_batches_and_questions(store: Store) -> None:
    database = store.database
    database.register([Registration(info(3, 2, 3)), Registration(info(2, 1)), Registration(info(1), (("out", "/nix/store/o"),))])
    one, two, three = (info(i).path for i in (1, 2, 3))
    assert store.valid_among([one, "/nix/store/none", three]) == {one, three}
    assert store.valid_among([]) == set()
    assert database.closure([three]) == {one, two, three} == database.closure([one], referrers=True)
    assert database.referrers(three) == {three} and database.referrers(one) == {two}
    assert database.outputs(one) == {"out": "/nix/store/o"} and database.derivers("/nix/store/o") == {one}
    assert database.path_of_hash_part("/nix/store", f"{2:032d}") == two
    assert database.path_of_hash_part("/nix/store", f"{5:032d}") is None
    assert store.path_info(three).references == {two, three}
    with pytest.raises(InvalidPathError):
        store.path_info("/nix/store/none")
    with pytest.raises(DatabaseError):
        database.invalidate([one])
    database.invalidate([one, two, three])
    assert database.all_valid() == []


def test_all_or_nothing(store: Store) -> None:
    with pytest.raises(InvalidPathError):
        store.database.register([Registration(info(1)), Registration(info(2, 9))])
    assert store.database.all_valid() == []


def test_damaged(root: Path) -> None:
    Store.open(StoreLayout.under(root)).close()
    folder = root / "nix/var/nix/db"
    good = (folder / "db.sqlite").read_bytes()
    (folder / "db.sqlite").write_bytes(b"x" * 8192)
    for read_only in (False, True):
        with pytest.raises(DatabaseCorruptError, match="damaged"):
            Database.open(folder, read_only=read_only)
    (folder / "db.sqlite").write_bytes(good[:4096] + b"\xff" * (len(good) - 4096))
    with pytest.raises(DatabaseCorruptError), Store.open(StoreLayout.under(root)) as store:
        store.add_text("a", b"a")
    (folder / "db.sqlite").unlink()
    with pytest.raises(DatabaseCorruptError, match="missing"):
        Database.open(folder)
    (folder / "schema").write_text("11")
    with pytest.raises(DatabaseSchemaError):
        Database.open(folder)
    (folder / "schema").write_text("?")
    with pytest.raises(DatabaseCorruptError):
        Database.open(folder)


def test_busy(store: Store) -> None:
    other = sqlite3.connect(store.layout.database_dir / "db.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    impatient = Database.open(store.layout.database_dir, patience=0.1)
    with pytest.raises(DatabaseBusyError):
        impatient.register([Registration(info(1))])
    impatient.close()
    threading.Timer(0.2, lambda: other.execute("commit")).start()
    started = time.monotonic()
    store.database.register([Registration(info(1))])
    assert 0.1 < time.monotonic() - started < 10
    other.close()


def test_killed_while_created(root: Path, store: Store) -> None:
    store.close()
    # The schema's version is written last; without it the creation is done again, and nothing is lost.
    with Store.open(store.layout) as again:
        path = again.add_text("a", b"a")
    (root / "nix/var/nix/db/schema").unlink()
    with Store.open(store.layout) as again:
        assert again.is_valid(path)


def test_many_paths_are_checked_quickly(store: Store) -> None:
    infos = [info(i) for i in range(3000)]
    store.database.register([Registration(one) for one in infos])
    paths = [one.path for one in infos]
    times = []
    for _ in range(5):
        started = time.perf_counter()
        assert len(store.valid_among(paths)) == 3000
        times.append(time.perf_counter() - started)
    # 5 ms on a quiet machine; the bound is for a busy one.
    assert min(times) < 0.05
