"""A cache behind HTTP, over kept connections.

Each thread that asks takes a connection from a pool and gives it back when the whole answer has been read; so there are as many
connections as threads.  This is `http.client` with a pool, and no library on top: a closure has thousands of files of a few hundred bytes, and
there what such a library does for each request (measured with urllib3: another 0.3 ms of processor time) would be most of the work.

Time is bounded everywhere: to connect, between two bytes, for the head of an answer and for each piece of it, however these drip, and for small
files altogether.  `abort` shuts all sockets, which wakes every thread that waits for one.

A user's name and password, from the address or the netrc file, are sent and otherwise kept to oneself: addresses in messages are without.
"""

from __future__ import annotations

import base64
import http.client
import io
import netrc
import os
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from nivalis.cache.errors import CacheUnreachableError, NotInCacheError
from nivalis.cache.settings import CacheSettings
from nivalis.cache.stores import MAX_SMALL, CacheStore, Stream, hide_password

__all__ = ["HttpStore"]

_AGENT = "nivalis"
_MAX_REDIRECTS = 8
# S3 says 403 for what is not there, to whoever may not list.
_ABSENT = frozenset({403, 404, 410})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpStore(CacheStore):
    """A cache at an http: or https: address."""

    def __init__(self, url: str, settings: CacheSettings) -> None:
        self.url = hide_password(url)
        self.connections = settings.http_connections or 128
        address = urlsplit(url + "/")
        self._base = address._replace(netloc=address.netloc.rpartition("@")[2])
        self._connect_timeout = settings.connect_timeout or None
        self._stall_timeout = settings.stalled_download_timeout or None
        self._environment = settings.environment
        self._certificates = settings.certificates
        self._authorization = _authorization(address, settings.netrc_file)
        self._mutex = threading.Lock()
        self._idle: dict[tuple[str, str], list[_Connection]] = {}
        self._busy: set[_Connection] = set()
        self._context: ssl.SSLContext | None = None

    def read(self, name: str, *, timeout: float | None = None) -> bytes | None:
        limit = timeout or self._stall_timeout
        try:
            answer = self._ask(name, {}, limit)
        except NotInCacheError:
            return None
        try:
            return answer.read_all()
        finally:
            answer.close()

    def open(self, name: str, offset: int = 0) -> Stream:
        answer = self._ask(name, {"Range": f"bytes={offset}-"} if offset else {}, self._stall_timeout)
        try:
            answer.skip_to(offset)
        except BaseException:
            answer.close()
            raise
        return answer

    def has(self, name: str) -> bool:
        try:
            self._ask(name, {}, self._stall_timeout).close()
        except NotInCacheError:
            return False
        return True

    def abort(self) -> None:
        with self._mutex:
            busy = list(self._busy)
        for connection in busy:
            connection.shut()

    def close(self) -> None:
        with self._mutex:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    # ---- one request ----

    def _ask(self, name: str, headers: dict[str, str], timeout: float | None) -> _Answer:
        url = urljoin(self._base.geturl(), name)
        for _ in range(_MAX_REDIRECTS):
            parts = urlsplit(url)
            shown = _shown(parts)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise CacheUnreachableError(f"server leads to an address that is not of the network: `{shown}`", where=self.url)
            connection, response = self._exchange(parts, headers, timeout)
            answer = _Answer(self, connection, response, shown, timeout)
            if response.status in (200, 206):
                return answer
            location = response.getheader("Location")
            answer.discard()
            if response.status in _REDIRECTS and location:
                url = urljoin(url, location)
                continue
            if response.status in _ABSENT:
                raise NotInCacheError(f"file is not in the cache: `{shown}` (HTTP {response.status})")
            raise CacheUnreachableError(f"cache failed: `{shown}` (HTTP {response.status} {response.reason})")
        raise CacheUnreachableError(f"too many redirections: `{shown}`", where=self.url)

    def _exchange(self, parts: SplitResult, headers: dict[str, str], timeout: float | None) -> tuple[_Connection, _Response]:
        while True:
            connection = self._take(parts)
            is_used = connection.sock is not None
            try:
                return connection, self._send(connection, parts, headers, timeout)
            except (OSError, http.client.HTTPException) as error:
                self._drop(connection)
                # A server may end a kept connection at any moment; that says nothing about it.
                if is_used and isinstance(error, ConnectionError) and not connection.is_shut:
                    continue
                raise _unreachable(f"cache does not answer: `{_shown(parts)}`", error) from error
            except BaseException:
                self._drop(connection)
                raise

    def _send(self, connection: _Connection, parts: SplitResult, headers: dict[str, str], timeout: float | None) -> _Response:
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(timeout)
        sent = {"User-Agent": _AGENT, **headers}
        # Not to whom a redirection leads.
        if self._authorization and (parts.scheme, parts.netloc) == (self._base.scheme, self._base.netloc):
            sent["Authorization"] = self._authorization
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        if connection.proxied:
            target = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{target}"
        connection.request("GET", target, headers=sent)
        response = connection.getresponse()
        assert isinstance(response, _Response)
        return response

    # ---- the pool ----

    def _take(self, parts: SplitResult) -> _Connection:
        with self._mutex:
            idle = self._idle.get((parts.scheme, parts.netloc))
            connection = idle.pop() if idle else self._make(parts)
            self._busy.add(connection)
        return connection

    def give_back(self, connection: _Connection) -> None:
        with self._mutex:
            self._busy.discard(connection)
            if connection.sock is not None:
                self._idle.setdefault(connection.origin, []).append(connection)

    def _drop(self, connection: _Connection) -> None:
        with self._mutex:
            self._busy.discard(connection)
        connection.close()

    def _make(self, parts: SplitResult) -> _Connection:
        assert parts.hostname is not None
        proxy = _proxy_for(parts, self._environment)
        context = None
        if parts.scheme == "https":
            if self._context is None:
                certificates = self._certificates or self._environment.get("NIX_SSL_CERT_FILE") or self._environment.get("SSL_CERT_FILE")
                self._context = ssl.create_default_context(cafile=certificates or None)
            context = self._context
        port = parts.port or (443 if context is not None else 80)
        return _Connection(parts, parts.hostname, port, context, proxy, self._connect_timeout)


class _Bounded(io.RawIOBase):
    """What comes from a socket, until a moment: a timeout alone would begin anew with every byte."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stream = sock.makefile("rb", buffering=0)
        self._end: float | None = None
        self.is_at_end = False
        self.allow(sock.gettimeout())

    def allow(self, seconds: float | None) -> None:
        """All that is read from now on must come within so many seconds."""
        self._end = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        size = self._stream.readinto(buffer)
        self.is_at_end = size == 0
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose head must come within the timeout that the socket has when it is begun."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self._bounded = _Bounded(sock)
        self.fp = io.BufferedReader(self._bounded)

    def begin(self) -> None:
        super().begin()
        # To http.client a head ends where the connection does, and a body of unknown length would follow.
        if self._bounded.is_at_end:
            raise ConnectionResetError("connection ended within the headers")

    def allow(self, seconds: float | None) -> None:
        """All that is read from now on must come within so many seconds."""
        self._bounded.allow(seconds)


class _Connection(http.client.HTTPConnection):
    """One connection, perhaps through a proxy and TLS."""

    sock: Any
    response_class = _Response

    def __init__(
        self, parts: SplitResult, host: str, port: int, context: ssl.SSLContext | None, proxy: SplitResult | None, timeout: float | None
    ) -> None:
        self.origin = (parts.scheme, parts.netloc)
        self.proxied = proxy is not None and context is None
        self.is_shut = False
        self._tls = context
        self._name = host
        if proxy is None or proxy.hostname is None:
            super().__init__(host, port, timeout=timeout)
        else:
            super().__init__(proxy.hostname, proxy.port or 3128, timeout=timeout)
            if context is not None:
                self.set_tunnel(host, port)

    def connect(self) -> None:
        super().connect()
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)

    def shut(self) -> None:
        self.is_shut = True
        connected = self.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


class _Answer:
    """The body of an answer.  Its connection goes back to the pool once all of it has been read."""

    def __init__(self, store: HttpStore, connection: _Connection, response: _Response, url: str, timeout: float | None) -> None:
        self._store = store
        self._connection: _Connection | None = connection
        self._response = response
        self._url = url
        self._timeout = timeout

    def read(self, size: int, /) -> bytes:
        self._response.allow(self._timeout)
        try:
            # What there is, rather than all of `size`: a caller wants to see how slow it comes.
            data = self._response.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(f"download broke off: `{self._url}`", error) from error
        if not data and self._response.length:
            raise CacheUnreachableError(f"download broke off: `{self._url}` ({self._response.length} bytes are missing)")
        return data

    def read_all(self) -> bytes:
        """The whole of a small file, in one timeout."""
        self._response.allow(self._timeout)
        pieces, size = [], 0
        while True:
            try:
                data = self._response.read1(MAX_SMALL)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _unreachable(f"download broke off: `{self._url}`", error) from error
            if not data:
                break
            pieces.append(data)
            size += len(data)
            if size > MAX_SMALL:
                raise CacheUnreachableError(f"answer does not end: `{self._url}`")
            if self._response.length == 0:
                break
        if self._response.length:
            raise CacheUnreachableError(f"download broke off: `{self._url}` ({self._response.length} bytes are missing)")
        return b"".join(pieces)

    def skip_to(self, offset: int) -> None:
        """Have reading begin at `offset` of the file, also where the server sends all of it."""
        if not offset or (self._response.status == 206 and (self._response.getheader("Content-Range") or "").startswith(f"bytes {offset}-")):
            return
        if self._response.status == 206:
            raise CacheUnreachableError(f"server sends another part than was asked for: `{self._url}`")
        while offset:
            data = self.read(min(offset, 1 << 16))
            if not data:
                raise CacheUnreachableError(f"file has become shorter: `{self._url}`")
            offset -= len(data)

    def discard(self) -> None:
        """Read what little is left, so that the connection can be used again."""
        with suppress(OSError, http.client.HTTPException, ValueError):
            if self._response.length is not None and self._response.length <= 1 << 16:
                self._response.allow(self._timeout)
                self._response.read()
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # Nothing is left of a known length; of any other, the response itself has found the end.
        is_read = self._response.length == 0 or (self._response.length is None and self._response.isclosed())
        self._response.close()
        if not is_read or self._response.will_close or connection.is_shut:
            connection.close()
        self._store.give_back(connection)


def _shown(parts: SplitResult) -> str:
    """An address as it may be told: where a redirection leads, the query may be a key."""
    return hide_password(parts._replace(query="", fragment="").geturl())


def _unreachable(what: str, error: BaseException) -> CacheUnreachableError:
    if isinstance(error, TimeoutError):
        return CacheUnreachableError(f"{what} (no answer in time)", code="cache-timeout")
    return CacheUnreachableError(f"{what} ({getattr(error, 'strerror', None) or str(error) or type(error).__name__})")


def _authorization(parts: SplitResult, netrc_file: str) -> str | None:
    """What to say to a cache that wants to know who asks: from the address itself, else from the netrc file."""
    user, password = parts.username, parts.password
    if user is None and netrc_file and os.path.exists(netrc_file):
        try:
            found = netrc.netrc(netrc_file).authenticators(parts.hostname or "")
        except (netrc.NetrcParseError, OSError):
            found = None
        if found is not None:
            user, password = found[0], found[2]
    if user is None:
        return None
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()


def _proxy_for(parts: SplitResult, environment: Any) -> SplitResult | None:
    def variable(name: str) -> str:
        return environment.get(name) or environment.get(name.upper()) or ""

    host = (parts.hostname or "").lower()
    for word in variable("no_proxy").split(","):
        name = word.strip().lstrip(".").lower()
        if name and (name == "*" or host == name or host.endswith(f".{name}")):
            return None
    address = variable(f"{parts.scheme}_proxy") or variable("all_proxy")
    if not address:
        return None
    return urlsplit(address if "//" in address else f"http://{address}")
