"""`builtin:debian-farm`: the tree of symlinks that serves as a shell's, a build's or a system's /usr.

It is over the closure of some packages.  A folder that only one package has is one link; a package's own links are copied as they are, since
their text is meant for this tree.  Two packages must not have the same file, unless it is the same in both.

What maintainer scripts would have made and is the same on every machine is made here: the links of alternatives, the bundle of
certificates, the masters of passwd and group.  Programs that look for their parts beside where they really are become copies.  A file
that had special mode bits is linked from `wrappers`, if that is given: a folder where a running system has it with these bits.  `links` are
further links, an object in JSON of paths and what they lead to: what a system has in its /usr that is of no package.

At the top are `usr`, `etc`, and links into /usr as Debian has them; in `nix-support/debian/` are `packages`, the closure, and `setuid`: mode,
owner, group, path and package of each file that had special mode bits.

Byte code of Python's modules is made by derivations of its own (`channel/pkgs/bytecode.py`); a farm of format 4 has that in `byteCode`
beside the modules.

What it does not do: no caches are made (fonts, schemas, icons), and nothing is looked into that is not of a Debian package.

Runs inside the sandbox, in a process of its own (see `nivalis.build.builtin_builders`); `make_farm` is the same as a function.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
import sys
from collections.abc import Iterable, Mapping

from nivalis.debian.alternatives import TABLE, Alternative
from nivalis.debian.errors import FarmError, PackageError
from nivalis.debian.package import MERGED, SUPPORT, closure, merge_usr, read_record

__all__ = ["FORMAT", "build", "make_farm"]

FORMAT = "3"
_FORMAT_WITH_BYTE_CODE = "4"

_TREES = ("usr", "etc")
_BELOW = ("usr/", "etc/")
_CERTIFICATES = "usr/share/ca-certificates/mozilla"
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# What scripts copy out of /usr, unless a package has it in /etc.
_COPIED = {
    "etc/group": "usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "usr/share/base-files/nsswitch.conf",
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/profile": "usr/share/base-files/profile",
}
# Where OpenSSL looks, which only one of its packages links to.  Where no package has certificates, the machine's are in this place.
_CERTIFICATE_LINKS = {
    "usr/lib/ssl/cert.pem": f"/{_BUNDLE}",
    "usr/lib/ssl/certs": "/etc/ssl/certs",
}


def build(environment: Mapping[str, str], out: str) -> None:
    """Make the farm of `$packages` at `out`.  Raises PackageError, FarmError."""
    byte_code = environment.get("byteCode", "").split()
    if environment.get("format") != (_FORMAT_WITH_BYTE_CODE if byte_code else FORMAT):
        raise PackageError(f"farms of format `{environment.get('format', '')}` are not known here", hint="a newer nivalis builds them")
    links = json.loads(environment.get("links") or "{}")
    wrappers = environment.get("wrappers") or None
    count = make_farm(environment.get("packages", "").split(), out, wrappers=wrappers, links=links, byte_code=byte_code)
    if wrappers:
        # What a rebuild of a system is known to say of its packages.
        print(f"created {count} symlinks in user environment", file=sys.stderr)


def make_farm(
    packages: Iterable[str], out: str, *, wrappers: str | None = None, links: Mapping[str, str] | None = None, byte_code: Iterable[str] = ()
) -> int:
    """Make the farm over the closure of `packages`, which are store paths, at `out`; of how many links.

    Raises PackageError, FarmError.
    """
    farm = _Farm(wrappers)
    found = sorted(closure(sorted(packages)), key=lambda path: (posixpath.basename(path)[33:], path))
    farm.divert(found)
    for path in (*found, *byte_code):
        farm.add(path)
    _add_alternatives(farm, found)
    if any(name.startswith("libssl.so") for package in found for name, _ in read_record(package, "libraries")):
        _add_links_to_certificates(farm)
    bundle = _add_etc(farm)
    for path, target in sorted((links or {}).items()):
        if farm.exists(path):
            raise FarmError(f"a package has a file where a link of the system has to be: `/{path}`")
        farm.add_link(path, target)
    farm.write(out)
    if bundle:
        with open(f"{out}/{_BUNDLE}", "wb") as file:
            file.write(bundle)
    for name in MERGED:
        if farm.exists(f"usr/{name}"):
            os.symlink(f"usr/{name}", f"{out}/{name}")
    os.makedirs(f"{out}/{SUPPORT}")
    setuid = [[*fields, package] for package in found for fields in read_record(package, "setuid")]
    for record, lines in (("packages", [[package] for package in found]), ("setuid", setuid)):
        with open(f"{out}/{SUPPORT}/{record}", "w", encoding="utf-8", errors="surrogateescape", newline="\n") as text:
            text.writelines("\t".join(fields) + "\n" for fields in lines)
    return farm.count


class _Farm:
    """The tree before it is written.  Paths have no slash before them."""

    def __init__(self, wrappers: str | None) -> None:
        self._wrappers = wrappers
        # The text of each link; None for a folder.
        self._entries: dict[str, str | None] = {}
        # The package of each link to a folder as a whole, and of each other file.
        self._folded: dict[str, str] = {}
        self._owners: dict[str, str] = {}
        self._unfolded: set[tuple[str, str]] = set()
        self._setuid: set[tuple[str, str]] = set()
        self._copied: set[tuple[str | None, str]] = set()
        self._diverted: dict[tuple[str, str], str] = {}

    def divert(self, packages: Iterable[str]) -> None:
        """Take to heart which packages want to have files of others put aside; before any is added."""
        self._diverted = {(package, path): there for package in packages for path, there in read_record(package, "diverted")}

    def add(self, package: str) -> None:
        self._unfolded |= {(package, folder) for (folder,) in read_record(package, "unfolded")}
        self._setuid |= {(package, path) for *_, path in read_record(package, "setuid")}
        self._copied |= {(package, path) for (path,) in read_record(package, "copied")}
        for name in _TREES:
            if os.path.isdir(f"{package}/{name}"):
                self._entries.setdefault(name, None)
                self._add_children(package, name)

    @property
    def count(self) -> int:
        """How many links there are."""
        return sum(target is not None for target in self._entries.values())

    def exists(self, path: str) -> bool:
        """Whether there is anything, a link that leads nowhere too."""
        return path in self._entries or ((found := self.source(path)) is not None and os.path.lexists(found))

    def source(self, path: str) -> str | None:
        """Where in the store a path below a folded folder is, or a file that is linked to."""
        if path in self._owners:
            return f"{self._owners[path]}/{path}"
        folder = path
        while folder:
            if folder in self._folded:
                return f"{self._folded[folder]}/{path}"
            folder = posixpath.dirname(folder)
        return None

    def add_link(self, path: str, target: str) -> None:
        """Add a link of our own where nothing is; the folders above it become real ones.  One that belongs nowhere in a farm is left out."""
        if path.startswith(_BELOW) and not self.exists(path) and self._open(posixpath.dirname(path)):
            self._entries[path] = target

    def make_folder(self, path: str) -> None:
        """Have a real folder.  Raises FarmError where a package has something else."""
        if not self._open(path):
            raise FarmError(f"a package has a file where a folder has to be: `/{path}`")

    def list_folder(self, path: str) -> list[str]:
        """The store's files in a folder, if it is one."""
        source = self.source(path)
        if source is not None:
            return sorted(entry.path for entry in os.scandir(source)) if os.path.isdir(source) else []
        inside = sorted(name for name in self._entries if posixpath.dirname(name) == path)
        return [found for name in inside if (found := self.source(name)) is not None]

    def write(self, out: str) -> None:
        os.mkdir(out)
        for path, target in sorted(self._entries.items()):
            if target is None:
                os.mkdir(f"{out}/{path}")
            elif (owner := self._owners.get(path), path) in self._copied and target == f"{owner}/{path}":
                shutil.copy(target, f"{out}/{path}")
            else:
                os.symlink(target, f"{out}/{path}")

    def _open(self, folder: str) -> bool:
        """Make a folder a real one; False where it cannot be."""
        if folder == "" or (folder in self._entries and self._entries[folder] is None):
            return True
        if not self._open(posixpath.dirname(folder)):
            return False
        if folder in self._folded:
            package = self._folded.pop(folder)
            self._entries[folder] = None
            self._add_children(package, folder)
            return True
        return self._entries.setdefault(folder, None) is None

    def _add_children(self, package: str, folder: str) -> None:
        with os.scandir(f"{package}/{folder}") as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.is_symlink():
                    self._add_file(package, path, os.readlink(entry.path))
                elif entry.is_dir():
                    self._add_folder(package, path)
                elif self._wrappers is not None and (package, path) in self._setuid:
                    self._add_file(package, path, f"{self._wrappers}/{entry.name}")
                else:
                    self._add_file(package, path, entry.path)

    def _add_folder(self, package: str, path: str) -> None:
        if path not in self._entries:
            if (package, path) not in self._unfolded:
                self._entries[path] = f"{package}/{path}"
                self._folded[path] = package
                return
            self._entries[path] = None
        elif path in self._folded:
            self._open(path)
        elif self._entries[path] is not None:
            raise _collision(path, self._owners[path], package)
        self._add_children(package, path)

    def _add_file(self, package: str, path: str, target: str) -> None:
        if path in self._entries:
            other = self._owners.get(path)
            if other is None:
                raise _collision(path, self._folded.get(path, "another package"), package)
            before = self._entries[path]
            if before == target:
                return
            if (other, path) in self._diverted:
                self._put_aside(other, package, path, target)
            elif (package, path) in self._diverted and before is not None:
                self._entries[path] = target
                self._owners[path] = package
                self._put_aside(package, other, path, before)
            elif not _is_same(f"{other}/{path}", f"{package}/{path}"):
                raise _collision(path, other, package)
            return
        self._entries[path] = target
        self._owners[path] = package

    def _put_aside(self, by: str, package: str, path: str, target: str) -> None:
        """Add a package's file where another one wants it to be."""
        there = self._diverted[by, path]
        if there == path or there in self._entries or not there.startswith(_BELOW) or not self._open(posixpath.dirname(there)):
            raise _collision(path, by, package)
        self._entries[there] = target


def _collision(path: str, one: str, other: str) -> FarmError:
    return FarmError(f"two packages have the same file: `/{path}` is in `{one}` and in `{other}`", hint="only one of the two can be in one farm")


def _is_same(one: str, other: str) -> bool:
    if os.path.islink(one) or os.path.islink(other):
        return False
    with open(one, "rb") as left, open(other, "rb") as right:
        return os.fstat(left.fileno()).st_size == os.fstat(right.fileno()).st_size and left.read() == right.read()


def _add_alternatives(farm: _Farm, packages: Iterable[str]) -> None:
    offers: dict[str, list[Alternative]] = {}
    for package in packages:
        for offer in _read_alternatives(package):
            offers.setdefault(offer["name"], []).append(offer)
    for offer in TABLE:
        offers.setdefault(offer["name"], []).append(offer)
    for name, candidates in sorted(offers.items()):
        there = [offer for offer in candidates if farm.exists(_place(offer["links"][0][1]))]
        best = min(there, key=lambda offer: (-offer["priority"], offer["links"][0][1]), default=None)
        if best is None:
            continue
        farm.add_link(f"etc/alternatives/{name}", best["links"][0][1])
        for link, target in best["links"]:
            if farm.exists(_place(target)):
                farm.add_link(_place(link), target)


def _read_alternatives(package: str) -> list[Alternative]:
    try:
        with open(f"{package}/{SUPPORT}/alternatives.json", encoding="utf-8") as file:
            found: list[Alternative] = json.load(file)
            return found
    except FileNotFoundError:
        return []


def _place(path: str) -> str:
    return merge_usr(posixpath.normpath(path).lstrip("/"))


def _add_links_to_certificates(farm: _Farm) -> None:
    for path, target in _CERTIFICATE_LINKS.items():
        farm.add_link(path, target)


def _add_etc(farm: _Farm) -> bytes:
    """Add what belongs into every /etc; the bundle of certificates."""
    for path, origin in _COPIED.items():
        source = farm.source(origin)
        if source is not None and os.path.isfile(source):
            farm.add_link(path, source)
    certificates = [path for path in farm.list_folder(_CERTIFICATES) if path.endswith(".crt")]
    if not certificates or farm.exists(_BUNDLE):
        return b""
    bundle = b""
    for path in sorted(certificates, key=posixpath.basename):
        with open(path, "rb") as file:
            bundle += file.read().rstrip(b"\n") + b"\n"
    farm.add_link("etc/ssl/cert.pem", "certs/ca-certificates.crt")
    _add_links_to_certificates(farm)
    farm.make_folder(posixpath.dirname(_BUNDLE))
    return bundle
