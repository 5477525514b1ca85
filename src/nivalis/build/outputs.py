"""Outputs: from what a builder left to store objects.

In order, each output is checked to be there, given a store's metadata (modes, times, owner; no setuid bits, no extended
attributes), scanned for references to the input closure and to the outputs themselves, and hashed; a fixed one must have its hash.
Then the derivation's own conditions are checked.  Outputs are returned in an order in which each comes after those that it refers
to; a cycle is refused.

Every process of the build must have ended: what is checked here must not change any more.  Nothing is moved or registered here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from nivalis import _native
from nivalis._native import Hash
from nivalis.build.errors import HashMismatchError, OutputError
from nivalis.build.options import DerivationOptions, OutputChecks
from nivalis.errors import StoreContentError
from nivalis.store.derivation import Derivation, Output
from nivalis.store.metadata import TIMES
from nivalis.store.paths import base_name
from nivalis.store.references import sort_by_references
from nivalis.store.store import Store

__all__ = ["Produced", "check_output_conditions", "inspect_outputs", "make_output_canonical"]

# Names of attributes that are the file system's own and cannot be removed.
_KEPT_ATTRIBUTES = frozenset({"security.selinux", "system.nfs4_acl", "system.nfs4_dacl", "system.nfs4_sacl"})


class Produced(NamedTuple):
    """An output as it will be registered; `place` is where it is now."""

    name: str
    path: str
    place: str
    references: frozenset[str]
    nar_hash: Hash
    nar_size: int
    ca: str | None = None


def inspect_outputs(
    drv_path: str,
    derivation: Derivation,
    options: DerivationOptions,
    places: Mapping[str, str],
    inputs: Collection[str],
    store_dir: str,
    owner: int,
) -> list[Produced]:
    """What the builder left at `places` (by output name), which all belong to the user `owner`.  Raises OutputError, HashMismatchError."""
    paths = {name: str(output.path) for name, output in derivation.outputs.items()}
    for name, place in places.items():
        if not os.path.lexists(place):
            raise OutputError(
                f"builder did not make output `{name}`: `{paths[name]}`",
                code="output-missing",
                where=drv_path,
                hint=f"it must create what `${name}` names",
            )
    candidates = {*inputs, *paths.values()}
    seen: set[tuple[int, int]] = set()
    produced = {}
    for name, place in places.items():
        try:
            make_output_canonical(place, owner, seen)
        except StoreContentError as error:
            raise OutputError(f"output `{name}` cannot be kept: {error.message}", where=drv_path) from error
        output = derivation.outputs[name]
        if output.is_fixed:
            _check_flat(name, output, place, drv_path)
        references, nar_hash, nar_size = _native.scan_path(place, list(candidates) if options.keeps_references(name) else [], store_dir)
        one = Produced(name, paths[name], place, frozenset(references), nar_hash, nar_size)
        produced[one.path] = _check_fixed(one, output, drv_path, store_dir) if output.is_fixed else one
    try:
        order = sort_by_references({path: one.references for path, one in produced.items()})
    except StoreContentError as error:
        raise OutputError(
            f"outputs refer to each other in a cycle: {error.message.partition(': ')[2]}", code="output-cycle", where=drv_path
        ) from error
    return [produced[path] for path in order]


def make_output_canonical(place: str, owner: int, seen: set[tuple[int, int]]) -> None:
    """Give what is at `place` a store's metadata and our own user.  Raises StoreContentError for what does not belong to `owner`.

    `seen` holds the files (device, inode) that have been given away already: they may have more than one name.
    """
    pending, ours = [place], (os.geteuid(), os.getegid())
    try:
        while pending:
            pending += _make_one_canonical(pending.pop(), owner, ours, seen)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise StoreContentError(f"folders lie too deep within one another: `{place}`") from error


def _make_one_canonical(place: str, owner: int, ours: tuple[int, int], seen: set[tuple[int, int]]) -> list[str]:
    """Do so for one file or folder; what is in the folder."""
    status = os.lstat(place)
    identity = (status.st_dev, status.st_ino)
    if status.st_uid != owner and not (status.st_uid == ours[0] and identity in seen):
        raise StoreContentError(f"file belongs to user {status.st_uid}, not to the builder: `{place}`")
    seen.add(identity)
    kind = stat.S_IFMT(status.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise StoreContentError(f"file is neither regular, nor a directory, nor a symlink: `{place}`")
    inside = []
    if kind == stat.S_IFDIR:
        if status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(place, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)
        inside = [f"{place}/{name}" for name in os.listdir(place)]
    if kind != stat.S_IFLNK:
        for attribute in os.listxattr(place, follow_symlinks=False):
            if attribute not in _KEPT_ATTRIBUTES:
                with suppress(OSError):
                    os.removexattr(place, attribute, follow_symlinks=False)
    if (status.st_uid, status.st_gid) != ours:
        os.chown(place, *ours, follow_symlinks=False)
    if kind != stat.S_IFLNK:
        # After the change of owner: that clears the setuid bit, but only for executables.
        os.chmod(place, 0o555 if kind == stat.S_IFDIR or status.st_mode & stat.S_IXUSR else 0o444)
    os.utime(place, ns=TIMES, follow_symlinks=False)
    return inside


def _check_flat(name: str, output: Output, place: str, drv_path: str) -> None:
    if output.hash_algo.startswith("r:"):
        return
    status = os.lstat(place)
    if not stat.S_ISREG(status.st_mode) or status.st_mode & stat.S_IXUSR:
        raise OutputError(
            f"output `{name}` is fixed by the hash of a file, but is not a regular file that is not executable: `{output.path}`",
            where=drv_path,
            hint='`outputHashMode = "recursive"` fixes anything else',
        )


def _check_fixed(one: Produced, output: Output, drv_path: str, store_dir: str) -> Produced:
    """`one`, with its content address.  Raises HashMismatchError, OutputError."""
    method: Literal["nar", "flat"] = "nar" if output.hash_algo.startswith("r:") else "flat"
    algo = output.hash_algo.removeprefix("r:")
    wanted = Hash.parse(output.hash, algo)
    found = one.nar_hash
    if method == "flat" or algo != "sha256":
        found = (_native.hash_nar(one.place, algo) if method == "nar" else _native.hash_file(algo, one.place))[0]
    if found != wanted:
        specified, got = wanted.format_prefixed("sri"), found.format_prefixed("sri")
        error = HashMismatchError(
            f"hash mismatch in fixed-output derivation `{drv_path}`\n  specified: {specified}\n     got:    {got}",
            hint=f"if what was fetched is right, put the second hash into the expression (`{found.format('nix32')}` where it says `{algo} =`)",
        )
        if not one.references:
            path = _native.make_fixed_output_path(base_name(one.path)[33:], method, found, [], store_dir)
            error.actual = one._replace(path=path, ca=_native.make_content_address(method, found))
        raise error
    if one.references:
        raise OutputError(
            f"fixed output `{one.name}` must not refer to store paths, but does to: `{min(one.references)}`", code="output-reference", where=drv_path
        )
    return one._replace(ca=_native.make_content_address(method, wanted))


def check_output_conditions(store: Store, drv_path: str, derivation: Derivation, options: DerivationOptions, produced: Sequence[Produced]) -> None:
    """Check what the derivation itself demands of its outputs.  Raises OutputError."""
    own = {one.path: one for one in produced}
    for one in produced:
        checks = options.checks(one.name)
        if checks.max_size is not None and one.nar_size > checks.max_size:
            raise OutputError(
                f"output is too large: `{one.path}` has {one.nar_size} bytes, and {checks.max_size} are allowed", code="output-size", where=drv_path
            )
        needs_closure = checks.allowed_requisites is not None or checks.disallowed_requisites or checks.max_closure_size is not None
        if needs_closure:
            _check_closure(store, drv_path, derivation, checks, one, own)
        if checks.allowed_references is not None:
            _refuse(drv_path, one, one.references - _paths(store, drv_path, derivation, checks.allowed_references))
        _refuse(drv_path, one, one.references & _paths(store, drv_path, derivation, checks.disallowed_references))


def _check_closure(store: Store, drv_path: str, derivation: Derivation, checks: OutputChecks, one: Produced, own: Mapping[str, Produced]) -> None:
    members = {one.path}
    waiting = [one.path]
    outside: set[str] = set()
    while waiting:
        for reference in own[waiting.pop()].references - members:
            if reference in own:
                members.add(reference)
                waiting.append(reference)
            else:
                outside.add(reference)
    others = store.database.closure(outside) if outside else set()
    if checks.max_closure_size is not None:
        size = sum(own[path].nar_size for path in members)
        size += sum(info.nar_size for info in store.database.infos(others - members).values())
        if size > checks.max_closure_size:
            message = f"closure of output is too large: `{one.path}` has {size} bytes, and {checks.max_closure_size} are allowed"
            raise OutputError(message, code="output-size", where=drv_path)
    used = members | others
    if checks.ignores_self:
        used.discard(one.path)
    if checks.allowed_requisites is not None:
        _refuse(drv_path, one, used - _paths(store, drv_path, derivation, checks.allowed_requisites))
    _refuse(drv_path, one, used & _paths(store, drv_path, derivation, checks.disallowed_requisites))


def _paths(store: Store, drv_path: str, derivation: Derivation, words: Sequence[str]) -> set[str]:
    paths = set()
    for word in words:
        if store.layout.is_in_store(word):
            paths.add(word)
        elif word in derivation.outputs:
            paths.add(str(derivation.outputs[word].path))
        else:
            raise OutputError(f"derivation names neither a store path nor one of its outputs in its conditions: `{word}`", where=drv_path)
    return paths


def _refuse(drv_path: str, one: Produced, bad: Collection[str]) -> None:
    if bad:
        listed = "".join(f"\n  {path}" for path in sorted(bad))
        raise OutputError(f"output `{one.path}` is not allowed to refer to:{listed}", code="output-reference", where=drv_path)
