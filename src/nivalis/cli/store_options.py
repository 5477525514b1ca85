"""What the commands share that work on a store and evaluate nothing: their flags, the store, how a word names a store path.

Flags and settings have CppNix's names.  Those that concern evaluating and building are understood where a command line may have them
(`-v`, `--cores 4`), and only kept for whoever builds; their table is loaded when such a flag occurs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from nivalis.cli.arguments import Flags, UsageError
from nivalis.errors import InvalidPathError
from nivalis.store.layout import StoreLayout
from nivalis.store.queries import KeepPolicy
from nivalis.store.store import Store

if TYPE_CHECKING:
    from nivalis.store.gc import Collected

__all__ = ["StoreOptions", "parse_number", "print_freed", "store_path_of", "write_lines"]

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_SWITCHES = {
    "keep-outputs": "keep_outputs",
    "gc-keep-outputs": "keep_outputs",
    "keep-derivations": "keep_derivations",
    "gc-keep-derivations": "keep_derivations",
}
_LETTERS = {"-j": "max-jobs", "-k": "keep-going", "-K": "keep-failed"}
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class StoreOptions:
    """What the shared flags of one command line say."""

    def __init__(self) -> None:
        self.store: str | None = None
        self.keep_outputs = False
        self.keep_derivations = True
        # Settings that are others' matter, for those who build.
        self.settings: dict[str, str] = {}

    def flags(self, own: Flags) -> Flags:
        """The table: `own`, the shared flags, and what other commands understand."""
        shared: dict[str, tuple[int, Callable[..., object]]] = {
            "--store": (1, lambda address: setattr(self, "store", address)),
            "--option": (2, self.set),
        }
        for name, field in _SWITCHES.items():
            shared[f"--{name}"] = (0, lambda field=field: setattr(self, field, True))
            shared[f"--no-{name}"] = (0, lambda field=field: setattr(self, field, False))
        return _WithOthers({**shared, **own}, self.settings)

    def set(self, name: str, value: str) -> None:
        """Set one of Nix's settings.  Raises UsageError for a value that it cannot have."""
        if name == "store":
            self.store = value
        elif name in _SWITCHES:
            if value not in _TRUE + _FALSE:
                raise UsageError(f"Boolean setting '{name}' has invalid value '{value}'")
            setattr(self, _SWITCHES[name], value in _TRUE)
        else:
            self.settings[name] = value

    @property
    def keep(self) -> KeepPolicy:
        return KeepPolicy(outputs=self.keep_outputs, derivations=self.keep_derivations)

    def layout(self, environment: Mapping[str, str]) -> StoreLayout:
        """The store of `--store`, else of NIX_REMOTE.  Raises StorePlaceError."""
        return StoreLayout.parse(environment.get("NIX_REMOTE", "") if self.store is None else self.store, environment)

    def open(self, environment: Mapping[str, str]) -> Store:
        """The store, made anew where there is none; for reading only where it cannot be written.  Raises StoreError."""
        layout = self.layout(environment)
        # Whoever may not write may still ask.
        read_only = layout.database_dir.is_dir() and not os.access(layout.database_dir, os.W_OK)
        return Store.open(layout, read_only=read_only)


class _WithOthers(Mapping[str, tuple[int, Callable[..., object]]]):
    """A table of flags, and behind it the flags of other commands, loaded when they are first asked for.

    Those are only kept as the settings that they set.
    """

    def __init__(self, own: Flags, settings: dict[str, str]) -> None:
        self._own = own
        self._settings = settings
        self._others: Flags | None = None

    def __getitem__(self, flag: str) -> tuple[int, Callable[..., object]]:
        if flag in self._own:
            return self._own[flag]
        count, _ = self._load()[flag]
        name = _LETTERS.get(flag) or flag.removeprefix("--")
        if count == 1:
            return 1, lambda value: self._settings.__setitem__(name, value)
        if count == 0:
            value = "false" if name.startswith("no-") else "true"
            return 0, lambda: self._settings.__setitem__(name.removeprefix("no-"), value)
        return count, lambda *words: None

    def __contains__(self, flag: object) -> bool:
        return flag in self._own or (isinstance(flag, str) and flag.startswith("-") and flag in self._load())

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def _load(self) -> Flags:
        if self._others is None:
            from nivalis.cli.evaluation import EvalOptions

            self._others = EvalOptions().flags()
        return self._others


def store_path_of(layout: StoreLayout, word: str, folder: str) -> str:
    """The store path that a word on the command line names: one, a file in one, or a link to one.

    Relative words start from `folder`.  Raises OSError for what is not there, InvalidPathError for what is not in the store.
    """
    from nivalis.store.roots import store_path_in

    place = os.path.normpath(os.path.join(folder, word))
    for _ in range(100):
        path = store_path_in(layout, place)
        if path is not None:
            return path
        if not os.path.islink(place):
            os.lstat(place)
            break
        place = os.path.normpath(os.path.join(os.path.dirname(place), os.readlink(place)))
    raise InvalidPathError(f"path is not in the store `{layout.store_dir}`: `{place}`")


def parse_number(text: str, flag: str) -> int:
    """A number of bytes, with one of the units K, M, G, T or without.  Raises UsageError."""
    unit = _UNITS.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    if not (digits.isascii() and digits.isdigit()):
        raise UsageError(f"'{flag}' requires an integer argument")
    return sign * int(digits) * unit


def print_freed(collected: Collected) -> None:
    """What a collector removed."""
    print(f"{len(collected.paths)} store paths deleted, {collected.size / (1024 * 1024):.2f} MiB freed")


def write_lines(lines: Iterable[str]) -> None:
    """Print lines, as far as they go at once; names in the store may be any bytes."""
    out = sys.stdout.buffer
    for line in lines:
        out.write(os.fsencode(line) + b"\n")
    out.flush()
