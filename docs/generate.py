"""Writes the reference pages that follow from the code: `python -m docs.generate`.

`tests/test_docs.py` compares the committed pages with what this makes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

from nivalis import _native
from nivalis.build.events import Event, as_json
from nivalis.settings.table import OPTIONS, SECTIONS

FOLDER = Path(__file__).resolve().parent / "reference"

_ABSENT = """\
Absent on purpose, and not stubbed: everything of flakes (`getFlake` and its kin) and of content-addressed or dynamic derivations
(`outputOf`), `fetchTree`, `fetchMercurial`, `fetchClosure`. A use of one says what to use instead.
"""


def make_builtins() -> str:
    """The page of all builtin functions."""
    lines = [
        "# Builtin functions",
        "",
        f"The language is that of Nix {_native.NIX_VERSION.rsplit('.', 1)[0]}. Each function is an attribute of `builtins`;"
        " `:doc NAME` in `nivalis repl` shows its row.",
        "",
        _ABSENT,
        "| function | what it gives |",
        "|---|---|",
    ]
    for name, arguments, text in sorted(_native.builtin_docs()):
        lines.append(f"| `{' '.join([name, *arguments])}` | {text.replace('|', chr(92) + '|')} |")
    lines += [
        "",
        "Beside them `builtins` has the constants `true`, `false`, `null`, `storeDir`, `nixVersion`, `langVersion`, `nixPath` and,"
        " unless evaluation is pure, `currentSystem` and `currentTime`, and the function `derivation`.",
        "",
    ]
    return "\n".join(lines)


def make_error_codes() -> str:
    """The page of the language's error codes."""
    lines = [
        "# Error codes of the language",
        "",
        "An error is shown as `error[code]: message`, with the place, the source line and, where one is known, a hint. Codes do not change.",
        "`builtins.tryEval` catches `thrown` and `assertion-failed`, and nothing else.",
        "",
        *(f"- `{code}`" for code in sorted(_native.error_codes())),
        "",
    ]
    return "\n".join(lines)


def make_build_events() -> str:
    """The page of what `--json-events` writes."""
    lines = [
        "# Build events",
        "",
        "With `--json-events`, `nix-build` and `nivalis build` say on stderr what happens: one JSON object a line, whose `event` is one of these.",
        "Derivations, paths and outputs are store paths. Further events and fields may come; those that are here stay.",
        "",
        "| event | fields | |",
        "|---|---|---|",
    ]
    for kind in get_args(Event):
        names = list(kind._fields)
        event = json.loads(as_json(kind(*names)))["event"]
        # A named tuple without a docstring has its signature for one.
        text = "" if (kind.__doc__ or "").startswith(f"{kind.__name__}(") else " ".join((kind.__doc__ or "").split())
        lines.append(f"| `{event}` | {', '.join(f'`{name}`' for name in names)} | {text} |")
    return "\n".join([*lines, ""])


_SETTINGS = """\
# Settings

Options have the names, kinds and defaults of CppNix, and are read from where it reads them:

1. `/etc/nix/nix.conf` (NIX_CONF_DIR names another folder),
2. the user's files: those of NIX_USER_CONF_FILES, or `nix/nix.conf` below XDG_CONFIG_HOME (`~/.config`) and each of XDG_CONFIG_DIRS
   (`/etc/xdg`); of these, the first wins,
3. the text of NIX_CONFIG,
4. the command line: `--option NAME VALUE`, `--NAME VALUE`, and `--NAME` or `--no-NAME` of a switch.

What is said later wins. `extra-NAME` adds to a list (words, a set, a map). A line is `NAME = VALUE`, `include FILE`, or `!include FILE`, which
may be missing; `#` begins a comment. A switch is `true` or `false`; a number may have one of the units K, M, G, T. An option that is not known is
warned about, and changes nothing.

`nivalis config` shows what is set, and where: `nivalis config --set`, `nivalis config max-jobs`, `nivalis config --json`.
"""


def make_settings() -> str:
    """The page of all options."""
    lines = [_SETTINGS]
    for title, options in SECTIONS:
        lines += [f"## {title}", "", "| option | kind | default | |", "|---|---|---|---|"]
        for option in sorted(options):
            if not option.ignored:
                names = ", ".join(f"`{name}`" for name in (option.name, *option.aliases))
                default = option.default.strip("<>") if option.is_machines else f"`{option.default}`" if option.default else ""
                lines.append(f"| {names} | {option.kind} | {default} | {option.text} |")
        lines.append("")
    lines += [
        "## Accepted, without effect",
        "",
        "They are CppNix's, and mean nothing here; a configuration may have them.",
        "",
        "| option | why |",
        "|---|---|",
        *(f"| `{option.name}` | {option.ignored} |" for _, option in sorted(OPTIONS.items()) if option.ignored),
        "",
    ]
    return "\n".join(lines)


PAGES = {
    "builtins.md": make_builtins,
    "build-events.md": make_build_events,
    "error-codes.md": make_error_codes,
    "settings.md": make_settings,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
