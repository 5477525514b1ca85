"""The address of a Debian suite as a channel: which suite, which parts of it, for which architecture.  Where it is fetched from is not in it.

It is light to import: whoever lists channels loads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from nivalis.debian.errors import DebianError

__all__ = ["PREFIX", "DebianAddress"]

PREFIX = "debian:"
_SUITE = re.compile(r"[a-z][a-z0-9-]*")
_WORD = re.compile(r"[a-z0-9][a-z0-9-]*")
# These are not released, and have no pockets.
_ROLLING = frozenset({"sid", "unstable", "experimental", "rc-buggy"})
_POCKETS = ("", "-updates", "-security")


@dataclass(frozen=True, slots=True)
class DebianAddress:
    """A channel's address: `debian:bookworm`, or `debian:bookworm?component=main,contrib&arch=arm64`.

    Without an architecture it is that of the system that asks.
    """

    suite: str
    components: tuple[str, ...] = ("main",)
    architecture: str = ""

    @classmethod
    def parse(cls, address: str) -> DebianAddress:
        """Raises DebianError."""
        suite, _, query = address.removeprefix(PREFIX).partition("?")
        try:
            words = parse_qs(query, strict_parsing=True) if query else {}
        except ValueError:
            words = {"?": []}
        components = tuple(dict.fromkeys(part for value in words.pop("component", ["main"]) for part in value.split(",")))
        architecture = words.pop("arch", [""])[-1]
        parts = [*components, *([architecture] if architecture else [])]
        if words or not _SUITE.fullmatch(suite) or suite.endswith(_POCKETS[1:]) or not all(map(_WORD.fullmatch, parts)):
            raise DebianError(
                f"not the address of a Debian suite: `{address}`",
                code="invalid-suite",
                hint="it is `debian:bookworm` or `debian:bookworm?component=main,contrib&arch=arm64`; updates are joined by themselves",
            )
        return cls(suite, components, architecture)

    def __str__(self) -> str:
        words = []
        if self.components != ("main",):
            words.append(f"component={','.join(self.components)}")
        if self.architecture:
            words.append(f"arch={self.architecture}")
        return f"{PREFIX}{self.suite}{'?' if words else ''}{'&'.join(words)}"

    @property
    def pockets(self) -> list[str]:
        return [self.suite] if self.suite in _ROLLING else [self.suite + pocket for pocket in _POCKETS]
