"""Names for which several packages may stand: `awk`, `editor`, `cc`.

On Debian the packages' scripts say so to `update-alternatives`, which links the name to whichever has the highest priority.  What they say is
read (`nivalis.debian.scripts`).
"""

from __future__ import annotations

import re
from typing import TypedDict

from nivalis.debian.scripts import is_plain, read_commands

__all__ = ["TABLE", "Alternative", "parse_script"]


class Alternative(TypedDict):
    """One package's offer for a name: where links are and what they lead to, absolute paths, the first being the one that counts."""

    name: str
    priority: int
    links: list[tuple[str, str]]


# What no script says.
TABLE: list[Alternative] = [
    # dash, which every system has, ships the name itself.
    {"name": "sh", "priority": 1, "links": [("/usr/bin/sh", "/usr/bin/bash")]},
]

_NUMBER = re.compile(r"-?[0-9]{1,9}")


def parse_script(script: str) -> list[Alternative]:
    """The alternatives that a maintainer script installs by commands whose words are known."""
    found = []
    for words in read_commands(script, "update-alternatives"):
        if "--install" in words and (alternative := _parse(words[words.index("--install") + 1 :])) is not None:
            found.append(alternative)
    return found


def _parse(words: list[str]) -> Alternative | None:
    """`link name path priority`, and `--slave link name path` any number of times."""
    if len(words) < 4 or not _NUMBER.fullmatch(words[3]):
        return None
    links = [(words[0], words[2])]
    rest = words[4:]
    for index, word in enumerate(rest):
        if word == "--slave" and len(rest) > index + 3:
            links.append((rest[index + 1], rest[index + 3]))
    plain = [pair for pair in links if all(map(is_plain, pair))]
    if links[0] not in plain:
        return None
    return {"name": words[1], "priority": int(words[3]), "links": plain}
