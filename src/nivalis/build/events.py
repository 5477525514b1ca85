"""What happens while things are built, as data: a union of frozen dataclasses, and the one seam that hears them.

Events come from several threads, one at a time (`one_at_a_time` makes sure of it where several parties tell).  A listener must not raise
and should be quick.  `as_json` is the form of `--json-events`: one object a line, whose `event` is the class's name in lower case with dashes.
"""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "BuildFailed",
    "BuildFinished",
    "BuildLine",
    "BuildStarted",
    "CacheFailed",
    "Event",
    "FetchFinished",
    "FetchProgress",
    "FetchStarted",
    "FetchWaiting",
    "Listener",
    "PlanMade",
    "Waiting",
    "as_json",
    "one_at_a_time",
]


@dataclass(frozen=True, slots=True)
class PlanMade:
    """What will be built (derivations) and fetched (store paths), before anything is; sizes are in bytes."""

    builds: tuple[str, ...]
    fetches: tuple[str, ...]
    download_size: int = 0
    unpacked_size: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process is building the same paths."""

    derivation: str


@dataclass(frozen=True, slots=True)
class FetchWaiting:
    """Another process is fetching or building the same path."""

    path: str


@dataclass(frozen=True, slots=True)
class BuildStarted:
    derivation: str


@dataclass(frozen=True, slots=True)
class BuildLine:
    """A line of a builder's output, without its end."""

    derivation: str
    text: str


@dataclass(frozen=True, slots=True)
class BuildFinished:
    """`seconds` is 0 where another process has built it meanwhile."""

    derivation: str
    outputs: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class BuildFailed:
    derivation: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class FetchStarted:
    """`size` is that of the file, in bytes, where it is known."""

    path: str
    cache: str
    size: int | None


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """So many bytes of the file have come, which is a binary cache's or that of a derivation which only fetches."""

    path: str
    received: int
    size: int | None


@dataclass(frozen=True, slots=True)
class FetchFinished:
    path: str


@dataclass(frozen=True, slots=True)
class CacheFailed:
    """Something is wrong with a binary cache, or with what it says; work goes on without it."""

    cache: str
    code: str
    message: str


Event: TypeAlias = (
    PlanMade
    | Waiting
    | BuildStarted
    | BuildLine
    | BuildFinished
    | BuildFailed
    | FetchWaiting
    | FetchStarted
    | FetchProgress
    | FetchFinished
    | CacheFailed
)
Listener: TypeAlias = Callable[[Event], object]


def as_json(event: Event) -> str:
    """One line, without its end."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()
    return json.dumps({"event": name, **dataclasses.asdict(event)}, ensure_ascii=True)


def one_at_a_time(listen: Listener) -> Listener:
    """A listener that any number of threads may call."""
    mutex = threading.Lock()

    def hear(event: Event) -> None:
        with mutex:
            listen(event)

    return hear
