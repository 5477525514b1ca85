"""Git repositories, by the command `git`: which revision, and its files.

A repository of this machine is read where it is.  One behind an address is fetched into a bare repository in the cache.  A working
tree with changes counts as it is: the files that Git knows, with their changes, and no revision.

Git runs with no terminal to ask at, and without the user's hooks and filters of the repository's own making.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from nivalis.fetch.archive import unpack
from nivalis.fetch.errors import GitError

__all__ = ["Checkout", "GitRepository"]

_REVISION = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_NO_REVISION = "0" * 40


@dataclass(frozen=True, slots=True)
class Checkout:
    """Files of a revision.  `revision` is all zeros for a working tree with changes; `last_modified` is in seconds."""

    revision: str
    count: int
    last_modified: int


class GitRepository:
    """A repository behind an address or a path."""

    def __init__(self, address: str, cache: str, environment: Mapping[str, str]) -> None:
        parts = urlsplit(address)
        local = unquote(parts.path) if parts.scheme == "file" else address if address.startswith("/") else None
        self._address = address
        self._environment = environment
        self._work_tree = local if local is not None and os.path.isdir(f"{local}/.git") else None
        self._is_local = local is not None
        if not self._is_local and parts.scheme not in ("https", "http", "ssh", "git"):
            raise GitError(f"address of a Git repository cannot be fetched: `{address}`")
        self._source = local if local is not None else address
        self._folder = f"{cache}/git/{hashlib.sha256(address.encode()).hexdigest()}"

    def check_out(self, target: str, *, reference: str | None, revision: str | None, submodules: bool) -> Checkout:
        """Put the files at `target`, a new folder.  Raises GitError."""
        if revision is not None and not _REVISION.fullmatch(revision):
            raise GitError(f"not a Git revision: `{revision}`", hint="it is 40 digits of base 16")
        if reference is not None and (reference.startswith("-") or not re.fullmatch(r"[^\x00-\x20~^:?*\[\\]+", reference)):
            raise GitError(f"not a Git reference: `{reference}`")
        os.mkdir(target)
        if self._work_tree is not None and reference is None and revision is None and self._is_changed():
            return self._copy_changed(target)
        repository = self._source if self._is_local else self._fetch(reference, revision)
        name = revision or reference or "HEAD"
        found = self._run(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
        if submodules:
            self._clone(repository, target, found)
        else:
            archive = f"{target}.tar"
            try:
                self._run(repository, "archive", "--format=tar", f"--output={archive}", found)
                unpack(archive, target)
            finally:
                if os.path.exists(archive):
                    os.unlink(archive)
        count = int(self._run(repository, "rev-list", "--count", found))
        return Checkout(found, count, int(self._run(repository, "log", "-1", "--format=%ct", "--no-show-signature", found)))

    def _is_changed(self) -> bool:
        assert self._work_tree is not None
        if subprocess.run(self._argv(self._work_tree, "rev-parse", "--verify", "--quiet", "HEAD"), env=self._env(), capture_output=True).returncode:
            return True
        answer = subprocess.run(
            self._argv(self._work_tree, "diff", "HEAD", "--quiet", "--ignore-submodules=none"), env=self._env(), capture_output=True
        )
        return answer.returncode != 0

    def _copy_changed(self, target: str) -> Checkout:
        assert self._work_tree is not None
        for name in self._run(self._work_tree, "ls-files", "-z", "--cached").split(b"\0"):
            source = os.fsencode(self._work_tree) + b"/" + name
            if not name or not os.path.lexists(source) or (os.path.isdir(source) and not os.path.islink(source)):
                continue
            place = os.fsencode(target) + b"/" + name
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy2(source, place, follow_symlinks=False)
        try:
            last = int(self._run(self._work_tree, "log", "-1", "--format=%ct", "--no-show-signature", "HEAD"))
        except GitError:
            last = 0
        return Checkout(_NO_REVISION, 0, last)

    def _fetch(self, reference: str | None, revision: str | None) -> str:
        if not os.path.isdir(self._folder):
            os.makedirs(os.path.dirname(self._folder), exist_ok=True)
            self._run(None, "init", "--quiet", "--bare", self._folder)
        if revision is not None and self._has(revision):
            return self._folder
        wanted = (
            [f"+{reference}:{reference}"]
            if reference is not None and reference.startswith("refs/")
            else [f"+refs/heads/{reference}:refs/heads/{reference}"]
        )
        if reference is None:
            wanted = ["+refs/heads/*:refs/heads/*"] if revision is not None else ["+HEAD:refs/heads/HEAD"]
        self._run(self._folder, "fetch", "--quiet", "--force", "--no-tags", "--", self._address, *wanted)
        if reference is None and revision is None:
            self._run(self._folder, "symbolic-ref", "HEAD", "refs/heads/HEAD")
        return self._folder

    def _has(self, revision: str) -> bool:
        return subprocess.run(self._argv(self._folder, "cat-file", "-e", revision), env=self._env(), capture_output=True).returncode == 0

    def _clone(self, repository: str, target: str, revision: str) -> None:
        self._run(None, "clone", "--quiet", "--no-checkout", "--", repository, target)
        self._run(target, "checkout", "--quiet", "--detach", revision)
        self._run(target, "submodule", "--quiet", "update", "--init", "--recursive")
        for parent, folders, files in os.walk(target):
            if ".git" in folders:
                shutil.rmtree(f"{parent}/.git")
                folders.remove(".git")
            if ".git" in files:
                os.unlink(f"{parent}/.git")

    def _argv(self, folder: str | None, *words: str) -> list[str]:
        place = [] if folder is None else ["-C", folder]
        return ["git", "-c", "core.fsmonitor=false", "-c", "protocol.file.allow=always", "-c", "core.hooksPath=/dev/null", *place, *words]

    def _env(self) -> dict[str, str]:
        kept = {
            name: text for name, text in self._environment.items() if not name.startswith("GIT_") or name in ("GIT_SSH_COMMAND", "GIT_SSL_CAINFO")
        }
        return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

    def _run(self, folder: str | None, *words: str) -> bytes:
        argv = self._argv(folder, *words)
        try:
            done = subprocess.run(argv, env=self._env(), stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise GitError("the program `git` is not installed", hint="install the package git") from error
        if done.returncode != 0:
            reason = _last_line(done.stderr) or f"exit code {done.returncode}"
            raise GitError(f"Git repository cannot be read: `{self._address}` ({reason})", where=_shown(argv))
        return done.stdout


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _shown(argv: Sequence[str]) -> str:
    import shlex

    return shlex.join(argv)
