"""Garbage-collector roots: links outside of the store that keep what they point at.

A collector looks at all symlinks below `gcroots` and `profiles`.  A link elsewhere (`./result`) becomes an *indirect* root by a
symlink to the link itself, named after the link's path, in `gcroots/auto`; when the user removes the link, the root is stale and
a collector removes it too.

The links of a *moved* store, whose files lie elsewhere than its store paths say, hold the real place, so that they can be read on the
host; those below the store's own state hold it as a relative path, and so are right still when the whole root is moved, or becomes `/`.
CppNix's collector knows a link by a text that begins with the logical store directory and by nothing else, so each of ours has
companions in `gcroots/moved`, `<n>` being the name that it has or would have in `gcroots/auto`:

    <n>                 the place of the link that the companions stand for
    <n>-<hash part>     the store path, logical: the root that CppNix sees

Companions are written before the link and removed after it has changed, so at no time is there a link that keeps nothing.  For our own
collector the link is the root, and a companion whose link is gone or leads elsewhere is removed (`drop_stale_companions`).  CppNix takes it
for a root until then, which keeps a path too long and never too short.  A lock on the folder keeps a companion from being
taken for stale before its link is there.

What there is no way to: CppNix refuses to replace a link that holds a real place; it has to be removed first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nivalis import _native
from nivalis.errors import RootError, StorePathError
from nivalis.store.layout import StoreLayout
from nivalis.store.paths import HASH_LENGTH, hash_part, split

__all__ = [
    "auto_name",
    "companions_dir",
    "drop_stale_companions",
    "follow",
    "is_companion",
    "is_gone",
    "linked_path",
    "make_root",
    "replace_symlink",
    "resolve_link",
    "store_path_in",
]

_NAME_LENGTH = 32
_MOST_LINKS = 40  # on the way of one path, as in Linux


def make_root(layout: StoreLayout, link: str | os.PathLike[str], target: str, *, indirect: bool = True) -> Path:
    """Make `link` lead to the store path `target`, and register it; the link's absolute path.

    The target must be a temporary root already.  A link that leads into the store is replaced, anything else that stands there
    is not: RootError.  A direct root (`indirect=False`) must lie below `gcroots` or `profiles`.
    """
    place = Path(os.path.abspath(link))
    if place.is_relative_to(layout.real_store_dir) or place.is_relative_to(layout.store_dir):
        raise RootError(f"a garbage-collector root cannot lie in the store: `{place}`", hint="run the command in another folder")
    if os.path.lexists(place) and linked_path(layout, str(place)) is None:
        raise RootError(f"something else is in the way of the link: `{place}`", hint="remove it, or choose another name with `--add-root` or `-o`")
    if not indirect and not (place.is_relative_to(layout.roots_dir) or place.is_relative_to(layout.profiles_dir)):
        raise RootError(f"a direct garbage-collector root must lie below `{layout.roots_dir}`: `{place}`", hint="use `--indirect`")
    registered = layout.roots_dir / "auto" / auto_name(place)
    if not layout.is_moved:
        replace_symlink(place, target)
        if indirect:
            # Not before the link: a collector would take it for stale.
            replace_symlink(registered, str(place))
        return place
    folder = companions_dir(layout)
    folder.mkdir(parents=True, exist_ok=True)
    name = registered.name
    companion = f"{name}-{hash_part(target)}"
    with _locked(folder):
        replace_symlink(folder / name, _text_of_link(layout, folder / name, str(place)))
        replace_symlink(folder / companion, target)
        replace_symlink(place, _text_of_link(layout, place, layout.real_path(target)))
        if indirect:
            replace_symlink(registered, str(place))
        for other in os.listdir(folder):
            if other.startswith(f"{name}-") and other != companion:
                _unlink(folder / other)
    return place


def _text_of_link(layout: StoreLayout, link: Path, target: str) -> str:
    """What a link says: relative where both ends move together with the root."""
    root = os.path.commonpath([layout.state_dir, layout.real_store_dir])
    if root == "/" or not link.is_relative_to(layout.state_dir) or not Path(target).is_relative_to(root):
        return target
    link.parent.mkdir(parents=True, exist_ok=True)
    relative = os.path.relpath(target, link.parent)
    # A symlink on the way up would lead elsewhere.
    return relative if os.path.realpath(link.parent / relative) == os.path.realpath(target) else target


def companions_dir(layout: StoreLayout) -> Path:
    """Where the companions of a moved store's links are."""
    return layout.roots_dir / "moved"


def is_companion(name: str) -> bool:
    """Whether this name in the folder of companions is that of a root for CppNix, rather than of what says whose it is."""
    return len(name) == _NAME_LENGTH + 1 + HASH_LENGTH


def drop_stale_companions(layout: StoreLayout) -> None:
    """Remove companions of links that are gone or lead elsewhere now."""
    folder = companions_dir(layout)
    try:
        with _locked(folder):
            # What says whose the companions are is the shorter name, and goes after them.
            for name in sorted(os.listdir(folder), reverse=True):
                if _is_stale(layout, folder, name):
                    _unlink(folder / name)
    except (FileNotFoundError, PermissionError):
        return


def _is_stale(layout: StoreLayout, folder: Path, name: str) -> bool:
    link = resolve_link(str(folder / name[:_NAME_LENGTH]))
    # Other names are what a process left that was killed.
    if link is None or is_gone(link) or not (is_companion(name) or len(name) == _NAME_LENGTH):
        return True
    return is_companion(name) and linked_path(layout, link) != linked_path(layout, str(folder / name))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_gone(link: str) -> bool:
    """Whether there is nothing at `link`.  What this user may not look at counts as there."""
    try:
        os.lstat(link)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def resolve_link(link: str) -> str | None:
    """What a link points at, as an absolute path; None if it is no link, or cannot be read."""
    try:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:
        return None


def linked_path(layout: StoreLayout, link: str) -> str | None:
    """The store path that a link leads to, whether it says its logical or its real place; None if it leads elsewhere or is no link."""
    target = resolve_link(link)
    return None if target is None else store_path_in(layout, target)


def follow(layout: StoreLayout, path: str) -> str:
    """Where an absolute path really is, if links on its way lead to logical places; a path that the system follows by itself stays."""
    for _ in range(_MOST_LINKS if layout.is_moved else 0):
        if layout.is_in_store(path):
            path = layout.real_path(path)
        if os.path.exists(path):
            break
        parts = path.split("/")
        links = (count for count in range(2, len(parts) + 1) if os.path.islink("/".join(parts[:count])))
        count = next(links, None)
        if count is None:
            break
        path = os.path.normpath(os.path.join("/".join(parts[: count - 1]) or "/", os.readlink("/".join(parts[:count])), *parts[count:]))
    return path


def store_path_in(layout: StoreLayout, place: str) -> str | None:
    """The store path that a logical or real place is or lies below; None if it is in no store path."""
    real = f"{layout.real_store_dir}/"
    if place.startswith(real):
        place = f"{layout.store_dir}/{place[len(real) :]}"
    elif not place.startswith(f"{layout.store_dir}/"):
        return None
    try:
        return split(place, layout.store_dir)[0]
    except StorePathError:
        return None


def auto_name(link: Path) -> str:
    """The name of an indirect root in `gcroots/auto`: the base-32 SHA-1 of the link's path."""
    return _native.base32_encode(_native.hash_bytes("sha1", os.fsencode(link)).digest)


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


def _unlink(place: Path) -> None:
    with suppress(OSError):
        os.unlink(place)
