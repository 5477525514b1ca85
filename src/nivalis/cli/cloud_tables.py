"""Tables of clouds, as the `brightbox` command prints them.

A list has a blank line, a header that is indented by one space, two spaces between columns, and dashes above and below the rows.  One that
is simple has tabs and no header, for other programs.  What is shown in full has a line for each field, with the names flush right.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Row", "format_details", "format_json", "format_list", "words"]

Row = Mapping[str, object]


def words(value: object) -> str:
    """A value as it is shown."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return ", ".join(words(one) for one in value)
    return str(value).replace("\t", " ").replace("\n", " ")


def format_list(columns: Sequence[str], rows: Sequence[Row], *, simple: bool) -> str:
    """A table of `columns`, which are keys of the rows and their headings."""
    cells = [[words(row.get(column)) for column in columns] for row in rows]
    if simple:
        return "".join("\t".join(line) + "\n" for line in cells)
    widths = [max(len(heading), *(len(line[number]) for line in cells)) if cells else len(heading) for number, heading in enumerate(columns)]

    def line_of(values: Sequence[str]) -> str:
        return " " + "  ".join(value.ljust(width) for value, width in zip(values, widths, strict=True)).rstrip()

    rule = "-" * (sum(widths) + 2 * len(widths))
    return "\n".join(["", line_of(columns), rule, *(line_of(line) for line in cells), rule, ""]) + "\n"


def format_details(columns: Sequence[str], rows: Sequence[Row], *, simple: bool) -> str:
    """Each row in full."""
    if simple:
        return "\n".join("".join(f"{column}\t{words(row.get(column))}\n" for column in columns) for row in rows)
    width = max(map(len, columns))
    blocks = ["".join(f"{column:>{width}}: {words(row.get(column))}".rstrip() + "\n" for column in columns) for row in rows]
    return "\n".join(blocks)


def format_json(value: Any) -> str:
    """Dataclasses, and lists of them, as JSON."""
    return json.dumps(value, indent=2, default=_plain) + "\n"


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
