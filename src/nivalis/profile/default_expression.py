"""What `nix-env` installs from when it is not told: `~/.nix-defexpr`, and how a folder of expressions becomes one.

A file, or a folder with a `default.nix`, is an expression.  Any other folder stands for the set of the expressions in it and in the
folders below, each by its name (without `.nix`): so several channels are searched as one set.  `manifest.nix` is left out, for
channels are themselves profiles.  The rules are CppNix's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nivalis.errors import NivalisError
from nivalis.lang.value import Function, Value

if TYPE_CHECKING:
    from nivalis.lang.evaluator import Evaluator
    from nivalis.store.layout import StoreLayout

__all__ = ["DefaultExpressionError", "eval_source", "find_expressions", "make_default_expression"]

_MOST = 1024

# `_combineChannels` has derivations looked for in all of them.
_COMBINE = "files: builtins.mapAttrs (name: file: import file) files // { _combineChannels = [ ]; }"


class DefaultExpressionError(NivalisError):
    """A place holds no expression, or too many."""

    default_code = "default-expression"


def make_default_expression(layout: StoreLayout, home: Path, user: str) -> Path:
    """`~/.nix-defexpr`; if there is none it is made, with links to the user's channels and root's."""
    folder = home / ".nix-defexpr"
    try:
        if not os.path.lexists(folder):
            folder.mkdir(parents=True)
            channels = layout.profiles_dir / "per-user"
            (folder / "channels").symlink_to(channels / user / "channels")
            if user != "root":
                (folder / "channels_root").symlink_to(channels / "root/channels")
    except OSError:
        pass  # a home that cannot be written has no channels
    return folder


def eval_source(evaluator: Evaluator, path: str, *, warn: Callable[[str], object], real: Callable[[str], str] = str) -> Value:
    """The expression at a path, or the set of those in a folder.  Raises EvalError, DefaultExpressionError, OSError.

    `real` says where a path really is: links into a store under another root lead to logical places.
    """
    place = real(path)
    mode = os.stat(place).st_mode
    if _is_expression(place, mode):
        return evaluator.eval_file(path)
    if not stat.S_ISDIR(mode):
        raise DefaultExpressionError(f"neither a folder nor an expression: `{path}`")
    files = {name: Path(file) for name, file in find_expressions(path, warn=warn, real=real).items()}
    combine = evaluator.eval(_COMBINE)
    assert isinstance(combine, Function)
    return combine(files)


def find_expressions(folder: str, *, warn: Callable[[str], object], real: Callable[[str], str] = str) -> dict[str, str]:
    """The expressions in a folder by their names; a second one of a name is passed over, with a warning.

    Raises DefaultExpressionError for more than 1024.
    """
    found: dict[str, str] = {}
    _gather(folder, found, warn, real)
    return found


def _gather(folder: str, found: dict[str, str], warn: Callable[[str], object], real: Callable[[str], str]) -> None:
    for entry in sorted(os.listdir(real(folder))):
        path = os.path.join(folder, entry)
        if entry == "manifest.nix":
            continue
        try:
            place = real(path)
            mode = os.stat(place).st_mode
        except OSError:
            continue  # a link that leads nowhere: a channel that is not there yet
        if _is_expression(place, mode) and (stat.S_ISDIR(mode) or entry.endswith(".nix")):
            name = entry.removesuffix(".nix")
            if name in found:
                warn(f"name collision in input Nix expressions, skipping '{path}'")
                continue
            if len(found) == _MOST:
                raise DefaultExpressionError(f"more than {_MOST} expressions in one folder: `{folder}`", hint="name one of them with `-f`")
            found[name] = path
        elif stat.S_ISDIR(mode):
            _gather(path, found, warn, real)


def _is_expression(path: str, mode: int) -> bool:
    return stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and os.path.exists(os.path.join(path, "default.nix")))
