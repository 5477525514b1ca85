"""What happens while things are built, as data: a union of named tuples, and the one seam that hears them.

Events come from several threads, one at a time (`one_at_a_time` makes sure of it where several parties tell).  A listener must not raise
and should be quick.  `as_json` is the form of `--json-events`: one object a line, whose `event` is the class's name in lower case with dashes.

Named tuples, here and in other modules that a build needs, since dataclasses take so long to load as a small build takes.  So events of two
classes may be equal: what an event is, its class says.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

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


class PlanMade(NamedTuple):
    """What will be built (derivations) and fetched (store paths), before anything is; sizes are in bytes."""

    builds: tuple[str, ...]
    fetches: tuple[str, ...]
    download_size: int = 0
    unpacked_size: int = 0


class Waiting(NamedTuple):
    """Another process is building the same paths."""

    derivation: str


class FetchWaiting(NamedTuple):
    """Another process is fetching or building the same path."""

    path: str


class BuildStarted(NamedTuple):
    derivation: str


class BuildLine(NamedTuple):
    """A line of a builder's output, without its end."""

    derivation: str
    text: str


class BuildFinished(NamedTuple):
    """`seconds` is 0 where another process has built it meanwhile."""

    derivation: str
    outputs: tuple[str, ...]
    seconds: float


class BuildFailed(NamedTuple):
    derivation: str
    code: str
    message: str


class FetchStarted(NamedTuple):
    """`size` is that of the file, in bytes, where it is known."""

    path: str
    cache: str
    size: int | None


class FetchProgress(NamedTuple):
    """So many bytes of the file have come, which is a binary cache's or that of a derivation which only fetches."""

    path: str
    received: int
    size: int | None


class FetchFinished(NamedTuple):
    path: str


class CacheFailed(NamedTuple):
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
    return json.dumps({"event": name, **event._asdict()}, ensure_ascii=True)


def one_at_a_time(listen: Listener) -> Listener:
    """A listener that any number of threads may call."""
    mutex = threading.Lock()

    def hear(event: Event) -> None:
        with mutex:
            listen(event)

    return hear
