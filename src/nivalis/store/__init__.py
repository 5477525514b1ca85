"""The store on disk: CppNix's layout and database, so that both programs work on one store.

What it is: places (`StoreLayout`), the database of valid paths, adding sources, texts and derivations atomically and in batches,
temporary and permanent garbage-collector roots, references.

What it may import: the standard library, `nivalis._native` and `nivalis.errors`.

What it does not do: it builds nothing, fetches nothing, evaluates nothing, and reads neither the environment nor the working
directory unless they are handed in.
"""

from nivalis.store.database import PathInfo
from nivalis.store.derivation import Derivation, Output
from nivalis.store.layout import StoreLayout
from nivalis.store.store import Source, Store

__all__ = ["Derivation", "Output", "PathInfo", "Source", "Store", "StoreLayout"]
