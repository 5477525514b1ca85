"""`builtin:debian-package`: a package's .deb as a store path.

What comes out has the package's own tree, with /usr merged (`bin`, `sbin` and the like are below `usr/`), without special mode bits, with
the ELF files' interpreter and RUNPATH leading into the store, and with links at its top (`bin`, `lib` …) for those who look there.  What
else is known of it is in `nix-support/debian/`:

- `control`: the control paragraph; `depends`: the store paths of the packages that it needs, which is also what makes them references
- `setuid`: the files that had special mode bits: mode, owner, group and path
- `libraries`: the libraries that others may link to: name and folder
- `copied`: programs that a farm must have as files of its own, since they look for their parts beside where they really are
- `unfolded`: folders that a farm must not replace by one link
- `diverted`: files whose places others' files must leave, and the places where these go instead
- `alternatives.json`: for which names the package stands as an alternative

Fields in a line are separated by tabs.  Packages that need each other in a circle become one output with several .debs.

Where a library is found follows ld.so on Debian: the file's own RPATH or RUNPATH, the folders that are always searched, and else
wherever one of the packages has it, since some are put into place only by `update-alternatives`.

The output depends on nothing but the derivation.  Times and modes are the store's business, which makes all alike.  No maintainer script
runs.  `format` in the derivation is the version of what is done here: whoever changes an output counts it up, so that store paths change.

Runs inside a sandbox, in a process of its own (see `nivalis.build.workers`).
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
from collections.abc import Iterable, Mapping

from nivalis._native import edit_elf, read_elf
from nivalis.debian.alternatives import parse_script
from nivalis.debian.deb import Contents, Member, open_part
from nivalis.debian.diversions import parse_diversions
from nivalis.debian.errors import DebError, PackageError
from nivalis.errors import ElfError

__all__ = ["FORMAT", "MERGED", "SUPPORT", "build", "closure", "merge_usr", "read_record"]

FORMAT = "2"
SUPPORT = "nix-support/debian"
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

_MACHINES = {"x86_64-linux": (62, "x86_64-linux-gnu"), "aarch64-linux": (183, "aarch64-linux-gnu")}
_TOP_LINKS = ("bin", "sbin", "lib", "share")
# Libraries that a library opens by their names, and does not work without.
_OPENED = {"libc.so.6": ("libgcc_s.so.1",)}
# Programs that find their parts by their own place, after following all links, and whose parts are in several packages: compilers' drivers,
# Java's tools, CMake, emulators.
_COPIED = re.compile(
    r"usr/bin/[^/]+-linux-gnu[^/]*-(gcc|g\+\+|cpp|gfortran|gccgo|gdc|gm2|gnat)-\d+"
    r"|usr/lib/llvm-[^/]+/bin/clang(-\d+)?"
    r"|usr/lib/jvm/[^/]+/bin/[^/]+"
    r"|usr/bin/(cmake|cpack|ctest|qemu-system-[^/]+)"
)
_DEEPEST = 100
_LONGEST_NAME = 255
_LARGEST_CONTROL = 16 << 20


def build(environment: Mapping[str, str], out: str, place: str | None = None) -> None:
    """Make the package of the .debs in `$sources`, whose path is `out`, at `place` or there.  Raises DebError, PackageError."""
    place = place or out
    if environment.get("format") != FORMAT:
        raise PackageError(f"packages of format `{environment.get('format', '')}` are not known here", hint="a newer nivalis builds them")
    system = environment.get("system", "")
    if system not in _MACHINES:
        raise PackageError(f"no Debian packages are known for this system: `{system}`")
    sources = environment.get("sources", "").split()
    depends = sorted(set(environment.get("depends", "").split()))
    os.mkdir(place)
    tree = _Tree(out, place)
    controls, alternatives = [], []
    diversions: set[tuple[str, str]] = set()
    for source in sources:
        with open(source, "rb") as file:
            control = _read_control(open_part(file, "control"))
            controls.append(control.get("control", b"").strip() + b"\n")
            alternatives += parse_script(control.get("postinst", b"").decode("utf-8", "replace"))
            diversions |= {
                (_placed(before), _placed(after)) for before, after in parse_diversions(control.get("preinst", b"").decode("utf-8", "replace"))
            }
            tree.unpack(open_part(file, "data"), source)
    tree.make_links()
    machine, multiarch = _MACHINES[system]
    libraries = _patch(tree, machine, multiarch, closure(depends))
    for name in _TOP_LINKS:
        if f"usr/{name}" in tree.folders and not os.path.lexists(f"{place}/{name}"):
            os.symlink(f"usr/{name}", f"{place}/{name}")
    copied = {place for place in tree.files if _COPIED.fullmatch(place)}
    records = {
        "control": b"\n".join(controls),
        "depends": _lines([path] for path in depends),
        "setuid": _lines(tree.setuid),
        "libraries": _lines(libraries),
        "copied": _lines([place] for place in copied),
        "unfolded": _lines([folder] for folder in _unfolded(tree, [*copied, *(place for *_, place in tree.setuid)])),
        "diverted": _lines(pair for pair in diversions if pair[0] in tree.files or pair[0] in tree.links),
        "alternatives.json": json.dumps(alternatives, indent=1).encode() if alternatives else b"",
    }
    os.makedirs(f"{place}/{SUPPORT}")
    for name, data in records.items():
        if data:
            with open(f"{place}/{SUPPORT}/{name}", "wb") as record:
                record.write(data)


def _placed(path: str) -> str:
    return merge_usr(posixpath.normpath(path).lstrip("/"))


def merge_usr(path: str) -> str:
    """Where a path, without a slash before it, is once /usr is merged."""
    return f"usr/{path}" if path.partition("/")[0] in MERGED else path


def closure(packages: Iterable[str]) -> list[str]:
    """The packages and all that they depend on, nearest first.  Raises PackageError for one that is none."""
    found = list(dict.fromkeys(packages))
    seen = set(found)
    for path in found:
        if not os.path.exists(f"{path}/{SUPPORT}/control"):
            raise PackageError(f"not a Debian package: `{path}`")
        for (depended,) in read_record(path, "depends"):
            if depended not in seen:
                seen.add(depended)
                found.append(depended)
    return found


def read_record(package: str, name: str) -> list[list[str]]:
    """The lines of one of the files in `nix-support/debian/`, as fields."""
    try:
        with open(f"{package}/{SUPPORT}/{name}", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return [line.split("\t") for line in file.read().split("\n")[:-1]]
    except FileNotFoundError:
        return []


def _lines(lines: Iterable[Iterable[str]]) -> bytes:
    return "".join("\t".join(fields) + "\n" for fields in sorted(map(list, lines))).encode("utf-8", "surrogateescape")


def _read_control(contents: Contents) -> dict[str, bytes]:
    files = {}
    for member in contents:
        if member.kind == "file":
            if member.size > _LARGEST_CONTROL:
                raise DebError(f"control file of {member.size} bytes: `{member.name}`", code="deb-too-large")
            files[member.name.removeprefix("./")] = b"".join(contents.read())
    return files


class _Tree:
    """What has been unpacked to `place`, and will be `out`.

    Paths have no slash before them.  What is where is kept here, so nothing is written through a link.
    """

    def __init__(self, out: str, place: str) -> None:
        self.out = out
        self.place = place
        self.folders = {""}
        self.files: set[str] = set()
        self.links: dict[str, str] = {}
        self.setuid: list[tuple[str, str, str, str]] = []
        self.elves: list[str] = []
        # The place that each link had before /usr was merged.
        self._before: dict[str, str] = {}

    def unpack(self, contents: Contents, source: str) -> None:
        for member in contents:
            before = _checked(member.name, source)
            place = merge_usr(before)
            if member.kind == "folder":
                self._make_folder(place, source)
            elif member.kind == "symlink" and before in MERGED and merge_usr(_resolved(before, member.target)) == place:
                continue  # base-files has them of late
            elif before in ("", *MERGED) or place.partition("/")[0] == "nix-support":
                raise DebError(f"package has a file where it cannot have one: `{member.name}`", code="deb-reserved", where=source)
            elif member.kind == "symlink":
                self._add_link(before, place, member, source)
            else:
                self._add_file(place, member, contents, source)

    def make_links(self) -> None:
        for place, target in self.links.items():
            self.links[place] = target = self._adjusted(place, target)
            os.symlink(target, f"{self.place}/{place}")

    def resolve(self, place: str) -> str | None:
        """The file of the package that a path leads to by way of links."""
        for _ in range(20):
            if place in self.files:
                return place
            if place not in self.links:
                return None
            place = merge_usr(_resolved(place, self.links[place]))
        return None

    def _claim(self, place: str, source: str) -> None:
        self._make_folder(posixpath.dirname(place), source)
        if place in self.folders or place in self.files or place in self.links:
            raise DebError(f"package has the same name twice: `{place}`", code="deb-duplicate", where=source)

    def _make_folder(self, place: str, source: str) -> None:
        if place in self.folders:
            return
        if place in self.files or place in self.links:
            raise DebError(f"package goes through what is no folder: `{place}`", code="deb-escapes", where=source)
        self._make_folder(posixpath.dirname(place), source)
        os.mkdir(f"{self.place}/{place}")
        self.folders.add(place)

    def _add_link(self, before: str, place: str, member: Member, source: str) -> None:
        if not member.target:
            raise DebError(f"package has a link to nowhere: `{member.name}`", where=source)
        if merge_usr(_resolved(before, member.target)) == place:
            return  # from /bin into /usr/bin or back, of which one is left
        self._claim(place, source)
        self.links[place] = member.target
        self._before[place] = before

    def _add_file(self, place: str, member: Member, contents: Contents, source: str) -> None:
        self._claim(place, source)
        path = f"{self.place}/{place}"
        if member.kind == "hardlink":
            target = merge_usr(_checked(member.target, source))
            if target not in self.files:
                raise DebError(f"package links to what is no file of it: `{member.target}`", where=source)
            os.link(f"{self.place}/{target}", path)
        else:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755 if member.mode & 0o100 else 0o644), "wb", 0) as file:
                start = b""
                for piece in contents.read():
                    start = start or piece[:4]
                    file.write(piece)
            if start == b"\x7fELF":
                self.elves.append(place)
        self.files.add(place)
        if member.mode & 0o6000:
            if not _is_field(member.owner + member.group):
                raise DebError(f"package has a file whose owner cannot be: `{member.name}`", where=source)
            self.setuid.append((f"{member.mode & 0o7777:04o}", member.owner, member.group, place))

    def _adjusted(self, place: str, target: str) -> str:
        """A link's text for its place.

        A relative one changes where merging /usr moved one of its ends, or where it climbs over the top.  An absolute one stays, unless
        it leads to something of the package's own below /usr, which then is found without a /usr, too.
        """
        before = self._before[place]
        goal = _resolved(before, target)
        merged = merge_usr(goal)
        if target.startswith("/"):
            is_own = merged.startswith("usr/") and (merged in self.files or merged in self.folders or merged in self.links)
            return posixpath.relpath(merged, posixpath.dirname(place)) if is_own else target
        climbs = posixpath.normpath(f"{posixpath.dirname(before)}/{target}").startswith("../") if before.count("/") else target.startswith("../")
        if before == place and merged == goal and not climbs:
            return target
        return posixpath.relpath(merged, posixpath.dirname(place))


def _checked(name: str, source: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    is_bad = ".." in parts or name.startswith("/") or len(parts) > _DEEPEST or not _is_field(name)
    if is_bad or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
        raise DebError(f"package has a name that leaves it, or that cannot be: `{name}`", code="deb-escapes", where=source)
    return "/".join(parts)


def _is_field(text: str) -> bool:
    """Whether a text can stand in one of the records."""
    return "\n" not in text and "\t" not in text


def _resolved(place: str, target: str) -> str:
    """What a link at `place` leads to, seen from the top, over which nothing climbs."""
    return posixpath.normpath(f"/{posixpath.dirname(place)}/{target}" if not target.startswith("/") else f"/{target.lstrip('/')}").lstrip("/")


def _unfolded(tree: _Tree, special: Iterable[str]) -> set[str]:
    """The folders that hold a link leading out of them, or one of the files that are `special`."""
    found = set()
    for place, target in tree.links.items():
        if not target.startswith("/"):
            goal = _resolved(place, target)
            folder = posixpath.dirname(place)
            while folder and not goal.startswith(f"{folder}/"):
                found.add(folder)
                folder = posixpath.dirname(folder)
    for place in special:
        while place := posixpath.dirname(place):
            found.add(place)
    return found


# ---- programs and libraries ----


def _patch(tree: _Tree, machine: int, multiarch: str, packages: list[str]) -> list[tuple[str, str]]:
    """Lead all programs and libraries to what they need; the libraries that the package has: name and folder."""
    described = {}
    for place in tree.elves:
        if place.startswith("usr/lib/debug/"):
            continue
        try:
            elf = read_elf(f"{tree.place}/{place}")
        except ElfError as error:
            print(f"left as it is: `{place}`: {error.message}", file=sys.stderr)
            continue
        if elf is not None and elf[0] != machine:
            print(f"left as it is: `{place}`: for another machine", file=sys.stderr)
        elif elf is not None:
            described[place] = elf
    finder = _Finder(tree, multiarch)
    for place in described:
        if ".so" in posixpath.basename(place):
            finder.add(posixpath.basename(place), tree.out, posixpath.dirname(place))
    for place in tree.links:
        if ".so" in posixpath.basename(place) and (target := tree.resolve(place)) is not None and target in described:
            finder.add(posixpath.basename(place), tree.out, posixpath.dirname(place))
    own = finder.own()
    for package in packages:
        for name, folder in read_record(package, "libraries"):
            finder.add(name, package, folder)
    for place, (_, interpreter, soname, needed, runpath) in described.items():
        loader = None
        if interpreter is not None and soname not in _OPENED:
            found = finder.find(posixpath.basename(interpreter), [])
            if found is None:
                print(f"its interpreter is in no package: `{place}`: {interpreter}", file=sys.stderr)
            else:
                loader = f"{found}/{posixpath.basename(interpreter)}"
        folders = finder.runpath(place, [*needed, *_OPENED.get(soname or "", ())], runpath or "")
        try:
            edit_elf(f"{tree.place}/{place}", interpreter=loader, runpath=":".join(folders))
        except ElfError as error:
            print(f"left as it is: `{place}`: {error.message}", file=sys.stderr)
    return own


class _Finder:
    """Which package has a library, as `ld.so` would find it if all packages were one tree."""

    def __init__(self, tree: _Tree, multiarch: str) -> None:
        self._standard = [f"usr/lib/{multiarch}", "usr/lib", "usr/lib64"]
        self._tree = tree
        self._known: dict[str, list[tuple[str, str]]] = {}

    def add(self, name: str, package: str, folder: str) -> None:
        self._known.setdefault(name, []).append((package, folder))

    def own(self) -> list[tuple[str, str]]:
        return [(name, folder) for name, places in self._known.items() for _, folder in places]

    def find(self, name: str, searched: list[str]) -> str | None:
        """The folder of a library, as an absolute path."""
        places = self._known.get(name, [])
        for wanted in (*searched, *self._standard):
            for package, folder in places:
                if folder == wanted:
                    return f"{package}/{folder}"
        first = min(places, key=lambda one: (one[0] != self._tree.out, one[1].count("/"), one[1]), default=None)
        return None if first is None else f"{first[0]}/{first[1]}"

    def runpath(self, place: str, needed: Iterable[str], before: str) -> list[str]:
        """The folders that the file at `place` needs, after which come those that it asked for itself, for what it opens by name."""
        here = posixpath.dirname(place)
        searched, kept = [], []
        for folder in filter(None, before.split(":")):
            is_relative = "$" in folder
            path = folder.replace("${ORIGIN}", f"/{here}").replace("$ORIGIN", f"/{here}")
            path = merge_usr(posixpath.normpath(path).lstrip("/"))
            searched.append(path)
            kept.append(f"{self._tree.out}/{path}" if not is_relative and path in self._tree.folders else folder)
        found: dict[str, None] = {}
        for name in needed:
            # The loader is there already.
            if "/" in name or name.startswith("ld-linux"):
                continue
            where = self.find(name, searched)
            if where is None:
                print(f"needed and in no package: `{name}`, by `{place}`", file=sys.stderr)
            else:
                found[where] = None
        return [*dict.fromkeys((*found, *kept))]
