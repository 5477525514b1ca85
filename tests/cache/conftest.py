"""A store with a small closure, caches that this program and the real CppNix made of it, and a server that can misbehave."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nivalis import _native
from nivalis.build.events import CacheFailed, Event
from nivalis.cache import CacheSettings, CacheSubstituter, SecretKey, push
from nivalis.errors import NivalisError
from nivalis.store import PathInfo, Store, StoreLayout
from nivalis.store.nars import add_nar
from oracle import Oracle, Result, cppnix28

KEY = SecretKey.generate("test-1")


def add_tree(store: Store, folder: Path, name: str, files: dict[str, bytes], references: list[str], *, to_itself: bool = False) -> str:
    """Add an object as a build would leave it: its path says nothing of its content."""
    tree = folder / f"tree-{name}"
    for file, data in files.items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_bytes(data)
    (tree / "link").symlink_to(next(iter(files)))
    path = f"{store.store_dir}/{_native.base32_encode(_native.hash_bytes('sha256', name.encode()).digest[:20])}-{name}"
    (tree / "references").write_text("\n".join([*references, *([path] if to_itself else [])]))
    archive = io.BytesIO()
    nar_hash, size = _native.dump_nar(tree, archive)
    archive.seek(0)
    deriver = path.replace(f"-{name}", f"-{name}.drv")
    add_nar(store, PathInfo(path, nar_hash, size, frozenset([*references, *([path] if to_itself else [])]), deriver=deriver), archive)
    return path


@dataclass
class Source:
    """A store with `leaf`, `middle`, which refers to it, and `top`, which refers to both and to itself; and `text`, addressed by content."""

    store: Store
    root: Path
    leaf: str
    middle: str
    top: str
    text: str

    @property
    def closure(self) -> set[str]:
        return {self.leaf, self.middle, self.top, self.text}


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("source")
    root = folder / "root"
    with Store.open(StoreLayout.under(root)) as store:
        text = store.add_text("text", b"some text\n")
        leaf = add_tree(store, folder, "leaf", {"data": os.urandom(1000), "bin/run": b"#!/bin/sh\n"}, [])
        middle = add_tree(store, folder, "middle", {"zeros": bytes(3_000_000), "noise": os.urandom(600_000)}, [leaf, text])
        top = add_tree(store, folder, "top", {"a": b"a\n"}, [middle, leaf], to_itself=True)
        yield Source(store, root, leaf, middle, top, text)


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "secret"
    file.write_text(str(KEY))
    return file


@pytest.fixture
def cache(source: Source, tmp_path: Path) -> Path:
    """A signed cache of the closure, uncompressed, so that a test can change what it says."""
    push(source.store, [source.top], f"{tmp_path}/cache?compression=none", keys=[KEY])
    return tmp_path / "cache"


@dataclass
class Reader:
    """An empty store and what is substituted into it."""

    store: Store
    folder: Path
    events: list[Event] = field(default_factory=list)

    def settings(self, *addresses: object, **more: object) -> CacheSettings:
        values = {"trusted_public_keys": (str(KEY.public),), "cache_dir": str(self.folder / "lookups"), **more}
        return CacheSettings(substituters=tuple(map(str, addresses)), **values)  # type: ignore[arg-type]

    def substitute(self, paths: list[str], *addresses: object, **more: object) -> dict[str, NivalisError | None]:
        """What became of each of `paths`."""
        done: dict[str, NivalisError | None] = {}
        with CacheSubstituter(self.store, self.settings(*addresses, **more), self.events.append) as substituter:
            substituter.substitute(paths, done.__setitem__)
        return done

    def fetch(self, path: str, *addresses: object, **more: object) -> None:
        """Raises the error."""
        error = self.substitute([path], *addresses, **more)[path]
        if error is not None:
            raise error

    @property
    def complaints(self) -> list[str]:
        return [event.code for event in self.events if isinstance(event, CacheFailed)]

    def assert_tidy(self) -> None:
        """Nothing lies in the store that is not valid."""
        names = {f"{self.store.store_dir}/{name}" for name in os.listdir(self.store.layout.real_store_dir) if name != ".links"}
        assert names - set(self.store.database.all_valid()) == set()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with Store.open(StoreLayout.under(tmp_path / "reader")) as store:
        yield Reader(store, tmp_path)


class Server(ThreadingHTTPServer):
    """Serves a folder, as static servers do, with kept connections and ranges.

    `fault` is asked for each request what becomes of it: `hang`, `close` (in the middle of the body), `drip` (a byte now and then),
    `drip-head` (headers without end), `close-head`, `endless`, `html`, `no-ranges`, an HTTP status, or one and where it leads.  No faults, but
    other ways to answer, are `chunked`, `until-close` and `hang-up`, which ends the connection after the answer without a word.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.connections = 0
        self.fault: Callable[[str], str | int | tuple[int, str] | None] = lambda path: None
        self.on_request: Callable[[Mapping[str, str]], object] = lambda headers: None
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: object, client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no failure of the test."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server, path = self.server, self.path
        server.asked.append(path)
        server.on_request(self.headers)  # type: ignore[arg-type]
        fault = server.fault(path)
        if isinstance(fault, tuple):
            self._head(fault[0], 0, Location=fault[1])
            return
        file = server.folder / path.lstrip("/")
        data = file.read_bytes() if file.is_file() else None
        if fault == "hang":
            server.ended.wait()
            return
        if fault in ("drip-head", "close-head"):
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for _ in range(2 if fault == "close-head" else 1 << 30):
                if server.ended.wait(0.3):
                    return
                self.wfile.write(b"X-More: headers\r\n")
            self.close_connection = True
            return
        if fault == "html":
            data = b"<!DOCTYPE html><html><body>Welcome to the portal: log in</body></html>"
        if isinstance(fault, int) or data is None:
            self._head(fault if isinstance(fault, int) else 404, 0)
            return
        start = 0
        asked = self.headers.get("Range")
        if asked and fault != "no-ranges":
            server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self._body(data, start, fault)

    def _head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _body(self, data: bytes, start: int, fault: str | int | None) -> None:
        if fault == "endless":
            self._head(200, None)
            while not self.server.ended.is_set():
                self.wfile.write(data or b"x")
        rest = data[start:]
        if fault == "hang-up":
            self.close_connection = True
        if fault == "chunked":
            self._head(200, None, Transfer_Encoding="chunked")
            for begin in range(0, len(data), 50_000):
                piece = data[begin : begin + 50_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        if fault == "until-close":
            self._head(200, None)
            self.wfile.write(data)
            self.close_connection = True
            return
        if start:
            self._head(206, len(rest), Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self._head(200, len(rest))
        if fault == "close":
            self.wfile.write(rest[: max(1, len(rest) // 2)])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif fault == "drip":
            for index in range(len(rest)):
                if self.server.ended.wait(0.5):
                    return
                self.wfile.write(rest[index : index + 1])
        else:
            self.wfile.write(rest)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Path], Server]]:
    """Starts servers."""
    running: list[tuple[Server, threading.Thread]] = []

    def start(folder: Path) -> Server:
        server = Server(folder)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def dead_address() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    return found


Nix = Callable[..., Result]


@pytest.fixture
def nix(oracle: Oracle) -> Nix:
    """Runs a program of CppNix on the store at `root`.  A failure fails the test."""

    def run(root: Path, program: str, *arguments: str) -> Result:
        result = oracle.run(program, [*arguments, "--option", "experimental-features", "nix-command"], store=root)
        assert result.status == 0, result.stderr
        return result

    return run
