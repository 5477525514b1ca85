"""Closures compared and explained: why one store path needs another, and what differs between two closures.

Both are questions to the database.  Only `find_occurrences` reads the store's files, to say which of them hold a reference.

A closure's *packages* are its paths grouped by name without version, as CppNix groups them (`nix store diff-closures`): a version begins
at the first dash that no letter follows, and a word behind it that names an output (`-dev`) does not count.  Unlike there only the usual
names of outputs are taken for such, so that `bash-interactive` stays another package than `bash`.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from nivalis.errors import StoreError
from nivalis.store.paths import hash_part, name_of
from nivalis.store.store import Store

__all__ = [
    "ClosureDiff",
    "NoDependencyError",
    "Occurrence",
    "PackageDiff",
    "Ways",
    "diff_closures",
    "find_named",
    "find_occurrences",
    "find_ways",
    "package_of",
]

_OUTPUT_NAMES = frozenset(
    [
        *("bin", "data", "debug", "dev", "devdoc", "devman", "dist", "doc", "info", "lib", "lib32", "lib64"),
        *("man", "out", "python", "static", "tools"),
    ]
)
# How much of a file is shown on either side of a reference.
_CONTEXT = 32


class NoDependencyError(StoreError):
    """One path was to be explained by another that does not need it."""

    default_code = "no-dependency"


# ---- why ----


@dataclass(frozen=True, slots=True)
class Ways:
    """How `path` comes to need `dependency`.

    `chain` is a shortest way, both ends included.  `references` holds, for each path on any way, `path` first, those of its references
    that lead on, the nearest to the end first.
    """

    path: str
    dependency: str
    chain: tuple[str, ...]
    references: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A file that holds a reference: its path within `path` (empty if that is a file itself), and the text around the reference."""

    path: str
    reference: str
    file: str
    text: str


def find_ways(store: Store, path: str, dependency: str) -> Ways:
    """Why `path` needs `dependency`.  Raises InvalidPathError, NoDependencyError."""
    store.check_valid([path, dependency])
    below = store.database.references(store.database.closure([path]))
    above: dict[str, list[str]] = defaultdict(list)
    for referrer, references in below.items():
        for reference in references:
            above[reference].append(referrer)
    distance = {dependency: 0}
    reached = [dependency]
    for here in reached:
        for referrer in above.get(here, ()):
            if referrer not in distance:
                distance[referrer] = distance[here] + 1
                reached.append(referrer)
    if path not in distance:
        raise NoDependencyError(f"path does not depend on `{dependency}`: `{path}`")
    ways: dict[str, tuple[str, ...]] = {}
    pending = [path]
    for here in pending:
        if here != dependency and here not in ways:
            leading = [one for one in below[here] if one in distance and one != here]
            ways[here] = tuple(sorted(leading, key=lambda one: (distance[one], one)))
            pending += ways[here]
    chain = [path]
    while chain[-1] != dependency:
        chain.append(ways[chain[-1]][0])
    return Ways(path, dependency, tuple(chain), ways)


def find_named(store: Store, path: str, name: str) -> list[str]:
    """The paths in the closure of `path` that are called `name`, or are a version or an output of the package of that name."""
    closure = store.database.closure([path])
    return sorted(one for one in closure if name in (name_of(one), package_of(name_of(one))[0]))


def find_occurrences(store: Store, path: str, references: Collection[str]) -> Iterator[Occurrence]:
    """The first place of each of `references` in each file, symlink and file name of `path`."""
    wanted = {reference: hash_part(reference).encode() for reference in references}
    top = os.fsencode(store.real_path(path))
    pending = [top]
    while pending:
        place = pending.pop()
        mode = os.lstat(place).st_mode
        file = os.fsdecode(place[len(top) + 1 :])
        for reference, text in _occurrences_at(place, mode, wanted):
            yield Occurrence(path, reference, file, text)
        if stat.S_ISDIR(mode):
            pending += sorted((place + b"/" + name for name in os.listdir(place)), reverse=True)


def _occurrences_at(place: bytes, mode: int, wanted: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    if stat.S_ISLNK(mode):
        yield from _search(os.readlink(place), wanted)
    elif stat.S_ISREG(mode) and os.path.getsize(place) > 0:
        with open(place, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _search(data, wanted)
    elif stat.S_ISDIR(mode):
        yield from _search(b"\0".join(os.listdir(place)), wanted)


def _search(data: bytes | mmap.mmap, wanted: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for reference, digits in wanted.items():
        found = data.find(digits)
        if found >= 0:
            around = data[max(0, found - _CONTEXT) : found + len(digits) + _CONTEXT]
            yield reference, "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in around)


# ---- diff ----


@dataclass(frozen=True, slots=True)
class PackageDiff:
    """One package in two closures: its versions (empty for a name without one), and the sizes of its paths as NARs, in bytes."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    size_before: int
    size_after: int

    @property
    def change(self) -> str:
        """`added`, `gone`, `changed` (other versions), or `rebuilt` (the same versions, other paths)."""
        if not self.before:
            return "added"
        if not self.after:
            return "gone"
        return "rebuilt" if self.before == self.after else "changed"

    @property
    def size_change(self) -> int:
        return self.size_after - self.size_before


@dataclass(frozen=True, slots=True)
class ClosureDiff:
    """Two closures: the packages that differ, by name, and how many paths and bytes (as NARs) each closure has."""

    before: str
    after: str
    packages: tuple[PackageDiff, ...]
    paths_added: tuple[str, ...]
    paths_gone: tuple[str, ...]
    count_before: int
    count_after: int
    size_before: int
    size_after: int


@dataclass(slots=True)
class _Package:
    """A package in one closure."""

    paths: set[str] = field(default_factory=set)
    versions: set[str] = field(default_factory=set)
    size: int = 0


def diff_closures(store: Store, before: str, after: str) -> ClosureDiff:
    """What differs between the closures of two paths.  Raises InvalidPathError."""
    closures = [store.database.closure([path]) for path in (before, after)]
    sizes = {path: info.nar_size for path, info in store.database.infos(closures[0] | closures[1]).items()}
    old, new = (_group(closure, sizes) for closure in closures)
    packages = []
    for name in sorted(old.keys() | new.keys()):
        one, other = old.get(name, _Package()), new.get(name, _Package())
        if one.paths != other.paths:
            packages.append(PackageDiff(name, tuple(sorted(one.versions)), tuple(sorted(other.versions)), one.size, other.size))
    size_before, size_after = (sum(sizes[path] for path in closure) for closure in closures)
    return ClosureDiff(
        before,
        after,
        tuple(packages),
        tuple(sorted(closures[1] - closures[0])),
        tuple(sorted(closures[0] - closures[1])),
        len(closures[0]),
        len(closures[1]),
        size_before,
        size_after,
    )


def _group(closure: Collection[str], sizes: Mapping[str, int]) -> dict[str, _Package]:
    packages: dict[str, _Package] = {}
    for path in closure:
        name, version = package_of(name_of(path))
        package = packages.setdefault(name, _Package())
        package.paths.add(path)
        package.versions.add(version)
        package.size += sizes[path]
    return packages


def package_of(name: str) -> tuple[str, str]:
    """A store path's name as its package's name and version."""
    base, _, output = name.rpartition("-")
    if base and output in _OUTPUT_NAMES:
        name = base
    for index, character in enumerate(name[:-1]):
        follows = name[index + 1]
        if character == "-" and not (follows.isascii() and follows.isalpha()):
            return name[:index], name[index + 1 :]
    return name, ""
