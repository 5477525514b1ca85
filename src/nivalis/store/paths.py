"""Store paths as text: `/nix/store/<hash part>-<name>`.

Everywhere in nivalis a store path is a `str`, absolute and logical: what the database, derivations and the language hold.  These
functions take it apart; computing one is the kernel's (`nivalis._native.make_…_path`).  They ask no store.
"""

from __future__ import annotations

from nivalis import _native

HASH_LENGTH = 32
DRV_SUFFIX = ".drv"


def base_name(path: str) -> str:
    """What follows the store directory."""
    return path.rpartition("/")[2]


def hash_part(path: str) -> str:
    """The 32 digits."""
    return base_name(path)[:HASH_LENGTH]


def name_of(path: str) -> str:
    """What follows the hash part and its dash."""
    return base_name(path)[HASH_LENGTH + 1 :]


def is_derivation(path: str) -> bool:
    return path.endswith(DRV_SUFFIX)


def derivation_name(drv_path: str) -> str:
    """The derivation's name: the path's without `.drv`."""
    return name_of(drv_path).removesuffix(DRV_SUFFIX)


def check(path: str, store_dir: str) -> str:
    """`path` itself, if it is a store path.  Raises StorePathError."""
    _native.parse_store_path(path, store_dir)
    return path


def split(path: str, store_dir: str) -> tuple[str, str]:
    """The store path that `path` is or is below of, and the rest (empty, or from a slash on).  Raises StorePathError."""
    return _native.split_store_path(path, store_dir)
