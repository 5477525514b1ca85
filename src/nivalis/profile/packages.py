"""Packages: what a user environment consists of, and what an expression offers for it.

An `Element` is plain data: what is installed or can be.  An `Available` is a derivation that was found in an expression, of which no
more is evaluated than is asked for: of a set of packages, most have nothing but their names looked at.

What a derivation says of itself is read in *columns*, of many derivations at once and by an expression that the kernel evaluates
(`_COLUMNS`): a step from Python into the kernel costs more than most columns.  Which outputs are installed
(`outputSpecified`, `meta.outputsToInstall`), and which attributes of `meta` count, is as in CppNix's `PackageInfo`.  A derivation may say
that another one is to be installed in its place (`inProfile`); it keeps its name and its `meta`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from nivalis.errors import EvalError, Frame
from nivalis.lang.get_derivations import FoundDerivation
from nivalis.lang.value import AttrSet

__all__ = ["Available", "Element", "MetaValue", "read_columns", "read_elements"]

MetaValue: TypeAlias = "str | int | float | bool | Sequence[MetaValue] | Mapping[str, MetaValue]"

_COLUMNS = """
let
  inherit (builtins)
    addErrorContext all attrValues concatMap concatStringsSep isAttrs isBool isFloat isInt isList isString listToAttrs mapAttrs
    toJSON tryEval unsafeDiscardStringContext;
  isPlain = value:
    if isList value then all isPlain value
    else if isAttrs value then !(value ? outPath) && all isPlain (attrValues value)
    else isString value || isBool value || isInt value || isFloat value;
  about = name: d: let meta = d.meta or { }; in if meta ? ${name} && isPlain meta.${name} then meta.${name} else null;
  path = value: unsafeDiscardStringContext (toString value);
  placed = f: d: f (d.inProfile or d);
  columns = {
    system = d: d.system or "unknown";
    output = d: d.outputName or "";
    drv = placed (d: if d ? drvPath then path d.drvPath else null);
    out = placed (d: path d.outPath);
    outputs = d: d.outputs or [ "out" ];
    paths = placed (d:
      if !(d ? outputs) then { out = path d.outPath; }
      else listToAttrs (concatMap (name:
        if d ? ${name} && d.${name} ? outPath then [ { inherit name; value = path d.${name}.outPath; } ] else [ ]
      ) d.outputs));
    chosen = d: if d.outputSpecified or false then [ d.outputName ] else about "outputsToInstall" d;
    description = about "description";
    priority = about "priority";
    keep = about "keep";
    meta = d: mapAttrs (name: value: if isPlain value then { inherit value; } else null) (d.meta or { });
  };
  read = names: d:
    let row = toJSON (listToAttrs (map (name: { inherit name; value = columns.${name} d; }) names));
    in addErrorContext "while querying the derivation named '${d.name}'" row;
  attempt = names: d: let tried = tryEval (read names d); in if tried.success then tried.value else "null";
in skips: names: derivations: "[" + concatStringsSep "," (map ((if skips then attempt else read) names) derivations) + "]"
"""


def read_columns(values: Sequence[AttrSet], names: Iterable[str], *, skip_failed_assertions: bool = False) -> list[dict[str, Any] | None]:
    """What derivations say of themselves, each as a dictionary of the columns `names`.

    The columns: `system`, `output` (the one it stands for), `drv`, `out` (paths), `outputs` (names), `paths` (of outputs, by name),
    `chosen` (the outputs to install, or None), `description`, `priority`, `keep` (None where `meta` has none), `meta` (by name
    `{"value": …}`, or None for what cannot be data).  With `skip_failed_assertions`, None stands for a derivation where evaluation
    fails by an assertion or `throw`.  Raises EvalError.
    """
    if not values:
        return []
    kernel = values[0].__nix_value__.evaluator
    arguments = [kernel.from_python(argument) for argument in (skip_failed_assertions, list(names), list(values))]
    try:
        text = kernel.eval_text(_COLUMNS, base_dir="/").call(arguments).scalar()
    except EvalError as error:
        _leave_out_columns(error)
        raise
    rows: list[dict[str, Any] | None] = json.loads(str(text))
    return rows


def _leave_out_columns(error: EvalError) -> None:
    """Take from an error what points into the expression of the columns: it is not the user's."""
    own = frozenset(_COLUMNS.splitlines())
    if error.position is not None and error.position.source in own:
        error.position = None
    trace = []
    for frame in error.trace:
        if frame.text.startswith("while querying"):
            trace.append(Frame(frame.text))
        elif frame.position is not None and frame.position.source not in own:
            trace.append(frame)
    error.trace = tuple(trace)


class Element(NamedTuple):
    """An element of a user environment.

    `outputs` are the store paths that are installed, by output; `out_path` is what the element itself stands for.  `meta` is what
    the derivation says of itself, as far as it is data.
    """

    name: str
    out_path: str
    outputs: Mapping[str, str]
    system: str = ""
    drv_path: str | None = None
    meta: Mapping[str, MetaValue] = MappingProxyType({})

    @property
    def priority(self) -> int:
        """The number by which packages are compared before versions are: the lower, the better."""
        return _as_priority(self.meta.get("priority"))

    @property
    def is_kept(self) -> bool:
        """Whether it is neither replaced nor upgraded (`meta.keep`)."""
        return self.meta.get("keep") in (True, "true")

    def element(self) -> Element:
        """Itself: what is installed is offered as it is."""
        return self


class Available:
    """A package that an expression offers.  Every use may raise EvalError."""

    def __init__(self, found: FoundDerivation) -> None:
        self.name = found.name
        self.path = found.path
        self.value = found.value

    @cached_property
    def system(self) -> str:
        return str(self._column("system"))

    @cached_property
    def priority(self) -> int:
        return _as_priority(self._column("priority"))

    @cached_property
    def out_path(self) -> str:
        return str(self._column("out"))

    def element(self) -> Element:
        """All of it, as it is to be installed."""
        return read_elements([self.value])[0]

    def _column(self, name: str) -> object:
        row = read_columns([self.value], [name])[0]
        assert row is not None
        return row[name]


def read_elements(values: Sequence[AttrSet]) -> list[Element]:
    """Derivations as elements.  Raises EvalError."""
    names = [str(value["name"].to_python()) for value in values]
    rows = read_columns(values, ["system", "drv", "out", "paths", "chosen", "meta"])
    return [_make_element(name, row) for name, row in zip(names, rows, strict=True) if row is not None]


def _make_element(name: str, row: dict[str, Any]) -> Element:
    outputs = row["paths"]
    if row["chosen"] is not None:
        if not isinstance(row["chosen"], list) or not all(isinstance(output, str) and output in outputs for output in row["chosen"]):
            message = f"derivation '{name}' has bad 'meta.outputsToInstall'"
            raise EvalError(message, code="invalid-derivation", hint=f"it has to name outputs that there are: {', '.join(outputs)}")
        outputs = {output: outputs[output] for output in row["chosen"]}
    return Element(
        name=name,
        out_path=row["out"],
        outputs=dict(sorted(outputs.items())),
        system=row["system"],
        drv_path=row["drv"],
        meta={attribute: found["value"] for attribute, found in sorted(row["meta"].items()) if found is not None},
    )


def _as_priority(value: object) -> int:
    """A priority in `meta`, which may be a number in quotes; 0 if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value, re.ASCII) else 0
