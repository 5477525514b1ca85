"""Git repositories, by the program `git`: which revision, and its files.

A repository of this machine is read where it is.  One behind an address is fetched into a bare repository in the cache, one for each
address, and again only if what is asked for is not there or was last asked for too long ago.  A working tree with changes counts as it is:
the files that Git knows, with their changes, and no revision.

Files are those of the revision, byte by byte: no filter, no conversion of line ends, nothing substituted; what `export-ignore` marks is left
out on request.  Git runs with nobody to ask for a password, without hooks, and with no protocol that runs programs of an address's choosing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import unquote, urlsplit

from nivalis.fetch.errors import GitError
from nivalis.fetch.network import Network
from nivalis.store.locks import lock_paths

__all__ = ["Checkout", "GitRepository", "GitRequest"]

_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REFERENCE = re.compile(r"(?!-)[^\x00-\x20~^:?*\[\\\x7f]+")
_SCP_LIKE = re.compile(r"([^/:]+@[^/:]+):(?!//)(.*)")
_NO_REVISION = "0" * 40
_DEEPEST_SUBMODULES = 20


@dataclass(frozen=True, slots=True)
class GitRequest:
    """What is asked for.  `shallow` fetches no history, `all_refs` looks for the revision in all there is, not only in what `reference` has."""

    reference: str | None = None
    revision: str | None = None
    shallow: bool = False
    all_refs: bool = False
    submodules: bool = False
    export_ignore: bool = True


@dataclass(frozen=True, slots=True)
class Checkout:
    """Files of a revision.  `revision` is all zeros for a working tree with changes, which are changes of `dirty_revision`, if of any.

    `count` is 0 where the history is not there, and `last_modified` in seconds.
    """

    revision: str
    count: int
    last_modified: int
    dirty_revision: str = ""


class _Entry(NamedTuple):
    """A file, symlink or submodule of a revision; the path is relative."""

    mode: bytes
    object: str
    path: bytes


class GitRepository:
    """A repository behind an address or a path.  Raises GitError."""

    def __init__(
        self,
        address: str,
        cache: str,
        network: Network,
        *,
        clock: Callable[[], float] = time.time,
        on_warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        address = address.removeprefix("git+")
        scp_like = _SCP_LIKE.fullmatch(address)
        if scp_like and "://" not in address:
            address = f"ssh://{scp_like[1]}/{scp_like[2].lstrip('/')}"
        parts = urlsplit(address)
        local = unquote(parts.path) if parts.scheme == "file" else address if address.startswith("/") else None
        if local is None and parts.scheme not in ("https", "http", "ssh", "git"):
            raise GitError(
                f"address of a Git repository cannot be fetched: `{address}`", hint="known are `https:`, `ssh:`, `git:`, `http:` and `file:`"
            )
        self._address = address
        self._cache = cache
        self._network = network
        self._clock = clock
        self._on_warn = on_warn
        self._local = local
        self._work_tree = local if local is not None and os.path.lexists(f"{local}/.git") else None

    def check_out(self, target: str, request: GitRequest) -> Checkout:
        """Put the files at `target`, a new folder.  Raises GitError."""
        if request.revision is not None and not _REVISION.fullmatch(request.revision):
            raise GitError(f"not a Git revision: `{request.revision}`", hint="it is 40 digits of base 16")
        if request.reference is not None and not _REFERENCE.fullmatch(request.reference):
            raise GitError(f"not a Git reference: `{request.reference}`")
        os.mkdir(target)
        if self._work_tree is not None and request.reference is None and request.revision is None and self._is_changed():
            self._on_warn(f"Git tree '{self._work_tree}' has changes that are not committed")
            return self._copy_changed(target, request)
        repository, name = self._find(request)
        found = self._resolve(repository, name)
        self._export(repository, found, target, request, 0)
        count = 0 if request.shallow else int(self._run(repository, "rev-list", "--count", found))
        return Checkout(found, count, int(self._run(repository, "log", "-1", "--format=%ct", "--no-show-signature", found)))

    def _resolve(self, repository: str, name: str) -> str:
        try:
            return self._run(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
        except GitError as error:
            error.message = f"Git repository has no such revision: `{name.removeprefix('refs/heads/')}` in `{self._address}`"
            error.hint = None if _REVISION.fullmatch(name) else "a tag is written `refs/tags/NAME`"
            raise

    # ---- a working tree ----

    def _is_changed(self) -> bool:
        assert self._work_tree is not None
        head = self._try(self._work_tree, "rev-parse", "--verify", "--quiet", "HEAD")
        return not head or not self._try(self._work_tree, "diff", "HEAD", "--quiet", "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")

    def _copy_changed(self, target: str, request: GitRequest) -> Checkout:
        assert self._work_tree is not None
        options = ["--recurse-submodules"] if request.submodules else []
        for name in self._run(self._work_tree, "ls-files", "-z", "--cached", *options).split(b"\0"):
            source = os.fsencode(self._work_tree) + b"/" + name
            if not name or not os.path.lexists(source) or (os.path.isdir(source) and not os.path.islink(source)):
                continue
            place = os.fsencode(target) + b"/" + name
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy2(source, place, follow_symlinks=False)
        try:
            head, last = self._run(self._work_tree, "log", "-1", "--format=%H %ct", "--no-show-signature", "HEAD").decode().split()
        except GitError:
            return Checkout(_NO_REVISION, 0, 0)
        return Checkout(_NO_REVISION, 0, int(last), head)

    # ---- a repository behind an address ----

    def _find(self, request: GitRequest) -> tuple[str, str]:
        """A repository on this machine, and what the revision is called in it."""
        if self._local is not None:
            return self._local, request.revision or request.reference or "HEAD"
        kind = "shallow" if request.shallow else "git"
        folder = f"{self._cache}/{kind}/{hashlib.sha256(self._address.encode()).hexdigest()}"
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with lock_paths([folder]):
            if not os.path.isfile(f"{folder}/HEAD"):
                self._run(None, "init", "--quiet", "--bare", folder)
            if request.revision is not None:
                self._fetch_revision(folder, request)
                return folder, request.revision
            return folder, self._fetch_reference(folder, request)

    def _fetch_revision(self, folder: str, request: GitRequest) -> None:
        assert request.revision is not None
        if self._has(folder, request.revision):
            return
        # A server may refuse what is not the tip of a branch, and then has to send the branches.
        wanted = [request.revision]
        with suppress(GitError):
            self._fetch(folder, wanted, request)
        if self._has(folder, request.revision):
            return
        if request.all_refs or request.reference is None:
            wanted = ["+refs/*:refs/remotes/all/*"] if request.all_refs else ["+refs/heads/*:refs/heads/*"]
        else:
            wanted = [self._refspec(request.reference)[0]]
        self._fetch(folder, wanted, request)
        if not self._has(folder, request.revision):
            where = "" if request.reference is None else f", in `{request.reference}`"
            hint = None if request.all_refs else "`allRefs = true` looks in all that the repository has"
            raise GitError(f"Git repository has no such revision: `{request.revision}` in `{self._address}`{where}", hint=hint)

    def _fetch_reference(self, folder: str, request: GitRequest) -> str:
        """The name in the cache of what the reference leads to now, or did not long ago."""
        refspec, name = self._refspec(request.reference)
        stamp = Path(folder, f"fetched-{hashlib.sha256(name.encode()).hexdigest()}")
        now = self._clock()
        is_there = self._try(folder, "rev-parse", "--verify", "--quiet", name)
        with suppress(OSError):
            if is_there and not request.all_refs and 0 <= now - stamp.stat().st_mtime < self._network.ttl:
                return name
        try:
            self._fetch(folder, [refspec, "+refs/*:refs/remotes/all/*"] if request.all_refs else [refspec], request)
        except GitError as error:
            if not is_there or not self._network.ttl:
                raise
            self._on_warn(f"{error.message}; what was fetched before is used")
            return name
        stamp.touch()
        os.utime(stamp, (now, now))
        return name

    def _refspec(self, reference: str | None) -> tuple[str, str]:
        """What to fetch for a reference, and its name here."""
        if reference is None or reference == "HEAD":
            return "+HEAD:refs/remotes/HEAD", "refs/remotes/HEAD"
        name = reference if reference.startswith("refs/") else f"refs/heads/{reference}"
        return f"+{name}:{name}", name

    def _fetch(self, folder: str, refspecs: Sequence[str], request: GitRequest) -> None:
        depth = ["--depth=1"] if request.shallow else []
        self._run(folder, "fetch", "--quiet", "--force", "--no-tags", *depth, "--", self._address, *refspecs)

    def _has(self, folder: str, revision: str) -> bool:
        return self._try(folder, "cat-file", "-e", f"{revision}^{{commit}}")

    # ---- files ----

    def _export(self, repository: str, revision: str, target: str, request: GitRequest, depth: int) -> None:
        entries = list(self._list(repository, revision))
        self._check_tree(entries)
        if request.export_ignore and any(os.path.basename(entry.path) == b".gitattributes" for entry in entries):
            ignored = self._find_ignored(repository, revision, entries)
            entries = [entry for entry in entries if not any(path in ignored for path in _path_and_parents(entry.path))]
        self._write(repository, [entry for entry in entries if entry.mode != b"160000"], target)
        for entry in entries:
            if entry.mode == b"160000":
                os.makedirs(os.path.join(os.fsencode(target), entry.path), exist_ok=True)
        if request.submodules:
            self._add_submodules(repository, revision, entries, target, request, depth)

    def _list(self, repository: str, revision: str) -> Iterator[_Entry]:
        for line in self._run(repository, "ls-tree", "-r", "-z", "--full-tree", revision).split(b"\0"):
            if line:
                about, _, path = line.partition(b"\t")
                mode, _, name = about.split(b" ")
                # Git itself refuses such a tree; a repository that was damaged on purpose has not asked it.
                if any(part in (b"", b".", b"..") or part.lower() == b".git" for part in path.split(b"/")):
                    raise GitError(f"Git repository has a file of a name that leaves its folder: `{os.fsdecode(path)}` in `{self._address}`")
                yield _Entry(mode, name.decode(), path)

    def _check_tree(self, entries: Sequence[_Entry]) -> None:
        """Nothing may lie below a file or a symlink, and nothing be there twice.  Git itself refuses that too."""
        paths = {entry.path for entry in entries}
        if len(paths) != len(entries) or any(parent in paths for path in paths for parent in _path_and_parents(path)[:-1]):
            raise GitError(f"Git repository has a file below what is no folder: `{self._address}`")

    def _find_ignored(self, repository: str, revision: str, entries: Sequence[_Entry]) -> set[bytes]:
        """The files and folders that are not meant for export."""
        index = f"{self._cache}/index-{os.getpid()}-{os.urandom(8).hex()}"
        try:
            os.makedirs(self._cache, exist_ok=True)
            self._run(repository, "read-tree", revision, index=index)
            paths = sorted({path for entry in entries for path in _path_and_parents(entry.path)})
            answer = self._run(repository, "check-attr", "--cached", "-z", "--stdin", "export-ignore", index=index, stdin=b"\0".join(paths) + b"\0")
        finally:
            with suppress(FileNotFoundError):
                os.unlink(index)
        words = answer.split(b"\0")
        return {path for path, value in zip(words[0::3], words[2::3], strict=False) if value == b"set"}

    def _write(self, repository: str, entries: Sequence[_Entry], target: str) -> None:
        """Write the files and symlinks of a revision, whose folders are nobody else's."""
        argv = self._argv(repository, "cat-file", "--batch")
        process = subprocess.Popen(argv, env=self._env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdin is not None and process.stdout is not None
        try:
            made: set[bytes] = set()
            for entry in entries:
                place = os.path.join(os.fsencode(target), entry.path)
                folder = os.path.dirname(place)
                if folder not in made:
                    os.makedirs(folder, exist_ok=True)
                    made.add(folder)
                process.stdin.write(entry.object.encode() + b"\n")
                process.stdin.flush()
                words = process.stdout.readline().split()
                if len(words) != 3:
                    raise GitError(f"Git repository lacks a file's content: `{os.fsdecode(entry.path)}` in `{self._address}`", where=shlex.join(argv))
                _write_blob(process.stdout, int(words[2]), entry.mode, place)
                process.stdout.read(1)
        except BrokenPipeError as error:
            raise GitError(f"Git ended before all files were read: `{self._address}`", where=shlex.join(argv)) from error
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            process.wait()

    def _add_submodules(self, repository: str, revision: str, entries: Sequence[_Entry], target: str, request: GitRequest, depth: int) -> None:
        links = [entry for entry in entries if entry.mode == b"160000"]
        if not links:
            return
        if depth == _DEEPEST_SUBMODULES:
            raise GitError(f"Git repository has submodules in submodules without end: `{self._address}`")
        addresses = self._read_submodules(repository, revision)
        for link in links:
            address = addresses.get(link.path)
            if address is None:
                raise GitError(f"Git repository does not say where a submodule is: `{os.fsdecode(link.path)}` in `{self._address}`")
            other = GitRepository(self._submodule_address(address), self._cache, self._network, clock=self._clock, on_warn=self._on_warn)
            if other._local is not None and self._local is None:
                raise GitError(f"Git repository from elsewhere has a submodule on this machine: `{address}` in `{self._address}`")
            wanted = GitRequest(revision=link.object, shallow=request.shallow, all_refs=True, submodules=True, export_ignore=request.export_ignore)
            place, name = other._find(wanted)
            other._export(place, other._resolve(place, name), os.path.join(target, os.fsdecode(link.path)), wanted, depth + 1)

    def _read_submodules(self, repository: str, revision: str) -> dict[bytes, str]:
        """The addresses of submodules, by their places."""
        text = self._run(repository, "config", "--blob", f"{revision}:.gitmodules", "--null", "--get-regexp", r"^submodule\..*\.(path|url)$")
        values: dict[bytes, dict[bytes, bytes]] = {}
        for line in text.split(b"\0"):
            key, _, value = line.partition(b"\n")
            name, _, field = key.rpartition(b".")
            values.setdefault(name, {})[field] = value
        return {one[b"path"].rstrip(b"/"): os.fsdecode(one[b"url"]) for one in values.values() if one.keys() >= {b"path", b"url"}}

    def _submodule_address(self, address: str) -> str:
        """An address in .gitmodules, which may be relative to that of the repository."""
        if not address.startswith(("./", "../")):
            return address
        scheme, found, place = self._address.partition("://")
        base = f"/{place}" if found else self._address
        joined = os.path.normpath(f"{base}/{address}")
        return f"{scheme}://{joined[1:]}" if found else joined

    # ---- the program ----

    def _argv(self, folder: str | None, *words: str) -> list[str]:
        settings = {
            "core.fsmonitor": "false",
            "core.hooksPath": "/dev/null",
            "gc.autoDetach": "false",
            "maintenance.autoDetach": "false",
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": str(max(1, round(self._network.timeout))),
        }
        place = [] if folder is None else ["-C", folder]
        return ["git", *(word for name, text in settings.items() for word in ("-c", f"{name}={text}")), *place, *words]

    def _env(self, index: str | None = None) -> dict[str, str]:
        network = self._network
        kept = {
            name: text for name, text in network.environment.items() if not name.startswith("GIT_") or name in ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO")
        }
        # An empty name of a program that asks: git asks nobody, and neither does what it runs.
        kept |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "LC_ALL": "C"}
        if "GIT_SSH_COMMAND" not in kept:
            kept["GIT_SSH_COMMAND"] = f"ssh -o BatchMode=yes -o ConnectTimeout={max(1, round(network.timeout))}"
        certificates = network.certificates or network.environment.get("NIX_SSL_CERT_FILE")
        if certificates:
            kept["GIT_SSL_CAINFO"] = certificates
        if self._local is not None:
            # What is no repository is not taken for a part of one around it.
            kept["GIT_CEILING_DIRECTORIES"] = os.path.dirname(os.path.normpath(self._local))
        if index is not None:
            kept["GIT_INDEX_FILE"] = index
        return kept

    def _try(self, folder: str, *words: str) -> bool:
        return subprocess.run(self._argv(folder, *words), env=self._env(), stdin=subprocess.DEVNULL, capture_output=True).returncode == 0

    def _run(self, folder: str | None, *words: str, index: str | None = None, stdin: bytes = b"") -> bytes:
        argv = self._argv(folder, *words)
        try:
            done = subprocess.run(argv, env=self._env(index), input=stdin, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise GitError("the program `git` is not installed", hint="install the package git") from error
        if done.returncode != 0:
            reason = _reason(done.stderr) or f"exit code {done.returncode}"
            raise GitError(f"Git repository cannot be read: `{self._address}` ({reason})", where=shlex.join(argv))
        return done.stdout


def _path_and_parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[: count + 1]) for count in range(len(parts))]


def _write_blob(source: IO[bytes], size: int, mode: bytes, place: bytes) -> None:
    if mode == b"120000":
        os.symlink(source.read(size), place)
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(place, flags, 0o777 if mode == b"100755" else 0o666), "wb") as file:
        while size:
            piece = source.read(min(size, 1 << 20))
            if not piece:
                raise GitError(f"Git ended in the middle of a file: `{os.fsdecode(place)}`")
            file.write(piece)
            size -= len(piece)


def _reason(text: bytes) -> str:
    """What git says is wrong: its first fatal line, as what follows is advice."""
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return next((line for line in lines if line.startswith(("fatal: ", "error: "))), lines[-1] if lines else "")
