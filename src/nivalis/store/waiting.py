"""Places in the store directory for what has no store path yet, and what is left of them.

Such a place has the name of a store path that does not exist, and is a temporary root of the process that writes there; so no collector
takes it.  Whoever is killed cannot remove it.  It can be told from the file of its temporary roots, which nobody holds locked any more:
so the next process that needs a place removes what such files name, and the files.  A collector does so too.

Only what is named as here is removed, and nothing that is valid.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from nivalis import _native
from nivalis.store.database import Database
from nivalis.store.layout import StoreLayout
from nivalis.store.metadata import remove_tree
from nivalis.store.temproots import is_stale, remove_stale

__all__ = ["make_name", "remove_abandoned"]

_SUFFIX = "-nivalis-waiting"
_NAME = re.compile(rf"[0-9a-df-np-sv-z]{{32}}{_SUFFIX}")


def make_name() -> str:
    """A name that no other place has."""
    return _native.base32_encode(os.urandom(20)) + _SUFFIX


def remove_abandoned(layout: StoreLayout, database: Database) -> None:
    """Remove the places of processes that have died.  What cannot be removed yet, since something of them still writes there, is left."""
    start = len(layout.store_dir) + 1
    try:
        names = os.listdir(layout.temp_roots_dir)
    except FileNotFoundError:
        return
    for name in names:
        file = f"{layout.temp_roots_dir}/{name}"
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            with open(descriptor, "r+b", buffering=0) as stream:
                if name.startswith(".") or not is_stale(descriptor):
                    continue
                paths = [os.fsdecode(text) for text in stream.read().split(b"\0")]
                places = {path for path in paths if path.startswith(f"{layout.store_dir}/") and _NAME.fullmatch(path[start:])}
                for path in places - database.valid_among(places) if places else ():
                    remove_tree(layout.real_path(path))
                remove_stale(descriptor, file)
