"""What a derivation says about how it wants to be built: attributes that mean something to the builder's host.

They are words in the environment, or, for a derivation with structured attributes, values in its `__json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from nivalis.build.errors import CannotBuildError
from nivalis.store.derivation import Derivation

__all__ = ["DerivationOptions", "OutputChecks"]


class OutputChecks(NamedTuple):
    """What an output may be.  None allows everything; names are of outputs or store paths; sizes are in bytes."""

    allowed_references: tuple[str, ...] | None = None
    allowed_requisites: tuple[str, ...] | None = None
    disallowed_references: tuple[str, ...] = ()
    disallowed_requisites: tuple[str, ...] = ()
    max_size: int | None = None
    max_closure_size: int | None = None
    ignores_self: bool = False


class DerivationOptions:
    """The options of one derivation."""

    def __init__(self, derivation: Derivation) -> None:
        """Raises CannotBuildError for structured attributes that are no JSON object."""
        self._env = derivation.env
        self.structured: Mapping[str, Any] | None = None
        if "__json" in derivation.env:
            try:
                self.structured = json.loads(derivation.env["__json"])
            except ValueError as error:
                raise CannotBuildError(f"structured attributes are not JSON: {error}") from error
            if not isinstance(self.structured, dict):
                raise CannotBuildError("structured attributes are not a JSON object")

    def words(self, name: str) -> tuple[str, ...] | None:
        """An attribute that is a list of words; None where there is none."""
        if self.structured is None:
            return tuple(self._env[name].split()) if name in self._env else None
        return _strings(self.structured, name)

    def switch(self, name: str, default: bool) -> bool:
        if self.structured is not None:
            value = self.structured.get(name, default)
            return value if isinstance(value, bool) else default
        return self._env[name] == "1" if name in self._env else default

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset(self.words("requiredSystemFeatures") or ())

    @property
    def allow_substitutes(self) -> bool:
        return self.switch("allowSubstitutes", True)

    @property
    def usr_farm(self) -> str | None:
        """`usrFarm`: the store path that has the /usr in which to build."""
        farm = self._env.get("usrFarm") if self.structured is None else self.structured.get("usrFarm")
        return farm if isinstance(farm, str) and farm else None

    def references_graphs(self) -> dict[str, tuple[str, ...]]:
        """`exportReferencesGraph`: for each file's or attribute's name the paths whose closure it is to hold."""
        if self.structured is not None:
            graphs = self.structured.get("exportReferencesGraph")
            if not isinstance(graphs, dict):
                return {}
            return {name: (paths,) if isinstance(paths, str) else tuple(paths) for name, paths in graphs.items()}
        words = (self._env.get("exportReferencesGraph") or "").split()
        if len(words) % 2:
            raise CannotBuildError("odd number of words in `exportReferencesGraph`", hint="it is a list of file names, each followed by a path")
        return {words[index]: (words[index + 1],) for index in range(0, len(words), 2)}

    def keeps_references(self, output: str) -> bool:
        """Whether an output is scanned for references."""
        unsafe = (self.structured or {}).get("unsafeDiscardReferences")
        return not (isinstance(unsafe, dict) and unsafe.get(output) is True)

    def checks(self, output: str) -> OutputChecks:
        if self.structured is None:
            return OutputChecks(
                self.words("allowedReferences"),
                self.words("allowedRequisites"),
                self.words("disallowedReferences") or (),
                self.words("disallowedRequisites") or (),
                ignores_self=True,
            )
        checks = self.structured.get("outputChecks")
        own = checks.get(output) if isinstance(checks, dict) else None
        if not isinstance(own, dict):
            return OutputChecks()
        return OutputChecks(
            _strings(own, "allowedReferences"),
            _strings(own, "allowedRequisites"),
            _strings(own, "disallowedReferences") or (),
            _strings(own, "disallowedRequisites") or (),
            own.get("maxSize"),
            own.get("maxClosureSize"),
        )


def _strings(owner: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    value = owner.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise CannotBuildError(f"attribute `{name}` is not a list of strings")
    return tuple(value)
