"""HTTP/1.1 as a client speaks it: what is sent, and what comes back, as bytes, without a socket.

Purpose: a closure has thousands of files of a few hundred bytes, and there what a general library does for each answer would be most of the work.
Here an answer is a head, found by its end, and a body, whose end is a length, the last of its chunks, or that of the connection.

Everything that comes is foreign: heads, lines and lengths are bounded, and what cannot be read as HTTP is a WireError.  Not here: sockets, times,
redirections, what a status means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Body", "Head", "WireError", "make_request", "take_head"]

_MAX_HEAD = 1 << 16
_MAX_LINE = 1 << 12
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(r"HTTP/1\.([0-9]) ([0-9]{3})(?: (.*))?")
_TARGET = re.compile(r"[!-~]+")


class WireError(Exception):
    """What a server sends is not HTTP, or ends too early."""


class Head(NamedTuple):
    """The head of an answer.  The names of headers are in lower case; `is_kept`: the connection can be used again after the body."""

    status: int
    reason: str
    headers: Mapping[str, str]
    is_kept: bool


def make_request(target: str, host: str, headers: Mapping[str, str]) -> bytes:
    """A GET.  Raises WireError for a target that no request can have."""
    if not _TARGET.fullmatch(target):
        raise WireError("illegal characters in the address")
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def take_head(buffer: bytearray) -> Head | None:
    """Take the head of an answer out of what has come; None where it is not complete.  Raises WireError."""
    while True:
        end = _HEAD_END.search(buffer)
        if end is None or end.start() > _MAX_HEAD:
            if len(buffer) > _MAX_HEAD:
                raise WireError("headers without end")
            return None
        lines = buffer[: end.start()].decode("latin-1").replace("\r\n", "\n").split("\n")
        del buffer[: end.end()]
        head = _read_head(lines)
        # Those below 200 are only news of the answer to come.
        if head.status >= 200:
            return head


def _read_head(lines: list[str]) -> Head:
    status = _STATUS.fullmatch(lines[0])
    if status is None:
        raise WireError("not an answer of HTTP")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise WireError("two lengths")
        headers[name] = value
    said = headers.get("connection", "").lower()
    return Head(int(status[2]), status[3] or "", headers, "close" not in said if status[1] != "0" else "keep-alive" in said)


class Body:
    """The body that follows a head: takes what has come of it out of a buffer."""

    def __init__(self, head: Head) -> None:
        """Raises WireError."""
        # What is missing: of the body, or of the chunk.  None: it ends with the connection.
        self.missing: int | None = None
        self.is_complete = False
        self._coding = head.headers.get("transfer-encoding", "identity").lower()
        # Of chunks: whether an empty line comes next, or (in bytes, so far) the trailer.
        self._ends_chunk = False
        self._trailer: int | None = None
        length = head.headers.get("content-length")
        if self._coding == "chunked":
            self.missing = 0
        elif self._coding != "identity":
            raise WireError(f"unknown transfer encoding `{self._coding[:100]}`")
        elif head.status in (204, 304):
            self.missing, self.is_complete = 0, True
        elif length is not None:
            if not (length.isascii() and length.isdigit() and len(length) < 19):
                raise WireError("nonsensical length")
            self.missing = int(length)
            self.is_complete = self.missing == 0

    @property
    def has_end(self) -> bool:
        """Whether it ends before the connection does."""
        return self.missing is not None

    @property
    def has_length(self) -> bool:
        """Whether the length of all of it was said."""
        return self.missing is not None and self._coding != "chunked"

    def take(self, buffer: bytearray, most: int = 1 << 30) -> bytes:
        """What `buffer` begins with of the body, at most so many bytes.  Raises WireError."""
        if self._coding == "chunked":
            return self._take_chunks(buffer, most)
        if self.missing is not None:
            most = min(most, self.missing)
            self.missing -= min(most, len(buffer))
            self.is_complete = self.missing == 0
        return _take(buffer, most)

    def is_all_of(self, data: bytes) -> bool:
        """Whether all of `data`, which has just come after what was taken, is of the body; then it counts as taken, and need not be copied."""
        if not data or not self.has_length or self.missing is None or len(data) > self.missing:
            return False
        self.missing -= len(data)
        self.is_complete = self.missing == 0
        return True

    def end(self) -> None:
        """The connection has ended, which is the end of a body that has no other.  Raises WireError for others."""
        if self.has_length:
            raise WireError(f"{self.missing} bytes are missing")
        if self.missing is not None:
            raise WireError("the last chunk is missing")
        self.is_complete = True

    def _take_chunks(self, buffer: bytearray, most: int) -> bytes:
        pieces = []
        while most and not self.is_complete:
            if self.missing:
                piece = _take(buffer, min(most, self.missing))
                if not piece:
                    break
                pieces.append(piece)
                most -= len(piece)
                self.missing -= len(piece)
                self._ends_chunk = self.missing == 0
                continue
            end = buffer.find(b"\n", 0, _MAX_LINE)
            if end < 0:
                if len(buffer) >= _MAX_LINE:
                    raise WireError("a chunk's size without end")
                break
            self._read_line(bytes(buffer[:end]).strip())
            del buffer[: end + 1]
        return b"".join(pieces)

    def _read_line(self, line: bytes) -> None:
        if self._trailer is not None:
            self._trailer += len(line) + 2
            if self._trailer > _MAX_HEAD:
                raise WireError("headers without end")
            self.is_complete = not line
        elif self._ends_chunk:
            if line:
                raise WireError("a chunk without end")
            self._ends_chunk = False
        else:
            digits = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", digits):
                raise WireError("a chunk without size")
            self.missing = int(digits, 16)
            if not self.missing:
                self._trailer = 0


def _take(buffer: bytearray, count: int) -> bytes:
    if count >= len(buffer):
        data = bytes(buffer)
        buffer.clear()
    else:
        data = bytes(buffer[:count])
        del buffer[:count]
    return data
