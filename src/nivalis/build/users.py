"""Build users: when root builds, each build runs as a user of its own, which no other build has at the same time.

The users are the members of the group that the settings name.  A user is taken by a lock on a file named after its number in the store's
`userpool`, as CppNix takes it, so both programs share the users; and by one for the whole machine, for another store's builds are ended
with all that their user runs.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nivalis.build.errors import CannotBuildError

__all__ = ["BuildUser", "can_reach", "take_user"]


@dataclass(frozen=True, slots=True)
class BuildUser:
    """A build user, taken until `release`."""

    uid: int
    gid: int
    locks: tuple[int, ...]

    def release(self) -> None:
        for lock in self.locks:
            os.close(lock)


_MACHINE_POOL = Path("/run/nivalis/userpool")


def take_user(group: str, state_dir: Path) -> BuildUser | None:
    """A free build user; None where builds do not have them: not root, no such group, or root only of a namespace without these users.

    Raises CannotBuildError if all are taken.
    """
    if not group or os.geteuid() != 0:
        return None
    try:
        entry = grp.getgrnam(group)
    except KeyError:
        return None
    if not _is_mapped(entry.gr_gid, "gid_map"):
        return None
    pools = (state_dir / "userpool", _MACHINE_POOL)
    for pool in pools:
        pool.mkdir(parents=True, exist_ok=True)
    is_any = False
    for name in entry.gr_mem:
        try:
            uid = pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
        if uid == 0 or not _is_mapped(uid, "uid_map"):
            continue
        is_any = True
        locks = tuple(os.open(pool / str(uid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for pool in pools)
        user = BuildUser(uid, entry.gr_gid, locks)
        try:
            for lock in locks:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            user.release()
            continue
        return user
    if not is_any:
        return None
    raise CannotBuildError(f"all build users are busy: group `{group}`", hint="run fewer builds at once (`--max-jobs`), or add users to the group")


def _is_mapped(number: int, table: str) -> bool:
    """Whether there is a user or group of that number in our user namespace."""
    for line in Path("/proc/self", table).read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= number < first + count:
            return True
    return False


def can_reach(user: BuildUser, places: Collection[str]) -> bool:
    """Whether a build user may go through all folders above `places`: a store in root's home is out of its reach."""
    for folder in {str(parent) for place in places for parent in Path(os.path.realpath(place)).parents}:
        status = os.stat(folder)
        bit = stat.S_IXGRP if status.st_gid == user.gid else stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True
