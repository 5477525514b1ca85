"""One request to a cache, and what its answer means: redirections, what is not there, what went wrong.

No socket here: `Requests` makes what is sent, `answered` judges the head of what came.  A user's name and password, from the address or the
netrc file, go to the cache itself and to nobody to whom it leads; addresses in messages are without.
"""

from __future__ import annotations

import base64
import netrc
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from nivalis.cache.connections import Origin, Pool
from nivalis.cache.errors import CacheUnreachableError
from nivalis.cache.stores import hide_password
from nivalis.cache.wire import Head, WireError, make_request

__all__ = ["Request", "Requests", "is_answered", "unreachable"]

_HEADERS = {"User-Agent": "nivalis", "Accept-Encoding": "identity"}
_MAX_REDIRECTS = 8
# S3 says 403 for what is not there, to whoever may not list.
_ABSENT = frozenset({403, 404, 410})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# A name that needs no resolving against the cache's address.
_PLAIN = re.compile(r"(?!.*(?://|/\.|\./))\w[\w./-]*", re.ASCII)


class Request(NamedTuple):
    """What is sent, to whom; `shown` is the address as it may be told."""

    url: str
    shown: str
    origin: Origin
    data: bytes
    redirects: int = 0


class Requests:
    """Makes the requests to the cache at an address."""

    def __init__(self, url: str, netrc_file: str, pool: Pool) -> None:
        address = urlsplit(url + "/")
        self._base = address._replace(netloc=address.netloc.rpartition("@")[2])
        self._authorization = _authorization(address, netrc_file)
        self._pool = pool
        # The request for the address itself, and the two parts of it between which a name belongs.
        self._pattern: tuple[Request, bytes, bytes] | None = None

    def make(self, name: str, headers: Mapping[str, str] | None = None) -> Request:
        """For a file of the cache.  Raises CacheUnreachableError."""
        if headers or not _PLAIN.fullmatch(name):
            return self._make(urljoin(self._base.geturl(), name), headers or {}, 0)
        if self._pattern is None:
            request = self._make(self._base.geturl(), {}, 0)
            before, space, after = request.data.partition(b" HTTP/")
            self._pattern = request, before, space + after
        request, before, after = self._pattern
        return Request(request.url + name, request.shown + name, request.origin, b"".join((before, name.encode(), after)))

    def follow(self, request: Request, head: Head, headers: Mapping[str, str] | None = None) -> Request | None:
        """For where an answer leads; None if it leads nowhere.  Raises CacheUnreachableError."""
        location = head.headers.get("location")
        if head.status not in _REDIRECTS or not location:
            return None
        if request.redirects + 1 == _MAX_REDIRECTS:
            raise CacheUnreachableError(f"too many redirections: `{request.shown}`", where=hide_password(self._base.geturl()))
        return self._make(urljoin(request.url, location), headers or {}, request.redirects + 1)

    def _make(self, url: str, headers: Mapping[str, str], redirects: int) -> Request:
        parts = urlsplit(url)
        # Where a redirection leads, the query may be a key.
        shown = hide_password(parts._replace(query="", fragment="").geturl())
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise CacheUnreachableError(f"server leads to an address that is not of the network: `{shown}`")
        sent = {**_HEADERS, **headers}
        if self._authorization and (parts.scheme, parts.netloc) == (self._base.scheme, self._base.netloc):
            sent["Authorization"] = self._authorization
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            origin = self._pool.origin_of(parts)
            return Request(url, shown, origin, make_request(origin.target(path), origin.netloc, sent), redirects)
        except (OSError, WireError, ValueError) as error:
            raise unreachable(f"cache cannot be asked: `{shown}`", error) from error


def is_answered(request: Request, head: Head) -> bool:
    """Whether the file follows; False: there is none.  Raises CacheUnreachableError."""
    if head.status in (200, 206):
        return True
    if head.status in _ABSENT:
        return False
    raise CacheUnreachableError(f"cache failed: `{request.shown}` (HTTP {head.status} {head.reason})")


def unreachable(what: str, error: BaseException) -> CacheUnreachableError:
    """The error to tell for one of the network's."""
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
