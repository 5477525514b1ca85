"""Users and groups: what is declared, beside what was made by hand, in passwd(5), group(5) and shadow(5).

Numbers are never reused: whoever is given one by name has it for ever, even after being removed, since files on disk may still carry it.  The
record is `/var/lib/nixos/uid-map` and `gid-map`, JSON of name and number; it is written before the accounts are.

Which accounts were declared is in `declarative-users` and `declarative-groups`, NixOS's files: one that is there and is declared no longer is
removed, and one that is not there was made by hand, and stays as long as `users.mutableUsers` says so.

A password is set when its user is made; later only if `users.mutableUsers` is off.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from .data import System, User
from .passwords import hash_password, is_password
from .places import STATE, Root, say, set_owner, warn

__all__ = ["Accounts", "apply_accounts", "read_accounts"]

# From the top down, below the first ordinary user; and from there up.
_SYSTEM_IDS = range(999, 399, -1)
_NORMAL_IDS = range(1000, 30000)
# Nobody's, and the two that stand for "none" in system calls.
_RESERVED = frozenset([65534, 65535, 2**32 - 1])


class Accounts(NamedTuple):
    """The numbers of a machine's users and groups by name."""

    users: Mapping[str, int]
    groups: Mapping[str, int]

    def owner(self, user: str, group: str) -> tuple[int, int]:
        """Numbers for names; numbers may be given as they are.  Raises KeyError."""
        return (int(user) if user.isdecimal() else self.users[user], int(group) if group.isdecimal() else self.groups[group])


def read_accounts(root: Root) -> Accounts:
    """Those that the machine has now."""
    return Accounts(
        {name: int(fields[1]) for name, fields in _read_table(root, "/etc/passwd", 7).items()},
        {name: int(fields[1]) for name, fields in _read_table(root, "/etc/group", 4).items()},
    )


def apply_accounts(root: Root, system: System) -> Accounts:
    """Make users and groups as the system has them; all that there are then.  Says what it removes."""
    root.make_folder("/etc")
    root.make_folder(STATE)
    with _lock(root):
        declared = _read_names(root, "declarative-users"), _read_names(root, "declarative-groups")
        # Names are noted before they are made anywhere, members of groups too, and until they are gone everywhere.
        _save_names(root, "declarative-users", declared[0] | system.users.keys())
        _save_names(root, "declarative-groups", declared[1] | system.groups.keys())
        groups = _apply_groups(root, system, *declared)
        users = _apply_users(root, system, groups, declared[0])
        _save_names(root, "declarative-users", system.users)
        _save_names(root, "declarative-groups", system.groups)
    _make_homes(root, system, users, groups)
    return Accounts(users, groups)


# ---- groups ----


def _apply_groups(root: Root, system: System, users_before: Collection[str], declared_before: Collection[str]) -> dict[str, int]:
    present = _read_table(root, "/etc/group", 4)
    ids = _Ids(root, "gid-map", present, [one.gid for one in system.groups.values()])
    rows: dict[str, list[str]] = {}
    for name, group in sorted(system.groups.items()):
        number = ids.find(name, group.gid, is_system=True)
        members = set(group.members)
        if system.mutable_users and name in present:
            # Whoever was added by hand stays; a declared user is where it is declared to be.
            members |= {one for one in present[name][2].split(",") if one}.difference(system.users, users_before)
        rows[name] = [present[name][0] if name in present else "x", str(number), ",".join(sorted(members))]
    kept = _keep_others(present, rows, declared_before, system.mutable_users, "group")
    ids.save()
    _write_table(root, "/etc/group", kept | rows)
    return {name: int(fields[1]) for name, fields in (kept | rows).items()}


# ---- users ----


def _apply_users(root: Root, system: System, groups: Mapping[str, int], declared_before: Collection[str]) -> dict[str, int]:
    present = _read_table(root, "/etc/passwd", 7)
    ids = _Ids(root, "uid-map", present, [one.uid for one in system.users.values()])
    rows: dict[str, list[str]] = {}
    for name, user in sorted(system.users.items()):
        number = ids.find(name, user.uid, is_system=user.is_system)
        group = groups.get(user.group, int(user.group) if user.group.isdecimal() else None)
        if group is None:
            warn(f"user ‘{name}’ has unknown group ‘{user.group}’")
            group = 65534
        rows[name] = ["x", str(number), str(group), user.description.replace(":", " "), user.home, user.shell]
    kept = _keep_others(present, rows, declared_before, system.mutable_users, "user")
    ids.save()
    # First the passwords: without an entry there nobody can log in, and an entry that nobody has is no harm.
    _write_shadow(root, system, kept.keys() | rows.keys(), groups, _read_table(root, "/etc/shadow", 9))
    _write_table(root, "/etc/passwd", kept | rows)
    return {name: int(fields[1]) for name, fields in (kept | rows).items()}


def _write_shadow(root: Root, system: System, names: Collection[str], groups: Mapping[str, int], present: Mapping[str, list[str]]) -> None:
    rows: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (list(present).index(name) if name in present else len(present), name)):
        user = system.users.get(name)
        fields = list(present[name]) if name in present else ["!", "1", "", "", "", "", "", ""]
        if user is not None and (name not in present or not system.mutable_users):
            before = present[name][0] if name in present else None
            fields[0] = _password_of(root, name, user, before) or (_initial_password_of(user) if before is None else None) or "!"
        rows[name] = fields
    owner = (0, groups.get("shadow", 0))
    _write_table(root, "/etc/shadow", rows, mode=0o640, owner=owner)


def _password_of(root: Root, name: str, user: User, before: str | None) -> str | None:
    """The hash that is declared; of a password, `before` if that is one of its hashes, since each time gives another."""
    if user.hashed_password_file is not None:
        found = root.read(user.hashed_password_file)
        if found is None:
            warn(f"password file ‘{user.hashed_password_file}’ of user ‘{name}’ does not exist")
        return found.strip() if found else None
    if user.password is not None:
        return before if before is not None and is_password(user.password, before) else hash_password(user.password)
    return user.hashed_password


def _initial_password_of(user: User) -> str | None:
    return hash_password(user.initial_password) if user.initial_password is not None else user.initial_hashed_password


def _make_homes(root: Root, system: System, users: Mapping[str, int], groups: Mapping[str, int]) -> None:
    for name, user in sorted(system.users.items()):
        if not user.create_home or os.path.lexists(root.place(user.home)):
            continue
        root.make_folder(os.path.dirname(user.home))
        # Under another name until it has its owner, so that a home that is there is one that is ready.
        part = root.place(f"{user.home}.nivalis-new")
        with suppress(FileExistsError):
            os.mkdir(part, 0o700)
        set_owner(part, (users[name], groups.get(user.group, 65534)))
        os.chmod(part, int(user.home_mode, 8))
        os.rename(part, root.place(user.home))


# ---- both ----


class _Ids:
    """Numbers by name, and who had which."""

    def __init__(self, root: Root, file: str, present: Mapping[str, list[str]], declared: Iterable[int | None]) -> None:
        self._root = root
        self._noun = "UID" if file == "uid-map" else "GID"
        self._file = f"{STATE}/{file}"
        text = root.read(self._file)
        self._map: dict[str, int] = json.loads(text) if text else {}
        self._present = {name: int(fields[1]) for name, fields in present.items()}
        self._before = dict(self._map)
        self._taken = {*self._map.values(), *self._present.values(), *declared, *_RESERVED}

    def find(self, name: str, wanted: int | None, *, is_system: bool) -> int:
        """The number of a name.  That of an account that exists does not change, for its files would not."""
        found = self._present.get(name)
        if found is not None:
            if wanted is not None and wanted != found:
                warn(f"not applying {self._noun} change of ‘{name}’ ({found} -> {wanted})")
        elif wanted is not None:
            found = wanted
        elif name in self._map:
            found = self._map[name]
        else:
            found = next(number for number in (_SYSTEM_IDS if is_system else _NORMAL_IDS) if number not in self._taken)
        self._taken.add(found)
        self._map[name] = found
        return found

    def save(self) -> None:
        if self._map != self._before:
            self._root.write_file(self._file, json.dumps(self._map, indent=2, sort_keys=True).encode() + b"\n")


def _keep_others(
    present: Mapping[str, list[str]], rows: Mapping[str, list[str]], declared_before: Collection[str], are_mutable: bool, kind: str
) -> dict[str, list[str]]:
    """The accounts that are not declared and stay."""
    kept = {}
    for name, fields in present.items():
        if name in rows:
            continue
        if are_mutable and name not in declared_before:
            kept[name] = fields
        else:
            say(f"removing {kind} ‘{name}’")
    return kept


def _read_table(root: Root, path: str, width: int) -> dict[str, list[str]]:
    """The lines of one of the files by their first field; what is no such line is left out."""
    rows = {}
    for line in (root.read(path) or "").splitlines():
        name, *fields = line.split(":")
        if name and len(fields) == width - 1 and (width == 9 or fields[1].isdecimal()):
            rows[name] = fields
    return rows


def _write_table(root: Root, path: str, rows: Mapping[str, Iterable[str]], *, mode: int = 0o644, owner: tuple[int, int] = (0, 0)) -> None:
    data = "".join(f"{':'.join([name, *fields])}\n" for name, fields in rows.items()).encode(errors="surrogateescape")
    if (root.read(path) or "").encode(errors="surrogateescape") != data:
        root.write_file(path, data, mode=mode, owner=owner)


def _read_names(root: Root, file: str) -> set[str]:
    return set((root.read(f"{STATE}/{file}") or "").split())


def _save_names(root: Root, file: str, names: Iterable[str]) -> None:
    found = set(names)
    if found != _read_names(root, file):
        root.write_file(f"{STATE}/{file}", "".join(f"{name}\n" for name in sorted(found)).encode())


@contextmanager
def _lock(root: Root) -> Iterator[None]:
    """The lock of passwd(1), useradd(8) and their like (lckpwdf(3))."""
    descriptor = os.open(root.place("/etc/.pwd.lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
