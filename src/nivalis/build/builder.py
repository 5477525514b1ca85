"""Building for others: the object that an evaluator is handed so that import from derivation works."""

from __future__ import annotations

from collections.abc import Sequence

from nivalis.build.events import Listener
from nivalis.build.goals import Substituter, Wanted
from nivalis.build.realisation import realise
from nivalis.build.settings import BuildSettings
from nivalis.store.store import Store

__all__ = ["StoreBuilder"]


class StoreBuilder:
    """Builds in one store with one set of settings; the `builder=` of an evaluator."""

    def __init__(
        self, store: Store, settings: BuildSettings, *, listen: Listener = lambda event: None, substituter: Substituter | None = None
    ) -> None:
        self._store = store
        self._settings = settings
        self._listen = listen
        self._substituter = substituter

    def realise(self, wanted: Sequence[tuple[str, str]]) -> list[str]:
        """Make outputs (derivation, output name) valid; their paths.  Raises BuildError and the store's errors."""
        goals = [Wanted(derivation, (output,)) for derivation, output in wanted]
        realise(self._store, goals, self._settings, listen=self._listen, substituter=self._substituter).check()
        return [str(self._store.read_derivation(derivation).outputs[output].path) for derivation, output in wanted]
