"""Manifests: the list of a user environment's elements, `manifest.nix` in it, by which it can be changed later.

A manifest is an expression of the language: a list of sets that look like derivations.  It is written in CppNix's layout, byte by
byte, as the environment's store path depends on it; reading it is evaluating it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from nivalis.errors import NivalisError
from nivalis.lang.encoding import encode
from nivalis.lang.get_derivations import FoundDerivation, find_derivations
from nivalis.profile.packages import Element, MetaValue, read_elements

if TYPE_CHECKING:
    from nivalis.lang.evaluator import Evaluator
    from nivalis.store.layout import StoreLayout

__all__ = ["ManifestError", "coerce_to_word", "find_installed", "print_manifest", "read_manifest"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*", re.ASCII)
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


class ManifestError(NivalisError):
    """An environment cannot be changed, or not by this program."""

    default_code = "manifest"


def print_manifest(elements: Iterable[Element], *, keep_derivations: bool = False) -> bytes:
    """The text of `manifest.nix`.  With `keep_derivations` it names derivations, so that they live as long as the environment."""
    return encode(_print([_describe(element, keep_derivations) for element in elements]))


def read_manifest(evaluator: Evaluator, layout: StoreLayout, environment: str) -> list[Element]:
    """The elements of the user environment at a path; none, where there is no environment.  Raises EvalError, ManifestError."""
    return read_elements([found.value for found in find_installed(evaluator, layout, environment)])


def find_installed(evaluator: Evaluator, layout: StoreLayout, environment: str) -> list[FoundDerivation]:
    """The elements as the derivations that they look like.  Raises EvalError, ManifestError."""
    real = layout.real_path(environment) if layout.is_in_store(environment) else environment
    if os.path.lexists(f"{real}/manifest.json"):
        raise ManifestError(
            f"profile is of another kind, and `nix-env` cannot change it: `{environment}`", hint="`nix profile` made it; use that, or another profile"
        )
    if not os.path.lexists(f"{real}/manifest.nix"):
        return []
    return find_derivations(evaluator.eval_file(f"{environment}/manifest.nix"), {})


def _describe(element: Element, keep_derivations: bool) -> dict[str, object]:
    attributes: dict[str, object] = {
        "type": "derivation",
        "name": element.name,
        "outPath": element.out_path,
        "outputs": sorted(element.outputs),
        "meta": element.meta,
    }
    if element.system:
        attributes["system"] = element.system
    if keep_derivations and element.drv_path is not None:
        attributes["drvPath"] = element.drv_path
    return {**attributes, **{output: {"outPath": path} for output, path in element.outputs.items()}}


def _print(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _quote(value)
        case float():
            return f"{value:g}"
        case Mapping():
            return "{ " + "".join(f"{_print_name(name)} = {_print(inner)}; " for name, inner in sorted(value.items())) + "}"
        case Sequence():
            return "[ " + "".join(f"{_print(inner)} " for inner in value) + "]"
        case _:
            return str(value)


def _print_name(name: str) -> str:
    # Of the words that cannot be names, CppNix knows just this one.
    return name if name != "if" and _IDENTIFIER.fullmatch(name) else _quote(name)


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPES).replace("${", chr(92) + "${")}"'


def coerce_to_word(value: MetaValue) -> str:
    """What the language makes of a value where a derivation's variable needs a string: true is `1`, and false empty."""
    match value:
        case bool():
            return "1" if value else ""
        case float():
            return f"{value:f}"
        case str() | int():
            return str(value)
        case Mapping():
            raise ManifestError("a set stands where a word has to")
        case _:
            return " ".join(coerce_to_word(inner) for inner in value)
