"""Build logs, where CppNix keeps them: `drvs/<first two digits>/<rest of the derivation's name>` in the log folder.

A log is kept plain or compressed, which its suffix tells.  CppNix writes bzip2 and reads that and plain text; xz and Zstandard, which
others compress old logs with, are read as well.  A log is a stream, of any size; one that was cut short, because its writer was killed
or is still at it, is read as far as it goes.
"""

from __future__ import annotations

import bz2
import lzma
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, cast

from nivalis.errors import StoreContentError, StoreError
from nivalis.store.layout import StoreLayout
from nivalis.store.paths import base_name, is_derivation
from nivalis.store.store import Store

__all__ = ["LogMissingError", "find_log", "find_log_of", "log_place", "read_log"]

_PIECE = 1 << 16


class LogMissingError(StoreError):
    """There is no log of that derivation here."""

    default_code = "log-missing"


def log_place(layout: StoreLayout, drv_path: str) -> Path:
    """Where the log of a derivation's build is, without the suffix of a compression."""
    name = base_name(drv_path)
    return layout.log_dir / "drvs" / name[:2] / name[2:]


def find_log_of(store: Store, path: str) -> Path:
    """The file with the log of the build of `path`, a derivation or something that was built.  Raises LogMissingError."""
    for drv_path in _derivations(store, path):
        file = find_log(store.layout, drv_path)
        if file is not None:
            return file
    raise LogMissingError(f"there is no build log: `{path}`", where=str(store.layout.log_dir))


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


def read_log(file: Path) -> Iterator[bytes]:
    """What is in the file of a log, in pieces.  Raises StoreContentError for one that is damaged."""
    try:
        with _READERS.get(file.suffix, _open_plain)(file) as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except EOFError:
        return
    except Exception as error:  # each library has a class of its own for it
        raise StoreContentError(f"log is damaged: `{file}` ({error})") from error


def _open_plain(file: Path) -> IO[bytes]:
    return open(file, "rb")


def _open_bzip2(file: Path) -> IO[bytes]:
    return bz2.open(file, "rb")


def _open_xz(file: Path) -> IO[bytes]:
    return lzma.open(file, "rb")


def _open_zstandard(file: Path) -> IO[bytes]:
    module = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    return cast(IO[bytes], module.open(file, "rb"))


_READERS: dict[str, Callable[[Path], IO[bytes]]] = {".bz2": _open_bzip2, ".xz": _open_xz, ".zst": _open_zstandard}
