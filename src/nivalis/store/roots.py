"""Garbage-collector roots: links outside of the store that keep what they point at.

A collector looks at all symlinks below `gcroots` and `profiles`.  A link elsewhere (`./result`) becomes an *indirect* root by a
symlink to the link itself, named after the link's path, in `gcroots/auto`; when the user removes the link, the root is stale and
a collector removes it too.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from nivalis import _native
from nivalis.errors import RootError
from nivalis.store.layout import StoreLayout


def make_root(layout: StoreLayout, link: str | os.PathLike[str], target: str, *, indirect: bool = True) -> Path:
    """Make `link` point at the store path `target`, and register it; the link's absolute path.

    The target must be a temporary root already.  A link that points into the store is replaced, anything else that stands there
    is not: RootError.  A direct root (`indirect=False`) must lie below `gcroots` or `profiles`.
    """
    place = Path(os.path.abspath(link))
    if place.is_relative_to(layout.real_store_dir) or place.is_relative_to(layout.store_dir):
        raise RootError(f"a garbage-collector root cannot lie in the store: `{place}`", hint="run the command in another folder")
    if os.path.lexists(place) and not _points_into_store(layout, place):
        raise RootError(f"something else is in the way of the link: `{place}`", hint="remove it, or choose another name with `--add-root` or `-o`")
    if not indirect and not (place.is_relative_to(layout.roots_dir) or place.is_relative_to(layout.profiles_dir)):
        raise RootError(f"a direct garbage-collector root must lie below `{layout.roots_dir}`: `{place}`", hint="use `--indirect`")
    replace_symlink(place, target)
    if indirect:
        replace_symlink(layout.roots_dir / "auto" / auto_name(place), str(place))
    return place


def auto_name(link: Path) -> str:
    """The name of an indirect root in `gcroots/auto`: the base-32 SHA-1 of the link's path."""
    return _native.base32_encode(hashlib.sha1(os.fsencode(link), usedforsecurity=False).digest())


def replace_symlink(link: Path, target: str) -> None:
    """Make a symlink, in place of one that stands there: at no time is there none."""
    link.parent.mkdir(parents=True, exist_ok=True)
    part = link.with_name(f"{link.name}.tmp-{os.getpid()}-{os.urandom(4).hex()}")
    os.symlink(target, part)
    try:
        os.rename(part, link)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _points_into_store(layout: StoreLayout, link: Path) -> bool:
    if not link.is_symlink():
        return False
    target = os.readlink(link)
    return layout.is_in_store(target) or target.startswith(f"{layout.real_store_dir}/")
