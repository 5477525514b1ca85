"""Names for which several packages may stand: `awk`, `editor`, `cc`.

On Debian the packages' scripts say so to `update-alternatives`, which links the name to whichever has the highest priority.  Scripts do not
run here, but nearly all of them say it by a plain command, which can be read.  What is said by shell loops and variables is in a table.
"""

from __future__ import annotations

from typing import TypedDict

__all__ = ["TABLE", "Alternative", "parse_script"]


class Alternative(TypedDict):
    """One package's offer for a name: where links are and what they lead to, absolute paths, the first being the one that counts."""

    name: str
    priority: int
    links: list[tuple[str, str]]


def _rows(priority: int, path: str, *names: str) -> list[Alternative]:
    return [{"name": name, "priority": priority, "links": [(f"/usr/bin/{name}", path)]} for name in names]


# What scripts say in ways that cannot be read; taken where the path is there.
TABLE: list[Alternative] = [
    *_rows(30, "/usr/bin/vim.basic", "vi", "view", "ex", "vim", "vimdiff", "rvim", "rview", "editor"),
    *_rows(50, "/usr/bin/vim.nox", "vi", "view", "ex", "vim", "vimdiff", "rvim", "rview", "editor"),
    *_rows(50, "/usr/bin/vim.gtk3", "vi", "view", "ex", "vim", "vimdiff", "rvim", "rview", "editor"),
    *_rows(15, "/usr/bin/vim.tiny", "vi", "view", "ex", "rview", "editor"),
    # dash, which every system has, ships the name itself.
    *_rows(1, "/usr/bin/bash", "sh"),
]

_ENDS = frozenset({";", "&&", "||", "|", "then", "fi", "done", "&"})


def parse_script(script: str) -> list[Alternative]:
    """The alternatives that a maintainer script installs by commands without variables."""
    if "update-alternatives" not in script:
        return []
    found = []
    for line in script.replace("\\\n", " ").split("\n"):
        words = _words(line)
        if "--install" in words:
            alternative = _parse(words[words.index("--install") + 1 :])
            if alternative is not None:
                found.append(alternative)
    return found


def _words(line: str) -> list[str]:
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
    if len(words) < 4 or not words[3].lstrip("-").isdigit():
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
