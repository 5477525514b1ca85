"""Names for which several packages may stand: `awk`, `editor`, `cc`.

On Debian the packages' scripts say so to `update-alternatives`, which links the name to whichever has the highest priority.  Scripts do not
run here, but nearly all of them say it by a plain command, perhaps in a loop over names or with a variable set to a plain word, and that much
of a shell's language is read.  What cannot be read so is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice, product
from typing import TypedDict

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

_ASSIGNMENT = re.compile(r"""\s*(\w+)=('[^']*'|"[^"]*"|[^\s;'"]*)\s*;?""")
_LOOP = re.compile(r"\s*for\s+(\w+)\s+in\s+([^;]*?)\s*(;\s*do)?\s*")
_DONE = re.compile(r"\s*done\b.*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_NUMBER = re.compile(r"-?[0-9]{1,9}")
_ENDS = frozenset({";", "&&", "||", "|", "then", "fi", "done", "&"})
_MOST_ROUNDS = 1000
_LONGEST_VALUE = 4096


def parse_script(script: str) -> list[Alternative]:
    """The alternatives that a maintainer script installs by commands whose words are known."""
    if "update-alternatives" not in script:
        return []
    found = []
    variables: dict[str, str] = {}
    loops: list[tuple[str, list[str]]] = []
    for line in script.replace("\\\n", " ").split("\n"):
        if assignment := _ASSIGNMENT.fullmatch(line):
            # Values that contain one another could grow without end.
            variables[assignment[1]] = _substituted(assignment[2].strip("\"'"), variables)[:_LONGEST_VALUE]
        elif loop := _LOOP.fullmatch(line):
            loops.append((loop[1], _substituted(loop[2], variables).split()))
        elif _DONE.fullmatch(line) and loops:
            loops.pop()
        elif "--install" in (words := _command(line)):
            for values in islice(product(*(words for _, words in loops)), _MOST_ROUNDS):
                known = variables | dict(zip((name for name, _ in loops), values, strict=True))
                alternative = _parse([_substituted(word, known) for word in words[words.index("--install") + 1 :]])
                if alternative is not None:
                    found.append(alternative)
    return found


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda name: variables.get(name[1] or name[2], name[0]), text)


def _command(line: str) -> list[str]:
    """The words of the command `update-alternatives` in a line, if there is one."""
    words = line.split()
    starts = [index for index, word in enumerate(words) if word.rpartition("/")[2] == "update-alternatives"]
    found = []
    for word in words[starts[0] + 1 :] if starts and not words[0].startswith("#") else []:
        if word in _ENDS:
            break
        found.append(word.rstrip(";").strip("\"'"))
        if word.endswith(";"):
            break
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
    plain = [pair for pair in links if all(path.startswith("/") and not set(path) & set("$`*(){}") for path in pair)]
    if links[0] not in plain:
        return None
    return {"name": words[1], "priority": int(words[3]), "links": plain}
