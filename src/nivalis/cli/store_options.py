"""What the commands share that work on a store and evaluate nothing: their flags, the store, how a word names a store path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nivalis.cli.arguments import Flags, UsageError
from nivalis.cli.common_options import CommonOptions, open_store
from nivalis.errors import InvalidPathError
from nivalis.store.layout import StoreLayout
from nivalis.store.queries import KeepPolicy
from nivalis.store.store import Store

if TYPE_CHECKING:
    from nivalis.store.gc import Collected

__all__ = ["StoreOptions", "parse_number", "print_freed", "store_path_of", "write_lines"]

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class StoreOptions(CommonOptions):
    """What the shared flags of one command line say."""

    def flags(self, own: Flags | None = None) -> Flags:
        """The table: the shared flags, and `own`."""
        return {**super().flags(), **(own or {})}

    @property
    def keep(self) -> KeepPolicy:
        return KeepPolicy(outputs=self.config.switch("keep-outputs"), derivations=self.config.switch("keep-derivations"))

    def open(self, environment: Mapping[str, str]) -> Store:
        """The store, made anew where there is none; for reading only where it cannot be written.  Raises StoreError."""
        layout = self.layout(environment)
        # Whoever may not write may still ask.
        read_only = layout.database_dir.is_dir() and not os.access(layout.database_dir, os.W_OK)
        return open_store(layout, self.config, read_only=read_only)


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
