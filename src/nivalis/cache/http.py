"""A cache behind HTTP, over kept connections.

Small files are asked for many at once, by one thread (`nivalis.cache.at_once`); a large one comes as a stream, over a connection of its own, and
whoever reads it waits.

Time is bounded everywhere: to connect, for the head of an answer and for each piece of its body, however these drip, and for small files
altogether.  `abort` shuts all sockets, which wakes every thread that waits for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from nivalis.cache.at_once import AtOnce, Times
from nivalis.cache.connections import Connection, Pool
from nivalis.cache.errors import CacheError, CacheUnreachableError, NotInCacheError
from nivalis.cache.exchange import Request, Requests, is_answered, unreachable
from nivalis.cache.settings import CacheSettings
from nivalis.cache.stores import CacheStore, Result, Stream, hide_password
from nivalis.cache.wire import Body, Head, WireError

__all__ = ["HttpStore"]


class HttpStore(CacheStore):
    """A cache at an http: or https: address."""

    def __init__(self, url: str, settings: CacheSettings) -> None:
        self.url = hide_password(url)
        self.connections = settings.http_connections or 128
        self._connect_timeout = settings.connect_timeout or None
        self._stall_timeout = settings.stalled_download_timeout or None
        self._pool = Pool(settings.environment, settings.certificates, self._connect_timeout)
        self._requests = Requests(url, settings.netrc_file, self._pool)

    def read(self, name: str, *, timeout: float | None = None) -> bytes | None:
        results: list[bytes | CacheError | None] = []
        self.read_many(iter([name]), lambda _, result: results.append(result), timeout=timeout or self._stall_timeout)
        if isinstance(results[0], CacheError):
            raise results[0]
        return results[0]

    def read_many(self, names: Iterator[str | None], take: Callable[[str, Result], object], *, timeout: float | None = None) -> None:
        times = Times(self._connect_timeout, self._stall_timeout, timeout)
        AtOnce(self._requests, self._pool, self.connections, times, names, take).run()

    def open(self, name: str, offset: int = 0) -> Stream:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        request = self._requests.make(name, headers)
        while True:
            answer = self._ask(request)
            try:
                further = self._requests.follow(request, answer.head, headers)
                if further is None:
                    if not is_answered(request, answer.head):
                        raise NotInCacheError(f"file is not in the cache: `{request.shown}` (HTTP {answer.head.status})")
                    answer.skip_to(offset)
                    return answer
                answer.discard()
                request = further
            except BaseException:
                answer.close()
                raise

    def has(self, name: str) -> bool:
        try:
            self.open(name).close()
        except NotInCacheError:
            return False
        return True

    def abort(self) -> None:
        self._pool.abort()

    def close(self) -> None:
        self._pool.close()

    def _ask(self, request: Request) -> _Answer:
        while True:
            connection = self._pool.take(request.origin)
            is_used = connection.sock is not None
            try:
                if not is_used:
                    connection.connect()
                return _Answer(self._pool, connection, connection.ask(request.data, self._stall_timeout), request.shown, self._stall_timeout)
            except (OSError, WireError) as error:
                self._pool.drop(connection)
                # A server may end a kept connection at any moment; that says nothing about it.
                if is_used and isinstance(error, ConnectionError) and not connection.is_shut:
                    continue
                raise unreachable(f"cache does not answer: `{request.shown}`", error) from error
            except BaseException:
                self._pool.drop(connection)
                raise


class _Answer:
    """The body of an answer.  Its connection goes back to the pool once all of it has been read."""

    def __init__(self, pool: Pool, connection: Connection, head: Head, url: str, timeout: float | None) -> None:
        """Raises WireError."""
        self.head = head
        self._body = Body(head)
        self._pool = pool
        self._connection: Connection | None = connection
        self._url = url
        self._timeout = timeout

    def read(self, size: int, /) -> bytes:
        connection = self._connection
        assert connection is not None
        end = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            while True:
                data = self._body.take(connection.buffer, size)
                if data or self._body.is_complete:
                    return data
                received = connection.receive(end, size)
                if self._body.is_all_of(received):
                    return received
                connection.buffer += received
                if not received:
                    self._body.end()
        except (OSError, WireError) as error:
            raise unreachable(f"download broke off: `{self._url}`", error) from error

    def skip_to(self, offset: int) -> None:
        """Have reading begin at `offset` of the file, also where the server sends all of it."""
        if not offset or (self.head.status == 206 and self.head.headers.get("content-range", "").startswith(f"bytes {offset}-")):
            return
        if self.head.status == 206:
            raise CacheUnreachableError(f"server sends another part than was asked for: `{self._url}`")
        while offset:
            data = self.read(min(offset, 1 << 16))
            if not data:
                raise CacheUnreachableError(f"file has become shorter: `{self._url}`")
            offset -= len(data)

    def discard(self) -> None:
        """Read what little is left, so that the connection can be used again."""
        if self._body.has_length and (self._body.missing or 0) <= 1 << 16:
            with suppress(CacheUnreachableError):
                while self.read(1 << 16):
                    pass
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._body.is_complete and self._body.has_end and self.head.is_kept and not connection.buffer:
            self._pool.give_back(connection)
        else:
            self._pool.drop(connection)
