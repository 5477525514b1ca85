"""Many small files from a server, by one thread: as many requests under way as there are connections, one on each.

Threads that each wait for one answer would spend more time waiting for one another than for the server.  Here one loop sends, receives and hands
over, whatever comes first; only connecting, which may hang on the name of a server, is done by threads beside it, that nobody waits for.

Each request has its own moment at which it is given up, so nothing hangs, however little a server says and however slowly.  Requests are not sent
ahead on a connection that still waits for an answer: servers and proxies that cannot bear it are too many.  Nor can all bear as many connections:
one that takes no more, or says that it is too much, while it answers others, gets fewer.  One that fails again and again, and answers nothing in
between, is not asked for the rest.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from nivalis.cache.connections import Connection, Origin, Pool
from nivalis.cache.errors import CacheContentError, CacheError
from nivalis.cache.exchange import Request, Requests, is_answered, unreachable
from nivalis.cache.stores import MAX_SMALL, Result
from nivalis.cache.wire import Body, Head, WireError, take_head

__all__ = ["AtOnce", "Times"]

# So often, in seconds, it is looked whether there is more to ask for (while nothing is under way, more seldom), and which requests are overdue.
_LOOK, _PAUSE, _CHECK = 0.005, 0.02, 0.1

# What servers say to whom asks too much.
_TOO_MUCH = frozenset({429, 503})
# So many failures in a row, beside one on each connection, are enough.
_ENOUGH = 4
# The slowest that a file without a timeout may come, in bytes a second, from so many seconds on.
_SLOWEST, _WINDOW = 100, 20.0


class Times(NamedTuple):
    """How long to wait, in seconds, None for ever: for each step of connecting; for all of an answer, or without that, for each piece of it."""

    connecting: float | None
    silence: float | None
    whole: float | None


@dataclass(slots=True)
class _Flight:
    """A request under way."""

    name: str
    request: Request
    connection: Connection
    # How many there might be at once when it was asked for.
    limit: int
    # When it was sent (or connecting began), and when something was last heard, by the monotonic clock.
    begun: float
    heard: float
    is_connecting: bool = False
    # Whether the connection had served others before, which its server may end at any moment.
    is_kept: bool = False
    head: Head | None = None
    body: Body | None = None
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0


class AtOnce:
    """One run: asks for what `names` gives, and tells `take` what became of each."""

    def __init__(
        self,
        requests: Requests,
        pool: Pool,
        connections: int,
        times: Times,
        names: Iterator[str | None],
        take: Callable[[str, Result], object],
    ) -> None:
        """None instead of a name: there will be more, but not yet."""
        self._requests = requests
        self._pool = pool
        self._connections = connections
        self._times = times
        self._names = names
        self._take = take
        self._has_more = True
        # Failures since the last answer, and with how many the rest is given up, as what it then fails with.
        self._failures = 0
        self._enough = connections + _ENOUGH
        self._given_up: CacheError | None = None
        # The most requests that were under way at once, since there were last too many.
        self._most = 0
        self._again: deque[tuple[str, Request]] = deque()
        self._flights: dict[Connection, _Flight] = {}
        self._idle: dict[Origin, list[Connection]] = {}
        self._by_number: dict[int, Connection] = {}
        self._events = select.epoll()
        self._checked = time.monotonic()
        # What the threads that connect have made, or not; and what wakes the loop for it.
        self._connected: deque[tuple[Connection, Exception | None]] = deque()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._mutex = threading.Lock()
        self._is_over = False

    def run(self) -> None:
        """To the end of `names`.  Raises what `names` and `take` raise."""
        try:
            self._events.register(self._bell, select.EPOLLIN)
            while True:
                waits = self._ask_more()
                if not (self._has_more or self._flights):
                    return
                self._turn(_LOOK if waits and self._flights else _CHECK if not waits else _PAUSE)
        finally:
            self._end()

    # ---- asking ----

    def _ask_more(self) -> bool:
        """Ask for as much as there are connections for; whether there will be more that cannot be asked for yet."""
        # After a failure whatever is under way has to show first that the cache answers; if nothing is, one request does.
        while len(self._flights) < (1 if self._failures else self._connections):
            if self._again:
                name, request = self._again.popleft()
            elif not self._has_more:
                return False
            else:
                try:
                    found = next(self._names)
                except StopIteration:
                    self._has_more = False
                    return False
                if found is None:
                    return True
                name = found
                if self._given_up is not None:
                    self._take(name, self._given_up)
                    continue
                try:
                    request = self._requests.make(name)
                except CacheError as error:
                    self._take(name, error)
                    continue
            self._start(name, request)
        return False

    def _start(self, name: str, request: Request) -> None:
        idle = self._idle.get(request.origin)
        connection = idle.pop() if idle else self._pool.take(request.origin)
        now = time.monotonic()
        flight = _Flight(name, request, connection, self._connections, now, now)
        self._flights[connection] = flight
        self._most = max(self._most, len(self._flights))
        if connection.sock is None:
            flight.is_connecting = True
            threading.Thread(target=self._connect, args=[connection], daemon=True, name="connect").start()
        else:
            flight.is_kept = True
            self._send(flight)

    def _connect(self, connection: Connection) -> None:
        failed: Exception | None = None
        try:
            connection.connect()
        except Exception as error:  # whatever it is, it is for the loop to tell
            failed = error
        with self._mutex:
            if not self._is_over:
                self._connected.append((connection, failed))
                self._ring.send(b"!")
                return
        self._pool.drop(connection)

    def _send(self, flight: _Flight) -> None:
        connection = flight.connection
        try:
            number = connection.sock.fileno()
            if number not in self._by_number:
                connection.sock.setblocking(False)
                self._events.register(number, select.EPOLLIN)
                self._by_number[number] = connection
            # Nothing is on its way, so there is room for a few hundred bytes.
            if connection.sock.send(flight.request.data) != len(flight.request.data):
                raise WireError("the request cannot be sent")
        except (OSError, WireError) as error:
            self._break(flight, error)

    # ---- answers ----

    def _turn(self, pause: float) -> None:
        for number, _ in self._events.poll(pause):
            connection = self._by_number.get(number)
            if connection is not None:
                self._hear(connection)
            elif number == self._bell.fileno():
                with suppress(BlockingIOError):
                    self._bell.recv(1 << 12)
        while self._connected:
            self._use(*self._connected.popleft())
        now = time.monotonic()
        if now - self._checked > _CHECK:
            self._checked = now
            for flight in list(self._flights.values()):
                self._check_time(flight, now)

    def _use(self, connection: Connection, error: Exception | None) -> None:
        flight = self._flights.get(connection)
        if flight is None:
            self._pool.drop(connection)
        elif error is not None:
            self._break(flight, error)
        else:
            flight.is_connecting = False
            flight.begun = flight.heard = time.monotonic()
            self._send(flight)

    def _hear(self, connection: Connection) -> None:
        flight = self._flights.get(connection)
        try:
            # TLS may hold more than the socket shows.
            while True:
                data = connection.receive_now()
                if data is None:
                    return
                if flight is None:
                    raise WireError("unasked")
                self._hear_piece(flight, data)
                if connection.origin.tls is None or self._flights.get(connection) is not flight:
                    return
        except (OSError, WireError) as error:
            if flight is None:
                self._drop(connection)
            else:
                self._break(flight, error)

    def _hear_piece(self, flight: _Flight, data: bytes) -> None:
        buffer = flight.connection.buffer
        if not data:
            if flight.body is None:
                raise WireError("connection ended within the headers") if buffer else ConnectionResetError("connection ended")
            flight.body.end()
        buffer += data
        if flight.body is None:
            flight.head = take_head(buffer)
            if flight.head is None:
                return
            flight.body = Body(flight.head)
        flight.heard = time.monotonic()
        piece = flight.body.take(buffer)
        flight.pieces.append(piece)
        flight.size += len(piece)
        if flight.size > MAX_SMALL:
            raise WireError("answer does not end")
        if flight.body.is_complete:
            self._finish(flight, flight.head, flight.body.has_end)

    def _finish(self, flight: _Flight, head: Head | None, has_end: bool) -> None:
        assert head is not None
        connection, request = flight.connection, flight.request
        del self._flights[connection]
        if has_end and head.is_kept and not connection.buffer and not connection.is_shut:
            self._idle.setdefault(request.origin, []).append(connection)
        else:
            self._drop(connection)
        if head.status in _TOO_MUCH and self._failures < self._enough and self._has_less(flight):
            self._failures += 1
            return
        result: Result
        try:
            further = self._requests.follow(request, head)
            if further is not None:
                self._again.append((flight.name, further))
                return
            result = b"".join(flight.pieces) if is_answered(request, head) else None
        except CacheError as error:
            self._fail(flight.name, error)
            return
        self._failures = 0
        self._take(flight.name, result)

    def _fail(self, name: str, error: CacheError) -> None:
        self._failures += 1
        self._take(name, error)
        if self._failures > self._enough:
            self._given_up = error
            while self._again:
                self._take(self._again.popleft()[0], error)

    # ---- trouble ----

    def _check_time(self, flight: _Flight, now: float) -> None:
        """Give up what takes too long."""
        times, passed = self._times, now - flight.begun
        if flight.is_connecting:
            # A server may have several addresses, and wants a handshake.
            is_late = times.connecting is not None and passed > 2 * times.connecting + 1
        elif times.whole is not None:
            is_late = passed > times.whole
        else:
            is_late = times.silence is not None and now - flight.heard > times.silence
            if not is_late and passed > _WINDOW and flight.size < _SLOWEST * passed:
                self._lose(flight, CacheContentError(f"download is too slow: `{flight.request.shown}`", code="cache-slow"))
        if is_late:
            self._lose(flight, unreachable(f"cache does not answer: `{flight.request.shown}`", TimeoutError()))

    def _break(self, flight: _Flight, error: Exception) -> None:
        nothing_came = flight.head is None and not flight.connection.buffer
        if flight.is_kept and nothing_came and isinstance(error, ConnectionError) and not flight.connection.is_shut:
            # A server may end a kept connection at any moment; that says nothing about it.
            self._again.append((flight.name, flight.request))
            del self._flights[flight.connection]
            self._drop(flight.connection)
            return
        is_refused = flight.is_connecting and not flight.connection.is_shut and any(not other.is_connecting for other in self._flights.values())
        if is_refused and self._has_less(flight):
            del self._flights[flight.connection]
            self._drop(flight.connection)
            return
        what = "cache does not answer" if flight.head is None else "download broke off"
        self._lose(flight, unreachable(f"{what}: `{flight.request.shown}`", error))

    def _has_less(self, flight: _Flight) -> bool:
        """Whether its server may be content with fewer connections; then it is asked again."""
        if flight.limit == self._connections:
            fewer = min(self._connections, self._most) // 2
            if not fewer:
                return False
            self._connections, self._most = fewer, 0
        # Else there have become fewer since it was asked for.
        self._again.append((flight.name, flight.request))
        return True

    def _lose(self, flight: _Flight, error: CacheError) -> None:
        del self._flights[flight.connection]
        if flight.is_connecting:
            # Its thread closes it.
            flight.connection.is_shut = True
        self._drop(flight.connection)
        self._fail(flight.name, error)

    def _drop(self, connection: Connection) -> None:
        if connection.sock is not None:
            # Closing it takes it from the events, too.
            self._by_number.pop(connection.sock.fileno(), None)
        for idle in self._idle.values():
            if connection in idle:
                idle.remove(connection)
        self._pool.drop(connection)

    def _end(self) -> None:
        with self._mutex:
            self._is_over = True
        for flight in self._flights.values():
            flight.connection.is_shut = True
            self._pool.drop(flight.connection)
        for connections in self._idle.values():
            for connection in connections:
                self._pool.give_back(connection)
        while self._connected:
            connection, _ = self._connected.popleft()
            self._pool.drop(connection)
        self._events.close()
        self._bell.close()
        self._ring.close()
