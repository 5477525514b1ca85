"""A snapshot: what a suite's packages are at one moment, as one immutable folder in the store.

    snapshot.json            which suites, of when, for which architecture
    names.json               package: version, of all
    virtual.json             virtual name: the package chosen for it
    spelled.json             identifier: the package, of those whose names are no identifiers of the Nix language
    packages/<xyz>.json      package: record; xyz are the first three hexadecimal digits of the SHA-256 of the package's name, so
                             an evaluation that asks for one package reads a four-thousandth of the whole
    relations.tsv            name, version, priority, Multi-Arch, Provides, Pre-Depends and Depends as the index has them, sorted by name:
                             what a choice is explained from

All of it follows from the signed indices and from the rules of `resolve`; no address, no time of this machine and no order of arrival gets
in.  So the same indices give the same store path from any mirror.  Records are what `channel/` reads, and their fields are stable: `format`
counts them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from nivalis._native import encode_debian_records
from nivalis.debian.errors import SnapshotError, UnknownPackageError
from nivalis.debian.index import Stanza
from nivalis.debian.release import Release, read_time, show_time
from nivalis.debian.resolve import Resolution, Resolver

__all__ = ["SYSTEMS", "Difference", "Snapshot", "compare", "rules_hash", "shard_of", "spell", "write_snapshot"]

FORMAT = 1
# Counts the rules of `resolve`, and the files.
RULES = 2
# Nix's names of systems, for Debian's of architectures.
SYSTEMS = {
    "amd64": "x86_64-linux",
    "arm64": "aarch64-linux",
    "armhf": "armv7l-linux",
    "i386": "i686-linux",
    "ppc64el": "powerpc64le-linux",
    "riscv64": "riscv64-linux",
    "s390x": "s390x-linux",
}
_SHARDS = [f"{number:03x}" for number in range(4096)]
_RELATIONS = ("Package", "Version", "Priority", "Multi-Arch", "Provides", "Pre-Depends", "Depends")


def shard_of(package: str) -> str:
    """Which file has a package's record."""
    return hashlib.sha256(package.encode()).hexdigest()[:3]


def spell(package: str) -> str:
    """A package's name as an identifier: `libstdc__6`, `_7zip`.  No package's name has a `_` of its own."""
    return ("_" if package[0].isdigit() else "") + package.replace("+", "_").replace(".", "_")


# ---------------------------------------------------------------------------------------------------- writing


def rules_hash() -> str:
    """What says whether two snapshots were made by the same rules of choice."""
    return hashlib.sha256(b"%d\n" % RULES + (files("nivalis.debian") / "script_only.json").read_bytes()).hexdigest()


def write_snapshot(
    folder: str, releases: Sequence[tuple[Release, Sequence[str]]], packages: Mapping[str, Stanza], resolution: Resolution, architecture: str
) -> None:
    """Write a snapshot to the new folder `folder`: of `packages`, sorted by name, from `releases` with the components that were read."""
    os.mkdir(folder)
    suites = _describe_suites(releases)
    about = {
        "format": FORMAT,
        "rules": rules_hash(),
        "system": SYSTEMS.get(architecture, f"{architecture}-linux"),
        "architecture": architecture,
        "suites": suites,
        "date": max(suite["date"] for suite in suites),
    }
    _write(f"{folder}/snapshot.json", f"{json.dumps(about, indent=2, sort_keys=True)}\n".encode())
    shards: dict[str, list[str]] = {name: [] for name in _SHARDS}
    for name in packages:
        shards[shard_of(name)].append(name)
    os.mkdir(f"{folder}/packages")

    for shard, members in shards.items():
        data = encode_debian_records(members, packages, resolution.depends, resolution.groups, resolution.broken)
        _write(f"{folder}/packages/{shard}.json", data)
    _write(f"{folder}/names.json", _encode({name: stanza["Version"] for name, stanza in packages.items()}))
    _write(f"{folder}/virtual.json", _encode(resolution.virtual))
    _write(f"{folder}/spelled.json", _encode({word: name for name in packages if (word := spell(name)) != name}))
    _write(f"{folder}/relations.tsv", "".join(map(_relations_line, packages.values())).encode("utf-8", "replace"))


def _describe_suites(releases: Sequence[tuple[Release, Sequence[str]]]) -> list[dict[str, Any]]:
    return [
        {
            "suite": release.suite,
            "codename": release.codename,
            "date": show_time(release.date),
            "validUntil": None if release.valid_until is None else show_time(release.valid_until),
            "release": release.sha256,
            "components": sorted(components),
        }
        for release, components in releases
    ]


def _relations_line(stanza: Stanza) -> str:
    line = "\t".join([stanza.get(field, "") for field in _RELATIONS])
    # What is continued, or has tabs of its own, is rare.
    if "\n" in line or line.count("\t") != len(_RELATIONS) - 1:
        line = "\t".join(" ".join(stanza.get(field, "").split()) for field in _RELATIONS)
    return line + "\n"


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _write(place: str, text: bytes) -> None:
    # By hand: four thousand times Python's layers of buffers would take as long as the writing.
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        data = memoryview(text)
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Snapshot:
    """A snapshot in the store, or wherever it lies; `folder` is where it really is."""

    folder: Path

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Snapshot:
        """Raises SnapshotError if there is none that can be read."""
        snapshot = cls(Path(folder))
        if snapshot.about.get("format") != FORMAT:
            raise SnapshotError(f"snapshot of a format that is not known: `{folder}`", hint="another version of nivalis made it")
        return snapshot

    @cached_property
    def about(self) -> dict[str, Any]:
        """What `snapshot.json` says."""
        found: dict[str, Any] = self._read("snapshot.json")
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """Package: version."""
        found: dict[str, str] = self._read("names.json")
        return found

    @property
    def architecture(self) -> str:
        return str(self.about["architecture"])

    def date_of(self, codename: str) -> int | None:
        """When the Release of a suite was made that is in here, in seconds since 1970."""
        return next((read_time(suite["date"]) for suite in self.about["suites"] if suite["codename"] == codename), None)

    def is_of(self, releases: Sequence[tuple[Release, Sequence[str]]], architecture: str) -> bool:
        """Whether these releases would give this snapshot again."""
        about = self.about
        return (about["suites"], about["architecture"], about.get("rules")) == (_describe_suites(releases), architecture, rules_hash())

    def record(self, package: str) -> dict[str, Any]:
        """A package's record.  Raises UnknownPackageError."""
        records = self._read(f"packages/{shard_of(package)}.json")
        if package not in records:
            raise self._unknown(package)
        found: dict[str, Any] = records[package]
        return found

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All packages with their records, in no order."""
        for shard in _SHARDS:
            yield from self._read(f"packages/{shard}.json").items()

    def resolver(self) -> Resolver:
        """What explains the choices of this snapshot, by the rules of this program."""
        packages: dict[str, Stanza] = {}
        with self._open("relations.tsv") as file:
            for line in file:
                stanza = {field: value for field, value in zip(_RELATIONS, line.rstrip("\n").split("\t"), strict=True) if value}
                packages[stanza["Package"]] = stanza
        return Resolver(packages, self.architecture)

    def _unknown(self, package: str) -> UnknownPackageError:
        from difflib import get_close_matches

        chosen = self._read("virtual.json").get(package)
        near = get_close_matches(package, self.names, 3, 0.75)
        if chosen is not None:
            hint: str | None = f"`{chosen}` provides it"
        else:
            hint = f"there is {', '.join(f'`{name}`' for name in near)}" if near else None
        return UnknownPackageError(f"no package of that name: `{package}`", hint=hint)

    def _open(self, name: str) -> Any:
        try:
            return open(self.folder / name, encoding="utf-8")
        except OSError as error:
            raise SnapshotError(f"not a snapshot of an archive: `{self.folder}` ({error.strerror}: {name})") from error

    def _read(self, name: str) -> Any:
        with self._open(name) as file:
            try:
                return json.load(file)
            except ValueError as error:
                raise SnapshotError(f"snapshot is damaged: `{self.folder}/{name}` ({error})") from error


@dataclass(frozen=True, slots=True)
class Difference:
    """One package in two snapshots; a version is None where it is not there.  `is_security` says that the new file comes from a security archive."""

    package: str
    old: str | None
    new: str | None
    is_security: bool


def compare(old: Snapshot, new: Snapshot) -> list[Difference]:
    """What differs, by name."""
    found = []
    for package in sorted(old.names.keys() | new.names.keys()):
        versions = old.names.get(package), new.names.get(package)
        if versions[0] != versions[1]:
            is_security = versions[1] is not None and new.record(package)["filename"].startswith("pool/updates/")
            found.append(Difference(package, *versions, is_security))
    return found
