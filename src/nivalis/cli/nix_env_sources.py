"""Where `nix-env` takes packages from: the expression that is named or `~/.nix-defexpr`, in an evaluator over the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nivalis.cli.evaluation import make_arguments, open_evaluator, resolve_file
from nivalis.cli.nix_env import Options, user_name
from nivalis.cli.talk import show_warning
from nivalis.lang.auto_call import find_along_path
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.get_derivations import FoundDerivation, find_derivations
from nivalis.lang.value import Value
from nivalis.profile.default_expression import eval_source, make_default_expression
from nivalis.profile.manifest import find_installed
from nivalis.profile.packages import read_columns
from nivalis.profile.profiles import Profile
from nivalis.store.layout import StoreLayout
from nivalis.store.roots import follow

if TYPE_CHECKING:
    from nivalis.store.store import Store

__all__ = ["Sources", "open_sources"]


class Sources:
    """Packages that are installed and that can be."""

    def __init__(self, options: Options, layout: StoreLayout, evaluator: Evaluator, environment: dict[str, str]) -> None:
        self._options = options
        self._layout = layout
        self._environment = environment
        self._folder = os.getcwd()
        self.evaluator = evaluator
        self._arguments = make_arguments(evaluator, options, self._folder)

    @property
    def system(self) -> str:
        """The system that packages are preferred for."""
        return self.evaluator.settings.system

    def installed(self, profile: Profile) -> list[FoundDerivation]:
        """What is installed in a profile.  Raises EvalError, ManifestError."""
        return find_installed(self.evaluator, self._layout, profile.environment)

    def available(self, attribute: str = "") -> list[FoundDerivation]:
        """All packages below an attribute path, for the systems that are wanted.  Raises EvalError."""
        found = self._search(find_along_path(self.expression(), attribute, self._arguments))
        if attribute:
            found = [one._replace(path=f"{attribute}.{one.path}" if one.path else attribute) for one in found]
        wanted = self._options.system_filter
        if wanted == "*":
            return found
        rows = read_columns([one.value for one in found], ["system"])
        return [one for one, row in zip(found, rows, strict=True) if row is not None and row["system"] == wanted]

    def at_attributes(self, paths: list[str]) -> list[FoundDerivation]:
        """What attribute paths lead to.  Raises EvalError."""
        root = self.expression()
        return [found for path in paths for found in self._search(find_along_path(root, path, self._arguments))]

    def from_functions(self, texts: list[str]) -> list[FoundDerivation]:
        """What functions give that are called with the expression.  Raises EvalError."""
        root = self.expression()
        apply = self.evaluator.eval("function: function")
        return [
            found
            for text in texts
            for found in self._search(apply(self.evaluator.eval(os.fsencode(text), base_dir=self._folder), root))  # type: ignore[operator]
        ]

    def expression(self) -> Value:
        """The expression that packages are in.  Raises EvalError."""
        if self._options.file is not None:
            path = resolve_file(self.evaluator, self._options.file, self._folder)
        else:
            path = str(make_default_expression(self._layout, Path(self._environment.get("HOME") or "/"), user_name()))
        return eval_source(self.evaluator, path, warn=show_warning, real=partial(follow, self._layout))

    def _search(self, value: Value) -> list[FoundDerivation]:
        return find_derivations(value, self._arguments, skip_failed_assertions=True)


@contextmanager
def open_sources(options: Options, store: Store | StoreLayout, environment: dict[str, str]) -> Iterator[Sources]:
    """An evaluator over `store`; over a layout, nothing is written."""
    layout = store if isinstance(store, StoreLayout) else store.layout
    with open_evaluator(options, store, environment, options.settings(environment, os.getcwd(), layout)) as evaluator:
        yield Sources(options, layout, evaluator, environment)
