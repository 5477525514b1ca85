"""The options of a configuration as data: what `nixos-option`, `nivalis options` and the manual show.

Names and descriptions cost little; a default or an example is evaluated when it is asked for, and one that cannot be shown is left out rather than
failing the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nivalis.errors import EvalError
from nivalis.lang.auto_call import AutoArguments, find_along_path, parse_attribute_path
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.value import AttrSet, List, Value
from nivalis.system.errors import MachineError

__all__ = ["Found", "Option", "find_option", "list_options"]

# All options, or those below one set of them; what is internal is for modules only.
_LIST = "root: lib: builtins.filter (option: option.visible && !option.internal) (lib.optionAttrSetToDocList root)"


@dataclass(frozen=True, slots=True)
class Option:
    """One option: texts of the Nix language for `default` and `example`, None where there is none; `declared` are files."""

    name: str
    type: str
    description: str
    default: str | None = None
    example: str | None = None
    declared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What an option's name leads to: the option with its value and the files that define it, or the names below a set of options."""

    option: Option | None
    value: str | None = None
    defined: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def list_options(evaluator: Evaluator, root: Value, arguments: AutoArguments, words: Sequence[str] = ()) -> Iterator[Option]:
    """The options in whose names or descriptions all of `words` are, in alphabetical order.  Raises EvalError."""
    wanted = [word.lower() for word in words]
    for name, item in sorted(_list(evaluator, root, find_along_path(root, "options", arguments), arguments)):
        description = _text(item, "description") or ""
        text = f"{name}\n{description}".lower()
        if all(word in text for word in wanted):
            yield _make(name, item, description)


def find_option(evaluator: Evaluator, root: Value, name: str, arguments: AutoArguments) -> Found:
    """What a name leads to, an empty one to all options.  Raises EvalError, MachineError."""
    place: Value = find_along_path(root, "options", arguments)
    steps = parse_attribute_path(name)
    for count, step in enumerate(steps):
        if not isinstance(place, AttrSet) or step not in place:
            if isinstance(place, AttrSet) and _is_option(place):
                # Below an option whose value is a set, only the value goes on.
                inner = find_along_path(root, f"config.{name}", arguments)
                inner.force(deep=True)
                return Found(None, inner.print(pretty=True))
            raise _no_option(".".join(steps[: count + 1]), list(place) if isinstance(place, AttrSet) else [], step)
        place = place[step]
    if not isinstance(place, AttrSet):
        raise _no_option(name, [], name)
    if not _is_option(place):
        return Found(None, names=tuple(place))
    lib = find_along_path(root, "pkgs.lib", arguments)
    listed: Any = evaluator.eval("option: lib: builtins.head (lib.optionAttrSetToDocList { inherit option; })")
    item = listed(place, lib)
    shown: str | None = None
    if _has_value(place):
        place["value"].force(deep=True)
        shown = place["value"].print(pretty=True)
    return Found(
        _make(name, item, _text(item, "description") or ""),
        shown,
        tuple(str(one.to_python()) for one in _items(place, "files")),
    )


def _list(evaluator: Evaluator, root: Value, options: Value, arguments: AutoArguments) -> Iterator[tuple[str, AttrSet]]:
    listed: Any = evaluator.eval(_LIST)
    for item in listed(options, find_along_path(root, "pkgs.lib", arguments)):
        yield str(item["name"].to_python()), item


def _make(name: str, item: AttrSet, description: str) -> Option:
    return Option(
        name,
        _text(item, "type") or "unspecified",
        description,
        _text(item, "default"),
        _text(item, "example"),
        tuple(str(one.to_python()) for one in _items(item, "declarations")),
    )


def _text(item: AttrSet, name: str) -> str | None:
    """A text, or that of a `literalExpression`; None where there is none, or where showing it fails."""
    try:
        value = item[name].to_python() if name in item else None
    except EvalError:
        return None
    if isinstance(value, dict):
        value = value.get("text")
    return None if value is None else str(value).strip()


def _items(item: AttrSet, name: str) -> Sequence[Value]:
    found = item.get(name)
    return found if isinstance(found, List) else ()


def _is_option(place: AttrSet) -> bool:
    return "_type" in place and place["_type"].to_python() == "option"


def _has_value(place: AttrSet) -> bool:
    return "value" in place and ("isDefined" not in place or place["isDefined"].to_python() is True)


def _no_option(name: str, names: Sequence[str], step: str) -> MachineError:
    import difflib  # only for an error

    near = difflib.get_close_matches(step, names, n=1)
    return MachineError(f"there is no such option: `{name}`", code="no-option", hint=f"did you mean `{near[0]}`?" if near else None)
