"""One HTTP request and its answer, whatever the status: what the API, the token endpoint and Orbit are asked with.

It uses the proxies and certificates of `nivalis.fetch`, and no more of it: a download has no method, no body and no answer to an error.
Secrets are headers that no redirection takes elsewhere; addresses in messages have no query, for a temporary address is a key.

It does not try again: what may be repeated is known to the caller only.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import urlsplit

from nivalis.cloud.errors import AnswerError, UnreachableError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import open_network

__all__ = ["Answer", "FilePart", "HttpDoor", "hide_query"]

# No answer of an API is longer; a body beyond it is not read.
_LONGEST = 64 << 20
_LOOPBACK = "127.0.0.1,localhost,::1"
# How long a server on this very machine may be silent at least, in seconds: nothing gets lost on the way to it, so it is only busy.
_BUSY = 300.0


def hide_query(url: str) -> str:
    """An address as it may be told."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `headers` have names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request: str

    def json(self) -> Any:
        """The body's value.  Raises AnswerError."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise AnswerError(f"answer is no JSON: `{self.request}` (HTTP {self.status})") from error


class FilePart:
    """A part of a file as the body of a request: `length` bytes from `offset`.  `on_read` is told how many are read."""

    def __init__(self, file: IO[bytes], offset: int, length: int, on_read: Callable[[int], object] = lambda count: None) -> None:
        self._file = file.fileno()
        self._at = offset
        self._end = offset + length
        self._on_read = on_read
        self.length = length

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._at
        # pread, so that parts of one file do not share a place in it.
        data = os.pread(self._file, left if size < 0 else min(size, left), self._at)
        self._at += len(data)
        self._on_read(len(data))
        return data


class HttpDoor:
    """Sends requests.  `timeout` is how long a server may be silent, in seconds; one on this machine has more."""

    def __init__(self, network: Network, *, timeout: float | None = None) -> None:
        # No proxy leads to this very machine.
        exceptions = network.environment.get("no_proxy") or network.environment.get("NO_PROXY") or ""
        environment = {**network.environment, "no_proxy": f"{exceptions},{_LOOPBACK}" if exceptions else _LOOPBACK}
        self._opener = open_network(network._replace(environment=environment))
        self._timeout = timeout or network.timeout

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        body: bytes | FilePart | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """The answer, also of an error.  Raises UnreachableError."""
        shown = f"{method} {hide_query(url)}"
        timeout = timeout or self._timeout
        if urlsplit(url).hostname in _LOOPBACK.split(","):
            timeout = max(timeout, _BUSY)
        length = {} if body is None else {"Content-Length": str(body.length if isinstance(body, FilePart) else len(body))}
        request = urllib.request.Request(url, method=method, data=body, headers={"User-Agent": "nivalis", **length, **(headers or {})})
        for name, value in (secrets or {}).items():
            request.add_unredirected_header(name, value)
        try:
            try:
                response = self._opener.open(request, timeout=timeout)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                data = response.read(_LONGEST)
                # Read up to a size, a body that breaks off is no error by itself.
                announced = response.headers.get("Content-Length", "")
                if method != "HEAD" and announced.isdecimal() and len(data) < min(int(announced), _LONGEST):
                    raise http.client.IncompleteRead(b"", int(announced) - len(data))
                return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, data, shown)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(shown, error) from None


def _unreachable(shown: str, error: Exception) -> UnreachableError:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE names a file of the certificates that are trusted"
        return UnreachableError(f"cloud's certificate is not trusted: `{shown}` ({reason.verify_message})", never_sent=True, hint=hint)
    # Refused, or no such host or route: nobody has seen the request.
    never_sent = isinstance(reason, (ConnectionRefusedError, socket.gaierror)) or (
        isinstance(reason, OSError) and reason.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
    )
    return UnreachableError(f"cloud does not answer: `{shown}` ({reason or type(reason).__name__})", never_sent=never_sent)
