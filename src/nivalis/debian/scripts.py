"""What maintainer scripts say by plain commands, though no script runs here.

Nearly all of them say it by a command on a line, perhaps in a loop over names or with a variable set to a plain word, and that much of a
shell's language is read.  What cannot be read so is passed over; conditions are taken to hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice, product

__all__ = ["is_plain", "read_commands"]

_ASSIGNMENT = re.compile(r"""\s*(\w+)=('[^']*'|"[^"]*"|[^\s;'"]*)\s*;?""")
_LOOP = re.compile(r"\s*for\s+(\w+)\s+in\s+([^;]*?)\s*(;\s*do)?\s*")
_DONE = re.compile(r"\s*done\b.*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ENDS = frozenset({";", "&&", "||", "|", "then", "fi", "done", "&"})
_MOST_ROUNDS = 1000
_LONGEST_VALUE = 4096


def read_commands(script: str, program: str) -> Iterator[list[str]]:
    """The words after the name of `program`, wherever the script runs it."""
    if program not in script:
        return
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
        elif words := _command(line, program):
            for values in islice(product(*(words for _, words in loops)), _MOST_ROUNDS):
                known = variables | dict(zip((name for name, _ in loops), values, strict=True))
                yield [_substituted(word, known) for word in words]


def is_plain(path: str) -> bool:
    """Whether a word is an absolute path in which nothing is left for a shell to do."""
    return path.startswith("/") and not set(path) & set("$`*(){}")


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda name: variables.get(name[1] or name[2], name[0]), text)


def _command(line: str, program: str) -> list[str]:
    """The words of a program's command in a line, if there is one."""
    words = line.split()
    starts = [index for index, word in enumerate(words) if word.rpartition("/")[2] == program]
    found = []
    for word in words[starts[0] + 1 :] if starts and not words[0].startswith("#") else []:
        if word in _ENDS:
            break
        found.append(word.rstrip(";").strip("\"'"))
        if word.endswith(";"):
            break
    return found
