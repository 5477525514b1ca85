"""What the commands about systems share: which configuration is meant, evaluating it, building it.

The configuration is what NIXOS_CONFIG names, or `<nixos-config>`, which is /etc/nixos/configuration.nix unless the search path has another.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from nivalis.build.builder import StoreBuilder
from nivalis.build.events import one_at_a_time
from nivalis.cli.building import BuildOptions, report_failures
from nivalis.cli.common_options import open_store
from nivalis.cli.effects import LazyFetcher, LazySubstituter
from nivalis.cli.evaluation import make_arguments
from nivalis.cli.failures import fold_trace
from nivalis.cli.talk import show_evaluation_warning, show_trace_message
from nivalis.errors import EvalError
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.lang.search_path import SearchEntry
from nivalis.system.errors import MachineError

if TYPE_CHECKING:
    from nivalis.lang.auto_call import AutoArguments
    from nivalis.lang.value import Value
    from nivalis.store.layout import StoreLayout
    from nivalis.store.store import Store
    from nivalis.system.configuration import Configuration
    from nivalis.system.outlook import Outlook

__all__ = ["CONFIGURATION", "SystemDesk"]

_T = TypeVar("_T")

CONFIGURATION = "/etc/nixos/configuration.nix"


class SystemDesk:
    """Evaluates and builds the configuration that a command line and its environment mean."""

    def __init__(self, options: BuildOptions, environment: Mapping[str, str], place: str | None = None) -> None:
        self._options = options
        self._environment = environment
        self._folder = os.getcwd()
        self._place = place
        self.layout: StoreLayout = options.layout(environment)

    @contextmanager
    def open(self) -> Iterator[Store]:
        """The store."""
        with open_store(self.layout, self._options.config) as store:
            yield store

    def evaluate(self, store: Store) -> Configuration:
        """The configuration's toplevel and data.  Raises EvalError, MachineError."""
        from nivalis.system.configuration import evaluate

        def work(evaluator: Evaluator, root: Value, arguments: AutoArguments) -> Configuration:
            found = evaluate(root, arguments)
            if found.snapshot is None:
                found = dataclasses.replace(found, snapshot=_beside_channel(evaluator))
            evaluator.flush()
            return found

        return self.ask(store, work)

    def ask(self, store: Store, work: Callable[[Evaluator, Value, AutoArguments], _T]) -> _T:
        """What `work` says of the evaluator, the value of `<nixpkgs/nixos>`, and the arguments of the command line.  Raises EvalError."""
        options = self._options
        settings = self._settings()
        build_settings = options.build_settings(self._environment)
        renderer = options.renderer(build_settings)
        listen = one_at_a_time(renderer.handle)
        substituter = LazySubstituter(store, self._environment, options.config, listen)
        builder = StoreBuilder(store, build_settings, listen=listen, substituter=substituter)
        fetcher = LazyFetcher(store, self._environment, options.config)
        try:
            with Evaluator(
                store, settings, on_trace=show_trace_message, on_warn=show_evaluation_warning, fetcher=fetcher, builder=builder
            ) as evaluator:
                place = evaluator.find_file("nixpkgs/nixos") if self._place is None else os.path.join(self._folder, self._place)
                return work(evaluator, evaluator.eval_file(place), make_arguments(evaluator, options, self._folder))
        except EvalError as error:
            if not options.show_trace:
                fold_trace(error, options.library(settings, self._folder, store.store_dir))
            raise
        finally:
            substituter.close()
            renderer.close()

    def _settings(self) -> EvalSettings:
        settings = self._options.settings(self._environment, self._folder, self.layout)
        for text in self._options.includes:
            place = text.removeprefix("nixos-config=")
            if place != text and not os.path.exists(os.path.join(self._folder, place)):
                # The search would go on without a word, and find another machine's.
                raise MachineError(f"there is no such configuration: `{place}`", code="no-configuration")
        is_named = any(entry.prefix == "nixos-config" for entry in settings.search_path)
        if is_named or self._environment.get("NIXOS_CONFIG") or not os.path.exists(CONFIGURATION):
            return settings
        return settings._replace(search_path=(*settings.search_path, SearchEntry("nixos-config", CONFIGURATION)))

    def show_build_plan(self, store: Store, derivation: str) -> None:
        """Say on stderr what would be built and fetched."""
        from nivalis.build.goals import Wanted, make_plan
        from nivalis.cli.nix_build import show_plan

        with LazySubstituter(store, self._environment, self._options.config) as substituter:
            plan = make_plan(store, [Wanted(derivation, ("out",))], self._options.build_settings(self._environment), substituter)
        show_plan(plan, as_json=False)

    def look_ahead(self, store: Store, profile: str) -> Outlook:
        """What becoming the configuration would take."""
        from nivalis.system.machine import Machine
        from nivalis.system.outlook import look_ahead

        configuration = self.evaluate(store)
        settings = self._options.build_settings(self._environment)
        with LazySubstituter(store, self._environment, self._options.config) as substituter:
            return look_ahead(store, Machine(self.layout, profile), configuration, settings, substituter)

    def build(self, store: Store, derivation: str) -> int:
        """Build a toplevel; the exit status."""
        from nivalis.build.realisation import realise

        settings = self._options.build_settings(self._environment)
        renderer = self._options.renderer(settings)
        listen = one_at_a_time(renderer.handle)
        try:
            with LazySubstituter(store, self._environment, self._options.config, listen) as substituter:
                result = realise(store, [f"{derivation}!out"], settings, listen=listen, substituter=substituter)
        finally:
            renderer.close()
        report_failures(result)
        return result.exit_status


def _beside_channel(evaluator: Evaluator) -> str | None:
    """The snapshot that the channel finds where it is given none: beside itself, or by a name of its own."""
    for name in ("nixpkgs/snapshot", "debian-snapshot"):
        with suppress(EvalError):
            return os.path.realpath(evaluator.find_file(name))
    return None
