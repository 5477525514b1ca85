"""`builtin:buildenv`: a tree of symlinks over several packages, as user environments are.

Where only one package has a folder it is one symlink; where several have, it is a folder of symlinks.  Where two packages have the same
file, the one with the lower number as its priority wins; with equal priorities it is an error that names both.  A package may have others
come with it (`nix-support/propagated-user-env-packages`), which give way to all that were asked for.

The rules, and which files are left out, are those of CppNix's builder of that name.  The tree is thought of first and then unpacked
from the NAR that it makes.

This process does it itself: nothing of a package is run, what is read of it are names and links, and an `InputView` keeps these from leading out
of the inputs.  A sandbox and Python in it would take longer than all the rest, and a machine that allows no sandbox can have profiles.
Whatever else holds for a build holds here: the same locks, checks, log and events.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from nivalis import _native
from nivalis.build.errors import BuildError, BuildStoppedError, CannotBuildError
from nivalis.build.events import BuildFailed, BuildLine, Listener
from nivalis.build.goals import Goal
from nivalis.build.input_view import InputView
from nivalis.build.job import Job
from nivalis.build.log import BuildLog
from nivalis.build.outputs import Produced, check_output_conditions
from nivalis.build.settings import BuildSettings
from nivalis.errors import NivalisError
from nivalis.store.add import temporary_place
from nivalis.store.derivation import Derivation
from nivalis.store.logs import log_place
from nivalis.store.store import Store

__all__ = ["CollisionError", "EnvironmentJob", "build_environment", "is_environment"]

_BUILDER = "builtin:buildenv"
# Of no use in an environment, or in every package.
_LEFT_OUT = ("/propagated-build-inputs", "/nix-support", "/perllocal.pod", "/info/dir", "/log", "/manifest.nix", "/manifest.json")
_FIRST_PROPAGATED = 1000


class CollisionError(BuildError):
    """Two packages have the same file."""

    default_code = "collision"


def build_environment(store: Store, goal: Goal, settings: BuildSettings, listen: Listener) -> NivalisError | None:
    """Build one that is all there is to do, without the threads of a scheduler.  What went wrong, if anything."""
    try:
        EnvironmentJob(store, goal.drv_path, goal.derivation, settings, listen=listen, is_stopped=lambda: False).run()
    except NivalisError as error:
        listen(BuildFailed(goal.drv_path, error.code, error.message))
        return error
    return None


def is_environment(derivation: Derivation) -> bool:
    """Whether a derivation is built by an `EnvironmentJob`."""
    return derivation.builder == _BUILDER


class EnvironmentJob(Job):
    """A job whose builder is this module."""

    def _build(self, valid: set[str]) -> None:
        if self._paths.keys() != {"out"} or self._derivation.is_fixed_output:
            raise CannotBuildError(f"`{_BUILDER}` makes one output, `out`, which is not fixed by a hash: `{self._drv_path}`")
        store, settings, path = self._store, self._settings, self._paths["out"]
        inputs = self._find_inputs()
        file = log_place(store.layout, self._drv_path) if settings.keep_log else None
        with (
            self._turn(),
            BuildLog(file, compress=settings.compress_log, lines=settings.log_lines) as log,
            temporary_place(store.real_path(path), path) as part,
        ):

            def warn(text: str) -> None:
                for line in log.write(f"warning: {text}\n".encode("utf-8", "replace")):
                    self._listen(BuildLine(self._drv_path, line))

            tree = _Tree(InputView(store.store_dir, str(store.layout.real_store_dir), inputs), warn, self._check_stop)
            try:
                tree.add_all(self._derivation.env)
                nar = tree.pack()
                nar_hash, nar_size = _native.restore_nar(nar, part, canonical=True)
            except (RecursionError, OSError) as error:
                if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
                    raise
                raise BuildError(f"folders of packages lie too deep within one another: `{path}`", where=self._drv_path) from error
            references = _native.scan_bytes(nar, [*inputs, path], store.store_dir)
            produced = [Produced("out", path, part, frozenset(references), nar_hash, nar_size)]
            check_output_conditions(store, self._drv_path, self._derivation, self._options, produced)
            self._accept(produced, valid)

    def _check_stop(self) -> None:
        if self._is_stopped():
            raise BuildStoppedError(f"build given up: `{self._drv_path}`")


class _Package(NamedTuple):
    priority: int
    path: str


class _Link(NamedTuple):
    """A link of the environment, and where the folder is found that it leads to, if it is one."""

    target: str
    folder: str | None
    priority: int


# What is in a folder of the environment, by name.
_Folder = dict[str, "_Link | _Folder"]


def _read_packages(words: Iterable[str]) -> list[_Package]:
    """The active ones of `<active> <priority> <number of outputs> <outputs…>`, again and again.  Raises BuildError."""
    packages = []
    rest = iter(words)
    try:
        for active in rest:
            priority, count = int(next(rest)), int(next(rest))
            outputs = [next(rest) for _ in range(count)]
            if active != "false":
                packages += [_Package(priority, path) for path in outputs]
    except (ValueError, StopIteration) as error:
        raise BuildError("`derivations` is no list of packages", hint="each is `true`, its priority, the number of its outputs, and these") from error
    return packages


class _Tree:
    """The environment.  `warn` is told what is left out; `check` is called now and then, and raises what is to end the work."""

    def __init__(self, view: InputView, warn: Callable[[str], object], check: Callable[[], object]) -> None:
        self._view = view
        self._warn = warn
        self._check = check
        self._top: _Folder = {}
        self._done: set[str] = set()
        self._propagated: set[str] = set()

    def add_all(self, environment: Mapping[str, str]) -> None:
        """Add what the variables of a derivation name.  Raises BuildError, OSError."""
        for package in sorted(_read_packages(environment.get("derivations", "").split())):
            self._add(package)
        priority = _FIRST_PROPAGATED
        while self._propagated:
            paths, self._propagated = sorted(self._propagated), set()
            for path in paths:
                self._add(_Package(priority, path))
                priority += 1
        if "manifest" in environment:
            self._top["manifest.nix"] = _Link(environment["manifest"], None, 0)

    def pack(self) -> bytes:
        """The NAR of all that was added."""
        return b"".join([_HEAD, *_pack(self._top)])

    def _add(self, package: _Package) -> None:
        if package.path in self._done:
            return
        self._done.add(package.path)
        found = self._view.find(package.path)
        if found is None:
            raise BuildError(f"package is not among the inputs of its environment: `{package.path}`")
        where, is_folder = found
        if not is_folder:
            self._warn(f"not included, since it is no folder: `{package.path}`")
            return
        self._merge(where, package.path, self._top, "", package.priority)
        listed = self._view.find(f"{where}/nix-support/propagated-user-env-packages")
        if listed is not None and not listed[1]:
            with open(self._view.real_place(listed[0]), encoding="utf-8", errors="surrogateescape") as file:
                self._propagated |= set(file.read().split()) - self._done

    def _merge(self, where: str, source: str, folder: _Folder, inside: str, priority: int) -> None:
        """Place what is in a folder of a package, found at `where` and named `source`, in `folder`, which is `inside` of the environment."""
        self._check()
        for name, is_folder in self._view.entries(where):
            path, place = f"{source}/{name}", f"{where}/{name}"
            if name.startswith("."):
                continue
            if is_folder is None:
                found = self._view.find(place)
                if found is None:
                    self._warn(f"left out, since it leads nowhere: `{path}`")
                    continue
                place, is_folder = found
            if path.endswith(_LEFT_OUT):
                continue
            link = _Link(path, place if is_folder else None, priority)
            there = folder.setdefault(name, link)
            if there is not link:
                self._replace(there, link, folder, f"{inside}/{name}")

    def _replace(self, there: _Link | _Folder, link: _Link, folder: _Folder, inside: str) -> None:
        """Put a link where something stands already: `there`, which is `inside` of the environment, in `folder`."""
        name = inside.rpartition("/")[2]
        if isinstance(there, dict):
            if link.folder is None:
                raise CollisionError(f"a file and a folder have the same name: `{link.target}` and `{inside}` of other packages")
            self._merge(link.folder, link.target, there, inside, link.priority)
        elif link.folder is not None:
            if there.folder is None:
                raise CollisionError(f"a folder and a file have the same name: `{link.target}` and `{there.target}`")
            both: _Folder = {}
            folder[name] = both
            self._merge(there.folder, there.folder, both, inside, there.priority)
            self._merge(link.folder, link.target, both, inside, link.priority)
        elif there.priority == link.priority:
            raise CollisionError(
                f"two packages have the same file: `{there.target}` and `{link.target}`, both of priority {link.priority}",
                hint="give one of them another priority (`nix-env --set-flag priority NUMBER NAME`; the lower number wins), or leave one out",
            )
        elif link.priority < there.priority:
            folder[name] = link


def _pack(folder: _Folder) -> Iterator[bytes]:
    """The NAR of a folder, but for what every NAR begins with."""
    yield _FOLDER
    for name, what in sorted((os.fsencode(name), what) for name, what in folder.items()):
        yield _ENTRY + _word(name) + _NODE
        if isinstance(what, _Link):
            yield _LINK + _word(os.fsencode(what.target)) + _END
        else:
            yield from _pack(what)
        yield _END
    yield _END


def _word(data: bytes) -> bytes:
    return len(data).to_bytes(8, "little") + data + bytes(-len(data) % 8)


_HEAD = _word(b"nix-archive-1")
_END = _word(b")")
_NODE = _word(b"node")
_ENTRY = _word(b"entry") + _word(b"(") + _word(b"name")
_FOLDER = _word(b"(") + _word(b"type") + _word(b"directory")
_LINK = _word(b"(") + _word(b"type") + _word(b"symlink") + _word(b"target")
