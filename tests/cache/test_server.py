"""Serving a store and a folder over HTTP: nivalis and the real CppNix fetch from it, many at once, and nothing else can be had from it."""

from __future__ import annotations

import bz2
import hashlib
import http.client
import json
import lzma
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from nivalis._native import NarInfo
from nivalis.cache import SecretKey, push, server
from nivalis.cache.errors import CacheInfoError, ListenError
from nivalis.store import Store, StoreLayout
from nivalis.store.gc import collect
from nivalis.store.logs import log_place
from nivalis.store.paths import base_name, hash_part
from nivalis.store.queries import KeepPolicy

COMPRESSIONS = server.COMPRESSIONS


class Served:
    """A running server, and what one asks it by."""

    def __init__(self, app: Any) -> None:
        listener = server.listen("127.0.0.1:0")
        self.host, self.port = server.address_of(listener)
        self.server: uvicorn.Server = server.make_server(app)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listener]})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """The status, the body and the headers, whose names are in small letters."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def get(self, path: str) -> bytes:
        status, body, _ = self.ask(path)
        assert status == 200, (path, status)
        return body

    def narinfo(self, path: str) -> NarInfo:
        return NarInfo.parse(self.get(f"/{hash_part(path)}.narinfo"), "/nix/store")

    def begin(self, path: str) -> socket.socket:
        """A client that has asked, and reads nothing yet; little fits on its side."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect((self.host, self.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert client.recv(1024).startswith(b"HTTP/1.1 200")
        return client

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join()


Start = Callable[..., Served]


@pytest.fixture
def complaints() -> list[Exception]:
    return []


@pytest.fixture
def start(complaints: list[Exception]) -> Iterator[Start]:
    """Starts servers, of a store or of a folder."""
    running: list[Served] = []

    def run(place: Store | Path, **options: Any) -> Served:
        if isinstance(place, Store):
            app = server.make_store_app(place, complaints.append, **options)
        else:
            app = server.make_folder_app(str(place), complaints.append)
        running.append(Served(app))
        return running[-1]

    yield run
    for one in running:
        one.stop()
    assert complaints == []


@pytest.fixture
def key(key_file: Path) -> SecretKey:
    return SecretKey.read(key_file)


@pytest.fixture
def large(tmp_path: Path) -> Iterator[tuple[Store, str]]:
    """A store of its own, with a path that no buffer holds."""
    with Store.open(StoreLayout.under(tmp_path / "large")) as store:
        (tmp_path / "file").write_bytes(os.urandom(1 << 20) * 32)
        path = store.add_path(tmp_path / "file", "large")
        store.temp_roots.close()
        yield store, path


def _rest(client: socket.socket) -> int:
    """How many bytes there still are to its end."""
    count = 0
    with client:
        while data := client.recv(1 << 16):
            count += len(data)
    return count


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def _temporary_roots(store: Store) -> list[str]:
    return [name for name in os.listdir(store.layout.temp_roots_dir) if not name.startswith(".")]


# ---------------------------------------------------------------------------------------------------- what is served


def test_store_is_served_as_push_writes_it(source: Any, key: SecretKey, start: Start, tmp_path: Path) -> None:
    push(source.store, [source.top], f"{tmp_path}/cache?compression=none", keys=[key])
    served = start(source.store, keys=[key])
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.name != "nix-cache-info"]
    assert len(files) == 2 * len(source.closure)
    for file in files:
        assert served.get(f"/{file.relative_to(tmp_path / 'cache')}") == file.read_bytes()


def test_cache_info(source: Any, start: Start) -> None:
    assert start(source.store).get("/nix-cache-info") == b"StoreDir: /nix/store\nWantMassQuery: 0\nPriority: 30\n"
    assert start(source.store, priority=0, wants_mass_query=True).get("/nix-cache-info") == b"StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 0\n"


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_nivalis_substitutes(compression: str, source: Any, reader: Any, key: SecretKey, start: Start) -> None:
    served = start(source.store, keys=[key], compression=compression)
    reader.fetch(source.top, served.url)
    assert set(reader.store.database.all_valid()) == source.closure and reader.complaints == []


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_cppnix_substitutes(compression: str, source: Any, nix: Any, key: SecretKey, start: Start, tmp_path: Path) -> None:
    served = start(source.store, keys=[key], compression=compression)
    trust = ["--option", "trusted-public-keys", str(key.public), "--option", "substituters", served.url]
    assert nix(tmp_path / "theirs", "nix-store", "--realise", source.top, *trust).stdout.strip() == source.top
    nix(tmp_path / "theirs", "nix-store", "--verify", "--check-contents")


def test_cppnix_copies_and_asks(source: Any, nix: Any, oracle: Any, key: SecretKey, start: Start, tmp_path: Path) -> None:
    served = start(source.store, keys=[key])
    info = json.loads(nix(tmp_path / "theirs", "nix", "path-info", "--json", "--store", served.url, source.middle).stdout)[0]
    assert (info["path"], info["narSize"]) == (source.middle, source.store.path_info(source.middle).nar_size)
    trust = ["--option", "trusted-public-keys", str(key.public)]
    nix(tmp_path / "theirs", "nix", "copy", "--from", served.url, source.top, *trust)
    nix(tmp_path / "theirs", "nix-store", "--verify", "--check-contents")
    other = ["--option", "trusted-public-keys", str(SecretKey.generate("other-1").public), "--option", "substituters", served.url]
    assert oracle.run("nix-store", ["--realise", source.leaf, *other], store=tmp_path / "distrustful").status != 0


def test_signatures_of_the_store(source: Any, key: SecretKey, start: Start, tmp_path: Path) -> None:
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        from nivalis.cache.sign import sign_paths

        path = store.add_text("text", b"text\n")
        assert start(store).narinfo(path).signatures == []
        sign_paths(store, [path], [key])
        assert [text.partition(":")[0] for text in start(store).narinfo(path).signatures] == [key.name]


def test_logs(source: Any, nix: Any, start: Start, tmp_path: Path) -> None:
    drv_path = source.store.path_info(source.leaf).deriver
    place = log_place(source.store.layout, drv_path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.with_name(f"{place.name}.bz2").write_bytes(bz2.compress(b"built\n"))
    served = start(source.store)
    assert served.get(f"/log/{base_name(drv_path)}") == b"built\n"
    assert nix(tmp_path / "theirs", "nix", "log", "--store", served.url, source.leaf).stdout == "built\n"
    assert served.ask(f"/log/{'0' * 32}-none.drv")[0] == 404


def test_heads(source: Any, start: Start) -> None:
    served = start(source.store)
    for path in [
        "/nix-cache-info",
        f"/{hash_part(source.leaf)}.narinfo",
        f"/{served.narinfo(source.middle).url}",
        f"/{served.narinfo(source.leaf).url}",
    ]:
        status, body, headers = served.ask(path)
        assert (status, len(body)) == (200, int(headers["content-length"]))
        without = served.ask(path, "HEAD")
        assert without[:2] == (200, b"") and {**without[2], "date": ""} == {**headers, "date": ""}
    assert served.ask(f"/{served.narinfo(source.middle).url}.xz", "HEAD")[:2] == (200, b"")
    assert served.ask("/nix-cache-info", "POST")[0] == 405


@pytest.mark.parametrize("name", ["leaf", "middle"])  # one from memory, and one that is streamed
def test_ranges(name: str, source: Any, start: Start) -> None:
    served = start(source.store)
    place = f"/{served.narinfo(getattr(source, name)).url}"
    _, whole, headers = served.ask(place)
    size = len(whole)
    for asked, start_at, end in [
        ("0-0", 0, 1),
        ("10-99", 10, 100),
        (f"{size - 5}-", size - 5, size),
        ("-7", size - 7, size),
        (f"9-{size * 2}", 9, size),
    ]:
        status, body, answer = served.ask(place, Range=f"bytes={asked}")
        assert (status, body) == (206, whole[start_at:end]), asked
        assert answer["content-range"] == f"bytes {start_at}-{end - 1}/{size}"
    for asked in [f"bytes={size}-", "bytes=-0"]:
        status, _, answer = served.ask(place, Range=asked)
        assert (status, answer["content-range"]) == (416, f"bytes */{size}")
    for asked in ["bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=x-y", "bytes=" + "9" * 5000]:
        assert served.ask(place, Range=asked)[:2] == (200, whole), asked
    assert served.ask(place, Range="bytes=5-", If_Range=headers["etag"])[:2] == (206, whole[5:])
    assert served.ask(place, Range="bytes=5-", If_Range='"other"')[:2] == (200, whole)


def test_a_nar_has_its_name_whichever_compression_is_announced(source: Any, start: Start) -> None:
    plain, packed = start(source.store), start(source.store, compression="xz")
    info = packed.narinfo(source.middle)
    assert (info.compression, info.file_hash, info.file_size) == ("xz", None, None)
    # Asked of a server that has just been started, and has announced another name, if any.
    assert lzma.decompress(plain.get(f"/{info.url}")) == packed.get(f"/{info.url.removesuffix('.xz')}")


def test_folder(source: Any, reader: Any, nix: Any, key: SecretKey, start: Start, tmp_path: Path) -> None:
    push(source.store, [source.top], f"{tmp_path}/cache?compression=zstd", keys=[key])
    served = start(tmp_path / "cache")
    reader.fetch(source.top, served.url)
    trust = ["--option", "trusted-public-keys", str(key.public), "--option", "substituters", served.url]
    nix(tmp_path / "theirs", "nix-store", "--realise", source.top, *trust)
    for path in (source.leaf, source.middle):
        place = f"/{served.narinfo(path).url}"
        _, whole, headers = served.ask(place)
        assert whole == (tmp_path / "cache" / place[1:]).read_bytes()
        assert served.ask(place, Range="bytes=10-")[:2] == (206, whole[10:])
        assert served.ask(place, If_None_Match=headers["etag"])[:2] == (304, b"")
        assert int(served.ask(place, "HEAD")[2]["content-length"]) == len(whole)


# ---------------------------------------------------------------------------------------------------- what is not


def test_nothing_else_is_served(source: Any, start: Start, tmp_path: Path) -> None:
    served = start(source.store)
    (source.store.layout.real_store_dir / "0-not-valid").write_text("secret")
    base, hash_ = base_name(source.leaf), hash_part(source.leaf)
    nar = served.narinfo(source.leaf).url
    for path in [
        "/",
        "/..",
        "/../../../../../../etc/passwd",
        "/nar/../../../../../../etc/passwd",
        "/nar/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/log/..%2f..%2f..%2fetc%2fpasswd",
        "/log//etc/passwd",
        f"/log/{base}",
        f"/log/{base}/../../../db/db.sqlite",
        f"/{base}",
        f"/{base}.narinfo",
        f"/{base}/data",
        f"/nix/store/{base}",
        "/nix/store/0-not-valid",
        f"/{hash_[:-1]}.narinfo",
        f"/{hash_}x.narinfo",
        f"/{hash_}%00.narinfo",
        f"/{hash_}%0a.narinfo",
        f"/{'e' * 32}.narinfo",
        f"/{'0' * 32}.narinfo",
        f"/{hash_.upper()}.narinfo",
        f"/nar/{base}.nar",
        f"/{nar}.gz",
        f"/{nar}/",
        f"/{nar.replace('.nar', '')}",
        f"/nar/{'z' * 52}.nar",
        f"/nar/{'0' * 52}.nar",
        "/" + "x" * 5000,
        "/%ff%fe",
    ]:
        assert served.ask(path)[0] == 404, path


def test_a_folder_serves_only_what_a_cache_has(source: Any, start: Start, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "nar").mkdir()
    (tmp_path / "nar" / "outside").write_text("secret")
    for name in ["secret", ".part-1", "nar/.part-1"]:
        (cache / name).write_text("secret")
    (cache / "nar" / "link").symlink_to(tmp_path / "outside")
    (cache / "nar" / "folder").symlink_to(tmp_path)
    os.mkfifo(cache / "nar" / "pipe")
    served = start(cache)
    served.get("/nix-cache-info")
    names = ["secret", ".part-1", "nar/.part-1", "nar/link", "nar/folder/outside", "nar/pipe", "nar", "nar/", "", "../outside", "nar/../secret"]
    for name in [*names, "nar/../../outside", "nar/..%2f..%2foutside", "%2e%2e/outside", "nar//etc/passwd", f"nar/{tmp_path}/outside", "nar/%00"]:
        assert served.ask(f"/{name}")[0] == 404, name


def test_no_cache_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(CacheInfoError, match="no binary cache in the folder"):
        server.make_folder_app(str(tmp_path), print)
    (tmp_path / "nix-cache-info").write_text("rubbish")
    with pytest.raises(CacheInfoError):
        server.make_folder_app(str(tmp_path), print)


@pytest.mark.parametrize(
    "address", ["", "5000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", ":80", "256.0.0.1:80", "192.0.2.1:0"]
)
def test_no_address(address: str) -> None:
    with pytest.raises(ListenError):
        server.listen(address)


def test_address_in_use() -> None:
    with server.listen("127.0.0.1:0") as listener, pytest.raises(ListenError, match="in use"):
        server.listen(f"127.0.0.1:{server.address_of(listener)[1]}")


# ---------------------------------------------------------------------------------------------------- many, and those that go


@pytest.mark.parametrize("compression", COMPRESSIONS[:2])
def test_fifty_at_once(compression: str, source: Any, start: Start) -> None:
    # Those of processes that another test has killed, and the store's own.
    before = set(_temporary_roots(source.store))
    served = start(source.store, compression=compression)
    place = f"/{served.narinfo(source.middle).url}"
    expected = hashlib.sha256(served.get(place)).digest()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: hashlib.sha256(served.get(place)).digest(), range(50)))
    assert answers == [expected] * 50
    _wait_until(lambda: set(_temporary_roots(source.store)) <= before)


def test_many_slow_readers_take_little_memory(large: tuple[Store, str], start: Start) -> None:
    store, path = large
    served = start(store)
    place = f"/{served.narinfo(path).url}"
    before = _resident()
    clients = [served.begin(place) for _ in range(50)]
    time.sleep(1)
    used = _resident() - before
    assert served.get("/nix-cache-info")
    for client in clients:
        client.close()
    # All of it would be fifty times 32 MiB.
    assert used < 100 << 20
    _wait_until(lambda: not _temporary_roots(store))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("suffix", ["", ".zst"])
def test_a_client_goes_away(suffix: str, large: tuple[Store, str], start: Start) -> None:
    store, path = large
    served = start(store)
    place = f"/{served.narinfo(path).url}{suffix}"
    served.get("/nix-cache-info")
    _wait_until(lambda: len(served.server.server_state.connections) == 0)
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        client = served.begin(place)
        assert len(_temporary_roots(store)) == 1
        client.close()
        _wait_until(lambda: not _temporary_roots(store))
    _wait_until(lambda: len(os.listdir("/proc/self/fd")) <= open_files)


def test_a_client_that_takes_nothing_is_let_go(large: tuple[Store, str], start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "STALL", 1)
    store, path = large
    served = start(store)
    with served.begin(f"/{served.narinfo(path).url}"):
        assert len(_temporary_roots(store)) == 1
        _wait_until(lambda: not _temporary_roots(store))


def test_what_is_being_sent_is_not_collected(large: tuple[Store, str], start: Start) -> None:
    store, path = large
    size = store.path_info(path).nar_size
    keep = KeepPolicy()
    served = start(store)
    place = f"/{served.narinfo(path).url}"
    client = served.begin(place)
    assert collect(store, keep).paths == []
    assert _rest(client) > size - 1024
    _wait_until(lambda: not _temporary_roots(store))
    assert collect(store, keep).paths == [path]
    assert served.ask(place)[0] == served.ask(f"/{hash_part(path)}.narinfo")[0] == 404


def test_two_paths_with_the_same_nar(tmp_path: Path, start: Start) -> None:
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        (tmp_path / "file").write_text("the same")
        first, second = (store.add_path(tmp_path / "file", name) for name in ("first", "second"))
        served = start(store)
        place = f"/{served.narinfo(second).url}"
        whole = served.get(place)
        store.add_root(tmp_path / "root-link", first)
        store.temp_roots.close()
        assert collect(store, KeepPolicy()).paths == [second]
        assert served.get(place) == whole
        # What comes later is found as well, without its narinfo.
        (tmp_path / "file").write_text("another")
        info = store.path_info(store.add_path(tmp_path / "file", "third"))
        assert len(served.get(f"/nar/{info.nar_hash.format('base32')}.nar")) == info.nar_size


def test_a_path_that_was_modified(large: tuple[Store, str], start: Start, complaints: list[Exception], tmp_path: Path) -> None:
    store, path = large
    (tmp_path / "small").write_bytes(bytes(5000))
    small = store.add_path(tmp_path / "small", "small")
    served = start(store)
    for one in (path, small):
        place = Path(store.real_path(one))
        place.chmod(0o644)
        os.truncate(place, place.stat().st_size // 2)
    assert served.ask(f"/{served.narinfo(small).url}")[0] == 500
    with pytest.raises(http.client.IncompleteRead):
        served.get(f"/{served.narinfo(path).url}")
    Path(store.real_path(path)).unlink()
    with pytest.raises(http.client.IncompleteRead):
        served.get(f"/{served.narinfo(path).url}.zst")
    assert [getattr(error, "code", type(error)) for error in complaints] == ["store-content", "store-content", FileNotFoundError]
    complaints.clear()


def test_a_store_that_may_only_be_read(source: Any, reader: Any, key: SecretKey, start: Start) -> None:
    with Store.open(source.store.layout, read_only=True) as store:
        reader.fetch(source.top, start(store, keys=[key]).url)


# ---------------------------------------------------------------------------------------------------- the command


class Command:
    """`nivalis cache serve` as a process."""

    def __init__(self, *words: object) -> None:
        code = "from nivalis.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "cache", "serve", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def _fails(*words: object) -> str:
    process = Command(*words).process
    _, err = process.communicate(timeout=60)
    assert process.returncode in (1, 2)
    return err


def test_command(source: Any, reader: Any, key: SecretKey, key_file: Path) -> None:
    command = Command("--listen", "127.0.0.1:0", "--store", source.root, "--key", key_file, "--json")
    assert command.process.stdout is not None
    said = json.loads(command.process.stdout.readline())
    assert (said["address"], said["publicKeys"]) == ("127.0.0.1", [str(key.public)]) and said["url"] == f"http://127.0.0.1:{said['port']}"
    reader.fetch(source.top, said["url"])
    assert f"127.0.0.1:{said['port']}" in _fails("--listen", f"127.0.0.1:{said['port']}", "--store", source.root)
    assert command.end() == (0, "", "")
    assert command.end(signal.SIGTERM)[0] == 0


def test_command_says_how_it_is_used(source: Any, key: SecretKey, key_file: Path) -> None:
    command = Command("--listen", "[::1]:0" if socket.has_ipv6 else "127.0.0.1:0", "--store", source.root, "-k", key_file)
    assert command.process.stderr is not None
    lines = [command.process.stderr.readline() for _ in range(3)]
    assert str(source.root) in lines[0]
    assert lines[1].strip().startswith("extra-substituters = http://") and lines[2].strip() == f"extra-trusted-public-keys = {key.public}"
    assert command.end(signal.SIGINT)[0] == 130


def test_sigterm_lets_downloads_end(large: tuple[Store, str]) -> None:
    store, path = large
    command = Command("--listen", "127.0.0.1:0", "--store", store.layout.address, "--json")
    assert command.process.stdout is not None
    served = Served.__new__(Served)
    said = json.loads(command.process.stdout.readline())
    served.host, served.port = said["address"], said["port"]
    client = served.begin(f"/{served.narinfo(path).url}")
    command.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert _rest(client) > store.path_info(path).nar_size - 1024
    assert command.process.wait(60) == 0
    command.end()
    assert not _temporary_roots(store)


def test_command_with_a_folder(cache: Path, source: Any, key_file: Path) -> None:
    assert "takes no options of a store" in _fails(cache, "--key", key_file)
    assert "there is no binary cache in the folder" in _fails(cache.parent)
    command = Command(cache, "--listen", "127.0.0.1:0", "--json")
    assert command.process.stdout is not None
    port = json.loads(command.process.stdout.readline())["port"]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/{hash_part(source.leaf)}.narinfo")
    assert connection.getresponse().read() == (cache / f"{hash_part(source.leaf)}.narinfo").read_bytes()
    # An idle connection holds nothing up.
    assert command.end()[0] == 0
    connection.close()
