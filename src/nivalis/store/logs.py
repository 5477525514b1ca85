"""Build logs, where CppNix keeps them: `drvs/<first two digits>/<rest of the derivation's name>` in the log folder.

A log is kept plain or compressed, which its suffix tells.  CppNix writes bzip2 and reads that and plain text; xz and Zstandard are read
where Python can.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from nivalis.errors import StoreContentError
from nivalis.store.layout import StoreLayout
from nivalis.store.paths import base_name, is_derivation
from nivalis.store.store import Store

__all__ = ["find_log", "log_place", "read_log"]


def log_place(layout: StoreLayout, drv_path: str) -> Path:
    """Where the log of a derivation's build is, without the suffix of a compression."""
    name = base_name(drv_path)
    return layout.log_dir / "drvs" / name[:2] / name[2:]


def read_log(store: Store, path: str) -> bytes | None:
    """The log of the build of `path`, a derivation or something that was built; None if there is none.

    Raises StoreContentError for a damaged log.
    """
    for drv_path in _derivations(store, path):
        file = find_log(store.layout, drv_path)
        if file is not None:
            return _read(file)
    return None


def find_log(layout: StoreLayout, drv_path: str) -> Path | None:
    """The file of a derivation's log, in whatever compression; None if there is none."""
    old = layout.log_dir / "drvs" / base_name(drv_path)
    for place in (log_place(layout, drv_path), old):
        for suffix in ("", *_READERS):
            file = place.with_name(place.name + suffix)
            if file.is_file():
                return file
    return None


def _derivations(store: Store, path: str) -> Iterator[str]:
    if is_derivation(path):
        yield path
        return
    if store.is_valid(path):
        deriver = store.path_info(path).deriver
        if deriver is not None:
            yield deriver
    yield from sorted(store.database.derivers(path))


def _read(file: Path) -> bytes:
    data = file.read_bytes()
    read = _READERS.get(file.suffix)
    if read is None:
        return data
    try:
        return read(data)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise StoreContentError(f"log is damaged: `{file}` ({error})") from error


def _read_zstandard(data: bytes) -> bytes:
    try:
        module = import_module("compression.zstd")  # Python 3.14
    except ModuleNotFoundError as error:
        raise StoreContentError("log is compressed with Zstandard, which this Python cannot read", hint="`zstd -dc` shows it") from error
    return bytes(module.decompress(data))


_READERS: dict[str, Callable[[bytes], bytes]] = {".bz2": bz2.decompress, ".xz": lzma.decompress, ".zst": _read_zstandard}
