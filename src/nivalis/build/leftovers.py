"""Removing what a builder left, however it left it.

A builder can make folders within folders for as long as it likes, until no path leads to the innermost.  They are removed all the same:
each folder's folders are moved up to the top, under new names, before it is removed itself, so that paths stay short.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat

from nivalis.store.metadata import remove_tree

__all__ = ["remove_leftovers"]


def remove_leftovers(path: str) -> None:
    """Remove whatever is at `path`; nothing is fine.  Symlinks are never followed, no depth is too deep."""
    try:
        remove_tree(path)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        _flatten(path)
        os.rmdir(path)


def _flatten(top: str) -> None:
    """Empty the folder `top`."""
    number = itertools.count()
    while names := os.listdir(top):
        for name in names:
            place = f"{top}/{name}"
            if not stat.S_ISDIR(os.lstat(place).st_mode):
                os.unlink(place)
                continue
            os.chmod(place, stat.S_IRWXU)
            with os.scandir(place) as entries:
                inner = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for below, is_folder in inner:
                if is_folder:
                    # Moving a folder changes its `..`, which needs the right to write to it.
                    os.chmod(below, stat.S_IRWXU)
                    os.rename(below, _free_name(top, number))
                else:
                    os.unlink(below)
            os.rmdir(place)


def _free_name(top: str, number: itertools.count[int]) -> str:
    while True:
        place = f"{top}/{next(number)}"
        if not os.path.lexists(place):
            return place
