"""Caches behind HTTP as servers and networks really are: bodies of every framing, redirections, proxies, TLS, limits on connections."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nivalis.cache import push
from nivalis.cache.http import HttpStore
from nivalis.cache.settings import CacheSettings
from nivalis.cache.stores import Result


@pytest.fixture(params=["length", "chunked", "until-close", "elsewhere"])
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_framing(framing: str, source: Any, reader: Any, cache: Path, tmp_path: Path, serve: Any) -> None:
    server, other = serve(cache), serve(cache)

    def fault(path: str) -> str | tuple[int, str] | None:
        if framing == "elsewhere" and path != "/nix-cache-info":
            return 302, f"{other.address}{path}"
        return framing if framing != "length" else None

    server.fault = fault
    reader.fetch(source.top, server.address)
    assert reader.complaints == []
    # Redirections are followed over kept connections, too.
    assert other.connections < 8


def test_redirections_have_an_end(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    server.fault = lambda path: (301, f"{path}x") if "narinfo" in path else None
    assert reader.substitute([source.top], server.address)[source.top].code == "not-in-cache"
    assert reader.complaints == ["cache-unreachable"] and len(server.asked) < 30


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_fewer_connections(status: int, cache: Path, serve: Any) -> None:
    server = serve(cache)
    busy, mutex = [0], threading.Lock()
    most: list[int] = []

    def fault(path: str) -> int | None:
        with mutex:
            busy[0] += 1
            crowd = busy[0]
            most.append(crowd)
        # Long enough for others to come.
        threading.Event().wait(0.02)
        with mutex:
            busy[0] -= 1
        return status if crowd > 4 else None

    server.fault = fault
    found: list[Result] = []
    store = HttpStore(server.address, CacheSettings(http_connections=32))
    store.read_many(iter(["nix-cache-info"] * 200), lambda name, result: found.append(result))
    store.close()
    data = (cache / "nix-cache-info").read_bytes()
    assert found == [data] * 200
    assert max(most) > 4 and max(most[-40:]) <= 16


def test_one_that_is_refused_last(cache: Path, serve: Any) -> None:
    """When the others have been answered already, it still was one too many only while they were under way."""
    server = serve(cache)
    everyone, answered = threading.Barrier(5), threading.Semaphore(0)
    turns = iter(range(1000))

    def fault(path: str) -> int | None:
        turn = next(turns)
        if turn >= 5:
            return None
        everyone.wait()
        if turn < 4:
            return None
        for _ in range(4):
            answered.acquire()
        return 503

    server.fault = fault
    found: list[Result] = []

    def take(name: str, result: Result) -> None:
        found.append(result)
        answered.release()

    store = HttpStore(server.address, CacheSettings(http_connections=5))
    store.read_many(iter(["nix-cache-info"] * 5), take)
    store.close()
    assert found == [(cache / "nix-cache-info").read_bytes()] * 5


def test_what_ends_between_two_requests(cache: Path, serve: Any) -> None:
    server = serve(cache)
    data = (cache / "nix-cache-info").read_bytes()
    store = HttpStore(server.address, CacheSettings(http_connections=4))
    # Says nothing of it, and ends the connection.
    server.fault = lambda path: "hang-up"
    found: list[Result] = []
    for _ in range(3):
        store.read_many(iter(["nix-cache-info"] * 10), lambda name, result: found.append(result))
    store.close()
    assert found == [data] * 30


# ---------------------------------------------------------------------------------------------------- TLS and proxies


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A server's certificate for this machine, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cache")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - datetime.timedelta(1), now + datetime.timedelta(9))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(encoding) + secret)
    return file


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that opens tunnels and hands requests on; its address, and the first lines that it was told."""
    listening = socket.create_server(("127.0.0.1", 0))
    lines: list[str] = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def handle(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(1)
            if not piece:
                return
            head += piece
        line = head.split(b"\r\n")[0].decode()
        lines.append(line)
        method, target, _ = line.split(" ")
        host, port = target.removeprefix("http://").split("/")[0].split(":")
        with socket.create_connection((host, int(port))) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Go\r\nX-More: headers\r\n\r\n")
            else:
                # For one request only, with the path alone, as a server wants it.
                server.sendall(head.replace(f"http://{host}:{port}".encode(), b"", 1).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            if method == "CONNECT":
                copy(client, server)
            back.join()
        client.close()

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", lines
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


def _with_tls(server: Any, certificate: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return str(server.address.replace("http:", "https:"))


@pytest.mark.parametrize("has_proxy", [False, True], ids=["straight", "tunnel"])
def test_tls(has_proxy: bool, source: Any, reader: Any, cache: Path, serve: Any, certificate: Path, proxy: tuple[str, list[str]]) -> None:
    address = _with_tls(serve(cache), certificate)
    environment = {"https_proxy": proxy[0]} if has_proxy else {}
    reader.fetch(source.top, address, certificates=str(certificate), environment=environment)
    assert reader.complaints == []
    assert all(line.startswith("CONNECT 127.0.0.1:") for line in proxy[1]) and bool(proxy[1]) == has_proxy


def test_a_certificate_that_is_not_trusted(source: Any, reader: Any, cache: Path, serve: Any, certificate: Path) -> None:
    address = _with_tls(serve(cache), certificate)
    assert reader.substitute([source.leaf], address)[source.leaf].code == "not-in-cache"
    assert reader.complaints == ["cache-unreachable"]


def test_a_proxy(source: Any, reader: Any, cache: Path, serve: Any, proxy: tuple[str, list[str]]) -> None:
    server = serve(cache)
    reader.fetch(source.top, server.address, environment={"http_proxy": proxy[0]})
    assert reader.complaints == []
    assert len(proxy[1]) == len(server.asked) and all(line.startswith(f"GET {server.address}/") for line in proxy[1])
    # ... but not for who is excepted.
    reader.substitute(
        [source.top.replace("-top", "-tap")], server.address, cache_dir=None, environment={"http_proxy": proxy[0], "no_proxy": "127.0.0.1"}
    )
    assert len(proxy[1]) < len(server.asked)


def test_a_file_that_grows_while_it_is_fetched(source: Any, reader: Any, tmp_path: Path, serve: Callable[[Path], Any]) -> None:
    """Small files come whole; those that turn out not to be small are left to the way of large ones."""
    push(source.store, [source.leaf], f"{tmp_path}/large?compression=none")
    for nar in (tmp_path / "large/nar").iterdir():
        nar.write_bytes(nar.read_bytes() + bytes(2_000_000))
    server = serve(tmp_path / "large")
    error = reader.substitute([source.leaf], server.address, require_sigs=False)[source.leaf]
    assert error is not None and reader.complaints == ["cache-file-size"]
    reader.assert_tidy()
