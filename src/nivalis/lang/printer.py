"""Values as a person reads them: indented, evaluated on the way, and shallow unless all of it is asked for.

`Value.print` shows what is evaluated already; this printer evaluates what it shows.  Shallow, a set's attributes and a list's
elements are shown and what is inside of those is `{ ... }` and `[ ... ]`; so looking at a set of thousands of packages does not
evaluate the packages' own attributes.  A derivation is one line with its path.  An error inside of a value stands in its place;
only an error of the value itself is raised.  What contains itself, or was shown before, is `«repeated»`.

It does not colour, and it cuts nothing off but what is nested too deeply to be read (or without an end).
"""

from __future__ import annotations

import re

from nivalis.errors import EvalError
from nivalis.lang.value import AttrSet, Function, List, Path, Scalar, String, Value

__all__ = ["is_identifier", "show_name", "show_value"]

KEYWORDS = ("assert", "else", "if", "in", "inherit", "let", "rec", "then", "with")

# Each level takes two of Python's frames, of which there are a thousand.
_DEEPEST = 250

# From how many elements on it is worth it to evaluate them together.
_MANY = 20

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*", re.ASCII)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "${": "\\${"}
_ESCAPED = re.compile(r'\$\{|["\\\n\r\t]')


def is_identifier(name: str) -> bool:
    """Whether an attribute's name needs no quotes."""
    return _IDENTIFIER.fullmatch(name) is not None and name not in KEYWORDS


def show_name(name: str) -> str:
    """An attribute's name as it is written in the language, in quotes where they are needed."""
    if is_identifier(name):
        return name
    return _show_string(name)


def show_value(value: Value, *, deep: bool = False) -> str:
    """The value, over several lines where it is large.  Raises EvalError where `value` itself (not what is inside) fails."""
    return _Printer(_DEEPEST if deep else 1).show(value, 0)


def _show_string(text: str) -> str:
    return '"' + _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text) + '"'


# Evaluates what is in a set or list in one go, up to the first error that `tryEval` does not catch.  One element after the other
# from here would enter the kernel for each, which for large sets takes far longer than all of their evaluation.
_EVALUATE_INSIDE = """
    owner: builtins.foldl' (done: inside: builtins.seq (builtins.tryEval inside) done) null
      (if builtins.isAttrs owner then builtins.attrValues owner else owner)
"""


class _Printer:
    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._seen: set[int] = set()
        self._evaluate_inside: Value | None = None

    def show(self, value: Value, depth: int) -> str:
        if isinstance(value, AttrSet):
            if value.is_derivation:
                return _show_derivation(value)
            names = list(value)
            if not names:
                return "{ }"
            return self._show_inside(value, [(f"{show_name(name)} = ", name) for name in names], "{}", ";", depth)
        if isinstance(value, List):
            if len(value) == 0:
                return "[ ]"
            return self._show_inside(value, [("", index) for index in range(len(value))], "[]", "", depth)
        if isinstance(value, String):
            return _show_string(value.to_python())
        if isinstance(value, Path):
            return value.to_python()
        plain = value.to_python() if isinstance(value, Scalar) else None
        if isinstance(plain, bool):
            return "true" if plain else "false"
        return str(plain) if isinstance(plain, int) else value.print(pretty=isinstance(value, Function))

    def _prepare(self, value: AttrSet | List) -> None:
        if len(value) < _MANY:
            return
        if self._evaluate_inside is None:
            self._evaluate_inside = Value(value.__nix_value__.evaluator.eval_text(_EVALUATE_INSIDE, base_dir="/"))
        try:
            self._evaluate_inside.__nix_value__.call([value.__nix_value__]).force()
        except EvalError as error:
            if error.code == "interrupted":
                raise
            # Each of them says it again, in its place.

    def _show_inside(self, value: AttrSet | List, items: list[tuple[str, str]] | list[tuple[str, int]], ends: str, stop: str, depth: int) -> str:
        if value.identity in self._seen:
            return "«repeated»"
        if depth >= self._levels:
            return f"{ends[0]} ... {ends[1]}"
        self._seen.add(value.identity)
        self._prepare(value)
        parts = []
        is_flat = len(items) == 1
        for label, key in items:
            try:
                inside = value[key]  # type: ignore[index]
                is_flat = is_flat and not isinstance(inside, AttrSet | List)
                parts.append(f"{label}{self.show(inside, depth + 1)}{stop}")
            except EvalError as error:
                if error.code == "interrupted":
                    raise
                parts.append(f"{label}«error: {error.message}»{stop}")
        if is_flat:
            return f"{ends[0]} {parts[0]} {ends[1]}"
        indent = "\n" + "  " * (depth + 1)
        return ends[0] + indent + indent.join(parts) + indent[:-2] + ends[1]


def _show_derivation(value: AttrSet) -> str:
    return f"«derivation {value['drvPath'].to_text()}»" if "drvPath" in value else "«derivation»"
