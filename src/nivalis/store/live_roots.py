"""Finding garbage-collector roots: whatever must not be collected, and why.

    permanent   symlinks below `gcroots` and `profiles`, and the links elsewhere that those in `gcroots/auto` point at
    runtime     what running processes have open, mapped, as program, as working directory, or name in their environment
    temporary   what live processes have announced in `temproots/`

A store under another root is seen under two names, by its logical paths (in builds, and in links that CppNix makes) and by the real
ones (on the host, and in links that we make): a root may have either.  The companions in `gcroots/moved` are roots for CppNix only.

Looking for roots also tidies up: a link in `gcroots/auto` whose target is gone, the companion of a link that is gone, and the file of
a process that has died, are removed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

from nivalis.store.layout import StoreLayout
from nivalis.store.roots import companions_dir, drop_stale_companions, is_companion, is_gone, linked_path, resolve_link, store_path_in
from nivalis.store.temproots import is_stale, remove_stale

__all__ = ["Roots", "find_permanent_roots", "find_roots", "find_runtime_roots", "find_temporary_roots"]

# Store path -> the places that make it a root.
Roots = dict[str, set[str]]

_PATH_CHARACTERS = rb"/[0-9a-z]{32}-[0-9a-zA-Z+._?=-]+"
_KERNEL_PROGRAMS = ("/proc/sys/kernel/modprobe", "/proc/sys/kernel/fbsplash", "/proc/sys/kernel/poweroff_cmd")
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ESRCH, errno.EINVAL}


def find_roots(layout: StoreLayout, *, read_only: bool = False) -> Roots:
    """All roots, whether they are valid or not."""
    roots: Roots = defaultdict(set)
    for found in (find_permanent_roots(layout, read_only=read_only), find_runtime_roots(layout), find_temporary_roots(layout, read_only=read_only)):
        for path, links in found.items():
            roots[path] |= links
    return roots


def find_permanent_roots(layout: StoreLayout, *, read_only: bool = False) -> Roots:
    """What links below `gcroots` and `profiles` keep.  A folder that cannot be read is passed over."""
    roots: Roots = defaultdict(set)
    auto, companions = f"{layout.roots_dir}/auto", str(companions_dir(layout))
    if not read_only:
        drop_stale_companions(layout)
    for folder in (layout.roots_dir, layout.profiles_dir):
        for place, status in _walk(str(folder)):
            if stat.S_ISREG(status.st_mode):
                # Its name says what it keeps.
                path = store_path_in(layout, f"{layout.store_dir}/{os.path.basename(place)}")
                if path is not None:
                    roots[path].add(place)
                continue
            parent, name = os.path.split(place)
            target = resolve_link(place)
            if target is None or (parent == companions and is_companion(name)):
                continue
            path = store_path_in(layout, target)
            if path is not None:
                roots[path].add(place)
            elif is_gone(target):
                if parent == auto and not read_only:
                    with suppress(OSError):
                        os.unlink(place)
            elif (path := linked_path(layout, target)) is not None:
                roots[path].add(target)
    return roots


def find_temporary_roots(layout: StoreLayout, *, read_only: bool = False) -> Roots:
    """What live processes have announced."""
    roots: Roots = defaultdict(set)
    try:
        names = sorted(os.listdir(layout.temp_roots_dir))
    except FileNotFoundError:
        return roots
    for name in names:
        if name.startswith("."):
            continue
        file = f"{layout.temp_roots_dir}/{name}"
        try:
            descriptor = os.open(file, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if not read_only and is_stale(descriptor):
                remove_stale(descriptor, file)
                continue
            with open(descriptor, "rb", closefd=False) as stream:
                announced = stream.read().split(b"\0")[:-1]
        finally:
            os.close(descriptor)
        number = re.match(r"\d*", name)
        label = f"{{temp:{number[0] if number and number[0] else name}}}"
        for text in announced:
            roots[os.fsdecode(text)].add(label)
    return roots


def find_runtime_roots(layout: StoreLayout) -> Roots:
    """What running processes use, as far as this user may look."""
    roots: Roots = defaultdict(set)
    folders = {os.fsencode(layout.store_dir), os.fsencode(layout.real_store_dir)}
    named = re.compile(b"(?:" + b"|".join(re.escape(folder) for folder in sorted(folders)) + b")" + _PATH_CHARACTERS)
    prefixes = tuple(os.fsdecode(folder) + "/" for folder in folders)

    def add_link(place: str) -> None:
        target = _read_link(place)
        if target is not None and target.startswith(prefixes):
            add(target, place)

    def add(target: str, place: str) -> None:
        path = store_path_in(layout, target)
        if path is not None:
            roots[path].add(place)

    def add_text(place: str) -> None:
        for match in named.findall(_read(place)):
            add(os.fsdecode(match), place)

    for process in _list("/proc"):
        if not process.isdigit():
            continue
        base = f"/proc/{process}"
        add_link(f"{base}/exe")
        add_link(f"{base}/cwd")
        for number in _list(f"{base}/fd"):
            add_link(f"{base}/fd/{number}")
        add_text(f"{base}/maps")
        add_text(f"{base}/environ")
    for place in _KERNEL_PROGRAMS:
        add_text(place)
    return roots


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Symlinks and regular files below `folder`."""
    pending = [folder]
    while pending:
        place = pending.pop()
        try:
            status = os.lstat(place)
            if stat.S_ISDIR(status.st_mode):
                pending += sorted((f"{place}/{name}" for name in os.listdir(place)), reverse=True)
            elif stat.S_ISLNK(status.st_mode) or stat.S_ISREG(status.st_mode):
                yield place, status
        except OSError as error:
            if error.errno not in _GONE:
                raise


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return []


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return b""


def _read_link(place: str) -> str | None:
    try:
        return os.readlink(place)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return None
