"""Finding the derivations in a value, as `nix-instantiate`, `nix-build` and `nix-env` do.

A derivation is a set whose `type` is `"derivation"`.  In a set, the derivations among its attributes count, and those of such
attributes that are sets with `recurseForDerivations = true`; in a list, every element.  Functions on the way are called with the
automatic arguments.  The rules are those of CppNix's `getDerivations`.

A set of packages has tens of thousands of attributes, and each step from Python into the kernel takes as long as evaluating many
of them: so sets are searched by an expression (`_SEARCH`) that the kernel evaluates in one go.  Where that fails, or meets what it
does not know, the same rules in Python go over the same values again, and say what is wrong and where.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nivalis.errors import EvalError, Frame
from nivalis.lang.auto_call import AutoArguments, auto_call
from nivalis.lang.value import AttrSet, List, Scalar, String, Value, show_kind

__all__ = ["FoundDerivation", "find_derivations"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_+-]*", re.ASCII)

# From a set: for each derivation in it its path, its name and itself, one after the other.  In place of the name stands null where
# Python has to go on.  What stands in the list is evaluated, so that taking it out costs next to nothing.
_SEARCH = """
let
  inherit (builtins) abort attrNames concatMap hasContext isAttrs isString match seq tryEval;
  inspect = value:
    if !isAttrs value then false
    else if (value.type or null) == "derivation" then
      (if isString value.name && !hasContext value.name then value.name else abort "no name")
    else true;
  attempt = skips: value: if skips then (tryEval (inspect value)).value else inspect value;
  search = skips: prefix: set:
    concatMap (name:
      if match "[A-Za-z_][A-Za-z0-9_+-]*" name == null then [ ]
      else
        let
          value = set.${name};
          found = attempt skips value;
          path = prefix + name;
        in
          if isString found then seq path [ path found value ]
          else if !(found && value ? recurseForDerivations && value.recurseForDerivations) then [ ]
          else if value ? __functor || value ? _combineChannels then seq path [ path null value ]
          else search skips (path + ".") value
    ) (attrNames set);
in search
"""


class FoundDerivation(NamedTuple):
    """A derivation, the attribute path that it was found at (`a.b.0`), and its name."""

    path: str
    name: str
    value: AttrSet

    def drv_path(self) -> str:
        """Where its .drv file is.  Raises EvalError."""
        if "drvPath" not in self.value:
            raise EvalError("derivation does not contain a 'drvPath' attribute", code="invalid-derivation")
        path = self.value["drvPath"].to_text()
        if not path.endswith(".drv"):
            raise EvalError(f"path '{path}' is not a derivation", code="invalid-derivation")
        return path

    def output_name(self) -> str:
        """The output that the derivation stands for.  Raises EvalError."""
        name = _read_string(self.value, "outputName") if "outputName" in self.value else ""
        if not name:
            raise EvalError(f"derivation '{self.drv_path()}' lacks an 'outputName' attribute", code="invalid-derivation")
        return name


def find_derivations(value: Value, arguments: AutoArguments, *, skip_failed_assertions: bool = False) -> list[FoundDerivation]:
    """The derivations in `value`, in the order of attribute names, each once.

    With `skip_failed_assertions` (as for `nix-env`), one whose evaluation fails by an assertion or by `throw` is left out.  Raises EvalError.
    """
    search = _Search(arguments, skip_failed_assertions)
    search.walk(value, "")
    return search.found


class _Search:
    def __init__(self, arguments: AutoArguments, skip_failed_assertions: bool) -> None:
        self.found: list[FoundDerivation] = []
        self._arguments = arguments
        self._skip = skip_failed_assertions
        self._seen: set[int] = set()

    def walk(self, value: Value, path: str) -> None:
        """Search a value of the user's, or one that says that it wants to be searched."""
        called = auto_call(value, self._arguments)
        other = self._take(lambda: called, path)
        if isinstance(other, AttrSet):
            if "_combineChannels" not in other and self._search(other, path):
                return
            # A word of nix-env's by which it searches several channels as one set.
            searches_all = "_combineChannels" in other
            for name in other:
                if _NAME.fullmatch(name):
                    try:
                        self._walk_attribute(other, name, f"{path}.{name}" if path else name, searches_all)
                    except EvalError as error:
                        error.trace = (*error.trace, Frame(f"while evaluating the attribute '{name}'", other.position_of(name)))
                        raise
        elif isinstance(other, List):
            for index in range(len(other)):
                below = f"{path}.{index}" if path else str(index)
                element = self._take(lambda other=other, index=index: other[index], below)  # type: ignore[misc]
                if element is not None:
                    self.walk(element, below)
        elif other is not None:
            raise EvalError("expression does not evaluate to a derivation (or a set or list of those)", code="type-error")

    def _search(self, owner: AttrSet, path: str) -> bool:
        """Search a set in one evaluation; False if that fails, and nothing is found then."""
        kernel = owner.__nix_value__.evaluator
        try:
            search = kernel.eval_text(_SEARCH, base_dir="/")
            rows = search.call([kernel.from_python(self._skip), kernel.from_python(f"{path}." if path else ""), owner.__nix_value__])
            count = rows.length()
        except EvalError:
            return False
        for row in range(0, count, 3):
            below, name, value = str(rows.item(row).scalar()), rows.item(row + 1).scalar(), AttrSet(rows.item(row + 2))
            if name is None:
                try:
                    self.walk(value, below)
                except EvalError as error:
                    error.trace = (*error.trace, *_frames_to(owner, below[len(path) :].lstrip(".").split(".")))
                    raise
            elif value.identity not in self._seen:
                self._seen.add(value.identity)
                self.found.append(FoundDerivation(below, str(name), value))
        return True

    def _walk_attribute(self, owner: AttrSet, name: str, path: str, searches_all: bool) -> None:
        if searches_all:
            self.walk(owner[name], path)
            return
        other = self._take(lambda: owner[name], path)
        if isinstance(other, AttrSet) and "recurseForDerivations" in other and _read_bool(other, "recurseForDerivations"):
            self.walk(other, path)

    def _take(self, load: Callable[[], Value], path: str) -> Value | None:
        """Note the derivation that `load` gives; any other value comes back, to be searched."""
        try:
            value = load()
            if not isinstance(value, AttrSet) or not value.is_derivation:
                return value
            if value.identity not in self._seen:
                self._seen.add(value.identity)
                if "name" not in value:
                    raise EvalError("derivation name missing", code="invalid-derivation")
                self.found.append(FoundDerivation(path, _read_string(value, "name"), value))
        except EvalError as error:
            if not self._skip or error.code not in ("assertion-failed", "thrown"):
                raise
        return None


def _frames_to(owner: Value, names: Sequence[str]) -> list[Frame]:
    """The frames of a trace that leads through attributes, innermost first."""
    frames = []
    for name in names:
        assert isinstance(owner, AttrSet)
        frames.append(Frame(f"while evaluating the attribute '{name}'", owner.position_of(name)))
        owner = owner[name]
    return frames[::-1]


def _read_string(owner: AttrSet, name: str) -> str:
    value = owner[name]
    if not isinstance(value, String):
        raise EvalError(f"expected a string but found {show_kind(value)}", code="type-error", position=owner.position_of(name))
    if value.context:
        message = f"the string '{value}' is not allowed to refer to a store path (such as '{min(value.context)}')"
        raise EvalError(message, code="string-context", position=owner.position_of(name))
    return value.to_python()


def _read_bool(owner: AttrSet, name: str) -> bool:
    value = owner[name]
    plain = value.to_python() if isinstance(value, Scalar) else None
    if not isinstance(plain, bool):
        raise EvalError(f"expected a Boolean but found {show_kind(value)}", code="type-error", position=owner.position_of(name))
    return plain
