"""Command lines of Nix's own commands: a table of flags, and the one loop that reads words by it.

Nix's commands are older than the habits that option parsers enforce: single letters run together (`-vvA hello`), flags that take
two words (`--arg x 1`), files and flags in any order, expressions that begin with a dash after `-E`.  A table of names with
how many words each takes, and what to do with them, says all of it, and costs nothing to load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nivalis.errors import NivalisError

__all__ = ["Flags", "UsageError", "read_arguments", "read_program"]

# A flag's name -> the number of words that it takes, and what is called with them.
Flags = Mapping[str, tuple[int, Callable[..., object]]]


class UsageError(NivalisError):
    """A command line that the command does not understand."""

    default_code = "usage"


def read_arguments(words: Sequence[str], flags: Flags, on_word: Callable[[str], object]) -> None:
    """Call what the flags among `words` say, and `on_word` for every other word (for each, after `--`).

    A lone `-` is a flag if the table has it.  Raises UsageError.
    """
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        if word == "--":
            while rest:
                on_word(rest.pop())
        elif len(word) > 2 and word[0] == "-" and word[1].isascii() and word[1].isalpha():
            rest += reversed(_split_letters(word))
        elif word in flags:
            count, action = flags[word]
            if len(rest) < count:
                raise UsageError(f"flag '{word}' requires {count} argument{'s' if count > 1 else ''}")
            action(*(rest.pop() for _ in range(count)))
        elif word.startswith("-"):
            raise UsageError(f"unrecognised flag '{word}'", hint=_near_flag(word, flags))
        else:
            on_word(word)


def read_program(program: str, usage: str, words: Sequence[str], flags: Flags, on_word: Callable[[str], object]) -> bool:
    """`read_arguments` of one of Nix's programs, which all know `--help` and `--version`; whether neither was asked for.

    `usage` is the text for `--help`.  Raises UsageError.
    """
    asked: list[str] = []
    own = {flag: (0, lambda flag=flag: asked.append(flag)) for flag in ("-h", "--help", "--version")}
    try:
        read_arguments(words, {**flags, **own}, on_word)
    except UsageError as error:
        error.hint = error.hint or f"`{program} --help` shows all flags"
        raise
    if asked:
        from nivalis import _native

        print(f"{program} (nivalis {_native.__version__}) {_native.NIX_VERSION}\n" if asked[0] == "--version" else usage, end="")
    return not asked


def _split_letters(word: str) -> list[str]:
    """`-vj8` as `-v`, `-j`, `8`."""
    words: list[str] = []
    for index in range(1, len(word)):
        if not (word[index].isascii() and word[index].isalpha()):
            return [*words, word[index:]]
        words.append(f"-{word[index]}")
    return words


def _near_flag(word: str, flags: Flags) -> str | None:
    import difflib  # only for an error

    near = difflib.get_close_matches(word, list(flags), n=1)
    return f"did you mean `{near[0]}`?" if near else None
