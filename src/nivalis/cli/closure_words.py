"""What `nivalis why` and `nivalis diff` share: the store they ask, and the words that name what they ask about."""

from __future__ import annotations

import os

from nivalis.cli.store_options import StoreOptions, store_path_of
from nivalis.errors import DerivationError
from nivalis.store.store import Store

__all__ = ["named_path", "open_store"]


def open_store(place: str | None) -> Store:
    """The store at `place`, else that of NIX_REMOTE.  Raises StoreError."""
    options = StoreOptions()
    if place is not None:
        options.set("store", place)
    return options.open(os.environ)


def named_path(store: Store, word: str) -> str:
    """The store path that a word names: one, a link to one, or an output of a derivation (`derivation!output`, or `^`).

    Raises OSError for what is not there, InvalidPathError, DerivationError.
    """
    folder = os.getcwd()
    place, mark, name = word.replace("^", "!", 1).partition("!")
    if not mark or os.path.lexists(word):
        return store_path_of(store.layout, word, folder)
    drv_path = store_path_of(store.layout, place, folder)
    outputs = store.read_derivation(drv_path).outputs
    path = outputs[name].path if name in outputs else None
    if path is None:
        raise DerivationError(f"derivation has no output `{name}` whose path is known: `{drv_path}`")
    return path
