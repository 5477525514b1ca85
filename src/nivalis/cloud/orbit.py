"""Orbit, Brightbox's object storage: where an image's file is put for the cloud to fetch it from a temporary address.

It is OpenStack Swift with its first kind of authentication (headers `X-Auth-User` and `X-Auth-Key`).  A large file is sent as segments of
one size and bound together by a manifest ("static large object"): at most 1000 segments, of at least 1 MiB each but the last.

Uploading goes on where it ended: a segment's name says of which content it is (size, time, segment size), and one that is there
with the right size and MD5 sum is not sent again.  A connection that is cut costs the segment that was under way.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlencode, urlsplit

from nivalis.cloud.answers import make_error
from nivalis.cloud.errors import AnswerError, UnreachableError, UploadError
from nivalis.cloud.http import Answer, FilePart, HttpDoor

__all__ = ["SEGMENT", "Orbit", "sign_temp_url"]

SEGMENT = 64 << 20
_MOST_SEGMENTS = 1000
_ATTEMPTS = 5
# A token that has ended is renewed by what is asked next.
_PASSING = frozenset({401, 408, 429, 500, 502, 503, 504})

Progress = Callable[[int, int | None], object]


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    offset: int
    length: int


class Orbit:
    """The storage of one account; `user` is an API client or a user's address, `key` its secret."""

    def __init__(
        self,
        door: HttpDoor,
        url: str,
        user: str,
        key: str,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._door = door
        self._url = url.rstrip("/")
        self._user = user
        self._key = key
        self._clock = clock
        self._sleep = sleep
        self._token = ""
        self._storage = ""

    def __repr__(self) -> str:
        return f"Orbit({self._url!r}, {self._user!r})"

    def ensure_container(self, container: str) -> None:
        """Make the container unless it is there.  Raises CloudError."""
        self._check(self._ask("PUT", self._place(container), b""))

    def size_of(self, container: str, name: str) -> int | None:
        """The size of an object in bytes, or None if there is none.  Raises CloudError."""
        answer = self._ask("HEAD", self._place(container, name))
        if answer.status == 404:
            return None
        return int(self._check(answer).headers.get("content-length") or 0)

    def list(self, container: str, prefix: str = "") -> list[str]:
        """The names of objects that begin so; none where there is no such container.  Raises CloudError."""
        found: list[str] = []
        while True:
            query = urlencode({"format": "json", "prefix": prefix, "marker": found[-1] if found else ""})
            answer = self._ask("GET", f"{self._place(container)}?{query}")
            if answer.status == 404:
                return []
            # A page is as long as the storage likes; the last one is empty.
            page = [str(row["name"]) for row in self._check(answer).json()] if answer.status != 204 else []
            if not page:
                return found
            found += page

    def delete(self, container: str, name: str) -> None:
        """Delete an object, and its segments if it has any; one that is not there is no error.  Raises CloudError."""
        answer = self._ask("DELETE", self._place(container, name) + "?multipart-manifest=delete")
        if answer.status != 404:
            self._check(answer)

    def upload(
        self,
        container: str,
        name: str,
        file: Path,
        *,
        segment: int = SEGMENT,
        on_progress: Progress | None = None,
        on_retry: Callable[[str], object] | None = None,
    ) -> None:
        """Put a file there.  `on_progress` is told bytes done and all bytes.  Raises UploadError, CloudError, OSError."""
        with open(file, "rb") as stream:
            status = os.fstat(stream.fileno())
            size = status.st_size
            self.ensure_container(container)
            state = _Upload(size, on_progress, on_retry)
            if size <= segment:
                self._put(stream, self._place(container, name), _Segment(name, 0, size), state)
                return
            segment = max(segment, -(-size // _MOST_SEGMENTS), 1 << 20)
            store = f"{container}_segments"
            self.ensure_container(store)
            prefix = f"{name}/{status.st_mtime_ns}/{size}/{segment}"
            parts = [_Segment(f"{prefix}/{number:08}", start, min(segment, size - start)) for number, start in enumerate(range(0, size, segment))]
            manifest = []
            for part in parts:
                etag = self._put(stream, self._place(store, part.name), part, state)
                manifest.append({"path": f"/{store}/{part.name}", "etag": etag, "size_bytes": part.length})
            self._check(self._ask("PUT", self._place(container, name) + "?multipart-manifest=put", json.dumps(manifest).encode()))

    def temp_url(self, container: str, name: str, *, lasts: float = 3600, method: str = "GET") -> str:
        """An address with which anyone may fetch the object for `lasts` seconds.  Raises CloudError."""
        self._authenticate()
        # Another key would end the addresses that others have made.
        key = self._check(self._ask("HEAD", self._storage)).headers.get("x-account-meta-temp-url-key", "")
        if not key:
            key = secrets.token_hex(20)
            self._check(self._ask("POST", self._storage, b"", secrets={"X-Account-Meta-Temp-Url-Key": key}))
        return sign_temp_url(self._place(container, name), key, int(self._clock() + lasts), method)

    # ---- one segment ----

    def _put(self, stream: IO[bytes], url: str, part: _Segment, state: _Upload) -> str:
        """Send a part unless it is there; its MD5 sum."""
        digest = _md5(stream, part)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                # It may have arrived although its answer got lost; and this renews a token, whose refusal a long body may not live to see.
                if self._is_there(url, part.length, digest):
                    state.keep(part.length)
                    return digest
                answer = self._ask("PUT", url, FilePart(stream, part.offset, part.length, state.begin()), headers={"ETag": digest})
                if answer.status not in _PASSING:
                    self._check(answer)
                    state.keep(part.length)
                    return digest
                why = f"HTTP {answer.status}"
            except UnreachableError as error:
                why = error.message
            if attempt < _ATTEMPTS:
                state.retry(f"upload broke off: {why}; going on")
                self._sleep(min(0.25 * 2.0**attempt, 10.0))
        raise UploadError(f"upload failed after {_ATTEMPTS} attempts: {why}", hint="the same command again sends only what is missing")

    def _is_there(self, url: str, length: int, digest: str) -> bool:
        headers = self._ask("HEAD", url).headers
        return headers.get("etag", "").strip('"') == digest and headers.get("content-length") == str(length)

    # ---- requests ----

    def _authenticate(self) -> None:
        if self._token:
            return
        answer = self._check(self._door.send("GET", self._url, secrets={"X-Auth-User": self._user, "X-Auth-Key": self._key}))
        self._token = answer.headers.get("x-auth-token") or answer.headers.get("x-storage-token") or ""
        self._storage = answer.headers.get("x-storage-url", "").rstrip("/")
        if not self._token or not self._storage:
            raise AnswerError(f"answer has no token: `{answer.request}`")

    def _ask(
        self,
        method: str,
        url: str,
        body: bytes | FilePart | None = None,
        *,
        headers: dict[str, str] | None = None,
        secrets: dict[str, str] | None = None,
    ) -> Answer:
        self._authenticate()
        headers = {"Content-Type": "application/octet-stream", **(headers or {})}
        answer = self._door.send(method, url, headers=headers, secrets={"X-Auth-Token": self._token, **(secrets or {})}, body=body)
        if answer.status == 401 and not isinstance(body, FilePart):
            self._token = ""
            self._authenticate()
            answer = self._door.send(method, url, headers=headers, secrets={"X-Auth-Token": self._token, **(secrets or {})}, body=body)
        return answer

    def _place(self, container: str, name: str = "") -> str:
        self._authenticate()
        place = f"{self._storage}/{quote(container, safe='')}"
        return f"{place}/{quote(name)}" if name else place

    @staticmethod
    def _check(answer: Answer) -> Answer:
        if answer.status >= 400:
            raise make_error(answer)
        return answer


class _Upload:
    """How far an upload is; what was sent of a part that broke off does not count."""

    def __init__(self, size: int, on_progress: Progress | None, on_retry: Callable[[str], object] | None) -> None:
        self._size = size
        self._done = 0
        self._part = 0
        self._on_progress = on_progress
        self.retry = on_retry or (lambda text: None)

    def begin(self) -> Callable[[int], object]:
        self._part = 0
        return self._advance

    def keep(self, count: int) -> None:
        self._done += count
        self._part = 0
        self._show()

    def _advance(self, count: int) -> None:
        self._part += count
        self._show()

    def _show(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._done + self._part, self._size)


def _md5(stream: IO[bytes], part: _Segment) -> str:
    # Swift's own check sum, no signature.
    digest = hashlib.md5(usedforsecurity=False)
    data = FilePart(stream, part.offset, part.length)
    while piece := data.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def sign_temp_url(url: str, key: str, expires: int, method: str = "GET") -> str:
    """A temporary address, by Swift's middleware `tempurl`: HMAC-SHA1 over method, time and path."""
    path = urlsplit(url).path
    signature = hmac.new(key.encode(), f"{method}\n{expires}\n{path}".encode(), hashlib.sha1).hexdigest()
    return f"{url}?temp_url_sig={signature}&temp_url_expires={expires}"
