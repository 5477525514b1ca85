"""Progress of downloads on stderr: a line that is drawn anew on a terminal, and now and then a plain line elsewhere.

What takes less than a moment shows nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

__all__ = ["DownloadProgress"]

_MIB = 1 << 20
# Seconds from one drawing to the next: on a terminal, and elsewhere, where what is written stays.
_TERMINAL, _PLAIN = 0.1, 10.0


class DownloadProgress:
    """Shows how far a download is; `advance` is the `on_progress` of `download`, `retry` its `on_retry`."""

    def __init__(self, what: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._stream = stream or sys.stderr
        self._clock = clock
        self._is_terminal = self._stream.isatty()
        self._started = self._shown = clock()
        self._is_drawn = False

    def advance(self, received: int, expected: int | None) -> None:
        """So many bytes have come, of so many, if that is known."""
        now = self._clock()
        if now - self._shown < (_TERMINAL if self._is_terminal else _PLAIN):
            return
        self._shown = now
        size = f"{received / _MIB:.1f}" if expected is None else f"{received / _MIB:.1f}/{expected / _MIB:.1f}"
        line = f"[{size} MiB, {received / _MIB / (now - self._started):.1f} MiB/s] {self._what}"
        if self._is_terminal:
            import shutil

            self._stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
            self._is_drawn = True
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def retry(self, text: str) -> None:
        """It failed, and is tried again."""
        self.close()
        print(f"warning: {text}", file=self._stream, flush=True)

    def close(self) -> None:
        """Take the drawn line away."""
        if self._is_drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._is_drawn = False
