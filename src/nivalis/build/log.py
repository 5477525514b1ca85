"""The log of a running build, written to where `nivalis.store.logs` finds it; compressed as it comes."""

from __future__ import annotations

import bz2
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from types import TracebackType

__all__ = ["BuildLog"]

# A line that is longer is shown up to here, though the log has all of it: what builders say has no bounds.
_LONGEST_LINE = 1 << 16


class BuildLog:
    """The log of a running build: written to its file, and its last lines kept."""

    def __init__(self, place: Path | None, *, compress: bool, lines: int) -> None:
        """`place` is that of `nivalis.store.logs.log_place`; None keeps no file."""
        self.tail: deque[str] = deque(maxlen=max(lines, 1))
        self.size = 0
        self._file: int | None = None
        self._compressor = bz2.BZ2Compressor(1) if compress else None
        self._line = bytearray()
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            name, other = f"{place}.bz2", str(place)
            if not compress:
                name, other = other, name
            # Of an earlier build, which readers would take for this one's.
            with suppress(FileNotFoundError):
                os.unlink(other)
            self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> list[str]:
        """Take what a builder said; the lines that are complete now, as a terminal would leave them."""
        self.size += len(data)
        self._put(self._compressor.compress(data) if self._compressor is not None else data)
        *complete, rest = data.split(b"\n")
        lines = []
        if complete:
            self._append(complete[0])
            lines.append(_shown(self._line))
            self._line.clear()
            # The others are whole, and mostly as they are shown.
            if b"\r" in data:
                lines += [_shown(bytearray(part)) for part in complete[1:]]
            elif len(complete) > 1:
                lines += b"\n".join(complete[1:]).decode("utf-8", "replace").split("\n")
        self._append(rest)
        self.tail.extend(lines)
        return lines

    def close(self) -> list[str]:
        """End the log; a last line that had no end."""
        lines = [_shown(self._line)] if self._line else []
        self.tail.extend(lines)
        self._line.clear()
        if self._file is not None:
            if self._compressor is not None:
                self._put(self._compressor.flush())
            file, self._file = self._file, None
            if file is not None:
                os.close(file)
        return lines

    def __enter__(self) -> BuildLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _append(self, part: bytes) -> None:
        self._line += part
        if len(self._line) > _LONGEST_LINE:
            # What a carriage return has overwritten is never shown, and of the rest the beginning.
            returned = self._line.endswith(b"\r")
            self._line = _visible(self._line)[:_LONGEST_LINE]
            if returned:
                self._line += b"\r"

    def _put(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            # A full disk ends the log, and the builder itself says the rest.
            os.close(self._file)
            self._file = None


def _visible(line: bytearray) -> bytearray:
    # A carriage return begins the line anew.
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _shown(line: bytearray) -> str:
    return _visible(line).decode("utf-8", "replace")
