"""An HTTP server on loopback for the tests of whatever downloads: it says what it was asked, and fails when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files` (path: bytes); `requests` is what it was asked, `failures` how often it fails first, `connections` over how many it was."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.failures = 0
        self.cuts_short = False
        # The header that whoever asks must send.
        self.authorization = ""
        self.keeps_connections = False
        self.connections = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        if self.server.keeps_connections:
            self.protocol_version = "HTTP/1.1"
        super().setup()

    def do_GET(self) -> None:
        server, path = self.server, self.path
        data = server.files.get(path)
        tag = f'"{hash(data)}"'
        if server.failures:
            server.failures -= 1
            self._answer(503)
        elif server.authorization and self.headers.get("Authorization") != server.authorization:
            self._answer(401)
        elif path in server.redirects:
            self._answer(302, {"Location": server.redirects[path]})
        elif data is None:
            self._answer(404)
        elif self.headers.get("If-None-Match") == tag:
            self._answer(304)
        else:
            self._answer(200, {"ETag": tag}, data)

    def _answer(self, status: int, headers: dict[str, str] | None = None, data: bytes = b"") -> None:
        self.server.asked.append((self.path, status))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) + (10 if self.server.cuts_short else 0)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


def serve() -> Iterator[Server]:
    """A running server; for a fixture to yield from."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
