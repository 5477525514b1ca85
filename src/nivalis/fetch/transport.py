"""Downloading: one address into one file.

Addresses are `file:`, `http:` and `https:`.  Proxies and certificates are those that the environment names, which is handed in.  What
fails for a reason that may pass (no connection, a server's own error) is tried again after a pause.  A body that is shorter than
announced is an error, never a file.
"""

from __future__ import annotations

import http.client
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
from urllib.parse import unquote, urlsplit

from nivalis.fetch.errors import FetchError, NotThereError

__all__ = ["Download", "download"]

_AGENT = "nivalis"
_TIMEOUT = 30.0
_ATTEMPTS = 5
_PIECE = 1 << 16
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


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
    environment: Mapping[str, str],
    etag: str = "",
    attempts: int = _ATTEMPTS,
    sleep: Callable[[float], object] = time.sleep,
    on_progress: Callable[[int, int | None], object] | None = None,
) -> Download:
    """Fetch `address` into the new file `target`; nothing is written if the server still has what it once tagged `etag`.

    `on_progress` is told how many bytes have come, and of how many, if that is known.  Raises FetchError, NotThereError.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        return _copy(address, unquote(parts.path), target)
    if parts.scheme not in ("http", "https"):
        raise FetchError(f"address cannot be fetched: `{address}`", hint="known are `https:`, `http:` and `file:`")
    opener = _make_opener(environment)
    for attempt in range(1, attempts + 1):
        try:
            return _get(opener, address, target, etag, on_progress)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304:
                    return Download(address, etag, is_unchanged=True)
                if error.code in (404, 410):
                    raise NotThereError(f"there is nothing at the address: `{address}` (HTTP {error.code})") from error
                if error.code not in _PASSING or attempt == attempts:
                    raise FetchError(f"download failed: `{address}` (HTTP {error.code} {error.reason})") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            is_final = isinstance(reason, ssl.SSLCertVerificationError)
            if attempt == attempts or is_final:
                raise FetchError(f"download failed: `{address}` ({reason})") from error
        finally:
            _forget(f"{target}.part")
        sleep(min(0.25 * 2**attempt, 10))
    raise FetchError(f"download failed: `{address}`")


def _copy(address: str, path: str, target: str) -> Download:
    try:
        shutil.copyfile(path, target)
        status = os.stat(path)
    except FileNotFoundError as error:
        raise NotThereError(f"there is no such file: `{address}`") from error
    except OSError as error:
        raise FetchError(f"file cannot be read: `{address}` ({error.strerror})") from error
    return Download(address, f"{status.st_mtime_ns}-{status.st_size}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections over the network only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise FetchError(f"server leads to an address that is not of the network: `{newurl}`", where=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _make_opener(environment: Mapping[str, str]) -> urllib.request.OpenerDirector:
    proxies = {}
    for name in _PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.upper())
        if value and name != "no_proxy":
            proxies[name.removesuffix("_proxy")] = value
    for scheme in ("http", "https"):
        if "all" in proxies:
            proxies.setdefault(scheme, proxies["all"])
    context = ssl.create_default_context(cafile=environment.get("NIX_SSL_CERT_FILE") or environment.get("SSL_CERT_FILE") or None)
    handlers: list[Any] = [_Proxies(proxies, environment.get("no_proxy") or environment.get("NO_PROXY") or "")]
    return urllib.request.build_opener(*handlers, _Redirects(), urllib.request.HTTPSHandler(context=context))


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


def _get(
    opener: urllib.request.OpenerDirector, address: str, target: str, etag: str, on_progress: Callable[[int, int | None], object] | None
) -> Download:
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if etag:
        headers["If-None-Match"] = etag
    with opener.open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT) as answer:
        length = answer.headers.get("Content-Length", "")
        expected = int(length) if length.isdecimal() else None
        received = 0
        part = f"{target}.part"
        with open(part, "wb") as file:
            while piece := answer.read(_PIECE):
                file.write(piece)
                received += len(piece)
                if on_progress is not None:
                    on_progress(received, expected)
        if expected is not None and received != expected:
            raise http.client.IncompleteRead(b"", expected - received)
        os.rename(part, target)
        return Download(answer.url, answer.headers.get("ETag", ""))


def _forget(part: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(part)
