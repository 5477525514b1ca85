"""configuration.nix(5): a manual page of all options, from their data.

It runs as a builder.  The variable `optionsPath` names a file of JSON, a list of options with their name, type, description, default, example and
the modules that declare them.  The page is written in the macros of man(7); in descriptions `code` becomes bold.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from typing import Any

_HEAD = """.TH "CONFIGURATION.NIX" "5" "" "{version}" "Options of systems"
.SH "NAME"
configuration.nix \\- what a system is
.SH "DESCRIPTION"
The file \\fB/etc/nixos/configuration.nix\\fR says what this machine is, as values of the options below; \\fBnixos-rebuild switch\\fR makes it so.
.SH "OPTIONS"
"""


def main() -> None:
    variables = os.environ
    with open(variables["optionsPath"], encoding="utf-8") as file:
        options = json.load(file)
    text = _HEAD.format(version=_escape(variables["version"])) + "".join(map(_write_option, options))
    folder = f"{variables['out']}/share/man/man5"
    os.makedirs(folder)
    with open(f"{folder}/configuration.nix.5.gz", "wb") as page:
        page.write(gzip.compress(text.encode(), 9, mtime=0))


def _write_option(option: dict[str, Any]) -> str:
    lines = [".PP", f"\\fB{_escape(option['name'])}\\fR", ".RS 4", _write_text(option["description"] or "")]
    kind = option["type"] + (" (read only)" if option["readOnly"] else "")
    lines += [".sp", f"\\fIType:\\fR {_escape(kind)}"]
    for title, key in (("Default", "default"), ("Example", "example")):
        if option[key] is not None:
            lines += [".sp", f"\\fI{title}:\\fR", *_write_code(option[key])]
    if option["declarations"]:
        lines += [".sp", "\\fIDeclared in:\\fR"]
        lines += [line for place in option["declarations"] for line in (".br", f"{_escape(place)}")]
    return "\n".join([*lines, ".RE", ""])


def _write_text(text: str) -> str:
    """Paragraphs, with what is between backticks in bold."""
    parts = re.split(r"`([^`]*)`", text.strip())
    marked = "".join(f"\\fB{_escape(part)}\\fR" if index % 2 else _escape(part) for index, part in enumerate(parts))
    return re.sub(r"\n\s*\n", "\n.sp\n", _guard(marked))


def _write_code(text: str) -> list[str]:
    if "\n" not in text:
        return [f"\\fB{_escape(text)}\\fR"]
    return [".RS 4", ".nf", _guard(_escape(text)), ".fi", ".RE"]


def _escape(text: str) -> str:
    """Text for roff, in which a backslash begins an escape, and a dash is a hyphen."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def _guard(text: str) -> str:
    """Lines that begin as a request would."""
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
