"""Downloading: one address into one file.

Addresses are `file:`, `http:` and `https:`.  Proxies and certificates are those that the environment names, which is handed in; who one
is, to a server, comes from a netrc file or from the address, and is told to no other server that it leads to.

What fails for a reason that may pass (no connection, a server's own error, silence) is tried again after a pause, and goes on where it
broke off if the server can do that.  A body that is shorter than announced is an error, never a file.
"""

from __future__ import annotations

import errno
import http.client
import itertools
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from nivalis.fetch.connections import Connections
from nivalis.fetch.errors import FetchError, NotThereError
from nivalis.fetch.network import Network

__all__ = ["Connections", "Download", "download", "find_final_address", "open_connections", "open_network"]

_AGENT = "nivalis"
_PIECE = 1 << 16
_LONGEST_PAUSE = 60.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
# A connection that has brought so much has earned the next one its attempts anew.
_PROGRESS = 1 << 18
# The slowest that a server may be, in bytes a second over so many seconds: one that sends a byte now and then holds nobody for ever.
_SLOWEST, _WINDOW = 1, 120.0

Progress = Callable[[int, int | None], object]


@dataclass(frozen=True, slots=True)
class Download:
    """What came: where from in the end, the server's tag for it, and whether it is what the caller has already."""

    address: str
    etag: str = ""
    is_unchanged: bool = False


def download(
    address: str,
    target: str,
    *,
    network: Network,
    connections: Connections | None = None,
    etag: str = "",
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    on_progress: Progress | None = None,
    on_retry: Callable[[str], object] | None = None,
) -> Download:
    """Fetch `address` into the new file `target`; nothing is written if the server still has what it once tagged `etag`.

    `connections` (`open_connections`) are used, and kept for the next download.  `on_progress` is told how many bytes have come, and of
    how many, if that is known; `on_retry` what failed before it is tried again.  Raises FetchError, NotThereError.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        return _copy(address, target)
    opener, plain = _open_door(address, network, connections)
    transfer = _Transfer(opener, plain, f"{target}.part", network.timeout, clock, on_progress)
    attempt = 0
    try:
        while True:
            attempt = 1 if transfer.take_progress() else attempt + 1
            try:
                got = transfer.run(etag)
            except (OSError, http.client.HTTPException) as error:
                pause = _plan_retry(error, plain, attempt, network.attempts)
                if on_retry is not None:
                    on_retry(f"{_describe(error, plain)}; trying again in {pause:.1f} s")
                sleep(pause)
                continue
            if not got.is_unchanged:
                os.rename(transfer.part, target)
            return got
    finally:
        with suppress(FileNotFoundError):
            os.unlink(transfer.part)


def open_connections(network: Network) -> Connections:
    """What keeps connections for many a `download` over this network."""
    return Connections(lambda: _make_context(network))


def find_final_address(address: str, *, network: Network) -> str:
    """Where an address leads in the end; nothing is downloaded.  Raises FetchError, NotThereError."""
    if urlsplit(address).scheme == "file":
        return address
    opener, plain = _open_door(address, network)
    for attempt in itertools.count(1):
        try:
            with opener.open(_make_request(plain), timeout=network.timeout) as answer:
                return str(answer.url)
        except (OSError, http.client.HTTPException) as error:
            time.sleep(_plan_retry(error, plain, attempt, network.attempts))
    raise AssertionError("counting has no end")


def _copy(address: str, target: str) -> Download:
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise FetchError(
            f"address names a file of another machine: `{address}`", hint=f"a file's address has three slashes: `file:///{parts.netloc}`"
        )
    path = unquote(parts.path, errors="surrogateescape")
    try:
        shutil.copyfile(path, target)
        status = os.stat(path)
    except FileNotFoundError as error:
        raise NotThereError(f"there is no such file: `{address}`") from error
    except OSError as error:
        raise FetchError(f"file cannot be read: `{address}` ({error.strerror})") from error
    return Download(address, f"{status.st_mtime_ns}-{status.st_size}")


class _Transfer:
    """One body on its way into `part`, over as many connections as it takes."""

    def __init__(
        self,
        opener: urllib.request.OpenerDirector,
        address: str,
        part: str,
        timeout: float,
        clock: Callable[[], float],
        on_progress: Progress | None,
    ) -> None:
        self.part = part
        self._opener = opener
        self._address = address
        self._timeout = timeout
        self._clock = clock
        self._on_progress = on_progress
        self._received = 0
        self._counted = 0
        # What the server calls the body of which a part is here; without it nothing says that the rest would be of the same.
        self._validator = ""

    def take_progress(self) -> bool:
        """Whether much has come since this was last asked."""
        gained, self._counted = self._received - self._counted, self._received
        return gained >= _PROGRESS

    def run(self, etag: str) -> Download:
        """One connection."""
        headers = {"If-None-Match": etag} if etag else {}
        if self._received and self._validator:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._validator}
        try:
            with self._opener.open(_make_request(self._address, headers), timeout=self._timeout) as answer:
                self._save(answer)
                return Download(answer.url, answer.headers.get("ETag", ""))
        except urllib.error.HTTPError as error:
            if error.code == 304:
                error.close()
                return Download(self._address, etag, is_unchanged=True)
            if error.code == 416:
                # What is there is not what the server has by now.
                self._validator = ""
            raise

    def _save(self, answer: Any) -> None:
        continues = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {self._received}-")
        if answer.status == 206 and not continues:
            self._validator = ""
            raise http.client.HTTPException("the server sends another part than was asked for")
        if not continues:
            self._received = self._counted = 0
        tag = answer.headers.get("ETag", "")
        self._validator = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
        length = answer.headers.get("Content-Length", "")
        # With several lengths, or a nonsensical one, none is believed.
        expected = self._received + int(length) if length.isascii() and length.isdecimal() else None
        speed = _Speed(self._clock)
        with open(self.part, "ab" if continues else "wb") as file:
            while piece := answer.read1(_PIECE):
                file.write(piece)
                self._received += len(piece)
                speed.add(len(piece))
                if self._on_progress is not None:
                    self._on_progress(self._received, expected)
        if expected is not None and self._received != expected:
            raise http.client.IncompleteRead(b"", expected - self._received)


class _Speed:
    """Ends a transfer that hardly moves."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._bytes = 0

    def add(self, count: int) -> None:
        self._bytes += count
        now = self._clock()
        if now - self._since >= _WINDOW:
            if self._bytes < _SLOWEST * _WINDOW:
                raise TimeoutError(f"only {self._bytes} bytes in {now - self._since:.0f} s")
            self._since, self._bytes = now, 0


def _plan_retry(error: Exception, address: str, attempt: int, attempts: int) -> float:
    """How many seconds to wait before it is tried again.  Raises FetchError if it is not."""
    pause: float = min(0.25 * 2.0**attempt, 10.0)
    if isinstance(error, urllib.error.HTTPError):
        with error:
            if error.code in (404, 410):
                raise NotThereError(_describe(error, address)) from error
            if (error.code not in _PASSING and error.code != 416) or attempt >= attempts:
                hint = "a netrc file says who you are to a server" if error.code in (401, 403) else None
                raise FetchError(_describe(error, address), hint=hint) from error
            asked = error.headers.get("Retry-After", "")
            if asked.isascii() and asked.isdecimal():
                pause = min(float(asked), _LONGEST_PAUSE)
        return pause
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "SSL_CERT_FILE names a file of the certificates that are trusted"
        raise FetchError(_describe(error, address), hint=hint) from error
    # A disk that is full, or a folder that is gone, is no better after a pause.
    is_of_this_machine = isinstance(error, OSError) and (error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO))
    if attempt >= attempts or is_of_this_machine or isinstance(error, http.client.InvalidURL):
        raise FetchError(_describe(error, address)) from error
    return pause


def _describe(error: Exception, address: str) -> str:
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (404, 410):
            return f"there is nothing at the address: `{address}` (HTTP {error.code})"
        return f"download failed: `{address}` (HTTP {error.code} {error.reason})"
    reason = getattr(error, "reason", None) or error
    if isinstance(error, http.client.IncompleteRead):
        reason = "the server ended before all had come"
    return f"download failed: `{address}` ({reason or type(error).__name__})"


# ---------------------------------------------------------------------------------------------------- the way to a server


def _make_request(address: str, headers: Mapping[str, str] | None = None) -> urllib.request.Request:
    try:
        return urllib.request.Request(address, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **(headers or {})})
    except ValueError as error:
        raise FetchError(f"address cannot be fetched: `{address}` ({error})") from error


def _open_door(address: str, network: Network, connections: Connections | None = None) -> tuple[urllib.request.OpenerDirector, str]:
    """What opens the address, and the address without a name and password in it.  Raises FetchError."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise FetchError(f"address cannot be fetched: `{address}`", hint="known are `https:`, `http:` and `file:`")
    user, found, host = parts.netloc.rpartition("@")
    credentials = _Credentials(network.netrc_file)
    if found:
        name, _, password = user.partition(":")
        credentials.known[host.lower()] = (unquote(name), unquote(password))
        address = urlunsplit(parts._replace(netloc=host))
    return _make_opener(network, credentials, connections), address


class _Credentials(urllib.request.BaseHandler):
    """Tells a server who one is: by host and port as the address has them, else by host as the netrc file has it."""

    def __init__(self, netrc_file: str) -> None:
        self.known: dict[str, tuple[str, str]] = {}
        self._netrc_file = netrc_file

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if request.has_header("Authorization"):
            return request
        # With a proxy, the request's own `host` is the proxy's.
        parts = urlsplit(request.full_url)
        found = self.known.get(parts.netloc.lower()) or self._look_up(parts.hostname or "")
        if found is not None:
            import base64

            text = base64.b64encode(":".join(found).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {text}")
        return request

    https_request = http_request

    def _look_up(self, host: str) -> tuple[str, str] | None:
        if not self._netrc_file or not os.path.exists(self._netrc_file):
            return None
        import netrc

        try:
            found = netrc.netrc(self._netrc_file).authenticators(host)
        except netrc.NetrcParseError as error:
            raise FetchError(f"netrc file cannot be read: {error.msg}", where=f"{self._netrc_file}:{error.lineno}") from error
        except (OSError, UnicodeError) as error:
            raise FetchError(f"netrc file cannot be read: {error}", where=self._netrc_file) from error
        return None if found is None else (found[0], found[2] or "")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections over the network only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise FetchError(f"server leads to an address that is not of the network: `{newurl}`", where=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_network(network: Network) -> urllib.request.OpenerDirector:
    """What opens addresses with the proxies and certificates of `network`, for who sends other requests than a download's.

    It adds nobody's credentials.  Raises FetchError.
    """
    return _make_opener(network, _Credentials(""), None)


def _make_opener(network: Network, credentials: _Credentials, connections: Connections | None) -> urllib.request.OpenerDirector:
    environment = network.environment
    proxies = {}
    for name in _PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.upper())
        if value and name != "no_proxy":
            proxies[name.removesuffix("_proxy")] = _check_proxy(value, name)
    for scheme in ("http", "https"):
        if "all" in proxies:
            proxies.setdefault(scheme, proxies["all"])
    handlers: list[Any] = [_Proxies(proxies, environment.get("no_proxy") or environment.get("NO_PROXY") or ""), _Redirects(), credentials]
    if connections is not None:
        handlers.append(connections.handler())
    if connections is None or "https" in proxies:
        handlers.append(urllib.request.HTTPSHandler(context=_make_context(network)))
    return urllib.request.build_opener(*handlers)


def _make_context(network: Network) -> ssl.SSLContext:
    certificates = network.certificates or network.environment.get("NIX_SSL_CERT_FILE") or network.environment.get("SSL_CERT_FILE") or None
    try:
        return ssl.create_default_context(cafile=certificates)
    except OSError as error:
        raise FetchError(
            f"certificates cannot be read: `{certificates}` ({error})", hint="NIX_SSL_CERT_FILE or SSL_CERT_FILE names the file"
        ) from error


def _check_proxy(address: str, variable: str) -> str:
    scheme, found, _ = address.partition("://")
    if found and scheme.lower() not in ("http", "https"):
        raise FetchError(f"proxy of a kind that is not known: `{address}` (in {variable})", hint="a proxy's address begins with `http://`")
    return address


class _Proxies(urllib.request.ProxyHandler):
    """Proxies by what was handed in, and not by the variables of this process."""

    def __init__(self, proxies: Mapping[str, str], exceptions: str) -> None:
        super().__init__(dict(proxies))
        self._exceptions = [name.strip().lstrip(".").lower() for name in exceptions.split(",") if name.strip()]

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        host = (urlsplit(req.full_url).hostname or "").lower()
        if any(name == "*" or host == name or host.endswith(f".{name}") for name in self._exceptions):
            return None
        return super().proxy_open(req, proxy, type)
