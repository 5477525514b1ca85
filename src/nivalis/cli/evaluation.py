"""What all commands share that evaluate: their flags, the settings these make, the store, and how messages look."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nivalis import _native
from nivalis.cli.arguments import Flags, UsageError
from nivalis.cli.common_options import CommonOptions
from nivalis.cli.effects import LazyBuilder, LazyFetcher
from nivalis.cli.failures import LibraryPlace, fold_trace
from nivalis.cli.talk import show_evaluation_warning, show_trace_message
from nivalis.errors import EvalError
from nivalis.lang.auto_call import AutoArguments
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.lang.search_path import SearchEntry, default_search_path, default_search_places, is_address, parse_nix_path
from nivalis.lang.value import Value
from nivalis.store.layout import StoreLayout

if TYPE_CHECKING:
    from nivalis.lang.host import Builder
    from nivalis.store.store import Store

__all__ = ["EvalOptions", "make_arguments", "open_evaluator", "resolve_file"]


class EvalOptions(CommonOptions):
    """What the flags of one command line say, as far as all evaluating commands share them."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: dict[str, tuple[str, bool]] = {}  # name: text, and whether it is an expression
        self.includes: list[str] = []
        self.read_only = False
        self.gc_warning = True

    def flags(self) -> Flags:
        """The table of the shared flags."""
        own: dict[str, tuple[int, Callable[..., object]]] = {
            "--arg": (2, lambda name, text: self.arguments.__setitem__(name, (text, True))),
            "--argstr": (2, lambda name, text: self.arguments.__setitem__(name, (text, False))),
            "-I": (1, self.includes.append),
            "--include": (1, self.includes.append),
            "--impure": (0, lambda: self.set("pure-eval", "false")),
            "--readonly-mode": (0, lambda: setattr(self, "read_only", True)),
            "--no-gc-warning": (0, lambda: setattr(self, "gc_warning", False)),
            "--eval-store": (1, _refuse_eval_store),
            "--repair": (0, lambda: None),
        }
        return {**super().flags(), **own}

    @property
    def system(self) -> str:
        """The platform that is built for."""
        return self.config.text("system")

    @property
    def pure(self) -> bool:
        return self.config.switch("pure-eval")

    @property
    def show_trace(self) -> bool:
        return self.config.switch("show-trace")

    @property
    def eval_cache(self) -> bool:
        return self.config.switch("eval-cache")

    def search_path(self, environment: Mapping[str, str], folder: str, state_dir: str) -> tuple[SearchEntry, ...]:
        """`-I`, then the option `nix-path`, NIX_PATH or what stands in for them; relative places start from `folder`."""
        if self.pure:
            return ()
        entries = [SearchEntry.parse(text) for text in self.includes]
        if not self.config.is_replaced("nix-path"):
            named = environment.get("NIX_PATH")
            default = [] if self.config.switch("restrict-eval") else default_search_path(environment, state_dir)
            entries += default if named is None else parse_nix_path(named)
        entries += [SearchEntry.parse(text) for text in self.config.words("nix-path")]
        return tuple(entry.resolved(folder) for entry in entries)

    def default_places(self, environment: Mapping[str, str], layout: StoreLayout, settings: EvalSettings) -> list[tuple[str, bool]]:
        """Where channels were looked for because there is no NIX_PATH, and whether they were there."""
        if self.pure or self.config.is_replaced("nix-path") or "NIX_PATH" in environment:
            return []
        places = default_search_places(environment, str(layout.state_dir))
        return [(entry.place, entry in settings.search_path) for entry in places]

    def settings(self, environment: Mapping[str, str], folder: str, layout: StoreLayout) -> EvalSettings:
        """What an evaluation may depend on."""
        config = self.config
        return EvalSettings(
            system=config.text("eval-system") or self.system,
            search_path=self.search_path(environment, folder, str(layout.state_dir)),
            environment=environment,
            home=environment.get("HOME") or folder,
            pure=self.pure,
            allowed_uris=config.words("allowed-uris") if config.switch("restrict-eval") else None,
            builds=config.switch("allow-import-from-derivation"),
            features=frozenset(config.words("experimental-features")),
            trace_verbose=config.switch("trace-verbose"),
            abort_on_warn=config.switch("abort-on-warn") or environment.get("NIX_ABORT_ON_WARN") in ("1", "true", "yes"),
            max_call_depth=min(config.number("max-call-depth"), 2**32 - 1),
        )

    def store_address(self, environment: Mapping[str, str]) -> str:
        address = super().store_address(environment)
        # For reading, a daemon's store is the machine's own.
        return "" if address == "daemon" and self.read_only else address

    def library(self, settings: EvalSettings, folder: str, store_dir: str) -> list[LibraryPlace]:
        """Where others' files lie: behind the search path, but not around the working directory, and in the store."""
        places = []
        for entry in settings.search_path:
            place = LibraryPlace(entry.place, f"<{entry.prefix}>" if entry.prefix else entry.place)
            if not is_address(entry.place) and not place.has(folder):
                places.append(place)
                if os.path.islink(entry.place):
                    places.append(LibraryPlace(os.path.realpath(entry.place), place.name))
        return [*places, LibraryPlace(store_dir, store_dir)]


@contextmanager
def open_evaluator(
    options: EvalOptions,
    store: Store | StoreLayout,
    environment: Mapping[str, str],
    settings: EvalSettings,
    *,
    builder: Builder | None = None,
    record: bool = False,
) -> Iterator[Evaluator]:
    """An evaluator that talks on stderr, and builds and fetches as the flags say; over a layout it builds and writes nothing.

    The trace of an error that leaves is folded, unless all of it is wanted.  What the evaluator holds is freed with the process.
    """
    layout = store if isinstance(store, StoreLayout) else store.layout
    _native.keep_heap_small()
    if builder is None and not isinstance(store, StoreLayout):
        builder = LazyBuilder(store, environment, options.config)
    fetcher = LazyFetcher(store, environment, options.config)
    try:
        yield Evaluator(
            store, settings, on_trace=show_trace_message, on_warn=show_evaluation_warning, fetcher=fetcher, builder=builder, record=record
        )
    except EvalError as error:
        if not options.show_trace:
            fold_trace(error, options.library(settings, os.getcwd(), layout.store_dir))
        raise
    finally:
        fetcher.close()


def _refuse_eval_store(address: str) -> None:
    raise UsageError("flag '--eval-store' is not supported", hint=f"`--store {address}` evaluates in that store")


def make_arguments(evaluator: Evaluator, options: EvalOptions, folder: str) -> AutoArguments:
    """The values of `--arg` (parsed now, evaluated when they are used) and `--argstr`.  Raises EvalError."""
    made: dict[str, Value] = {}
    for name, (text, is_expression) in sorted(options.arguments.items()):
        made[name] = evaluator.delay(text, base_dir=folder) if is_expression else evaluator.from_python(text)
    return made


def resolve_file(evaluator: Evaluator, argument: str, folder: str) -> str:
    """The file that an argument names: a path from `folder`, `<name>`, or an archive's address.  Raises EvalError, UsageError."""
    if is_address(argument):
        # By the language's own function, so that the cache of evaluations knows of it.
        fetch: Any = evaluator.builtins["fetchTarball"]
        return str(fetch(argument))
    if argument.startswith("flake:"):
        raise UsageError(f"flakes are not supported: `{argument}`", hint="name the file or folder that holds the expression")
    if len(argument) > 2 and argument[0] == "<" and argument[-1] == ">":
        return evaluator.find_file(argument[1:-1])
    return os.path.normpath(os.path.join(folder, argument))
