"""The store on disk: CppNix's layout and database, so that both programs work on one store.

What it is: places (`StoreLayout`), the database of valid paths, adding sources, texts and derivations atomically and in batches,
temporary and permanent garbage-collector roots, references.

What it may import: the standard library, `nivalis._native` and `nivalis.errors`.

What it does not do: it builds nothing, fetches nothing, evaluates nothing, and reads neither the environment nor the working
directory unless they are handed in.

The names here are imported when they are first used: whoever needs a single small module of the package (the evaluation cache
does) loads neither the others nor the kernel.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from nivalis.store.database import PathInfo
    from nivalis.store.derivation import Derivation, Output
    from nivalis.store.layout import StoreLayout
    from nivalis.store.store import Source, Store

__all__ = ["Derivation", "Output", "PathInfo", "Source", "Store", "StoreLayout"]

__getattr__ = from_modules(
    __name__,
    {
        "Derivation": "derivation",
        "Output": "derivation",
        "PathInfo": "database",
        "Source": "store",
        "Store": "store",
        "StoreLayout": "layout",
    },
)
