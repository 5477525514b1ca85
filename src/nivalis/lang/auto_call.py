"""What Nix's commands do with a value before they use it: `--arg`, `--argstr` and `-A`.

A function of named arguments is called with those automatic arguments that it takes, a set with `__functor` likewise; everything
else stays as it is.  An attribute path (`a.b.0."c.d"`) leads through sets and lists, and each step begins with such a call.
The rules are those of CppNix's `autoCallFunction` and `findAlongAttrPath`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from nivalis.errors import EvalError
from nivalis.lang.value import AttrSet, Function, List, Value, show_kind

__all__ = ["AutoArguments", "auto_call", "find_along_path", "parse_attribute_path"]

# Names and values (lazy ones too) of the automatic arguments.
AutoArguments = Mapping[str, Value]

# Where a list index ends: CppNix reads it as 32 bits.
_LARGEST_INDEX = 2**32 - 1


def auto_call(value: Value, arguments: AutoArguments) -> Value:
    """Call `value` if it is a function of named arguments, as often as functors lead to one.  Raises EvalError."""
    while isinstance(value, AttrSet) and "__functor" in value:
        functor = value["__functor"]
        if not isinstance(functor, Function | AttrSet):
            raise EvalError(f"attempt to call something which is not a function but {show_kind(functor)}", code="not-a-function")
        value = functor(value)
    formals = value.formals if isinstance(value, Function) else None
    if formals is None or not isinstance(value, Function):
        return value
    for name, has_default in formals.items():
        if name not in arguments and not has_default:
            raise EvalError(
                f"cannot evaluate a function that has an argument without a value ('{name}')",
                code="missing-argument",
                position=value.position(),
                hint=f"give it one by `--arg {name} <expression>` or `--argstr {name} <string>`, or a default in the function",
            )
    if value.has_ellipsis:
        return value(dict(arguments))
    return value({name: arguments[name] for name in formals if name in arguments})


def parse_attribute_path(text: str) -> list[str]:
    """The names in an attribute path: between dots, parts of them in quotes.  Raises EvalError `syntax-error`.

    An empty text is no name at all, and an empty name at the end does not count.
    """
    names: list[str] = []
    current = ""
    rest = iter(text)
    for character in rest:
        if character == ".":
            names.append(current)
            current = ""
        elif character == '"':
            for quoted in rest:
                if quoted == '"':
                    break
                current += quoted
            else:
                raise EvalError(f"missing closing quote in selection path '{text}'", code="syntax-error")
        else:
            current += character
    return [*names, current] if current else names


def find_along_path(value: Value, path: str, arguments: AutoArguments) -> Value:
    """What `path` leads to from `value`.

    Raises EvalError: `missing-attribute` with near names, `out-of-bounds`, `type-error`.
    """
    for name in parse_attribute_path(path):
        value = auto_call(value, arguments)
        if re.fullmatch(r"[+-]?[0-9]+", name, re.ASCII) and 0 <= int(name) <= _LARGEST_INDEX:
            value = _find_element(value, int(name), path)
        else:
            value = _find_attribute(value, name, path)
    return value


def _find_attribute(value: Value, name: str, path: str) -> Value:
    if not isinstance(value, AttrSet):
        raise EvalError(f"the expression selected by the selection path '{path}' should be a set but is {show_kind(value)}", code="type-error")
    if not name:
        raise EvalError(f"empty attribute name in selection path '{path}'", code="missing-attribute")
    if name not in value:
        raise EvalError(
            f"attribute '{name}' in selection path '{path}' not found",
            code="missing-attribute",
            hint=_did_you_mean(name, value),
        )
    return value[name]


def _find_element(value: Value, index: int, path: str) -> Value:
    if not isinstance(value, List):
        raise EvalError(f"the expression selected by the selection path '{path}' should be a list but is {show_kind(value)}", code="type-error")
    if index >= len(value):
        raise EvalError(f"list index {index} in selection path '{path}' is out of range", code="out-of-bounds")
    return value[index]


def _did_you_mean(name: str, names: Iterable[str]) -> str | None:
    import difflib  # only for an error

    near = [f"`{found}`" for found in difflib.get_close_matches(name, list(names), n=3)]
    if not near:
        return None
    return f"did you mean {near[0]}?" if len(near) == 1 else f"did you mean one of {', '.join(near[:-1])} or {near[-1]}?"
