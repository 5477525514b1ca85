"""Substituting: from caches that the real CppNix wrote, over files and HTTP, fast and no more often asked than needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nivalis.build.events import FetchFinished, FetchStarted
from nivalis.cache import CacheSubstituter, push
from nivalis.store import Store

COMPRESSIONS = ["none", "xz", "zstd", "bzip2", "gzip"]
KEY_OF_TESTS = "test-1"


@pytest.mark.parametrize("over", ["file", "http"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_cppnix_wrote(compression: str, over: str, source: Any, reader: Any, nix: Any, key_file: Path, tmp_path: Path, serve: Any) -> None:
    place = tmp_path / "theirs"
    nix(source.root, "nix", "copy", "--to", f"file://{place}?compression={compression}&secret-key={key_file}", source.top)
    address = f"file://{place}" if over == "file" else serve(place).address
    assert reader.substitute([source.top], address) == {source.top: None}
    assert reader.complaints == []
    infos, wanted = reader.store.database.infos(source.closure), source.store.database.infos(source.closure)
    for path, info in infos.items():
        expected = wanted[path]
        assert (info.nar_hash, info.nar_size, info.references, info.deriver, info.ca) == (
            *(expected.nar_hash, expected.nar_size, expected.references, expected.deriver, expected.ca),
        )
        assert [signature.partition(":")[0] for signature in info.signatures] == [KEY_OF_TESTS]
        assert not info.ultimate
        assert subprocess.run(["diff", "-r", source.store.real_path(path), reader.store.real_path(path)], check=False).returncode == 0
    assert nix(tmp_path / "reader", "nix-store", "--verify", "--check-contents").stderr.count("error") == 0
    reader.assert_tidy()


def test_nothing_is_asked_for_what_is_valid(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    reader.fetch(source.top, server.address)
    asked = len(server.asked)
    assert reader.substitute([source.top, source.leaf], server.address) == {source.top: None, source.leaf: None}
    assert len(server.asked) == asked


def test_connections_are_kept(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    reader.fetch(source.top, server.address, http_connections=2)
    assert len(server.asked) == 1 + 2 * len(source.closure)
    assert server.connections <= 3


def test_look_ups_are_remembered(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    now = [1_000_000.0]

    def ask() -> tuple[set[str], list[str]]:
        before = len(server.asked)
        with CacheSubstituter(reader.store, reader.settings(server.address), reader.events.append, lambda: now[0]) as substituter:
            found = substituter.available([source.leaf, _other(source.leaf)])
        return found, sorted(server.asked[before:])

    first = ask()
    assert first[0] == {source.leaf} and len(first[1]) >= 3
    assert ask() == ({source.leaf}, [])
    # What was not there is asked for again after an hour, and what was is not.
    now[0] += 3601
    found, asked = ask()
    assert found == {source.leaf} and asked and all(_part(source.leaf) not in name for name in asked)
    now[0] += 31 * 24 * 3600
    assert "/nix-cache-info" in ask()[1]


def _part(path: str) -> str:
    return path.rpartition("/")[2][:32]


def _other(path: str) -> str:
    return path.replace(_part(path), _part(path)[::-1])


def test_what_a_cache_lost_is_forgotten(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    with CacheSubstituter(reader.store, reader.settings(server.address)) as substituter:
        assert substituter.available([source.leaf]) == {source.leaf}
    for nar in (cache / "nar").iterdir():
        nar.rename(nar.with_suffix(".gone"))
    assert reader.substitute([source.leaf], server.address)[source.leaf].code == "not-in-cache"
    for nar in (cache / "nar").iterdir():
        nar.rename(nar.with_suffix(".nar"))
    before = len(server.asked)
    reader.fetch(source.leaf, server.address)
    assert f"/{_part(source.leaf)}.narinfo" in server.asked[before:]


def test_a_damaged_look_up_cache_is_made_anew(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    (reader.folder / "lookups").mkdir()
    (reader.folder / "lookups/binary-caches-v1.sqlite").write_bytes(b"rubbish" * 1000)
    server = serve(cache)
    reader.fetch(source.leaf, server.address)
    with CacheSubstituter(reader.store, reader.settings(server.address)) as substituter:
        asked = len(server.asked)
        assert substituter.available([source.leaf]) == {source.leaf}
        assert len(server.asked) == asked


def test_priorities(source: Any, reader: Any, cache: Path, tmp_path: Path, serve: Any) -> None:
    push(source.store, [source.leaf], f"{tmp_path}/second?compression=xz")
    (tmp_path / "second/nix-cache-info").write_text("StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 10\n")
    first, second = serve(cache), serve(tmp_path / "second")

    def used(*addresses: str) -> str:
        with CacheSubstituter(reader.store, reader.settings(*addresses, require_sigs=False)) as substituter:
            substituter.available([source.leaf])
            offer = substituter.offer_of(source.leaf)
        assert offer is not None
        return str(offer.info.compression)

    assert used(first.address, second.address) == "xz"
    assert used(first.address + "?priority=5", second.address) == "none"
    assert used(first.address, second.address + "?priority=60") == "none"


def test_a_closure_from_two_caches(source: Any, reader: Any, cache: Path, tmp_path: Path, serve: Any) -> None:
    second = tmp_path / "second"
    (second / "nar").mkdir(parents=True)
    narinfo = cache / f"{_part(source.leaf)}.narinfo"
    text = narinfo.read_text()
    for file in [narinfo, *(file for file in cache.glob("nar/*") if file.name in text)]:
        file.rename(second / file.relative_to(cache))
    (second / "nix-cache-info").write_text("StoreDir: /nix/store\n")
    reader.fetch(source.top, serve(cache).address, serve(second).address)
    assert reader.complaints == []


def test_what_has_no_complete_closure_is_not_offered(source: Any, reader: Any, cache: Path) -> None:
    (cache / f"{_part(source.leaf)}.narinfo").unlink()
    with CacheSubstituter(reader.store, reader.settings(cache)) as substituter:
        closure = substituter.closure([source.top, source.text])
    assert source.top in closure.incomplete and source.text in closure.fetches


@pytest.mark.parametrize("fault", ["close", "no-ranges"])
def test_a_download_that_breaks_off_goes_on(fault: str, source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    nar = "/" + (cache / f"{_part(source.middle)}.narinfo").read_text().partition("URL: ")[2].partition("\n")[0]
    server.fault = lambda path: ("close" if server.asked.count(nar) < 3 else fault) if path == nar and server.asked.count(nar) < 4 else None
    reader.fetch(source.middle, server.address)
    assert reader.complaints == []
    assert server.asked.count(nar) >= 3
    if fault == "close":
        starts = [int(text.removeprefix("bytes=").removesuffix("-")) for text in server.ranges]
        assert starts == sorted(starts) and starts[0] > 1_000_000


def test_events_tell_bytes(source: Any, reader: Any, cache: Path) -> None:
    reader.fetch(source.top, cache)
    started = {event.path: event.size for event in reader.events if isinstance(event, FetchStarted)}
    assert started == {path: info.nar_size for path, info in source.store.database.infos(source.closure).items()}
    assert {event.path for event in reader.events if isinstance(event, FetchFinished)} == source.closure


def test_memory_does_not_grow_with_size(source: Any, tmp_path: Path, checkout: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        for _ in range(300):
            file.write(b"\0" * (1 << 20))
    with Store.open(source.store.layout) as store:
        path = store.add_path(big, "big")
        push(store, [path], f"{tmp_path}/cache?compression=zstd")
    code = (
        "import resource, sys; from nivalis.store import Store, StoreLayout; from nivalis.cache import CacheSettings, CacheSubstituter\n"
        "with Store.open(StoreLayout.under(sys.argv[1])) as store:\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    with CacheSubstituter(store, CacheSettings(substituters=(sys.argv[2],))) as substituter: substituter.fetch(sys.argv[3])\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "reader", tmp_path / "cache", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 64 << 10


def test_repair(source: Any, reader: Any, cache: Path) -> None:
    reader.fetch(source.top, cache)
    place = Path(reader.store.real_path(source.leaf))
    place.chmod(0o755)
    (place / "extra").write_text("damage")
    with CacheSubstituter(reader.store, reader.settings(cache)) as substituter:
        substituter.repair(source.leaf)
    assert not (place / "extra").exists()
    from nivalis.store.verify import verify_store

    assert list(verify_store(reader.store, check_contents=True)) == []
