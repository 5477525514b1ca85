"""`builtin:debian-launchers`: what a profile has of a package, so that its commands work on any machine.

In a profile there is no farm around a program, but the machine's own /usr.  So for each command there is a *launcher*, a file of three
lines that enters the farm and becomes the program (`channel/pkgs/launcher/launch.c` does it).  A program that needs nothing of a farm is
linked to as it is, and sees the machine as it is: one of ELF, in whose package's closure there is nothing but programs, libraries and what
is for reading.  What every Debian has (`base`) does not count.

Debian splits: `python3` is in the package python3-minimal, and `convert` in one of many that the package imagemagick only names.  So
the commands are those of the package, and of all that it needs and that has been made of the same source package; names that only a farm
has, those of alternatives, are among them if they lead to one of these.

A package that was built here (format 2) has its commands in its outputs' `bin`.  It needs a farm if a script of it has one of Debian's
interpreters that does: then all its commands are launchers.  Everything else of its outputs is linked to.

In `share` are manuals, completions, and what desktops look for.  Libraries and headers of Debian's packages are no part of it.
`nix-support/launcher` has the program that launchers are run by, for who makes more of them (`nivalis.profile.front`).

What it does not do: nothing is made for what is called by its path below /usr, such as services.

Runs inside the sandbox, in a process of its own (see `nivalis.build.builtin_builders`).
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping

from nivalis.debian.deb822 import paragraphs
from nivalis.debian.errors import PackageError
from nivalis.debian.package import SUPPORT, closure

__all__ = ["build"]

# Where commands are, and where they are put.
_COMMANDS = ("usr/bin", "usr/sbin", "usr/games")
_SHARED = ("man", "info", "applications", "icons", "bash-completion", "fish", "zsh", "fonts")
# What programs do without, where they are called from a machine that is not Debian's or that is an older one.
_NO_DATA = re.compile(
    r"usr/(bin|sbin|games|include)/.*"
    r"|usr/lib/([^/]+-linux-gnu[^/]*/)?([^/]+\.(so(\.[^/]*)?|a|o)|(pkgconfig|cmake)/.*)"
    # Without its special mode it can do nothing.
    r"|usr/lib/[^/]+/utempter/utempter"
    r"|usr/share/(man|info|doc|doc-base|lintian|bug|locale|bash-completion|zsh|fish|menu|pixmaps|icons|applications|metainfo|pkgconfig)/.*"
)
_MOST_LINKS = 40
_LONGEST_LINE = 4096


def build(environment: Mapping[str, str], out: str) -> None:
    """Make the launchers for `$package`, of the source `$source`, or for `$built`, at `out`; they enter `$farm` by `$launcher`.

    Raises PackageError.
    """
    os.makedirs(f"{out}/nix-support")
    with open(f"{out}/nix-support/launcher", "w", encoding="utf-8") as file:
        file.write(f"{environment.get('launcher', '')}\n")
    os.mkdir(f"{out}/bin")
    match environment.get("format", ""):
        case "1":
            _launch_package(environment, out)
        case "2":
            _launch_built(environment, out)
        case format:
            raise PackageError(f"launchers of format `{format}` are not known here", hint="a newer nivalis builds them")


def _launch_package(environment: Mapping[str, str], out: str) -> None:
    package, farm, launcher = (environment.get(name, "") for name in ("package", "farm", "launcher"))
    needed = closure([package])
    base = set(closure(environment.get("base", "").split())) - {package}
    own = [path for path in needed if path == package or _has_source(path, environment.get("source", ""))]
    needs_farm = any(_has_data(path) for path in needed if path not in base)
    for folder in _COMMANDS:
        for name, program in _find_commands(farm, folder, own):
            place = f"{out}/bin/{name}"
            if os.path.lexists(place):
                continue
            if needs_farm or not _is_elf(program):
                _write_launcher(place, launcher, farm, f"/{folder}/{name}")
            else:
                os.symlink(program, place)
    for path in own:
        for name in _SHARED:
            _link_tree(f"{path}/usr/share/{name}", f"{out}/share/{name}")


def _launch_built(environment: Mapping[str, str], out: str) -> None:
    built, farm, launcher = environment.get("built", "").split(), environment.get("farm", ""), environment.get("launcher", "")
    base = set(closure(environment.get("base", "").split()))
    interpreters = {package for path in built for package in _find_interpreters(path)}
    needs_farm = any(_has_data(path) for path in closure(sorted(interpreters)) if path not in base)
    for path in built:
        commands = sorted(os.listdir(f"{path}/bin")) if needs_farm and os.path.isdir(f"{path}/bin") else []
        for name in commands:
            program, place = f"{path}/bin/{name}", f"{out}/bin/{name}"
            if os.path.isfile(program) and os.access(program, os.X_OK) and not name.startswith(".") and not os.path.lexists(place):
                _write_launcher(place, launcher, farm, program)
        _link_tree(path, out)


def _find_interpreters(built: str) -> Iterator[str]:
    """The packages of Debian's whose programs the scripts below a path are for."""
    for folder, _, files in os.walk(built):
        for name in files:
            place = f"{folder}/{name}"
            if os.path.islink(place) or not os.access(place, os.X_OK):
                continue
            with open(place, "rb") as file:
                words = os.fsdecode(file.readline(_LONGEST_LINE)).split() if file.read(2) == b"#!" else []
            package = posixpath.dirname(words[0]) if words else "/"
            while package not in ("/", "") and not os.path.exists(f"{package}/{SUPPORT}/control"):
                package = posixpath.dirname(package)
            if package not in ("/", ""):
                yield package


def _find_commands(farm: str, folder: str, own: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The names of commands in a folder of the farm, each with the file that it leads to, of the packages `own` and of alternatives."""
    roots = tuple(f"{path}/" for path in own)
    if not os.path.isdir(f"{farm}/{folder}"):
        return
    for name in sorted(os.listdir(f"{farm}/{folder}")):
        program = _follow(farm, f"{folder}/{name}")
        if program is None or not os.access(program, os.X_OK) or "\n" in name:
            continue
        if program.startswith(roots) or any(os.path.lexists(f"{path}/{folder}/{name}") for path in own):
            yield name, program


def _follow(farm: str, place: str) -> str | None:
    """The file that a path leads to where the farm is /usr; None if there is none."""
    path = f"{farm}/{place}"
    for _ in range(_MOST_LINKS):
        if not os.path.islink(path):
            # The folder may be a link to a package's.
            return os.path.realpath(path) if os.path.isfile(path) else None
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), os.readlink(path)))
        path = f"{farm}{target}" if target.startswith(("/usr/", "/etc/")) else target
    return None


def _write_launcher(place: str, launcher: str, farm: str, program: str) -> None:
    with open(place, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"#!{launcher}\nfarm {farm}\nprogram {program}\n")
        os.fchmod(file.fileno(), 0o755)


def _link_tree(source: str, target: str) -> None:
    if not os.path.isdir(source):
        return
    os.makedirs(target, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            place = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                _link_tree(entry.path, place)
            # A package's link may lead to what only the farm has.
            elif not os.path.lexists(place) and os.path.exists(entry.path):
                os.symlink(entry.path, place)


def _has_source(path: str, source: str) -> bool:
    with open(f"{path}/{SUPPORT}/control", encoding="utf-8", errors="surrogateescape") as file:
        return any(fields.get("source", fields.get("package", "")).partition(" ")[0] == source for fields in paragraphs(file.read()))


def _has_data(path: str) -> bool:
    """Whether a package has what its programs may look for below /usr or in /etc."""
    for tree in ("usr", "etc"):
        for folder, _, files in os.walk(f"{path}/{tree}"):
            if any(not _NO_DATA.fullmatch(f"{folder[len(path) + 1 :]}/{name}") for name in files):
                return True
    return False


def _is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
