"""The store on disk: CppNix's layout and database, so that both programs work on one store.

What it is: places (`StoreLayout`), the database of valid paths, adding sources, texts and derivations atomically and in batches,
temporary and permanent garbage-collector roots, references.

What it may import: the standard library, `nivalis._native` and `nivalis.errors`.

What it does not do: it builds nothing, fetches nothing, evaluates nothing, and reads neither the environment nor the working
directory unless they are handed in.

The names here are imported when they are first used: whoever needs a single small module of the package (the evaluation cache
does) loads neither the others nor the kernel.
"""

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from nivalis.store.database import PathInfo
    from nivalis.store.derivation import Derivation, Output
    from nivalis.store.layout import StoreLayout
    from nivalis.store.store import Source, Store

__all__ = ["Derivation", "Output", "PathInfo", "Source", "Store", "StoreLayout"]

_MODULES = {
    "Derivation": "derivation",
    "Output": "derivation",
    "PathInfo": "database",
    "Source": "store",
    "Store": "store",
    "StoreLayout": "layout",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return found
