"""Where mirrors come from, and how to ask them one after the other.

A mirror is the address of a Debian archive, as `http://mirror.example/debian`: what has `dists/` and `pool/` below it.  Which ones are used is
configuration and nothing else: what is taken from a mirror is checked against signatures and hashes, and no address gets into a
snapshot or a derivation.

    ~/.config/nivalis/debian.json      {"mirrors": ["http://mirror/debian"], "channels": {"nixpkgs": ["http://other/debian"]},
                                        "snapshotArchive": "https://snapshot.debian.org"}
    /etc/nivalis/debian.json           the same, for all users
    /etc/apt                           the machine's own sources, if no mirror is configured; what is not Debian's is passed over

A channel that was subscribed to with mirrors of its own is updated from these.  A .deb is looked for everywhere, in that order, and at last in the
snapshot archive (snapshot.debian.org, or what speaks like it), if one is configured.

Security updates lie in an archive of their own, `debian-security` beside `debian`; for a mirror that ends in `/debian` it is looked for there.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nivalis.debian.deb822 import paragraphs
from nivalis.debian.errors import ControlError, MirrorError
from nivalis.fetch.errors import FetchError, NotThereError

__all__ = ["VARIABLE", "Mirrors", "builder_variables", "check_mirror", "order_mirrors", "read_mirrors", "set_channel_mirrors", "try_each"]

# How a builder is told, as JSON: {"mirrors": [...], "snapshotArchive": "..."}.
VARIABLE = "NIVALIS_DEBIAN"
_APT = Path("/etc/apt")
_MACHINE = Path("/etc/nivalis/debian.json")
_NETWORK_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_KNOWN = frozenset({"mirrors", "channels", "snapshotArchive"})
_LIST_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)")
_KEYRING = "debian-archive"


@dataclass(frozen=True, slots=True)
class Mirrors:
    """What is configured, the machine's apt sources included, where nothing else is."""

    common: tuple[str, ...] = ()
    channels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    snapshot_archive: str = ""

    def of_channel(self, name: str) -> tuple[str, ...]:
        """Where a channel is updated from.  Raises MirrorError if that is nowhere."""
        found = self.channels.get(name) or self.common
        if not found:
            raise MirrorError(
                "no mirror of Debian is known",
                code="no-mirror",
                hint="this machine's apt has none; `nivalis channel add NAME debian:SUITE --mirror http://…/debian` names one",
            )
        return found

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.common, *(address for addresses in self.channels.values() for address in addresses)]))


def read_mirrors(environment: Mapping[str, str], *, apt: Path = _APT, machine: Path = _MACHINE) -> Mirrors:
    """What is configured.  Raises MirrorError for a file that is not understood."""
    common: list[str] = []
    channels: dict[str, tuple[str, ...]] = {}
    archive = ""
    for file in (_user_file(environment), machine):
        data = _read_file(file) if file is not None else {}
        common += data.get("mirrors", ())
        channels = {**{name: tuple(addresses) for name, addresses in data.get("channels", {}).items()}, **channels}
        archive = archive or data.get("snapshotArchive", "")
    return Mirrors(tuple(dict.fromkeys(common or _apt_sources(apt))), channels, archive.rstrip("/"))


def set_channel_mirrors(environment: Mapping[str, str], name: str, addresses: Sequence[str]) -> None:
    """Keep a channel's own mirrors; none: forget them.  Raises MirrorError, OSError."""
    file = _user_file(environment)
    if file is None:
        if not addresses:
            return
        raise MirrorError("mirrors cannot be kept without a home", code="mirror-configuration", hint="set HOME or XDG_CONFIG_HOME")
    data = _read_file(file)
    channels = {other: kept for other, kept in data.get("channels", {}).items() if other != name}
    if addresses:
        channels[name] = [check_mirror(address) for address in addresses]
    if channels == data.get("channels", {}):
        return
    data["channels"] = channels
    place = Path(os.path.realpath(file))
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.tmp-{os.getpid()}")
    try:
        part.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        part.rename(place)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def check_mirror(address: str) -> str:
    """A mirror's address as it is used.  Raises MirrorError."""
    if not re.match(r"https?://[^/\s]+", address) or any(letter.isspace() for letter in address):
        raise MirrorError(
            f"not the address of a mirror: `{address}`",
            code="mirror-configuration",
            hint="it begins with `http://` or `https://`, and has `dists/` below it",
        )
    return address.rstrip("/")


def _user_file(environment: Mapping[str, str]) -> Path | None:
    base = environment.get("XDG_CONFIG_HOME") or (f"{environment['HOME']}/.config" if environment.get("HOME") else "")
    return Path(base, "nivalis", "debian.json") if base else None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise MirrorError(f"configuration of mirrors cannot be read: {error}", code="mirror-configuration", where=str(file)) from error
    lists: list[Any] = [data.get("mirrors", []), *data.get("channels", {}).values()] if isinstance(data, dict) else [None]
    if not all(isinstance(addresses, list) for addresses in lists) or not _KNOWN.issuperset(data):
        raise MirrorError(
            "configuration of mirrors is not understood",
            code="mirror-configuration",
            where=str(file),
            hint='`{"mirrors": [ADDRESS...], "channels": {NAME: [ADDRESS...]}, "snapshotArchive": ADDRESS}`',
        )
    for address in [address for addresses in lists for address in addresses] + [data.get("snapshotArchive") or "http://none"]:
        check_mirror(str(address))
    return dict(data)


# ---------------------------------------------------------------------------------------------------- apt's sources


def _apt_sources(apt: Path) -> list[str]:
    """The mirrors of Debian in the machine's sources, in apt's order; what cannot be read is apt's to complain about."""
    found: list[str] = []
    for file in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        try:
            text = file.read_text("utf-8", "replace")
            if file.suffix == ".list":
                found += _list_sources(text)
            elif file.suffix == ".sources":
                found += _deb822_sources(text)
        except (OSError, ControlError):
            continue
    return [address.rstrip("/") for address in dict.fromkeys(found) if re.match(r"https?://", address)]


def _list_sources(text: str) -> Iterator[str]:
    for line in text.splitlines():
        match = _LIST_LINE.match(line.partition("#")[0].strip())
        if match:
            options = dict(word.partition("=")[::2] for word in (match[1] or "").split())
            if _is_debians(match[4].split(), options.get("signed-by", "")):
                yield match[2]


def _deb822_sources(text: str) -> Iterator[str]:
    for source in paragraphs(text):
        is_used = "deb" in source.get("types", "").split() and source.get("enabled", "yes").lower() != "no"
        if is_used and _is_debians(source.get("components", "").split(), source.get("signed-by", "")):
            yield from source.get("uris", "").split()


def _is_debians(components: Sequence[str], signed_by: str) -> bool:
    """Whether a source may be Debian's own; in the end the signature says so."""
    return "main" in components and (not signed_by or _KEYRING in signed_by)


# ---------------------------------------------------------------------------------------------------- asking


def order_mirrors(addresses: Iterable[str], *, security: bool) -> list[str]:
    """The archives to look in, the likely ones first: for what is of the security archive, or of the main one."""
    found: list[str] = []
    for address in addresses:
        found.append(address)
        if address.endswith("/debian"):
            found.append(f"{address}-security")
    return sorted(dict.fromkeys(found), key=lambda address: ("security" in address.partition("://")[2]) != security)


def try_each(addresses: Sequence[str], fetch: Callable[[str], object]) -> str:
    """Call `fetch` with each address until it raises no FetchError; that address.

    Raises the first error that is not NotThereError, and NotThereError if there is none.
    """
    errors: list[FetchError] = []
    for address in addresses:
        try:
            fetch(address)
        except FetchError as error:
            errors.append(error)
        else:
            return address
    raise next((error for error in errors if not isinstance(error, NotThereError)), errors[0])


def builder_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What `builtin:debian-fetch` is told of the machine it runs on.  Raises MirrorError."""
    mirrors = read_mirrors(environment)
    names = [*_NETWORK_VARIABLES, *map(str.upper, _NETWORK_VARIABLES)]
    return {
        **{name: environment[name] for name in names if name in environment},
        VARIABLE: json.dumps({"mirrors": mirrors.all, "snapshotArchive": mirrors.snapshot_archive}),
    }
