"""What the commands about systems share: which configuration is meant, evaluating it, building it.

The configuration is what NIXOS_CONFIG names, or `<nixos-config>`, which is /etc/nixos/configuration.nix unless the search path has another.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from nivalis.cli.building import BuildOptions, open_building, report_failures
from nivalis.cli.common_options import open_store
from nivalis.cli.eval_cache import Request, show_messages
from nivalis.cli.evaluation import make_arguments, open_evaluator, resolve_file
from nivalis.errors import EvalError
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.lang.search_path import SearchEntry
from nivalis.system.errors import MachineError

if TYPE_CHECKING:
    from nivalis.lang.auto_call import AutoArguments
    from nivalis.lang.value import Value
    from nivalis.store.layout import StoreLayout
    from nivalis.store.store import Store
    from nivalis.system.configuration import Configuration, Product
    from nivalis.system.outlook import Outlook

__all__ = ["CONFIGURATION", "SystemDesk"]

_T = TypeVar("_T")

CONFIGURATION = "/etc/nixos/configuration.nix"
# Counts changes of what is kept in the evaluation cache.
_ANSWER = "configuration 1"


class SystemDesk:
    """Evaluates and builds the configuration that a command line and its environment mean."""

    def __init__(self, options: BuildOptions, environment: Mapping[str, str], place: str | None = None) -> None:
        self._options = options
        self._environment = environment
        self._folder = os.getcwd()
        self._place = place
        self._held = ExitStack()
        self.layout: StoreLayout = options.layout(environment)

    @contextmanager
    def open(self) -> Iterator[Store]:
        """The store; what is evaluated stays in it as long."""
        with ExitStack() as self._held, open_store(self.layout, self._options.config) as store:
            yield store

    def evaluate(self, store: Store) -> Configuration:
        """The configuration's toplevel and data, by the evaluation cache if that knows them.  Raises EvalError, MachineError."""
        from nivalis.system.configuration import Configuration, evaluate

        settings = self._settings()
        request = self._make_request(settings) if self._options.eval_cache else None
        hit = request.find() if request is not None else None
        if hit is not None:
            self._held.callback(hit.close)
            show_messages(hit)
            return _follow_snapshot(Configuration.parse(hit.output))

        def work(evaluator: Evaluator, root: Value, arguments: AutoArguments) -> Configuration:
            found = evaluate(root, arguments)
            if found.snapshot is None:
                found = dataclasses.replace(found, snapshot=_beside_channel(evaluator))
            evaluator.flush()
            if request is not None:
                request.keep(
                    evaluator.recording(),
                    found.unparse(),
                    [found.derivation],
                    state_dir=str(store.layout.state_dir),
                    is_written=True,
                    exists=self._options.default_places(self._environment, store.layout, settings),
                )
            return found

        return _follow_snapshot(self.ask(store, work, record=request is not None))

    def _make_request(self, settings: EvalSettings) -> Request:
        """The same for all commands that mean the same configuration."""
        options = self._options
        words = [
            _ANSWER,
            self._place or "",
            repr(settings.search_path),
            repr(sorted(options.arguments.items())),
            repr(sorted(options.config.given().items())),
        ]
        return Request("system", words, self._folder, self._environment)

    def evaluate_image(self, store: Store, name: str) -> tuple[Configuration, Product]:
        """The configuration, and its image `config.system.build.<name>`.  Raises EvalError, MachineError."""
        from nivalis.system.configuration import evaluate, evaluate_product

        def work(evaluator: Evaluator, root: Value, arguments: AutoArguments) -> tuple[Configuration, Product]:
            try:
                # First, for a configuration without one is often no whole machine either.
                image = evaluate_product(root, name, arguments)
            except EvalError as error:
                if error.code != "missing-attribute":
                    raise
                hint = 'it imports none of the modules that make one, as "${modulesPath}/virtualisation/brightbox-image.nix" does'
                raise MachineError(f"the configuration makes no such image: `{name}`", code="no-image", hint=hint) from None
            configuration = evaluate(root, arguments)
            evaluator.flush()
            return configuration, image

        return self.ask(store, work)

    def ask(self, store: Store, work: Callable[[Evaluator, Value, AutoArguments], _T], *, record: bool = False) -> _T:
        """What `work` says of the evaluator, the value of `<nixpkgs/nixos>`, and the arguments of the command line.  Raises EvalError.

        With `record` the evaluator notes what it looks at.
        """
        options = self._options
        with (
            open_building(options, store, self._environment) as building,
            open_evaluator(options, store, self._environment, self._settings(), builder=building.builder(), record=record) as evaluator,
            evaluator,
        ):
            place = _find_systems(evaluator) if self._place is None else resolve_file(evaluator, self._place, self._folder)
            return work(evaluator, evaluator.eval_file(place), make_arguments(evaluator, options, self._folder))

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
        with open_building(self._options, store, self._environment) as building:
            building.show_plan([f"{derivation}!out"])

    def look_ahead(self, store: Store, profile: str) -> Outlook:
        """What becoming the configuration would take."""
        from nivalis.system.machine import Machine
        from nivalis.system.outlook import look_ahead

        configuration = self.evaluate(store)
        with open_building(self._options, store, self._environment) as building:
            return look_ahead(store, Machine(self.layout, profile), configuration, building.settings, building.substituter)

    def build(self, store: Store, derivation: str) -> int:
        """Build a toplevel; the exit status."""
        with open_building(self._options, store, self._environment) as building:
            result = building.realise([f"{derivation}!out"])
        report_failures(result)
        return result.exit_status


def _find_systems(evaluator: Evaluator) -> str:
    """What makes systems: that of `<nixpkgs>`, or of the channel `nixos` where nothing is called so.  Raises EvalError."""
    try:
        return evaluator.find_file("nixpkgs/nixos")
    except EvalError:
        with suppress(EvalError):
            return evaluator.find_file("nixos/nixos")
        raise


def _beside_channel(evaluator: Evaluator) -> str | None:
    """The snapshot that the channel finds where it is given none: beside itself, or by a name of its own."""
    for name in ("nixpkgs/snapshot", "nixos/snapshot", "debian-snapshot"):
        with suppress(EvalError):
            return evaluator.find_file(name)
    return None


def _follow_snapshot(configuration: Configuration) -> Configuration:
    """With the snapshot's own place: a link to it may lead elsewhere by now."""
    snapshot = configuration.snapshot
    return configuration if snapshot is None else dataclasses.replace(configuration, snapshot=os.path.realpath(snapshot))
