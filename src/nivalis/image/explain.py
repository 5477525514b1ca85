"""What is in an image: its system, and the packages of its store by size.

The image's own store database says it (`/nix/var/nix/db/db.sqlite`, which knows every path), so nothing but that one file is read whole.
Sizes are those of NARs, as everywhere: what the files hold, before blocks and compression.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import defaultdict
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from nivalis.image.disk import Disk
from nivalis.image.ext4 import Ext4, find_file_system
from nivalis.store.closures import package_of
from nivalis.store.paths import name_of

__all__ = ["ImageContent", "ImagePackage", "explain_image"]

_DATABASE = "/nix/var/nix/db/db.sqlite"
_PROFILE = "/nix/var/nix/profiles/system"


@dataclass(frozen=True, slots=True)
class ImagePackage:
    """A package: its versions (empty for a name without one), its store paths, and their size in bytes."""

    name: str
    versions: tuple[str, ...]
    size: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageContent:
    """An image; sizes in bytes: of the file, of the disk, and of the file system and what is free in it.

    `toplevel` is the system that it starts with, None where it has no profile of one.  The largest of `packages` comes first.
    """

    file: str
    format: str
    file_size: int
    disk_size: int
    label: str
    size: int
    free: int
    toplevel: str | None
    packages: tuple[ImagePackage, ...]

    @property
    def store_size(self) -> int:
        return sum(one.size for one in self.packages)


def explain_image(file: Path) -> ImageContent:
    """What a raw or qcow2 image holds, whose ext4 has a store.  Raises ImageError, OSError."""
    with Disk(file) as disk:
        files = find_file_system(disk)
        sizes = _read_sizes(disk, files)
        return ImageContent(
            str(file), disk.format, disk.file_size, disk.size, files.label, files.size, files.free, _find_toplevel(files), _group(sizes)
        )


def _read_sizes(disk: Disk, files: Ext4) -> dict[str, int]:
    """The size of each valid path."""
    with tempfile.TemporaryDirectory(prefix="nivalis-image-") as folder:
        database = Path(folder, "db.sqlite")
        try:
            _copy(files, _DATABASE, database)
        except FileNotFoundError:
            raise disk.fail(f"there is no store on the disk: it has no `{_DATABASE}`") from None
        # Of a machine that ran, the newest entries may be there still.
        with suppress(FileNotFoundError):
            _copy(files, f"{_DATABASE}-wal", Path(f"{database}-wal"))
        try:
            with closing(sqlite3.connect(database)) as connection:
                return {str(path): int(size or 0) for path, size in connection.execute("select path, narSize from ValidPaths")}
        except (sqlite3.Error, ValueError) as error:
            raise disk.fail(f"the store's database on the disk cannot be read: {error}") from None


def _copy(files: Ext4, source: str, target: Path) -> None:
    with open(target, "wb") as stream:
        stream.writelines(files.read_file(source))


def _find_toplevel(files: Ext4) -> str | None:
    """Where the system's profile leads: to one of its generations, and from there into the store."""
    try:
        target = files.read_link(_PROFILE)
        if "/" not in target:
            target = files.read_link(f"{_PROFILE.rpartition('/')[0]}/{target}")
        return target
    except FileNotFoundError:
        return None


def _group(sizes: dict[str, int]) -> tuple[ImagePackage, ...]:
    paths: dict[str, list[str]] = defaultdict(list)
    versions: dict[str, set[str]] = defaultdict(set)
    for path in sorted(sizes):
        name, version = package_of(name_of(path))
        paths[name].append(path)
        versions[name].add(version)
    packages = [
        ImagePackage(name, tuple(sorted(versions[name] - {""})), sum(map(sizes.__getitem__, found)), tuple(found)) for name, found in paths.items()
    ]
    return tuple(sorted(packages, key=lambda one: (-one.size, one.name)))
