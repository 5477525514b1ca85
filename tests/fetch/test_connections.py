"""Connections that are kept between downloads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fetch_server import Server, serve
from nivalis.fetch.errors import FetchError, NotThereError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import Connections, download, open_connections

NETWORK = Network({}, attempts=1)


@pytest.fixture
def server() -> Iterator[Server]:
    for running in serve():
        running.keeps_connections = True
        running.files = {f"/{number}": b"%d" % number * 100_000 for number in range(40)}
        yield running


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = open_connections(NETWORK)
    yield made
    made.close()


def test_one_thread_needs_one(server: Server, connections: Connections, tmp_path: Path) -> None:
    server.redirects["/led"] = "/1"
    for name in ("1", "2", "led"):
        assert download(f"{server.address}/{name}", str(tmp_path / name), network=NETWORK, connections=connections).address
    with pytest.raises(NotThereError):
        download(f"{server.address}/none", str(tmp_path / "none"), network=NETWORK, connections=connections)
    assert (tmp_path / "led").read_bytes() == (tmp_path / "1").read_bytes() == server.files["/1"]
    assert server.connections == 1


def test_as_many_as_threads(server: Server, connections: Connections, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: download(server.address + name, f"{tmp_path}{name}", network=NETWORK, connections=connections), server.files))
    assert {f"/{path.name}": path.read_bytes() for path in tmp_path.iterdir()} == server.files
    assert server.connections <= 4


def test_a_server_that_ends_a_kept_connection_is_asked_again(tmp_path: Path, connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(3):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        for number in range(3):
            download(f"http://127.0.0.1:{listening.getsockname()[1]}/", str(tmp_path / str(number)), network=NETWORK, connections=connections)
        thread.join()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"hi"] * 3


def test_a_part_is_no_reason_to_keep_one(server: Server, connections: Connections, tmp_path: Path) -> None:
    def refuse(received: int, expected: int | None) -> None:
        raise KeyError(received)

    with pytest.raises(KeyError):
        download(f"{server.address}/1", str(tmp_path / "part"), network=NETWORK, connections=connections, on_progress=refuse)
    download(f"{server.address}/2", str(tmp_path / "whole"), network=NETWORK, connections=connections)
    assert (tmp_path / "whole").read_bytes() == server.files["/2"]
    assert server.connections == 2


def test_all_can_be_given_up(tmp_path: Path, connections: Connections) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as pool:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        pending = pool.submit(download, address, str(tmp_path / "never"), network=NETWORK, connections=connections)
        accepted, _ = silent.accept()
        accepted.recv(65536)
        connections.abort()
        with pytest.raises(FetchError):
            pending.result(timeout=20)
        with pytest.raises(FetchError):
            download(address, str(tmp_path / "later"), network=NETWORK, connections=connections)
        accepted.close()
