"""How `nix-shell` begins: its words, which may stand in a script, and the answer that the evaluation cache may have for them.

A kept answer is the whole shell, so that it starts without a kernel, a parser of flags or a database of more than the paths it needs.
This module imports nothing that such an answer does not need.
"""

from __future__ import annotations

import os

from nivalis.cli.eval_cache import Request, show_messages
from nivalis.profile.shell import Shell, ShellRun, start

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CommandLine", "answer", "decode_answer", "encode_answer", "make_request", "read_words", "shell_environment"]

# Counts changes of what is kept.
_FORMAT = "2"


class CommandLine:
    """`words` are flags and what they are about; `script` is the `#!` script that they come from, with its arguments.

    `arguments` are those of a command that is to be run.
    """

    __slots__ = ("arguments", "script", "words")

    def __init__(self, words: Sequence[str], script: Sequence[str] = (), arguments: Sequence[str] = ()) -> None:
        self.words = list(words)
        self.script = list(script)
        self.arguments = list(arguments)


def read_words(words: Sequence[str]) -> CommandLine:
    """The command line; of a script (a file that begins with `#!`, named first) that of its lines `#! nix-shell …`.  Raises UsageError."""
    if not words:
        return CommandLine(words)
    try:
        with open(words[0], "rb") as file:
            if file.read(2) != b"#!":
                return CommandLine(words)
            lines = file.read().split(b"\n")[1:]
    except (OSError, ValueError):
        return CommandLine(words)
    found: list[str] = []
    for line in lines:
        # Anywhere in the script, as in CppNix.
        if line.startswith(b"#!"):
            name, *rest = os.fsdecode(line[2:]).strip().split(None, 1)[:2] or [""]
            if name == "nix-shell" and rest:
                found += _split(rest[0], words[0])
    return CommandLine(found, words)


def _split(text: str, script: str) -> list[str]:
    """Words as a shell would split them: quotes, and a backslash before a character that stands for itself."""
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(text)
    for character in characters:
        if quote != "'" and character == "\\":
            word = (word or "") + next(characters, "")
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote, word = character, word or ""
        elif not quote and character.isspace():
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + character
    if quote:
        from nivalis.cli.arguments import UsageError

        raise UsageError(f"a quote is not closed in a `#! nix-shell` line: `{text}`", where=script)
    return words if word is None else [*words, word]


def shell_environment(environment: Mapping[str, str], *, pure: bool) -> dict[str, str]:
    """What an evaluation for a shell sees of the environment."""
    return {**environment, "IN_NIX_SHELL": "pure" if pure else "impure"}


def make_request(line: CommandLine, folder: str, environment: Mapping[str, str]) -> Request:
    """The request for the whole shell.  Raises ConfigurationError."""
    place = [os.path.abspath(line.script[0])] if line.script else []
    return Request("nix-shell", line.words, folder, environment, [_FORMAT, *place])


def encode_answer(shell: Shell, run: ShellRun) -> bytes:
    """What is kept: the shell, and what the command line wants of it."""
    flags = "".join(str(int(flag)) for flag in (run.pure, run.interactive, run.bare, run.plain))
    return os.fsencode("\0".join([flags, run.command, run.interpreter, str(len(run.keep)), *run.keep])) + b"\0" + shell.encode()


def decode_answer(data: bytes) -> tuple[Shell, ShellRun]:
    """What `encode_answer` has made bytes of."""
    flags, command, interpreter, count, rest = data.split(b"\0", 4)
    *keep, shell = rest.split(b"\0", int(count))
    run = ShellRun()
    run.pure, run.interactive, run.bare, run.plain = (flag == ord("1") for flag in flags)
    run.command, run.interpreter, run.keep = os.fsdecode(command), os.fsdecode(interpreter), [os.fsdecode(name) for name in keep]
    return Shell.decode(shell), run


def answer(words: Sequence[str] | CommandLine) -> int | None:
    """Start the shell if the cache knows it, which does not return; the exit status if that fails, None if it is not known."""
    try:
        line = words if isinstance(words, CommandLine) else read_words(words)
        if "--no-eval-cache" in line.words:
            return None
        # A word that only looks like the flag costs an evaluation: what was evaluated for the other kind of shell is no answer then.
        environment = shell_environment(os.environ, pure="--pure" in line.words)
        hit = make_request(line, os.getcwd(), environment).find()
    except Exception as error:
        from nivalis.errors import NivalisError  # a shell that starts loads no error

        if isinstance(error, NivalisError | OSError):
            return None  # the command itself meets it again, and reports it
        raise
    if hit is None:
        return None
    show_messages(hit)
    shell, run = decode_answer(hit.output)
    # A collector does not always see the shell's environment: not from another user namespace.
    hit.outlive()
    run.script = line.script or line.arguments
    try:
        start(shell, run, shell_environment(os.environ, pure=run.pure))
    except Exception as error:
        from nivalis.cli.failures import report

        report(error)
        return 1
