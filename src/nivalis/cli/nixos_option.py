"""`nixos-option`: the value of an option of this machine's configuration, with all that is known about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nivalis.cli.arguments import Flags, UsageError, read_program
from nivalis.cli.building import BuildOptions
from nivalis.cli.failures import run
from nivalis.cli.systems import SystemDesk

if TYPE_CHECKING:
    from nivalis.system.options import Found

__all__ = ["main", "nixos_option"]

_HELP = """\
Usage: nixos-option [FLAGS] [NAME]

Prints the value of an option, its default, type, example and description, and the files that declare and define it; of a set of options, their names.

  -I [NAME=]PATH            look here first for <NAME>; `-I nixos-config=FILE` is another configuration
  -f, --file FILE           what is evaluated in place of <nixpkgs/nixos>
  --arg NAME EXPR, --argstr NAME STRING
                            arguments for it
  -h, --help, --version
"""


class Options(BuildOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.file: str | None = None

    def flags(self) -> Flags:
        own: dict[str, tuple[int, Callable[..., object]]] = {
            "-f": (1, lambda file: setattr(self, "file", file)),
            "--file": (1, lambda file: setattr(self, "file", file)),
        }
        return {**super().flags(), **own}


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nixos_option(sys.argv[1:])))


def nixos_option(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    from nivalis.system.options import find_option

    options = Options()
    if not read_program("nixos-option", _HELP, words, options.flags(), options.names.append):
        return 0
    if len(options.names) > 1:
        raise UsageError("give one name")
    name = options.names[0] if options.names else ""
    desk = SystemDesk(options, dict(os.environ), options.file)
    with desk.open() as store:
        found: Found = desk.ask(store, lambda evaluator, root, arguments: find_option(evaluator, root, name, arguments))
    _print(found)
    return 0


def _print(found: Found) -> None:
    if found.names:
        print("This attribute set contains:")
        print("\n".join(found.names))
        return
    option = found.option
    if option is None:
        print(found.value)
        return
    parts = [("Value", found.value if found.value is not None else "(none)"), ("Default", option.default)]
    parts += [("Type", option.type), ("Example", option.example), ("Description", option.description)]
    parts += [("Declared by", "\n".join(option.declared)), ("Defined by", "\n".join(found.defined))]
    print("\n\n".join(f"{title}:\n{_indent(text)}" for title, text in parts if text))


def _indent(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
