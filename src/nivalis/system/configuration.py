"""A configuration, evaluated: the derivation of its toplevel, and the data that say what the system will be.  Nothing of it is built.

The data are those that the built system has in its `system.json`, so a plan can be made before anything is downloaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from nivalis.errors import EvalError
from nivalis.lang.auto_call import AutoArguments, find_along_path
from nivalis.lang.value import Value
from nivalis.system.errors import MachineError, from_target
from nivalis.system.target.data import System, TargetError

__all__ = ["Configuration", "Product", "evaluate", "evaluate_product"]

_BUILD = "config.system.build"


@dataclass(frozen=True, slots=True)
class Configuration:
    """`derivation` makes `toplevel`, both store paths; `snapshot` is where the Debian packages' records are, if that is known.

    `data` is the JSON that `system` was read from.
    """

    derivation: str
    toplevel: str
    system: System
    snapshot: str | None = None
    data: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: bytes) -> Configuration:
        """What `unparse` gave."""
        derivation, toplevel, snapshot, data = json.loads(text)
        return cls(derivation, toplevel, System.parse(data), snapshot, data)

    def unparse(self) -> bytes:
        return json.dumps([self.derivation, self.toplevel, self.snapshot, self.data]).encode()


class Product(NamedTuple):
    """A derivation and its output, both store paths."""

    derivation: str
    path: str


def evaluate(root: Value, arguments: AutoArguments) -> Configuration:
    """What the channel's `nixos` says of a configuration.  Raises EvalError, MachineError.

    `root` is the value of its `default.nix`, and `arguments` are those for its functions.  The caller flushes the evaluator before it builds.
    """
    toplevel = evaluate_product(root, "toplevel", arguments)
    try:
        data = find_along_path(root, f"{_BUILD}.data", arguments)
    except EvalError as error:
        if error.code != "missing-attribute":
            raise
        hint = "`<nixpkgs>` leads to another collection than Debian's; `nix-channel --list` shows where it comes from"
        raise MachineError("the configuration makes no system of this kind: it has no data to plan with", code="no-system", hint=hint) from None
    text = data.to_json()
    try:
        system = System.parse(text)
    except TargetError as error:
        raise from_target(error) from None
    return Configuration(toplevel.derivation, toplevel.path, system, _find_snapshot(root, arguments), text)


def evaluate_product(root: Value, name: str, arguments: AutoArguments) -> Product:
    """Something else that is built of a configuration: `config.system.build.<name>`.  Raises EvalError, with the code `missing-attribute` where
    the configuration has none.
    """
    found = find_along_path(root, f"{_BUILD}.{name}", arguments)
    derivation, path = (cast(str, find_along_path(found, attribute, arguments).to_python()) for attribute in ("drvPath", "outPath"))
    return Product(derivation, path)


def _find_snapshot(root: Value, arguments: AutoArguments) -> str | None:
    try:
        found = find_along_path(root, "config.nixpkgs.snapshot", arguments).to_python()
        return None if found is None else str(found)
    except EvalError:
        return None
