"""Downloads over a network that fails: servers that break off, wait, redirect and ask who one is; proxies and certificates."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nivalis.errors import NivalisError
from nivalis.fetch import Network, download
from nivalis.fetch.errors import FetchError
from nivalis.fetch.transport import find_final_address
from nivalis.settings import Settings

DATA = bytes(range(256)) * 8192  # 2 MiB


class _Server(ThreadingHTTPServer):
    """Answers as `script` says: it is called with each request's handler."""

    def __init__(self, script: Callable[[_Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
        self.close_connection = True
        self.server.script(self)

    def answer(self, status: int, data: bytes = b"", *, length: int | None = None, **fields: str) -> None:
        self.send_response(status)
        for name, text in {"Content-Length": str(len(data) if length is None else length), **fields}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def serve() -> Iterator[Callable[..., _Server]]:
    running: list[tuple[_Server, threading.Thread]] = []

    def start(script: Callable[[_Handler], None], context: ssl.SSLContext | None = None) -> _Server:
        server = _Server(script)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


class _Fetch:
    """Downloads into a folder; `pauses` are how long it would have waited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pauses: list[float] = []
        self.retries: list[str] = []

    def __call__(self, address: str, network: Network | None = None, **arguments: Any) -> bytes:
        target = self.folder / "got"
        target.unlink(missing_ok=True)
        download(address, str(target), network=network or Network({}), sleep=self.pauses.append, on_retry=self.retries.append, **arguments)
        assert [file.name for file in self.folder.iterdir()] == ["got"]
        return target.read_bytes()

    def fail(self, address: str, network: Network | None = None, **arguments: Any) -> FetchError:
        with pytest.raises(FetchError) as caught:
            self(address, network, **arguments)
        assert list(self.folder.iterdir()) == [], "what has not come whole is not there"
        return caught.value


@pytest.fixture
def fetch(tmp_path: Path) -> _Fetch:
    (tmp_path / "downloads").mkdir()
    return _Fetch(tmp_path / "downloads")


def _ranges(handler: _Handler) -> None:
    """Breaks off every 300 kB, and goes on when asked to."""
    first = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
    rest = DATA[first:]
    if first:
        handler.answer(206, rest[:300_000], length=len(rest), ETag='"a"', Content_Range=f"bytes {first}-{len(DATA) - 1}/{len(DATA)}")
    else:
        handler.answer(200, rest[:300_000], length=len(rest), ETag='"a"')


def test_goes_on_where_it_broke_off(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    server = serve(_ranges)
    seen: list[tuple[int, int | None]] = []
    assert fetch(f"{server.address}/x", Network({}, attempts=5), on_progress=lambda *words: seen.append(words)) == DATA
    assert len(server.asked) == 7, "more connections than attempts: those are for a server that brings nothing"
    assert [headers.get("range") for _, headers in server.asked] == [None, *(f"bytes={count * 300_000}-" for count in range(1, 7))]
    assert all(headers["if-range"] == '"a"' for _, headers in server.asked[1:])
    assert seen[-1] == (len(DATA), len(DATA)) and seen == sorted(seen)
    assert "before all had come" in fetch.retries[0]


def test_a_file_that_changed_meanwhile_begins_anew(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    def script(handler: _Handler) -> None:
        if len(handler.server.asked) == 1:
            handler.answer(200, b"old" * 1000, length=10_000, ETag='"old"')
        else:
            handler.answer(200, b"new", ETag='"new"')

    assert fetch(f"{serve(script).address}/x") == b"new"


@pytest.mark.parametrize("kind", ["another part", "416", "no tag"])
def test_servers_that_cannot_go_on(kind: str, serve: Callable[..., _Server], fetch: _Fetch) -> None:
    def script(handler: _Handler) -> None:
        if len(handler.server.asked) == 1:
            handler.answer(200, b"ab", length=4, **({} if kind == "no tag" else {"ETag": '"a"'}))
        elif "Range" in handler.headers and kind == "416":
            handler.answer(416)
        elif "Range" in handler.headers:
            handler.answer(206, b"xx", Content_Range="bytes 0-1/4")
        else:
            handler.answer(200, b"abcd")

    assert fetch(f"{serve(script).address}/x") == b"abcd"


def test_waits_as_long_as_the_server_says(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    def script(handler: _Handler) -> None:
        waits = ["7", "100000", "Fri, 31 Dec 1999 23:59:59 GMT"]
        count = len(handler.server.asked)
        if count <= 3:
            handler.answer(429 if count == 1 else 503, Retry_After=waits[count - 1])
        else:
            handler.answer(200, b"x")

    assert fetch(f"{serve(script).address}/x") == b"x"
    assert fetch.pauses == [7, 60, 2]


def test_pauses_grow_and_end(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    server = serve(lambda handler: handler.answer(500))
    fetch.fail(f"{server.address}/x", Network({}, attempts=4))
    assert fetch.pauses == [0.5, 1, 2] and len(server.asked) == 4
    for status, code in ((403, "download-failed"), (404, "not-found"), (410, "not-found"), (400, "download-failed")):
        other = serve(lambda handler, status=status: handler.answer(status))
        assert fetch.fail(f"{other.address}/x").code == code
        assert len(other.asked) == 1, "what will not change is not tried again"


def test_silent_servers(fetch: _Fetch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        error = fetch.fail(f"http://127.0.0.1:{deaf.getsockname()[1]}/x", Network({}, attempts=2, timeout=0.2))
    assert "timed out" in error.message


def test_servers_that_hardly_move(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    def script(handler: _Handler) -> None:
        handler.answer(200, b"x", length=1000)
        for _ in range(5):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            threading.Event().wait(0.05)

    now = [0.0]

    def clock() -> float:
        now[0] += 70
        return now[0]

    assert "bytes in" in fetch.fail(f"{serve(script).address}/x", Network({}, attempts=1), clock=clock).message


def test_nonsense(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    def raw(text: bytes) -> Callable[[_Handler], None]:
        def script(handler: _Handler) -> None:
            handler.wfile.write(text)

        return script

    for text in (
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ):
        fetch.fail(f"{serve(raw(text)).address}/x", Network({}, attempts=1))
    fetch.fail(f"{serve(raw(b'HTTP/1.1 200 OK' + b'X: ' + b'x' * 100_000)).address}/x", Network({}, attempts=1))
    for number in range(2):
        loop = serve(lambda handler, number=number: handler.answer(302, Location=["/x", "file:///etc/passwd"][number]))
        fetch.fail(f"{loop.address}/x", Network({}, attempts=1))
    for address in ("http://", "http://a b/", "http://127.0.0.1:x/", "http://127.0.0.1/a b", "nonsense", ""):
        fetch.fail(address, Network({}, attempts=1))


def test_final_addresses(serve: Callable[..., _Server]) -> None:
    server = serve(lambda handler: handler.answer(302, Location="/b") if handler.path == "/a" else handler.answer(200, b"x" * 1000))
    assert find_final_address(f"{server.address}/a", network=Network({})) == f"{server.address}/b"
    assert find_final_address("file:///x", network=Network({})) == "file:///x"


# ---------------------------------------------------------------------------------------------------- who one is


def _basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_names_and_passwords_go_to_their_own_server_only(serve: Callable[..., _Server], fetch: _Fetch, tmp_path: Path) -> None:
    other = serve(lambda handler: handler.answer(200, b"x"))
    # The same machine by another name is another server.
    server = serve(lambda handler: handler.answer(302, Location=f"http://localhost:{other.server_port}/y"))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password se:cret\n")
    network = Network({}, netrc_file=str(netrc))
    fetch(f"{server.address}/x", network)
    assert server.asked[0][1]["authorization"] == _basic("me:se:cret")
    assert "authorization" not in other.asked[0][1]
    with_name = server.address.replace("http://", "http://you:p%40ss@")
    fetch(f"{with_name}/x", network)
    assert server.asked[1][1]["authorization"] == _basic("you:p@ss")
    assert "authorization" not in other.asked[1][1]
    fetch(f"{server.address}/x", Network({}, netrc_file=str(tmp_path / "none")))
    assert "authorization" not in server.asked[2][1]


def test_no_password_in_a_message(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    server = serve(lambda handler: handler.answer(401))
    error = fetch.fail(server.address.replace("http://", "http://you:hidden@"))
    assert "hidden" not in str(error) and "netrc" in str(error)


def test_a_netrc_file_that_cannot_be_read(serve: Callable[..., _Server], fetch: _Fetch, tmp_path: Path) -> None:
    server = serve(lambda handler: handler.answer(200, b"x"))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine x\nnonsense\n")
    error = fetch.fail(f"{server.address}/x", Network({}, netrc_file=str(netrc)))
    assert str(netrc) in str(error) and server.asked == []


# ---------------------------------------------------------------------------------------------------- proxies, certificates


def test_proxies(serve: Callable[..., _Server], fetch: _Fetch) -> None:
    proxy = serve(lambda handler: handler.answer(200, b"by proxy"))
    server = serve(lambda handler: handler.answer(200, b"direct"))
    address = f"{server.address}/x"
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        assert fetch(address, Network({name: proxy.address})) == b"by proxy"
    assert {path for path, _ in proxy.asked} == {address}
    for exceptions in ("127.0.0.1", "*", "x, 127.0.0.1"):
        assert fetch(address, Network({"http_proxy": proxy.address, "no_proxy": exceptions})) == b"direct"
    assert fetch(address, Network({"https_proxy": proxy.address, "no_proxy": "0.0.1"})) == b"direct"
    named = proxy.address.replace("http://", "http://me:secret@")
    fetch(address, Network({"http_proxy": named}))
    assert proxy.asked[-1][1]["proxy-authorization"] == _basic("me:secret")
    assert "socks5" in fetch.fail(address, Network({"all_proxy": "socks5://127.0.0.1:1"})).message
    fetch.fail(address, Network({"http_proxy": "http://127.0.0.1:1"}, attempts=1))


def test_the_variables_of_this_process_are_not_looked_at(serve: Callable[..., _Server], fetch: _Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda handler: handler.answer(200, b"direct"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert fetch(f"{server.address}/x") == b"direct"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    certificate = folder / "certificate.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return certificate, private


def test_certificates(serve: Callable[..., _Server], fetch: _Fetch, tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    address = f"https://127.0.0.1:{serve(lambda handler: handler.answer(200, b'x'), context).server_port}/x"
    for network in (
        Network({"SSL_CERT_FILE": str(certificate)}),
        Network({"NIX_SSL_CERT_FILE": str(certificate), "SSL_CERT_FILE": "/none"}),
        Network({"SSL_CERT_FILE": "/none"}, certificates=str(certificate)),
    ):
        assert fetch(address, network) == b"x"
    error = fetch.fail(address, Network({}))
    assert "certificate" in error.message and "SSL_CERT_FILE" in str(error.hint)
    assert fetch.pauses == [], "a server that is not who it says will not become so"
    assert "/none" in fetch.fail(address, Network({"SSL_CERT_FILE": "/none"})).message
    assert fetch.fail(address.replace("127.0.0.1", "localhost"), Network({"SSL_CERT_FILE": str(certificate)})).code == "download-failed"


def test_settings() -> None:
    settings = Settings({})
    network = Network.make({}, settings)
    assert (network.attempts, network.timeout, network.ttl) == (5, 30, 3600)
    chosen = {
        "tarball-ttl": "7",
        "netrc-file": "/n",
        "download-attempts": "2",
        "connect-timeout": "3",
        "stalled-download-timeout": "9",
        "ssl-cert-file": "/c",
    }
    for name, text in chosen.items():
        settings.set(name, text)
    assert Network.make({}, settings) == Network({}, "/c", "/n", 2, 3.0, 7)
    settings.set("connect-timeout", "0")
    settings.set("download-attempts", "0")
    assert Network.make({}, settings)[3:5] == (1, 9.0)
    with pytest.raises(NivalisError):
        settings.set("tarball-ttl", "x")
