"""This machine's mirrors of Debian, for servers: what they are asked for comes from wherever apt takes it here.

A server of the tour could ask a mirror of Debian by itself, but not every machine lets its guests out, and many have a mirror nearby.  It
listens on the loopback address, which servers reach as their gateway.  What is named by its hash or version is kept for the next tour;
what is checked by nobody here is checked by the server.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from nivalis.debian.mirror import order_mirrors, try_each
from nivalis.fetch.errors import FetchError, NotThereError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download

__all__ = ["Mirror"]

# How long a file is kept that nobody asks for, in seconds.
_KEPT = 30 * 86400.0
_ARCHIVES = ("debian", "debian-security")


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a server that ends in the middle of an answer is none of ours to talk about."""


class Mirror:
    """A server, from `start` to `close`; `folder` is where files are kept, `mirrors` are asked for what is not there."""

    def __init__(self, folder: Path, mirrors: Sequence[str]) -> None:
        self._folder = folder
        self._mirrors = mirrors
        self._network = Network(os.environ)
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 300

            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in self._folder.rglob("*"):
            if file.is_file() and file.stat().st_mtime < time.time() - _KEPT:
                file.unlink()
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Send the file that is asked for, or why there is none."""
        path = PurePosixPath(unquote(urlsplit(request.path).path)).relative_to("/")
        try:
            if path.parts[:1] not in [(name,) for name in _ARCHIVES] or ".." in path.parts:
                raise NotThereError(f"no archive: {path}")
            with self._locks[str(path)]:
                file = self._fetch(path)
        except FetchError as error:
            request.send_error(HTTPStatus.NOT_FOUND if isinstance(error, NotThereError) else HTTPStatus.BAD_GATEWAY, str(error).partition("\n")[0])
            return
        with open(file, "rb") as stream:
            request.send_response(HTTPStatus.OK)
            request.send_header("Content-Length", str(os.fstat(stream.fileno()).st_size))
            request.end_headers()
            shutil.copyfileobj(stream, request.wfile)

    def _fetch(self, path: PurePosixPath) -> Path:
        """Raises FetchError."""
        file = self._folder / path
        if file.exists() and ("by-hash" in path.parts or "pool" in path.parts):
            # It has been asked for today.
            os.utime(file)
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        inner = path.relative_to(path.parts[0])
        places = [f"{mirror}/{inner}" for mirror in order_mirrors(self._mirrors, security=path.parts[0] == "debian-security")]
        part = file.with_name(f"{file.name}.new")

        def fetch(place: str) -> None:
            download(place, str(part), network=self._network)

        try_each(places, fetch)
        part.rename(file)
        return file
