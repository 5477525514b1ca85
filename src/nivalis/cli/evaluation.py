"""What all commands share that evaluate: their flags, the settings these make, the store, and how messages look.

Flags and settings have CppNix's names; any setting can be given as `--option <name> <value>` or as `--<name> [<value>]`.
Settings that only concern building are understood and change nothing here.  Configuration files are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from nivalis.cli.arguments import Flags, UsageError
from nivalis.cli.failures import LibraryPlace
from nivalis.cli.talk import show_warning
from nivalis.lang.auto_call import AutoArguments
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.lang.search_path import SearchEntry, default_search_path, default_search_places, is_address, parse_nix_path
from nivalis.lang.value import Value
from nivalis.store.layout import StoreLayout

__all__ = ["EvalOptions", "host_system", "make_arguments", "resolve_file"]

_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})

# Boolean settings that matter here, as fields of `EvalOptions`.
_SWITCHES = {
    "show-trace": "show_trace",
    "pure-eval": "pure",
    "trace-verbose": "trace_verbose",
    "abort-on-warn": "abort_on_warn",
    "eval-cache": "eval_cache",
}
# Settings of CppNix that concern building, downloading or its own inner life.
_INERT_SWITCHES_TEXT = """
    allow-dirty allow-import-from-derivation always-allow-substitutes auto-allocate-uids auto-optimise-store builders-use-substitutes
    eval-profiler fallback fsync-metadata fsync-store-paths gc-warning ignore-try impersonate-linux-26 keep-derivations keep-env-derivations
    keep-failed keep-going keep-outputs preallocate-contents print-missing require-drop-supplementary-groups require-sigs sandbox
    sandbox-fallback show-stats substitute sync-before-registering use-case-hack use-cgroups use-registries use-sqlite-wal
    use-xdg-base-directories warn-dirty warn-short-path-literals
"""
_INERT_VALUES_TEXT = """
    access-tokens allowed-impure-host-deps allowed-uris allowed-users bash-prompt build-cores build-dir build-hook build-max-jobs
    build-poll-interval build-users-group builders commit-lockfile-summary connect-timeout cores debugger-on-trace diff-hook
    download-attempts download-buffer-size download-speed extra-platforms extra-sandbox-paths extra-substituters extra-trusted-public-keys
    extra-trusted-substituters eval-profile-file extra-system-features flake-registry gc-reserved-space hashed-mirrors http-connections
    http2 id-count log-lines max-build-log-size max-free max-jobs max-silent-time max-substitution-jobs min-free min-free-check-interval
    nar-buffer-size narinfo-cache-negative-ttl narinfo-cache-positive-ttl netrc-file plugin-files post-build-hook pre-build-hook repeat
    run-diff-hook sandbox-build-dir sandbox-dev-shm-size sandbox-paths secret-key-files ssl-cert-file stalled-download-timeout start-id
    substituters system-features tarball-ttl timeout trusted-public-keys trusted-substituters trusted-users upgrade-nix-store-path-url
    user-agent-suffix
"""
_INERT_SWITCHES = frozenset(_INERT_SWITCHES_TEXT.split())
_INERT_VALUES = frozenset(_INERT_VALUES_TEXT.split())


class EvalOptions:
    """What the flags of one command line say, as far as all evaluating commands share them."""

    def __init__(self) -> None:
        self.arguments: dict[str, tuple[str, bool]] = {}  # name: text, and whether it is an expression
        self.includes: list[str] = []
        self.nix_path: str | None = None
        self.store: str | None = None
        self.system: str | None = None
        self.features: set[str] = set()
        self.max_call_depth = 10000
        self.read_only = False
        self.show_trace = False
        self.pure = False
        self.trace_verbose = False
        self.abort_on_warn = False
        self.eval_cache = True
        self.gc_warning = True
        self.warnings: list[str] = []

    def flags(self) -> Flags:
        """The table of the shared flags."""
        table: dict[str, tuple[int, Callable[..., object]]] = {
            "--arg": (2, lambda name, text: self.arguments.__setitem__(name, (text, True))),
            "--argstr": (2, lambda name, text: self.arguments.__setitem__(name, (text, False))),
            "-I": (1, self.includes.append),
            "--include": (1, self.includes.append),
            "--option": (2, self.set),
            "--impure": (0, lambda: self.set("pure-eval", "false")),
            "--readonly-mode": (0, lambda: setattr(self, "read_only", True)),
            "--no-gc-warning": (0, lambda: setattr(self, "gc_warning", False)),
            "--eval-store": (1, _refuse_eval_store),
        }
        for name in ("store", "system", "eval-system", "nix-path", "max-call-depth"):
            table[f"--{name}"] = (1, lambda value, name=name: self.set(name, value))
        for name in ("experimental-features", "extra-experimental-features"):
            table[f"--{name}"] = (1, lambda value, name=name: self.set(name, value))
        for name in (*_SWITCHES, "restrict-eval"):
            table[f"--{name}"] = (0, lambda name=name: self.set(name, "true"))
            table[f"--no-{name}"] = (0, lambda name=name: self.set(name, "false"))
        ignored = [*(f"--{name}" for name in _INERT_SWITCHES), *(f"--no-{name}" for name in _INERT_SWITCHES if name != "gc-warning")]
        for name in (*ignored, "-v", "--verbose", "--quiet", "--debug", "-K", "-k", "-Q", "--no-build-output", "--repair"):
            table[name] = (0, lambda: None)
        for name in (*(f"--{name}" for name in _INERT_VALUES), "-j", "--log-format"):
            table[name] = (1, lambda value: None)
        return table

    def set(self, name: str, value: str) -> None:
        """Set one of Nix's settings.  Raises UsageError for a value that it cannot have; an unknown name is warned about."""
        if name in _SWITCHES:
            setattr(self, _SWITCHES[name], _read_switch(name, value))
        elif name == "experimental-features":
            self.features = set(value.split())
        elif name == "extra-experimental-features":
            self.features |= set(value.split())
        elif name == "store":
            self.store = value
        elif name in ("system", "eval-system"):
            self.system = value or self.system
        elif name == "nix-path":
            self.nix_path = ":".join(value.split())
        elif name == "max-call-depth":
            if not value.isdecimal():
                raise UsageError(f"setting '{name}' has invalid value '{value}'", hint="it is a number")
            self.max_call_depth = min(int(value), 2**32 - 1)
        elif name == "restrict-eval":
            if _read_switch(name, value):
                raise UsageError(
                    "setting 'restrict-eval' is not supported", hint="`--pure-eval` restricts an evaluation to what is named by its hash"
                )
        elif name not in _INERT_SWITCHES and name not in _INERT_VALUES:
            self.warn(f"unknown setting '{name}'")

    def warn(self, text: str) -> None:
        """Warn now, and whenever the same command line is answered from the cache."""
        show_warning(text)
        self.warnings.append(text)

    def search_path(self, environment: Mapping[str, str], folder: str, state_dir: str) -> tuple[SearchEntry, ...]:
        """`-I`, then NIX_PATH or what stands in for it; relative places start from `folder`."""
        if self.pure:
            return ()
        entries = [SearchEntry.parse(text) for text in self.includes]
        named = self.nix_path if self.nix_path is not None else environment.get("NIX_PATH")
        entries += default_search_path(environment, state_dir) if named is None else parse_nix_path(named)
        return tuple(entry.resolved(folder) for entry in entries)

    def default_places(self, environment: Mapping[str, str], layout: StoreLayout, settings: EvalSettings) -> list[tuple[str, bool]]:
        """Where channels were looked for because there is no NIX_PATH, and whether they were there."""
        if self.pure or self.nix_path is not None or "NIX_PATH" in environment:
            return []
        places = default_search_places(environment, str(layout.state_dir))
        return [(entry.place, entry in settings.search_path) for entry in places]

    def settings(self, environment: Mapping[str, str], folder: str, layout: StoreLayout) -> EvalSettings:
        """What an evaluation may depend on."""
        return EvalSettings(
            system=self.system or host_system(),
            search_path=self.search_path(environment, folder, str(layout.state_dir)),
            environment=environment,
            home=environment.get("HOME") or folder,
            pure=self.pure,
            features=frozenset(self.features),
            trace_verbose=self.trace_verbose,
            abort_on_warn=self.abort_on_warn or environment.get("NIX_ABORT_ON_WARN") in _TRUE,
            max_call_depth=self.max_call_depth,
        )

    def layout(self, environment: Mapping[str, str]) -> StoreLayout:
        """The store of `--store`, else of NIX_REMOTE.  Raises StorePlaceError."""
        if self.store is not None:
            return StoreLayout.parse(self.store, environment)
        address = environment.get("NIX_REMOTE", "")
        # For reading, a daemon's store is the machine's own.
        if address == "daemon" and self.read_only:
            address = ""
        return StoreLayout.parse(address, environment)

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


def _read_switch(name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f"Boolean setting '{name}' has invalid value '{value}'")


def _refuse_eval_store(address: str) -> None:
    raise UsageError("flag '--eval-store' is not supported", hint=f"`--store {address}` evaluates in that store")


def host_system() -> str:
    """This machine's system in Nix's words: `x86_64-linux`."""
    uname = os.uname()
    machine = "i686" if uname.machine in ("i386", "i486", "i586", "i686") else uname.machine
    return f"{machine}-{uname.sysname.lower()}"


def make_arguments(evaluator: Evaluator, options: EvalOptions, folder: str) -> AutoArguments:
    """The values of `--arg` (parsed now, evaluated when they are used) and `--argstr`.  Raises EvalError."""
    made: dict[str, Value] = {}
    for name, (text, is_expression) in sorted(options.arguments.items()):
        made[name] = evaluator.delay(text, base_dir=folder) if is_expression else evaluator.from_python(text)
    return made


def resolve_file(evaluator: Evaluator, argument: str, folder: str) -> str:
    """The file that an argument names: a path from `folder`, or `<name>`.  Raises EvalError, UsageError."""
    if is_address(argument):
        raise UsageError(f"an address cannot be fetched yet: `{argument}`", hint="name a file or folder")
    if argument.startswith("flake:"):
        raise UsageError(f"flakes are not supported: `{argument}`", hint="name the file or folder that holds the expression")
    if len(argument) > 2 and argument[0] == "<" and argument[-1] == ">":
        return evaluator.find_file(argument[1:-1])
    return os.path.normpath(os.path.join(folder, argument))
