"""What the tour says: a line for each step and command, how things go, what was seen; at the end a summary.

All talk goes to standard error.  On a terminal the last line shows what the running command says, and for how long it has run; elsewhere a
line does every so often.  The summary is the result, and goes to standard output, as JSON if that is wanted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

__all__ = ["Result", "Show", "Summary", "format_summary"]

_TICK, _PIPE_EVERY = 0.2, 30.0
# What terminals are told, and other control characters.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Result:
    """How a step went: its number in the walk, what it is, how many seconds it took."""

    number: int
    title: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Summary:
    """How the tour went.

    `clean` is the command that removes what is in `folder`.  `address`, `ssh` and `stop` are of a server that was left running, else empty.
    """

    results: tuple[Result, ...]
    seconds: float
    accelerator: str
    folder: str
    clean: str
    address: str = ""
    ssh: str = ""
    stop: str = ""


class Show:
    """Where talk goes."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._is_terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colour = self._is_terminal and not os.environ.get("NO_COLOR")
        self._lock = threading.Lock()
        self._doing = ""
        self._began = self._last = time.monotonic()

    def step(self, number: int, title: str) -> None:
        self._print(f"\n{self._paint('1', f'{number:2}  {title}')}")

    def command(self, text: str) -> None:
        """A command that is run, as it can be typed."""
        for line in text.splitlines():
            self._print(f"    $ {self._paint('36', line)}")

    def seen(self, text: str) -> None:
        """What a user sees."""
        for line in text.splitlines():
            self._print(f"      {line}")

    def good(self, text: str) -> None:
        """What was checked, and holds."""
        self._print(f"    {self._paint('32', '✓')} {text}")

    def say(self, text: str) -> None:
        for line in textwrap.wrap(text, 116):
            self._print(f"    {line}")

    def blank(self) -> None:
        self._print("")

    def failed(self, text: str) -> None:
        for index, line in enumerate(text.splitlines()):
            self._print(f"    {self._paint('31', '✗') if index == 0 else ' '} {line}")

    def progress(self, line: str) -> None:
        """The last that a running command has said."""
        self._doing = _CONTROL.sub("", line).strip() or self._doing

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show for how long something has been going on, and the last it has said."""
        self._doing, self._began = what, time.monotonic()
        self._last = self._began
        done = threading.Event()
        thread = threading.Thread(target=self._tick, args=(done,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with self._lock:
                self._clear()

    # ---- the line that changes ----

    def _tick(self, done: threading.Event) -> None:
        while not done.wait(_TICK):
            seconds = time.monotonic() - self._began
            text = f"      {seconds:4.0f} s  {self._doing}"
            with self._lock:
                if self._is_terminal:
                    self._stream.write(f"\r\033[K{text[: shutil.get_terminal_size().columns - 1]}")
                    self._stream.flush()
                elif time.monotonic() - self._last >= _PIPE_EVERY:
                    self._last = time.monotonic()
                    print(text[:140], file=self._stream, flush=True)

    def _print(self, text: str) -> None:
        with self._lock:
            self._clear()
            print(text, file=self._stream, flush=True)

    def _clear(self) -> None:
        if self._is_terminal:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _paint(self, colour: str, text: str) -> str:
        return f"\033[{colour}m{text}\033[m" if self._has_colour else text


def format_summary(summary: Summary, *, as_json: bool) -> str:
    """The text of a summary."""
    if as_json:
        return json.dumps(asdict(summary), indent=2)
    width = max(len(one.title) for one in summary.results)
    lines = [f"{one.number:4}  {one.title:<{width}}  {one.seconds:6.1f} s" for one in summary.results]
    lines.append(f"{'':4}  {'in all':<{width}}  {summary.seconds:6.1f} s, machines under {summary.accelerator}")
    if summary.address:
        lines += ["", f"The page:   {summary.address}", f"The server: {summary.ssh}", f"Stop it:    {summary.stop}"]
    lines += ["", f"Packages stay in {summary.folder} for the next time; `{summary.clean}` takes them away."]
    return "\n".join(lines)
