"""The format of Debian's control files: paragraphs of `Field: value`, with continued lines (deb822(5)).

For the small files: a Release, a .sources file of apt, a control file.  An index of packages is sixty thousand paragraphs, and has a faster
reader of its own in `index`.
"""

from __future__ import annotations

from collections.abc import Iterator

from nivalis.debian.errors import ControlError

__all__ = ["paragraphs"]


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Each paragraph's fields, by name in lower case; a continued value keeps its line ends, without the blank before each line.

    Lines that begin with `#` are comments.  Raises ControlError.
    """
    fields: dict[str, str] = {}
    name = ""
    for number, line in enumerate([*text.split("\n"), ""], 1):
        line = line.removesuffix("\r")
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            if not name:
                raise ControlError(f"line continues nothing: `{line.strip()}`", where=f"line {number}")
            fields[name] += f"\n{line[1:]}"
        else:
            name, colon, value = line.partition(":")
            name = name.strip().lower()
            if not colon or not name:
                raise ControlError(f"not a field: `{line}`", where=f"line {number}")
            if name in fields:
                raise ControlError(f"field twice in one paragraph: `{name}`", where=f"line {number}")
            fields[name] = value.strip()
