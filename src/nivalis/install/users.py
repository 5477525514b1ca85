"""Build users: when root builds, each build can run as a user of its own.  They are made with the distribution's own programs."""

from __future__ import annotations

import grp
import pwd
import shutil
import subprocess
from collections.abc import Sequence

from nivalis.install.errors import InstallError

__all__ = ["GROUP", "make_users", "missing_users", "remove_users"]

GROUP = "nixbld"


def missing_users(count: int) -> list[str]:
    """Of the first `count` build users, those that there are not."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return [name for name in (f"{GROUP}{number}" for number in range(1, count + 1)) if name not in known]


def make_users(names: Sequence[str]) -> None:
    """Make build users, and their group.  Raises InstallError."""
    if names and GROUP not in {entry.gr_name for entry in grp.getgrall()}:
        _run("groupadd", "--system", GROUP)
    for name in names:
        words = ["--system", "--no-create-home", "--home-dir", "/var/empty", "--shell", "/usr/sbin/nologin", "--comment", "Nix build user"]
        _run("useradd", *words, "--no-user-group", "--gid", GROUP, "--groups", GROUP, name)


def remove_users(names: Sequence[str]) -> None:
    """Remove the users, and the group once it is nobody's.  Raises InstallError."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in names:
        if name in known:
            _run("userdel", name)
    left = next((entry for entry in grp.getgrall() if entry.gr_name == GROUP), None)
    if names and left is not None and not left.gr_mem:
        _run("groupdel", GROUP)


def _run(program: str, *words: str) -> None:
    place = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if place is None:
        raise InstallError(f"there is no `{program}` to make build users with", hint="install without `--build-users`: builds do not need them")
    done = subprocess.run([place, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"`{program}` failed: {done.stderr.strip()}", where=" ".join([place, *words]))
