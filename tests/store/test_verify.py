"""Bad input and bad disks: what is damaged is found, named and mended, and nothing half-done becomes valid."""

from __future__ import annotations

import errno
import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nivalis import _native
from nivalis.errors import DatabaseCorruptError, DatabaseError, InvalidPathError, NarError, NivalisError, StoreContentError, StoreReadOnlyError
from nivalis.store import PathInfo, Store, StoreLayout
from nivalis.store.gc import collect
from nivalis.store.nars import add_nar
from nivalis.store.optimise import optimise_path, optimise_store
from nivalis.store.queries import KeepPolicy
from nivalis.store.verify import Finding, verify_store
from oracle import Oracle


def _nar(place: str | Path) -> bytes:
    out = io.BytesIO()
    _native.dump_nar(place, out)
    return out.getvalue()


def _findings(store: Store, **options: object) -> list[tuple[str, str, bool]]:
    return [(found.kind, found.path, found.is_mended) for found in verify_store(store, check_contents=True, **options)]  # type: ignore[arg-type]


def _damage(store: Store, path: str) -> None:
    place = Path(store.real_path(path))
    place.chmod(0o644)
    place.write_text("damaged")
    place.chmod(0o444)


# ---- NARs from elsewhere ----


@pytest.fixture
def elsewhere(tmp_path: Path, tree: Path) -> tuple[PathInfo, bytes]:
    """An object of another store: what is known of it, and its NAR."""
    with Store.open(StoreLayout.under(tmp_path / "elsewhere")) as other:
        path = other.add_path(tree)
        return other.path_info(path), _nar(other.real_path(path))


def test_add_nar(store: Store, elsewhere: tuple[PathInfo, bytes], oracle: Oracle, root: Path) -> None:
    info, nar = elsewhere
    assert add_nar(store, info, io.BytesIO(nar))
    assert not add_nar(store, info, io.BytesIO(b"is not even read"))
    assert store.path_info(info.path)._replace(registration_time=0) == info._replace(registration_time=0)
    assert _findings(store) == []
    store.close()
    done = oracle.run("nix-store", ["--verify", "--check-contents"], store=root)
    assert done.status == 0 and "modified" not in done.stderr


def test_add_nar_refuses(store: Store, elsewhere: tuple[PathInfo, bytes]) -> None:
    info, nar = elsewhere
    for bad, other in (
        (info._replace(nar_hash=_native.hash_bytes("sha256", b"")), nar),
        (info._replace(nar_size=info.nar_size + 8), nar),
        (info._replace(ca=f"fixed:r:sha256:{'0' * 52}"), nar),
    ):
        with pytest.raises(StoreContentError):
            add_nar(store, bad, io.BytesIO(other))
    for cut in (0, 1, 100, len(nar) // 2, len(nar) - 1):
        with pytest.raises(NarError):
            add_nar(store, info, io.BytesIO(nar[:cut]))
    with pytest.raises(NarError):
        add_nar(store, info, io.BytesIO(nar + b"more"))
    with pytest.raises(InvalidPathError):
        add_nar(store, info._replace(references=frozenset({info.path.replace("-tree", "-other")})), io.BytesIO(nar))
    assert not store.is_valid(info.path)
    assert os.listdir(store.layout.real_store_dir) == [".links"]


def test_add_nar_over_garbage(store: Store, elsewhere: tuple[PathInfo, bytes]) -> None:
    info, nar = elsewhere
    garbage = Path(store.real_path(info.path))
    (garbage / "deep/er").mkdir(parents=True)
    (garbage / "deep").chmod(0o555)
    assert add_nar(store, info, io.BytesIO(nar))
    assert _findings(store) == []
    assert sorted(os.listdir(store.layout.real_store_dir)) == sorted([".links", garbage.name])


# ---- damage ----


def test_damage_is_found_and_mended(store: Store, tmp_path: Path) -> None:
    good = store.add_text("good", b"good")
    bad = store.add_bytes("bad", b"bad")
    lost = store.add_bytes("lost", b"lost")
    user = store.add_text("user", b"user", [lost])
    gone = store.add_text("gone", b"gone", [good])
    nars = {path: (store.path_info(path), _nar(store.real_path(path))) for path in (bad, lost)}
    _damage(store, bad)
    for path in (lost, gone):
        os.unlink(store.real_path(path))
    assert set(_findings(store)) == {("modified", bad, False), ("missing", lost, False), ("disappeared", gone, True)}
    assert not store.is_valid(gone) and store.is_valid(user)

    def fail(path: str) -> None:
        raise StoreContentError("nobody has it")

    assert set(_findings(store, repair=True, repairer=fail)) == {("modified", bad, False), ("missing", lost, False)}
    # Without the wish to repair, no repairer is asked.
    assert len(_findings(store, repairer=lambda path: pytest.fail("asked"))) == 2

    def mend(path: str) -> None:
        info, nar = nars[path]
        add_nar(store, info, io.BytesIO(nar), repair=True)

    assert set(_findings(store, repair=True, repairer=mend)) == {("modified", bad, True), ("missing", lost, True)}
    assert _findings(store) == []


def test_findings_say_what_cppnix_says(store: Store, oracle: Oracle, root: Path) -> None:
    bad = store.add_bytes("bad", b"bad")
    _damage(store, bad)
    found = [finding for finding in verify_store(store, check_contents=True) if isinstance(finding, Finding)]
    store.close()
    theirs = oracle.run("nix-store", ["--verify", "--check-contents"], store=root)
    assert theirs.status == 1 and found[0].message in theirs.stderr


def test_a_whole_chain_that_is_gone_is_forgotten(store: Store) -> None:
    before: list[str] = []
    for number in range(30):
        before = [store.add_text(f"t{number}", b"x", before)]
    for path in store.database.all_valid():
        os.unlink(store.real_path(path))
    assert {kind for kind, _, _ in _findings(store)} == {"disappeared"}
    assert store.database.all_valid() == []


def test_damaged_links(store: Store, tmp_path: Path) -> None:
    paths = [store.add_bytes(f"f{number}", b"same") for number in range(3)]
    optimise_store(store)
    (link,) = list(store.layout.links_dir.iterdir())
    assert link.stat().st_nlink == 4
    link.unlink()
    link.write_text("evil")
    link.chmod(0o444)
    fresh = store.add_bytes("fresh", b"same")
    warnings: list[str] = []
    # Nothing is ever linked to a link that is not what its name says, though it has the size.
    optimise_store(store, warnings.append)
    assert len(warnings) == 1
    assert {Path(store.real_path(path)).read_text() for path in (*paths, fresh)} == {"same"}
    link.chmod(0o644)
    link.write_text("x")
    link.chmod(0o444)
    kinds = [kind for kind, _, _ in _findings(store)]
    assert kinds.count("link-modified") == 1 and kinds.count("modified") == 4
    assert [mended for kind, _, mended in _findings(store, repair=True) if kind == "link-modified"] == [True]
    assert not link.exists()


def test_optimise(store: Store, tree: Path, oracle: Oracle, root: Path) -> None:
    for name in ("a", "b"):
        (tree / f"copy-{name}").write_text("hello\n")
        (tree / f"run-{name}").write_text("hello\n")
        (tree / f"run-{name}").chmod(0o755)
    first, second = store.add_path(tree, "first"), store.add_path(tree, "second")
    assert optimise_path(store, first).files == 3
    savings = optimise_store(store)
    assert savings.files == 10 and savings.size > 2_560_000
    assert _findings(store) == []
    assert optimise_store(store).files == 0
    place = Path(store.real_path(second))
    assert place.stat().st_mode & 0o777 == 0o555 and place.stat().st_mtime == 1 and (place / "sub").stat().st_mtime == 1
    writable = Path(store.real_path(store.add_bytes("fresh", b"hello\n")))
    writable.chmod(0o644)
    warnings: list[str] = []
    optimise_store(store, warnings.append)
    assert len(warnings) > 0
    writable.chmod(0o444)
    assert optimise_store(store).files == 1
    store.close()
    names = sorted(os.listdir(root / "nix/store/.links"))
    assert "0.00 MiB freed by hard-linking 0 files" in oracle.run("nix-store", ["--optimise"], store=root).stderr
    assert sorted(os.listdir(root / "nix/store/.links")) == names


# ---- disks and databases ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB, of which the database's reserve takes 8."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)], capture_output=True, check=False).returncode != 0:
        pytest.skip("this user cannot mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_full_disk(small_disk: Path, tmp_path: Path, oracle: Oracle) -> None:
    big = tmp_path / "big"
    big.mkdir()
    for number in range(5):
        (big / str(number)).write_bytes(bytes([number]) * 1_000_000)
    with Store.open(StoreLayout.under(small_disk)) as store:
        first = store.add_path(big, "first")
        with pytest.raises(OSError) as caught:
            for number in range(3):
                store.add_path(big, f"more{number}")
        assert caught.value.errno == errno.ENOSPC
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as stream, pytest.raises(OSError):
            while stream.write(bytes(4096)):
                pass
        with pytest.raises((NivalisError, OSError)):
            store.add_bytes("small", b"x" * 100_000)
        info = store.path_info(first)._replace(path=first.replace("-first", "-again"), ca=None)
        with pytest.raises((NivalisError, OSError)):
            add_nar(store, info, io.BytesIO(_nar(big)))
        assert _findings(store) == []
        names = {name for name in os.listdir(store.layout.real_store_dir) if not name.startswith(".")}
        assert {os.path.basename(path) for path in store.database.all_valid()} == names
        # A collector has room to work in, and everything can be done again.
        store.temp_roots.close()
        collected = collect(store, KeepPolicy())
        assert first in collected.paths
        filler.unlink()
        again = store.add_path(big, "first")
        assert again == first
    done = oracle.run("nix-store", ["--verify", "--check-contents"], store=small_disk)
    assert done.status == 0


def test_what_a_full_disk_has_no_room_for_is_named(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big/file").write_bytes(bytes(30_000_000))
    (tmp_path / "small").write_bytes(bytes(100_000))
    with Store.open(StoreLayout.under(small_disk)) as store:
        with pytest.raises(OSError, match="No space left") as caught:
            store.add_path(tmp_path / "big")
        assert caught.value.filename == str(tmp_path / "big/file") and caught.value.filename2.endswith("-waiting/file")
        with (small_disk / "filler").open("wb", buffering=0) as stream, suppress(OSError):
            while stream.write(bytes(4096)):
                pass
        with pytest.raises(OSError, match="No space left") as caught:
            store.add_path(tmp_path / "small")
        assert caught.value.filename == str(tmp_path / "small")


def test_a_disk_that_was_full_before(small_disk: Path) -> None:
    layout = StoreLayout.under(small_disk)
    with Store.open(layout) as store:
        path = store.add_text("x", b"x")

    def fill(name: str) -> None:
        with (small_disk / name).open("wb", buffering=0) as stream, suppress(OSError):
            while stream.write(bytes(1 << 16)):
                pass
            while stream.write(bytes(1)):
                pass

    fill("filler")
    # SQLite needs room even to open the database: the collector's reserve has it.
    with Store.open(layout) as store:
        assert collect(store, KeepPolicy()).paths == [path]
    os.truncate(layout.database_dir / "reserved", 0)
    fill("more")
    with pytest.raises(DatabaseError) as caught:
        Store.open(layout)
    assert caught.value.code == "disk-full" and "nix-collect-garbage" in str(caught.value.hint)


def test_read_only_disk(small_disk: Path, tmp_path: Path) -> None:
    layout = StoreLayout.under(small_disk)
    with Store.open(layout) as store:
        path = store.add_text("x", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StoreReadOnlyError, match="mounted for reading only"):
        Store.open(layout)
    with Store.open(layout, read_only=True) as store:
        assert store.is_valid(path) and _findings(store, repair=True) == []
        with pytest.raises(StoreReadOnlyError):
            store.add_text("y", b"y")
        with pytest.raises(StoreReadOnlyError):
            add_nar(store, store.path_info(path), io.BytesIO(b""), repair=True)
        with pytest.raises(StoreReadOnlyError):
            collect(store, KeepPolicy())


def test_corrupt_database(store: Store, root: Path) -> None:
    store.add_text("x", b"x")
    file = store.layout.database_dir / "db.sqlite"
    store.close()
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(DatabaseCorruptError) as caught, Store.open(store.layout) as again:
        list(verify_store(again))
    assert caught.value.hint
