"""Progress: build events as a user reads them, on a terminal or on a pipe.

Both renderers write lines that stay: what will be done, what begins, what builders say.  On a terminal the last line shows how far
things are, and is drawn anew with each event; nothing else is redrawn, so that scrolling back shows what a pipe would have got.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from nivalis.build.events import (
    BuildFailed,
    BuildFinished,
    BuildLine,
    BuildStarted,
    CacheFailed,
    Event,
    FetchFinished,
    FetchProgress,
    FetchStarted,
    FetchWaiting,
    PlanMade,
    Waiting,
    as_json,
)
from nivalis.store.paths import derivation_name

__all__ = ["JsonRenderer", "PlainRenderer", "Renderer", "TerminalRenderer", "describe_plan"]


class Renderer(Protocol):
    """Who shows events."""

    def handle(self, event: Event) -> None: ...

    def close(self) -> None: ...


def describe_plan(builds: Sequence[str], fetches: Sequence[str], download_size: int = 0, unpacked_size: int = 0) -> list[str]:
    """The lines that say what will be done, in the words of CppNix."""
    lines = []
    if builds:
        lines.append("this derivation will be built:" if len(builds) == 1 else f"these {len(builds)} derivations will be built:")
        lines += [f"  {path}" for path in builds]
    if fetches:
        what = "this path" if len(fetches) == 1 else f"these {len(fetches)} paths"
        lines.append(f"{what} will be fetched ({_mib(download_size)} download, {_mib(unpacked_size)} unpacked):")
        lines += [f"  {path}" for path in fetches]
    return lines


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.2f} MiB"


class JsonRenderer:
    """One JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def handle(self, event: Event) -> None:
        print(as_json(event), file=self._stream, flush=True)

    def close(self) -> None:
        return


class PlainRenderer:
    """Plain lines.  `shows_output` shows what builders say, and `names_builds` which of them says it."""

    def __init__(self, stream: TextIO, *, shows_output: bool = True, names_builds: bool = False) -> None:
        self._stream = stream
        self._shows_output = shows_output
        self._names_builds = names_builds

    def handle(self, event: Event) -> None:
        for line in self._lines(event):
            self._write(line)
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()

    def _write(self, line: str) -> None:
        print(line, file=self._stream)

    def _lines(self, event: Event) -> list[str]:
        match event:
            case PlanMade():
                return describe_plan(event.builds, event.fetches, event.download_size, event.unpacked_size)
            case BuildStarted(derivation):
                return [f"building '{derivation}'..."]
            case BuildLine(derivation, text):
                if not self._shows_output:
                    return []
                return [f"{derivation_name(derivation)}> {text}" if self._names_builds else text]
            case Waiting(derivation):
                return [f"waiting for another process that builds '{derivation}'..."]
            case FetchWaiting(path):
                return [f"waiting for another process that makes '{path}'..."]
            case FetchStarted(path, cache):
                return [f"copying path '{path}' from '{cache}'..."]
            case CacheFailed(cache, code, message):
                return [f"warning: [{code}] {message}; going on without it" + ("" if cache in message else f" ({cache})")]
            case _:
                return []


class TerminalRenderer(PlainRenderer):
    """Plain lines above a line of status."""

    def __init__(self, stream: TextIO, *, shows_output: bool = True, names_builds: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream, shows_output=shows_output, names_builds=names_builds)
        self._clock = clock
        self._started = clock()
        self._total = [0, 0]
        self._done = [0, 0]
        self._failed = 0
        self._running: dict[str, float] = {}
        # Bytes to come, bytes that came, and of downloads that are not complete by path.
        self._bytes = [0, 0]
        self._partial: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def handle(self, event: Event) -> None:
        self._count(event)
        self._stream.write("\r\x1b[K")
        super().handle(event)
        self._stream.write(self._status())
        self._stream.flush()

    def close(self) -> None:
        self._stream.write("\r\x1b[K")
        super().close()

    def _count(self, event: Event) -> None:
        match event:
            case PlanMade(builds, fetches):
                self._total[0] += len(builds)
                self._total[1] += len(fetches)
                self._bytes[0] += event.download_size
            case BuildStarted(derivation):
                self._running[derivation] = self._clock()
            case BuildFinished(derivation, outputs):
                self._running.pop(derivation, None)
                self._done[0] += 1
                self._bytes[1] += sum(self._partial.pop(path, 0) for path in outputs)
            case BuildFailed(derivation):
                self._running.pop(derivation, None)
                self._failed += 1
            case FetchStarted(path, _, size):
                self._sizes[path] = size or 0
            case FetchProgress(path, received):
                self._partial[path] = received
            case FetchFinished(path):
                self._partial.pop(path, None)
                self._bytes[1] += self._sizes.pop(path, 0)
                self._done[1] += 1

    def _status(self) -> str:
        parts = [f"{self._done[0]}/{self._total[0]} built"]
        received = self._bytes[1] + sum(self._partial.values())
        if self._total[1]:
            parts.append(f"{self._done[1]}/{self._total[1]} fetched, {received / (1 << 20):.1f}/{_mib(self._bytes[0])}")
        elif received:
            parts.append(f"{_mib(received)} fetched")
        if self._failed:
            parts.append(f"{self._failed} failed")
        now = self._clock()
        parts += [f"{derivation_name(path)} {now - since:.0f} s" for path, since in self._running.items()]
        import shutil  # takes a while to load

        width = shutil.get_terminal_size().columns
        return f"[{', '.join(parts)}]"[: width - 1]
