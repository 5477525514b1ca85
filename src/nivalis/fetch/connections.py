"""Connections that are kept for the next download: for whoever fetches many files from few servers.

Each thread that asks takes a connection out of a pool, and the answer gives it back when its whole body has been read; so there are as many
connections as threads.  These are handlers for `urllib.request`, whose own close each connection, so redirections, proxies and
credentials are as for every download.  What goes through a proxy's tunnel is left to urllib.

What it does not do: it does not limit how many there are, and tries nothing again but a request on a kept connection that the server has
closed meanwhile, which says nothing about the server.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["Connections"]


class Connections:
    """The pool.  Safe to use from several threads; `make_context` is asked once, for the first server with TLS."""

    def __init__(self, make_context: Callable[[], ssl.SSLContext]) -> None:
        self._make_context = make_context
        self._context: ssl.SSLContext | None = None
        self._mutex = threading.Lock()
        self._idle: dict[tuple[str, str], list[_Connection]] = {}
        self._busy: set[_Connection] = set()
        self._is_aborted = False

    def handler(self) -> urllib.request.BaseHandler:
        """What an opener opens addresses with."""
        return _Handler(self)

    def abort(self) -> None:
        """End all that is under way, which fails with an OSError in its own thread, and all that comes later."""
        with self._mutex:
            self._is_aborted = True
            busy = list(self._busy)
        for connection in busy:
            connection.shut()

    def close(self) -> None:
        """Close what nobody uses."""
        with self._mutex:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def take(self, scheme: str, host: str, timeout: float | None) -> _Connection:
        with self._mutex:
            if self._is_aborted:
                raise ConnectionAbortedError("given up")
            idle = self._idle.get((scheme, host))
            if idle:
                connection = idle.pop()
            else:
                if scheme == "https" and self._context is None:
                    self._context = self._make_context()
                connection = _Connection(scheme, host, timeout, self._context)
            self._busy.add(connection)
        return connection

    def give_back(self, connection: _Connection, *, is_usable: bool) -> None:
        with self._mutex:
            self._busy.discard(connection)
            is_usable = is_usable and not self._is_aborted
            if is_usable:
                self._idle.setdefault((connection.scheme, connection.name), []).append(connection)
        if not is_usable:
            connection.close()


class _Response(http.client.HTTPResponse):
    """An answer that says, when it is closed, whether its connection can be used again."""

    give_back: Callable[[bool], object] | None = None

    def close(self) -> None:
        # Nothing is left of a known length; of any other, the response itself has found the end.
        is_read = self.length == 0 or self.isclosed()
        super().close()
        give_back, self.give_back = self.give_back, None
        if give_back is not None:
            give_back(is_read and not self.will_close)


class _Connection(http.client.HTTPConnection):
    response_class = _Response
    sock: Any

    def __init__(self, scheme: str, name: str, timeout: float | None, context: ssl.SSLContext | None) -> None:
        self._tls = context if scheme == "https" else None
        self.default_port = http.client.HTTP_PORT if self._tls is None else http.client.HTTPS_PORT
        super().__init__(name, timeout=timeout)
        self.scheme = scheme
        self.name = name
        self._connected: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
        self._connected = self.sock

    def shut(self) -> None:
        if self._connected is not None:
            with suppress(OSError):
                self._connected.shutdown(socket.SHUT_RDWR)


class _Handler(urllib.request.BaseHandler):
    # Before urllib's own, which is at 500.
    handler_order = 400

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def http_open(self, request: urllib.request.Request) -> Any:
        return self._open(request)

    def https_open(self, request: urllib.request.Request) -> Any:
        return None if getattr(request, "_tunnel_host", None) else self._open(request)

    def _open(self, request: urllib.request.Request) -> _Response:
        headers = {name.title(): text for name, text in {**request.headers, **request.unredirected_hdrs}.items()}
        while True:
            try:
                connection = self._connections.take(request.type, request.host, request.timeout)
            except OSError as error:
                raise urllib.error.URLError(error) from error
            is_used = connection.sock is not None
            try:
                connection.request("GET", request.selector, headers=headers)
                response = connection.getresponse()
            except BaseException as error:
                self._connections.give_back(connection, is_usable=False)
                if is_used and isinstance(error, ConnectionError):
                    continue
                if isinstance(error, OSError):
                    raise urllib.error.URLError(error) from error
                raise
            assert isinstance(response, _Response)
            response.give_back = lambda is_usable, used=connection: self._connections.give_back(used, is_usable=is_usable)
            # As urllib's own answers have them.
            response.url = request.full_url
            response.msg = response.reason  # type: ignore[assignment]
            return response
