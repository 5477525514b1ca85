"""What `nivalis shell` and `nivalis run` have in common: an expression for the words that name packages, and a shell for it.

The shell is `nix-shell`'s, so it is answered from the cache of evaluations like one of that; but nothing of a derivation's is in it
except the packages' commands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nivalis.cli.nix_shell_start import CommandLine

__all__ = ["nix_string", "shell_options", "shell_words", "start"]

# A package's name may have dots in it, and else dots lead into sets.
_FIND = r"""
  pkgs = import <%s> { };
  find = word: pkgs.${word} or (builtins.foldl' (set: name: set.${name}) pkgs (builtins.filter builtins.isString (builtins.split "\\." word)));
  make = pkgs.mkShellNoCC or (args: pkgs.runCommand "shell" (args // { buildInputs = args.packages; }) "");
"""


def shell_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both commands, which `shell_words` takes."""
    options = [
        click.option("--channel", default="nixpkgs", show_default=True, metavar="NAME", help="Take packages from this channel."),
        click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>."),
        click.option("--pure", is_flag=True, help="Little of the environment; of Debian's packages also little of the machine's files."),
        click.option("--keep", multiple=True, metavar="NAME", help="But keep this variable."),
        click.option("--store", metavar="PLACE", help="Use the store there."),
        click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set one of Nix's settings."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def shell_words(
    body: str,
    *,
    channel: str,
    includes: Sequence[str],
    pure: bool,
    keep: Sequence[str],
    store: str | None,
    settings: Sequence[tuple[str, str]],
) -> list[str]:
    """The command line of `nix-shell`; `body` is an expression in which `find` gives packages by words, and `make` makes shells of them."""
    words = ["--plain", "-E", f"let{_FIND % channel}in {body}"]
    words += ["--pure", "--bare"] if pure else []
    words += [word for name in keep for word in ("--keep", name)]
    words += [word for place in includes for word in ("-I", place)]
    words += ["--store", store] if store else []
    return words + [word for name, value in settings for word in ("--option", name, value)]


def start(words: Sequence[str], arguments: Sequence[str] = ()) -> int:
    """Start the shell, which does not return, or report what is wrong: the exit status."""
    from nivalis.cli.nix_shell_start import CommandLine, answer

    line = CommandLine(words, arguments=arguments)
    status = answer(line)
    if status is None:
        from nivalis.cli.failures import run

        status = run(lambda: _start(line))
    return status


def _start(line: CommandLine) -> int:
    from nivalis.cli.nix_shell import start_shell
    from nivalis.errors import EvalError

    try:
        return start_shell(line)
    except EvalError as error:
        # The expression is not the user's, and so is nothing that points into it.
        own = frozenset(line.words[line.words.index("-E") + 1].splitlines())
        if error.position is not None and error.position.source in own:
            error.position = None
        error.trace = tuple(frame for frame in error.trace if frame.position is not None and frame.position.source not in own)
        raise


def nix_string(text: str) -> str:
    """A text as a string of the Nix language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'
