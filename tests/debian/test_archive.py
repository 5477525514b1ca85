"""From a mirror to a snapshot: what is made, and what is refused."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from debian_archive import Archive, certificate, stanza
from fetch_server import Server, serve
from nivalis.debian.address import DebianAddress
from nivalis.debian.archive import SnapshotMaker
from nivalis.debian.errors import DebianError, SnapshotError
from nivalis.debian.mirror import read_mirrors
from nivalis.debian.release import Relaxed
from nivalis.debian.snapshot import Snapshot, compare, shard_of, spell
from nivalis.fetch.network import Network
from nivalis.store.layout import StoreLayout
from nivalis.store.store import Source, Store

SUITE = DebianAddress.parse("debian:testix")


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreLayout.parse(f"local?root={tmp_path / 'root'}", {})) as opened:
        yield opened


def _archive(server: Server, root: str = "/debian") -> Archive:
    archive = Archive(server, root)
    archive.packages = {
        "": [
            stanza("hello", "2.10-3", depends="libc6 (>= 2.34), debconf", homepage="https://hello.example", source="hello-src (2.10)"),
            stanza("libc6", "2.36-9", depends="libgcc-s1", essential="yes", multi_arch="same"),
            stanza("libgcc-s1", "12", depends="libc6"),
            stanza("mawk", provides="awk", priority="required"),
            stanza("broken", depends="nowhere"),
        ],
        "-updates": [stanza("tzdata", "2026a", architecture="all")],
        "-security": [stanza("hello", "2.10-3+deb12u1", depends="libc6 (>= 2.34)", pool="pool/updates/main")],
    }
    return archive


def _maker(store: Store, now: float | None = None, **relaxed: bool) -> SnapshotMaker:
    return SnapshotMaker(
        store=store,
        network=Network({}, attempts=1),
        system="x86_64-linux",
        clock=lambda: time.time() if now is None else now,
        relaxed=Relaxed(**relaxed),
        keys=[certificate()],
    )


def _code(maker: SnapshotMaker, archive: Archive, last: str | None = None) -> str:
    before = maker.store.database.all_valid()
    with pytest.raises(DebianError) as caught:
        maker.make(SUITE, [archive.mirror], last)
    assert maker.store.database.all_valid() == before, "something got into the store"
    return caught.value.code


def _open(store: Store, path: str) -> Snapshot:
    return Snapshot.open(store.real_path(path))


def test_the_folder(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish()
    path = _maker(store).make(SUITE, [archive.mirror])
    assert path.endswith("-debian-testix-snapshot")
    assert store.path_of(Source(store.real_path(path), path[-len("debian-testix-snapshot") :])) == path
    snapshot = _open(store, path)
    assert sorted(place.name for place in snapshot.folder.iterdir()) == [
        "names.json",
        "packages",
        "relations.tsv",
        "snapshot.json",
        "spelled.json",
        "virtual.json",
    ]
    assert len(list((snapshot.folder / "packages").iterdir())) == 4096
    assert (snapshot.about["system"], snapshot.about["architecture"], snapshot.about["format"]) == ("x86_64-linux", "amd64", 1)
    assert [suite["codename"] for suite in snapshot.about["suites"]] == ["testix", "testix-updates", "testix-security"]
    assert list(snapshot.names) == ["broken", "hello", "libc6", "libgcc-s1", "mawk", "tzdata"]
    assert json.loads((snapshot.folder / "virtual.json").read_bytes()) == {"awk": "mawk"}
    assert {spell(name) for name in ("libstdc++6", "python3.11", "7zip", "curl")} == {"libstdc__6", "python3_11", "_7zip", "curl"}
    assert shard_of("hello") == hashlib.sha256(b"hello").hexdigest()[:3]
    data = b"the .deb of hello 2.10-3+deb12u1"
    assert snapshot.record("hello") == {
        "version": "2.10-3+deb12u1",
        "source": "hello",
        "sourceVersion": "2.10-3+deb12u1",
        "section": "misc",
        "priority": "optional",
        "description": "hello for tests",
        "filename": "pool/updates/main/h/hello/hello_2.10-3+deb12u1_amd64.deb",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "installedSize": 7,
        "depends": ["libc6"],
    }
    assert snapshot.record("libc6")["group"] == ["libc6", "libgcc-s1"] and snapshot.record("libc6")["essential"] is True
    assert snapshot.record("broken")["broken"] == "`broken` needs `nowhere`; there is no such package"
    assert "127.0.0.1" not in "".join(place.read_text() for place in snapshot.folder.rglob("*") if place.is_file())


def test_same_index_from_another_mirror_is_the_same_path(server: Server, store: Store) -> None:
    first, second = _archive(server, "/debian"), _archive(server, "/elsewhere/pub/debian")
    second.date = first.date
    second.by_hash = first.by_hash = False
    first.publish()
    for path, data in list(server.files.items()):
        server.files[path.replace("/debian", second.root, 1)] = data
    assert _maker(store).make(SUITE, [first.mirror]) == _maker(store).make(SUITE, [second.mirror])


def test_nothing_new_needs_no_index(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish()
    path = _maker(store).make(SUITE, [archive.mirror])
    server.asked.clear()
    assert _maker(store).make(SUITE, [archive.mirror], path) == path
    assert all(place.endswith("/InRelease") for place, _ in server.asked)


def test_security_may_lie_beside(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish(pockets=("", "-updates"))
    archive.root = "/debian-security"
    archive.publish(pockets=("-security",))
    path = _maker(store).make(SUITE, [f"{server.address}/debian"])
    assert _open(store, path).names["hello"] == "2.10-3+deb12u1"


def test_withheld_security_is_refused(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish(pockets=("", "-updates"))
    assert _code(_maker(store), archive) == "mirror-failed"


def test_a_suite_passed_off_for_another(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish()
    files = server.files
    files["/debian/dists/testix-security/InRelease"] = files["/debian/dists/testix/InRelease"]
    assert _code(_maker(store), archive) == "release-mismatch"


def _flip(data: bytes) -> bytes:
    place = data.index(b"Codename: ") + 10 if b"Codename: " in data else len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _page(data: bytes) -> bytes:
    return b"<html><title>Hotel</title></html>"


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("change_release", "change_index", "code"),
    [
        (_flip, bytes, "bad-signature"),
        (_page, bytes, "release-invalid"),
        (_half, bytes, "release-invalid"),
        (bytes, _flip, "index-mismatch"),
        (bytes, _page, "index-mismatch"),
        (bytes, _half, "index-mismatch"),
        (bytes, lambda data: data + bytes(3 << 20), "index-mismatch"),
    ],
)
def test_what_is_changed_on_the_way(server: Server, store: Store, change_release: object, change_index: object, code: str) -> None:
    archive = _archive(server)
    archive.publish(change_release=change_release, change_index=change_index)  # type: ignore[arg-type]
    assert _code(_maker(store), archive) == code


def test_an_unknown_key(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.owner = "Mallory <mallory@example.org>"
    archive.publish()
    assert _code(_maker(store), archive) == "unknown-key"
    # A stranger's archive before ours in the machine's sources is passed over.
    ours = _archive(server, "/ours/debian")
    ours.publish()
    assert _maker(store).make(SUITE, [archive.mirror, ours.mirror])


def test_time(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.valid_until = time.time() + 600
    archive.publish()
    path = _maker(store).make(SUITE, [archive.mirror])
    late = time.time() + 3600
    assert _code(_maker(store, late), archive) == "release-expired"
    assert _maker(store, late, expired=True).make(SUITE, [archive.mirror]) == path
    assert _code(_maker(store, archive.date - 86400), archive) == "release-from-future"
    archive.date -= 86400
    archive.publish()
    assert _code(_maker(store), archive, path) == "release-downgrade"
    assert _maker(store, downgrade=True).make(SUITE, [archive.mirror], path) != path


def test_no_such_part(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish()
    with pytest.raises(DebianError) as caught:
        _maker(store).make(DebianAddress.parse("debian:testix?component=contrib"), [archive.mirror])
    assert caught.value.code == "no-index" and "components: main" in str(caught.value)


def test_difference(server: Server, store: Store) -> None:
    archive = _archive(server)
    archive.publish()
    old = _maker(store).make(SUITE, [archive.mirror])
    archive.date += 60
    archive.packages["-security"] = [stanza("hello", "2.10-3+deb12u2", pool="pool/updates/main")]
    archive.packages["-updates"] = [stanza("new")]
    archive.publish()
    new = _maker(store).make(SUITE, [archive.mirror], old)
    found = [(one.package, one.old, one.new, one.is_security) for one in compare(_open(store, old), _open(store, new))]
    assert found == [
        ("hello", "2.10-3+deb12u1", "2.10-3+deb12u2", True),
        ("new", None, "1.0-1", False),
        ("tzdata", "2026a", None, False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "debian:",
        "debian:Bookworm",
        "debian:bookworm/../x",
        "debian:bookworm-security",
        "debian:bookworm?arch",
        "debian:bookworm?mirror=x",
        "debian:a?component=../b",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(DebianError) as caught:
        DebianAddress.parse(text)
    assert caught.value.code == "invalid-suite"


def test_addresses() -> None:
    for text in ("debian:bookworm", "debian:sid?arch=arm64", "debian:bookworm?component=main,contrib&arch=amd64"):
        assert str(DebianAddress.parse(text)) == text
    assert DebianAddress.parse("debian:sid").pockets == ["sid"]
    assert str(DebianAddress.parse("debian:a?component=main&component=contrib")) == "debian:a?component=main,contrib"


def test_a_system_that_debian_has_not(server: Server, store: Store) -> None:
    archive = _archive(server)
    with pytest.raises(DebianError) as caught:
        replace(_maker(store), system="x86_64-darwin").make(SUITE, [archive.mirror])
    assert caught.value.code == "no-architecture"


def test_what_is_no_snapshot(tmp_path: Path) -> None:
    for text in (None, "{", '{"format": 99}'):
        if text is not None:
            (tmp_path / "snapshot.json").write_text(text)
        with pytest.raises(SnapshotError) as caught:
            Snapshot.open(tmp_path)
        assert caught.value.code == "not-a-snapshot"


def test_the_real_archive(store: Store) -> None:
    """Bookworm as this machine's own mirror has it."""
    mirrors = read_mirrors({}).common
    if not mirrors:
        pytest.skip("apt has no mirror of Debian on this machine")
    relaxed = Relaxed(expired=True)
    maker = SnapshotMaker(store=store, network=Network({}, attempts=2, timeout=20), system="x86_64-linux", clock=time.time, relaxed=relaxed)
    try:
        path = maker.make(DebianAddress.parse("debian:bookworm"), mirrors)
    except DebianError:
        raise
    except Exception as error:
        pytest.skip(f"the mirror cannot be reached: {error}")
    snapshot = _open(store, path)
    assert len(snapshot.names) > 60_000
    curl = snapshot.record("curl")
    assert {"libc6", "libcurl4"} <= set(curl["depends"]) and "broken" not in curl
    assert snapshot.record("libc6")["group"] == ["libc6", "libgcc-s1"]
    resolver = snapshot.resolver()
    records = dict(snapshot.records())
    resolution = resolver.resolve()
    assert {name: record["depends"] for name, record in records.items()} == resolution.depends
    assert all(need in records for record in records.values() for need in record["depends"])
