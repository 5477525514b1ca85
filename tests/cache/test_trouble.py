"""Caches that lie, hang, fail or are full of rubbish: each kind of trouble has its code, is reported once, and is passed over."""

from __future__ import annotations

import base64
import lzma
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nivalis import _native
from nivalis.cache import CacheSubstituter, SecretKey, push
from nivalis.cache import cache as cache_module
from nivalis.cache import substituter as substituter_module
from nivalis.cache.cache import DEAD_TIME, ENOUGH
from nivalis.cache.errors import CacheError
from nivalis.cache.stores import hide_password
from nivalis.errors import NivalisError
from nivalis.store import Store, StoreLayout


def _part(path: str) -> str:
    return path.rpartition("/")[2][:32]


def _change(cache: Path, path: str, **fields: str | None) -> None:
    """Change fields of a narinfo; None removes one."""
    file = cache / f"{_part(path)}.narinfo"
    lines = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in fields]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    file.write_text("".join(f"{line}\n" for line in lines))


def _resign(cache: Path, path: str, key: SecretKey) -> None:
    info = _native.NarInfo.parse((cache / f"{_part(path)}.narinfo").read_bytes(), "/nix/store")
    _change(cache, path, Sig=key.sign(info.fingerprint))


def _nar(cache: Path, path: str) -> Path:
    return cache / (cache / f"{_part(path)}.narinfo").read_text().partition("URL: ")[2].partition("\n")[0]


# What is done to the cache of which `leaf` is to come -> the code of the trouble.


def _wrong_signature(cache: Path, path: str, key: SecretKey) -> None:
    other = SecretKey(key.name, SecretKey.generate("x").data)
    _resign(cache, path, other)


def _signature_of_rubbish(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, Sig=f"{key.name}:not base 64!")


def _changed_after_signing(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, NarSize="1")


def _unknown_key(cache: Path, path: str, key: SecretKey) -> None:
    _resign(cache, path, SecretKey.generate("somebody-1"))


def _no_signature(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, Sig=None)


def _wrong_file_hash(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, FileHash="sha256:" + "0" * 52)


def _wrong_file_size(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, FileSize="17")


def _larger_file_size(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, FileSize="1000000")


def _other_nar(cache: Path, path: str, key: SecretKey) -> None:
    data = bytearray(_nar(cache, path).read_bytes())
    data[-400] ^= 1
    _nar(cache, path).write_bytes(data)
    _change(cache, path, FileHash=None, FileSize=None)


def _bent_file(cache: Path, path: str, key: SecretKey) -> None:
    data = bytearray(_nar(cache, path).read_bytes())
    data[-400] ^= 1
    _nar(cache, path).write_bytes(data)


def _wrong_nar_hash(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, NarHash="sha256:" + "0" * 52, FileHash=None)
    _resign(cache, path, key)


def _wrong_nar_size(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, NarSize="100")
    _resign(cache, path, key)


def _other_path(cache: Path, path: str, key: SecretKey) -> None:
    other = path.replace("-leaf", "-loaf")
    _change(cache, path, StorePath=other)
    _resign(cache, path, key)


def _rubbish_narinfo(cache: Path, path: str, key: SecretKey) -> None:
    (cache / f"{_part(path)}.narinfo").write_bytes(os.urandom(500))


def _empty_narinfo(cache: Path, path: str, key: SecretKey) -> None:
    (cache / f"{_part(path)}.narinfo").write_bytes(b"")


def _huge_narinfo(cache: Path, path: str, key: SecretKey) -> None:
    (cache / f"{_part(path)}.narinfo").write_bytes(b"StorePath: x\n" * 1_000_000)


def _unknown_compression(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, Compression="rot13")


def _not_compressed_so(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, Compression="xz", FileHash=None, FileSize=None)


def _bomb(cache: Path, path: str, key: SecretKey) -> None:
    _nar(cache, path).write_bytes(lzma.compress(bytes(50_000_000)))
    _change(cache, path, Compression="xz", FileHash=None, FileSize=None)


def _cut_short(cache: Path, path: str, key: SecretKey) -> None:
    packed = lzma.compress(_nar(cache, path).read_bytes())
    _nar(cache, path).write_bytes(packed[: len(packed) // 2])
    _change(cache, path, Compression="xz", FileHash=None, FileSize=None)


def _appended(cache: Path, path: str, key: SecretKey) -> None:
    with _nar(cache, path).open("ab") as file:
        file.write(b"more")
    _change(cache, path, FileHash=None, FileSize=None)


def _no_nar(cache: Path, path: str, key: SecretKey) -> None:
    _nar(cache, path).unlink()


def _nar_elsewhere(cache: Path, path: str, key: SecretKey) -> None:
    _change(cache, path, URL="../../../../../../etc/passwd")


LIES: dict[str, tuple[Callable[[Path, str, SecretKey], None], str]] = {
    "wrong signature": (_wrong_signature, "wrong-signature"),
    "a signature of rubbish": (_signature_of_rubbish, "wrong-signature"),
    "changed after signing": (_changed_after_signing, "wrong-signature"),
    "unknown key": (_unknown_key, "unknown-key"),
    "no signature": (_no_signature, "not-signed"),
    "wrong file hash": (_wrong_file_hash, "cache-file-hash"),
    "wrong file size": (_wrong_file_size, "cache-file-size"),
    "larger file size": (_larger_file_size, "cache-file-size"),
    "another NAR": (_other_nar, "cache-nar"),
    "a bent file": (_bent_file, "cache-nar"),
    "wrong NAR hash": (_wrong_nar_hash, "cache-nar"),
    "wrong NAR size": (_wrong_nar_size, "cache-nar"),
    "narinfo for another path": (_other_path, "cache-wrong-path"),
    "rubbish as narinfo": (_rubbish_narinfo, "invalid-narinfo"),
    "empty narinfo": (_empty_narinfo, "invalid-narinfo"),
    "huge narinfo": (_huge_narinfo, "invalid-narinfo"),
    "unknown compression": (_unknown_compression, "cache-compression"),
    "not compressed so": (_not_compressed_so, "cache-nar"),
    "a small file that becomes large": (_bomb, "cache-nar"),
    "a compressed file cut short": (_cut_short, "cache-nar"),
    "more after the NAR": (_appended, "cache-nar"),
    "no NAR": (_no_nar, "not-in-cache"),
    "a NAR outside of the cache": (_nar_elsewhere, "not-in-cache"),
}


@pytest.fixture
def key(key_file: Path) -> SecretKey:
    return SecretKey.read(key_file)


@pytest.mark.parametrize("name", LIES)
def test_a_lie(name: str, source: Any, reader: Any, cache: Path, key: SecretKey) -> None:
    tell, code = LIES[name]
    tell(cache, source.leaf, key)
    error = reader.substitute([source.leaf], cache)[source.leaf]
    assert isinstance(error, CacheError)
    assert reader.complaints == [code]
    assert not reader.store.is_valid(source.leaf)
    reader.assert_tidy()


@pytest.mark.parametrize("name", LIES)
def test_after_a_lie_the_next_cache_is_asked(name: str, source: Any, reader: Any, cache: Path, key: SecretKey, tmp_path: Path) -> None:
    push(source.store, [source.top], f"{tmp_path}/honest?compression=zstd", keys=[key])
    tell, code = LIES[name]
    tell(cache, source.leaf, key)
    reader.fetch(source.top, cache, tmp_path / "honest")
    assert reader.complaints == [code]
    reader.assert_tidy()


def test_what_its_name_vouches_for_needs_no_signature(source: Any, reader: Any, cache: Path) -> None:
    _change(cache, source.text, Sig=None)
    reader.fetch(source.text, cache, trusted_public_keys=())
    # ... but it is held to its name.
    _change(cache, source.leaf, Sig=None, CA=f"fixed:r:{source.store.path_info(source.leaf).nar_hash.format_prefixed('base32')}")
    assert reader.substitute([source.leaf], cache)[source.leaf] is not None
    assert reader.complaints == ["not-signed"]


def test_signatures_may_be_done_without(source: Any, reader: Any, cache: Path) -> None:
    for path in source.closure:
        _change(cache, path, Sig=None)
    reader.fetch(source.leaf, cache, require_sigs=False)
    reader.fetch(source.top, f"{cache}?trusted=true")


# ---------------------------------------------------------------------------------------------------- servers


FAULTS: dict[str, tuple[str | int, str, str]] = {
    "nix-cache-info hangs": ("hang", "/nix-cache-info", "cache-timeout"),
    "nix-cache-info is a page": ("html", "/nix-cache-info", "invalid-cache-info"),
    "nix-cache-info is not there": (404, "/nix-cache-info", "invalid-cache-info"),
    "nix-cache-info is refused": (500, "/nix-cache-info", "cache-unreachable"),
    "nix-cache-info never ends": ("endless", "/nix-cache-info", "cache-unreachable"),
    "nix-cache-info drips": ("drip", "/nix-cache-info", "cache-timeout"),
    "nix-cache-info drips its headers": ("drip-head", "/nix-cache-info", "cache-timeout"),
    "narinfo drips its headers": ("drip-head", ".narinfo", "cache-timeout"),
    "NAR drips its headers": ("drip-head", "/nar/", "cache-timeout"),
    "narinfo ends within its headers": ("close-head", ".narinfo", "cache-unreachable"),
    "NAR ends within its headers": ("close-head", "/nar/", "cache-unreachable"),
    "narinfo hangs": ("hang", ".narinfo", "cache-timeout"),
    "narinfo is a page": ("html", ".narinfo", "invalid-narinfo"),
    "narinfo is refused": (500, ".narinfo", "cache-unreachable"),
    "narinfo is cut short": ("close", ".narinfo", "cache-unreachable"),
    "narinfo never ends": ("endless", ".narinfo", "cache-unreachable"),
    "NAR hangs": ("hang", "/nar/", "cache-timeout"),
    "NAR is a page": ("html", "/nar/", "cache-file-size"),
    "NAR is refused": (503, "/nar/", "cache-unreachable"),
    "NAR is not there": (404, "/nar/", "not-in-cache"),
    "NAR never ends": ("endless", "/nar/", "cache-file-size"),
    "NAR drips": ("drip", "/nar/", "cache-slow"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_server_that_fails(
    name: str, source: Any, reader: Any, cache: Path, tmp_path: Path, serve: Any, key: SecretKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("at_once", "download"):
        monkeypatch.setattr(f"nivalis.cache.{module}._WINDOW", 1.5)
    kind, where, code = FAULTS[name]
    push(source.store, [source.top], f"{tmp_path}/honest", keys=[key])
    bad, good = serve(cache), serve(tmp_path / "honest")
    bad.fault = lambda path: kind if where in path else None
    begin = time.monotonic()
    reader.fetch(source.top, bad.address, good.address, stalled_download_timeout=2)
    # Well below 5 s on a machine that does nothing else.
    assert time.monotonic() - begin < 15
    assert reader.complaints == [code]
    reader.assert_tidy()


def test_a_dead_cache_first(source: Any, reader: Any, cache: Path, serve: Any, dead_address: str) -> None:
    good = serve(cache)
    begin = time.monotonic()
    reader.fetch(source.leaf, dead_address, good.address)
    assert time.monotonic() - begin < 5
    assert reader.complaints == ["cache-timeout"]
    # It is remembered, and said again, but not waited for again.
    begin = time.monotonic()
    reader.fetch(source.top, dead_address, good.address)
    assert time.monotonic() - begin < 2
    assert reader.complaints == ["cache-timeout", "cache-unreachable"]


def test_several_dead_caches_are_waited_for_once(source: Any, reader: Any, cache: Path, serve: Any, dead_address: str) -> None:
    begin = time.monotonic()
    reader.fetch(source.leaf, *(f"{dead_address}/{number}" for number in range(6)), serve(cache).address)
    assert time.monotonic() - begin < 5


def test_a_cache_is_tried_again_after_a_while(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    server.fault = lambda path: 500
    now = [1_000_000.0]
    settings = reader.settings(server.address)
    for fault, later, found in ((500, 0, False), (None, 30, False), (None, 61, True)):
        server.fault = lambda path, fault=fault: fault
        now[0] += later
        with CacheSubstituter(reader.store, settings, reader.events.append, lambda: now[0]) as substituter:
            assert bool(substituter.available([source.leaf])) == found


def test_nobody_listens(source: Any, reader: Any) -> None:
    error = reader.substitute([source.leaf], "http://127.0.0.1:9", "https://cache.invalid")[source.leaf]
    assert error.code == "not-in-cache"
    assert reader.complaints == ["cache-unreachable", "cache-unreachable"]


@pytest.mark.parametrize("address", ["ssh://somewhere", "relative", "http://", "file://elsewhere/x"])
def test_an_address_of_another_kind_is_passed_over(address: str, source: Any, reader: Any, cache: Path) -> None:
    reader.fetch(source.leaf, address, cache)
    assert reader.complaints == ["cache-address"]


def test_a_cache_of_another_store_directory(source: Any, reader: Any, cache: Path) -> None:
    (cache / "nix-cache-info").write_text("StoreDir: /gnu/store\n")
    assert reader.substitute([source.leaf], cache)[source.leaf] is not None
    assert reader.complaints == ["invalid-cache-info"]


def test_an_error_names_the_place(source: Any, reader: Any, cache: Path) -> None:
    _change(cache, source.leaf, FileHash="sha256:" + "0" * 52, Compression="none")
    _nar(cache, source.leaf).write_bytes(_nar(cache, source.leaf).read_bytes()[:-8])
    error: NivalisError = reader.substitute([source.leaf], cache)[source.leaf]
    assert str(cache) in str(error)


def test_a_full_disk_is_not_the_caches_fault(source: Any, reader: Any, cache: Path) -> None:
    def no_room(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nivalis.cache.download.stage_nar", no_room)
        error = reader.substitute([source.leaf], cache)[source.leaf]
    assert error.code == "os-error" and "No space left" in error.message
    assert reader.complaints == []


@pytest.mark.parametrize("fault", [None, 401, 500, "hang", "html", "close", "elsewhere"])
@pytest.mark.parametrize("from_file", [False, True], ids=["address", "netrc"])
def test_passwords_are_not_told(fault: Any, from_file: bool, source: Any, reader: Any, cache: Path, serve: Any, tmp_path: Path) -> None:
    secret, server = "s3cr%2Fet", serve(cache)
    sent: list[str | None] = []
    server.on_request = lambda headers: sent.append(headers["Authorization"])
    redirect = f"http://some:{secret}@127.0.0.1:1/x?key={secret}"
    server.fault = lambda path: ((302, redirect) if fault == "elsewhere" else fault) if "/nar/" in path else None
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password s3cr/et\n" if from_file else "")
    address = server.address if from_file else server.address.replace("//", f"//someone:{secret}@")
    settings = {"netrc_file": str(tmp_path / "netrc"), "stalled_download_timeout": 1, "download_attempts": 1}
    errors = reader.substitute([source.leaf], address, **settings)
    # Passed over, it says why; so do others that remember it.
    errors |= reader.substitute([source.leaf], address, **settings)
    assert set(sent) == {"Basic " + base64.b64encode(b"someone:s3cr/et").decode()}
    assert (errors[source.leaf] is None) == (fault is None)
    told = "".join(map(repr, [*reader.events, *(vars(error) for error in errors.values() if error is not None)]))
    kept = b"".join(file.read_bytes() for file in (tmp_path / "lookups").iterdir())
    for word in (secret, "s3cr"):
        assert word not in told and word.encode() not in kept
    assert from_file or "//someone:***@127.0.0.1" in told


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:secret@host/path", "https://user:***@host/path"),
        ("https://user:se@cret@host:80", "https://user:***@host:80"),
        ("https://user:se/cret@host", "https://user:***@host"),
        ("https://user@host/a:b@c", "https://user@host/a:b@c"),
        ("https://host:80/a:b@c", "https://host:80/a:b@c"),
        ("https://[::1]/a:b@c", "https://[::1]/a:b@c"),
        ("https://host/a@b", "https://host/a@b"),
        ("file:///a:b@c", "file:///a:b@c"),
        ("/a:b@c", "/a:b@c"),
    ],
)
def test_addresses_as_they_are_shown(address: str, shown: str) -> None:
    assert hide_password(address) == shown


@pytest.mark.parametrize("address", ["ssh://user:secret@host", "https://user:se/cret@host", "http://user:secret@"])
def test_passwords_in_what_is_no_address(address: str, source: Any, reader: Any, cache: Path) -> None:
    reader.fetch(source.leaf, address, cache)
    assert reader.complaints == ["cache-address"] and "cret" not in repr(reader.events)
    with pytest.raises(CacheError) as caught:
        push(source.store, [source.leaf], address)
    assert "cret" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- refused again and again


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not what is looked for here."""
    for module in (cache_module, substituter_module):
        monkeypatch.setattr(module, "PATIENCE", 60)


@pytest.fixture
def many(tmp_path: Path) -> tuple[Path, list[str]]:
    """A cache of 60 paths that refer to nothing."""
    with Store.open(StoreLayout.under(tmp_path / "many")) as store:
        paths = []
        for number in range(60):
            (tmp_path / "file").write_text(str(number))
            paths.append(store.add_path(tmp_path / "file", f"n{number}"))
        push(store, paths, f"{tmp_path}/of-many?compression=none")
    return tmp_path / "of-many", paths


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("refused", ["narinfo", "/nar/"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_refuses_everything_is_asked_little(refused: str, status: int, many: tuple[Path, list[str]], reader: Any, serve: Any) -> None:
    cache, paths = many
    server = serve(cache)
    server.fault = lambda path: status if refused in path else None
    done = reader.substitute(paths, server.address, require_sigs=False, http_connections=8)
    assert set(done) == set(paths) and None not in done.values()
    # One on each connection, a few more, and for NARs one for each thread that unpacks, and the further attempts of one.
    assert sum(refused in path for path in server.asked) <= 8 + 6 + (os.cpu_count() or 1) + 5
    assert reader.complaints == ["cache-unreachable"]


@pytest.mark.usefixtures("patience")
def test_what_fails_again_and_again_is_given_up(many: tuple[Path, list[str]], reader: Any, serve: Any) -> None:
    cache, paths = many
    server = serve(cache)
    now, asked = [time.time()], []
    settings = reader.settings(server.address, require_sigs=False)
    with CacheSubstituter(reader.store, settings, reader.events.append, clock=lambda: now[0]) as substituter:

        def ask(path: str) -> set[str]:
            found: set[str] = substituter.available([path])
            asked.append(len(server.asked))
            now[0] += DEAD_TIME + 1
            return found

        server.fault = lambda path: 503 if "narinfo" in path else None
        assert ask(paths[0]) == ask(paths[1]) == set()
        server.fault = lambda path: None
        # It has answered: it is counted anew.
        assert ask(paths[2]) == {paths[2]}
        server.fault = lambda path: 503 if "narinfo" in path else None
        for number in range(3, 3 + ENOUGH):
            assert "cache-given-up" not in reader.complaints
            assert ask(paths[number]) == set()
        server.fault = lambda path: None
        assert ask(paths[20]) == set()
    assert asked == sorted(asked) and asked[-1] == asked[-2] > asked[-3]
    assert reader.complaints == ["cache-unreachable", "cache-given-up"]
