"""Names of packages: how `hello-2.10` splits, which version is the newer one, and which packages a word selects.

The name ends before the first dash that no letter follows; the rest is the version.  Versions are compared part by part: numbers as
numbers, words by the alphabet, `pre` before everything.  A selector is a package's name, with its version or without; its name part
is an extended regular expression that has to match the whole name, and `*` selects everything.  The rules are those of CppNix's
`DrvName` and `compareVersions`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nivalis.errors import NivalisError

__all__ = ["PackageName", "Selector", "SelectorError", "compare_versions"]

_VERSION = re.compile(r"-(?=[^A-Za-z])", re.DOTALL)
_COMPONENT = re.compile(r"[0-9]+|[^0-9.-]+", re.ASCII)
_LARGEST = 2**31 - 1  # a longer row of digits is no number to CppNix

_LITERALLY = "put a backslash before a sign that is meant literally"

# The classes of POSIX, as the inside of Python's brackets.
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


class SelectorError(NivalisError):
    """A word selects no package, or cannot select any."""

    default_code = "selector"


class PackageName(NamedTuple):
    """A package's name, and its version, which may be empty."""

    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> PackageName:
        found = _VERSION.search(text)
        return cls(text, "") if found is None else cls(text[: found.start()], text[found.end() :])


def compare_versions(first: str, second: str) -> int:
    """-1, 0 or 1: whether `first` is older than `second`, as good, or newer."""
    one, other = _COMPONENT.findall(first), _COMPONENT.findall(second)
    length = max(len(one), len(other))
    for a, b in zip(one + [""] * (length - len(one)), other + [""] * (length - len(other)), strict=True):
        if a != b:
            if _is_older(a, b):
                return -1
            if _is_older(b, a):
                return 1
    return 0


def _is_older(a: str, b: str) -> bool:
    m, n = _as_number(a), _as_number(b)
    if m is not None and n is not None:
        return m < n
    if a == "" and n is not None:
        return True
    if "pre" in (a, b):
        return a == "pre" != b
    if n is not None or m is not None:
        # A word comes before a number: 2.3a before 2.3.1.
        return n is not None
    return a < b


def _as_number(text: str) -> int | None:
    number = int(text) if text[:1].isdigit() else _LARGEST + 1
    return number if number <= _LARGEST else None


class Selector:
    """What a word on the command line selects.  Raises SelectorError for a broken expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.name, self.version = PackageName.parse(text)
        # Most words are plain names, for which no expression is needed.
        self._pattern = None if re.fullmatch(r"\*|[\w-]*", self.name, re.ASCII) else _compile(self.name)

    @property
    def is_all(self) -> bool:
        """Whether it is `*`, which may select nothing."""
        return self.text == "*"

    def matches(self, package: PackageName) -> bool:
        """Whether it selects a package of that name."""
        if self._pattern is not None:
            if self._pattern.fullmatch(package.name) is None:
                return False
        elif self.name not in ("*", package.name):
            return False
        return self.version in ("", package.version)


def _compile(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(_translate(expression), re.DOTALL | re.ASCII)
    except re.error as error:
        raise SelectorError(f"invalid regular expression in selector `{expression}`: {error}") from error


def _translate(expression: str) -> str:
    """An extended regular expression of POSIX in Python's words, which differ in brackets, behind backslashes and in what may be repeated."""
    out = ""
    at = 0
    groups: list[int] = []  # where the open groups begin in `out`
    atom: int | None = None  # where begins what a repetition would repeat
    is_repeated = False
    while at < len(expression):
        character = expression[at]
        if character in "*+?{":
            end = expression.find("}", at) + 1 if character == "{" else at + 1
            if atom is None or not end:
                raise SelectorError(f"nothing to repeat in selector `{expression}`", hint=_LITERALLY)
            if is_repeated:
                # To Python, a second sign would change how the first one repeats (`a*?`, `a++`).
                out = f"{out[:atom]}(?:{out[atom:]})"
            out += expression[at:end]
            is_repeated, at = True, end
            continue
        is_repeated = False
        start: int | None = len(out)
        if character == "[":
            part, at = _translate_brackets(expression, at)
        elif character == "\\":
            part = expression[at + 1 : at + 2]
            if not part or part.isalnum():
                raise SelectorError(f"a backslash before no sign in selector `{expression}`", hint="write two of them for one")
            part, at = re.escape(part), at + 2
        else:
            part, at = character, at + 1
            if character == "(":
                groups.append(len(out))
                start = None
            elif character == ")":
                start = groups.pop() if groups else None
            elif character in "|^$":
                start = None
        out += part
        atom = start
    return out


def _translate_brackets(expression: str, start: int) -> tuple[str, int]:
    """The bracket expression that begins at `start`, and where it ends."""
    at = start + 1
    out = "["
    if expression.startswith("^", at):
        out += "^"
        at += 1
    first = at
    while at < len(expression):
        character = expression[at]
        if character == "]" and at > first:
            return out + "]", at + 1
        named = re.compile(r"\[:([a-z]+):\]").match(expression, at)
        if named is not None and named[1] in _CLASSES:
            out += _CLASSES[named[1]]
            at = named.end()
            continue
        out += f"\\{character}" if character in "\\[]^&~|" else character
        at += 1
    raise SelectorError(f"a bracket is not closed in selector `{expression}`", hint=_LITERALLY)
