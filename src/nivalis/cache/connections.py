"""Connections to HTTP servers: made straight or through a proxy, with TLS or without, and kept while they are of use.

A `Pool` hands each connection to one user at a time.  `abort` shuts the sockets of all that are in use, which wakes whoever waits for one.
Time is bounded everywhere: an answer's head is waited for until a moment, however it drips, and so is each piece of a body.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from nivalis.cache.wire import Head, WireError, take_head

if TYPE_CHECKING:
    import ssl

__all__ = ["Connection", "Origin", "Pool"]

_PIECE = 1 << 16
# Linux's name for "try again" of a TLS connection, in SSLError's errno: more has to come, or to be sent, first.
_TLS_WAITS = (2, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """A server, and the way to it."""

    scheme: str
    # Name and port as addresses have them.
    netloc: str
    host: str
    port: int
    proxy: SplitResult | None
    # Made when somebody answers: reading all of a system's certificates takes longer than finding out that there is no network.
    tls: Callable[[], ssl.SSLContext] | None

    def target(self, path: str) -> str:
        """What a request asks for: a proxy without a tunnel has to be told of whom."""
        return f"{self.scheme}://{self.netloc}{path}" if self.proxy is not None and self.tls is None else path


class Connection:
    """A connection, not made yet at first.  For one user at a time; `shut` is for others."""

    def __init__(self, origin: Origin, timeout: float | None) -> None:
        """`timeout` is for each step of connecting, in seconds."""
        self.origin = origin
        self.sock: Any = None
        self.is_shut = False
        # What has come and was not taken yet.
        self.buffer = bytearray()
        self._timeout = timeout

    def connect(self) -> None:
        """Raises OSError, WireError."""
        origin = self.origin
        host, port = origin.host, origin.port
        if origin.proxy is not None:
            host, port = origin.proxy.hostname or "", origin.proxy.port or 3128
        sock = socket.create_connection((host, port), self._timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.tls is not None:
                if origin.proxy is not None:
                    self._open_tunnel(sock)
                sock = origin.tls().wrap_socket(sock, server_hostname=origin.host)
        except BaseException:
            self.sock = None
            sock.close()
            raise
        self.sock = sock
        if self.is_shut:
            self.close()
            raise ConnectionAbortedError("given up")

    def _open_tunnel(self, sock: socket.socket) -> None:
        host = self.origin.host
        name = f"[{host}]:{self.origin.port}" if ":" in host else f"{host}:{self.origin.port}"
        self.sock = sock
        sock.sendall(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        head = self._receive_head(self._timeout)
        if head.status != 200 or self.buffer:
            raise OSError(f"proxy opens no tunnel: HTTP {head.status} {head.reason}")

    def ask(self, request: bytes, timeout: float | None) -> Head:
        """Send a request and wait so many seconds for the head of the answer.  Raises OSError, WireError."""
        self.sock.settimeout(timeout)
        self.sock.sendall(request)
        return self._receive_head(timeout)

    def _receive_head(self, timeout: float | None) -> Head:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            data = self.receive(end)
            if not data:
                # Before any of the answer came, it is not the answer that broke off.
                raise WireError("connection ended within the headers") if self.buffer else ConnectionResetError("connection ended")
            self.buffer += data
            head = take_head(self.buffer)
            if head is not None:
                return head

    def receive(self, end: float | None, most: int = _PIECE) -> bytes:
        """What comes next, waited for until the moment `end` of the monotonic clock; nothing at the end.  Raises OSError."""
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)
        data: bytes = self.sock.recv(most)
        return data

    def receive_now(self) -> bytes | None:
        """What has come of a socket that does not block; None if nothing has.  Raises OSError."""
        try:
            data: bytes = self.sock.recv(_PIECE)
            return data
        except BlockingIOError:
            return None
        except OSError as error:
            if self.origin.tls is not None and error.errno in _TLS_WAITS:
                return None
            raise

    def shut(self) -> None:
        """Wake its user, who gets an error."""
        self.is_shut = True
        connected = self.sock
        if connected is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()


class Pool:
    """All connections to a cache, and to where it leads; `certificates` is a file, where those of `environment` or the system are not meant."""

    def __init__(self, environment: Mapping[str, str], certificates: str, timeout: float | None) -> None:
        self._environment = environment
        self._certificates = certificates
        self._timeout = timeout
        self._mutex = threading.Lock()
        self._origins: dict[tuple[str, str], Origin] = {}
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._context: ssl.SSLContext | None = None
        self._context_mutex = threading.Lock()

    def origin_of(self, parts: SplitResult) -> Origin:
        """The server of an http: or https: address.  Raises ValueError for one that cannot be, OSError for certificates that cannot be read."""
        netloc = _ascii(parts.netloc.rpartition("@")[2])
        with self._mutex:
            origin = self._origins.get((parts.scheme, netloc))
            if origin is None:
                tls = self._make_context if parts.scheme == "https" else None
                if tls is not None and self._find_certificates() is not None:
                    tls()
                port = parts.port or (443 if tls is not None else 80)
                origin = Origin(parts.scheme, netloc, _ascii(parts.hostname or ""), port, _proxy_for(parts, self._environment), tls)
                self._origins[parts.scheme, netloc] = origin
        return origin

    def take(self, origin: Origin) -> Connection:
        """A connection for the caller alone, until it gives it back or drops it; one that is not made yet if none is idle."""
        with self._mutex:
            idle = self._idle.get(origin)
            connection = idle.pop() if idle else Connection(origin, self._timeout)
            self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection) -> None:
        """It can be used again: all of the last answer has been taken."""
        with self._mutex:
            self._busy.discard(connection)
            if not connection.is_shut:
                self._idle.setdefault(connection.origin, []).append(connection)
                return
        connection.close()

    def drop(self, connection: Connection) -> None:
        """It is of no use any more."""
        with self._mutex:
            self._busy.discard(connection)
        connection.close()

    def abort(self) -> None:
        """Shut all that are in use."""
        with self._mutex:
            busy = list(self._busy)
        for connection in busy:
            connection.shut()

    def close(self) -> None:
        """Close all that are not in use."""
        with self._mutex:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def _make_context(self) -> ssl.SSLContext:
        with self._context_mutex:
            if self._context is None:
                import ssl

                self._context = ssl.create_default_context(cafile=self._find_certificates())
            return self._context

    def _find_certificates(self) -> str | None:
        """The file with certificates; None for the system's."""
        return self._certificates or self._environment.get("NIX_SSL_CERT_FILE") or self._environment.get("SSL_CERT_FILE") or None


def _ascii(host: str) -> str:
    return host if host.isascii() else host.encode("idna").decode()


def _proxy_for(parts: SplitResult, environment: Mapping[str, str]) -> SplitResult | None:
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
    proxy = urlsplit(address if "//" in address else f"http://{address}")
    return proxy if proxy.hostname else None
