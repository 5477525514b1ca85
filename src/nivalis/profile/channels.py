"""Channels: addresses of collections of packages that a user has subscribed to, and the profile that holds what came from there last.

The list is a file of lines `<address> <name>` (`~/.nix-channels`).  An update fetches each channel's archive, unpacks it by a derivation
(`builtin:unpack-channel`), and makes of all of them one user environment, which becomes the next generation of the profile `channels`;
`~/.nix-defexpr/channels` leads there, so that `<name>` finds the channel.  Files, derivations and the manifest are those of CppNix's
nix-channel, so either program goes on where the other left off.

A Debian suite is a channel, too (`debian:bookworm`): what comes is a snapshot of the archive (see `nivalis.debian`), and the channel is
the expressions that ship with this program, with a link `snapshot` beside them.

The profile changes by one rename, after everything has been fetched and unpacked: an update that fails leaves it as it was.

What it does not do: it asks the network only through what it is handed, and chooses no places; those depend on who the user is.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import nivalis
from nivalis.debian.address import PREFIX, DebianAddress
from nivalis.debian.errors import DebianError
from nivalis.errors import NivalisError
from nivalis.fetch.errors import FetchError, NotThereError
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.profile.environment import Build, make_environment
from nivalis.profile.manifest import read_manifest
from nivalis.profile.packages import Element
from nivalis.profile.profiles import Profile
from nivalis.store.paths import base_name
from nivalis.store.roots import replace_symlink, store_path_in
from nivalis.store.store import Store

__all__ = [
    "Channel",
    "ChannelError",
    "Places",
    "Source",
    "add_channel",
    "find_snapshot",
    "infer_name",
    "read_channels",
    "remove_channel",
    "update_channels",
]

_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]*")
_ADDRESS = re.compile(r"(file|http|https)://.")
_ARCHIVE = re.compile(r"\.tar(\.(gz|bz2|xz))?$|\.tgz$")
_ARCHIVES = ("nixexprs.tar.xz", "nixexprs.tar.bz2")
# What CppNix instantiates for a channel; the order of the attributes changes nothing.
_UNPACK = """{ name, channelName, src }: derivation {
  inherit name channelName; src = builtins.storePath src;
  builder = "builtin:unpack-channel"; system = "builtin"; preferLocalBuild = true;
}"""


class ChannelError(NivalisError):
    """Something is wrong with a channel, or with the list of them."""

    default_code = "channel"


@dataclass(frozen=True, slots=True, order=True)
class Channel:
    """One subscription."""

    name: str
    address: str

    @property
    def is_debian(self) -> bool:
        """Whether it is a Debian suite."""
        return self.address.startswith(PREFIX)

    @property
    def package_name(self) -> str:
        """The name of its store path: with the version in the address, if there is one, so that a list of the profile shows it."""
        match = re.search(r"-\d.*$", _base_name(self.address))
        return self.name + (match[0] if match else "")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a user's channels are: the list, the profile, and the folder of what `<name>` and nix-env see by default."""

    list: Path
    profile: Path
    defexpr: Path

    @classmethod
    def of(cls, home: str, user: str, profiles_dir: Path) -> Places:
        """Those of `user`, as CppNix 2.8 has them."""
        return cls(Path(home, ".nix-channels"), profiles_dir / "per-user" / user / "channels", Path(home, ".nix-defexpr"))


class Source(Protocol):
    """Who brings archives."""

    def find_final_address(self, address: str) -> str:
        """Where an address leads in the end.  Raises FetchError."""

    def fetch(self, address: str, name: str) -> str:
        """The file at the address, as a store path of this name.  Raises FetchError."""

    def make_snapshot(self, channel: Channel, last: str | None) -> str:
        """The store path of what a Debian suite has now; `last` is that of the snapshot before.  Raises DebianError, FetchError."""


# ---------------------------------------------------------------------------------------------------- the list


def read_channels(file: Path) -> list[Channel]:
    """The subscriptions in the list, by name.  Raises ChannelError, OSError."""
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    found: dict[str, Channel] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        address = words[0].rstrip("/")
        name = words[1] if len(words) > 1 else _base_name(address)
        try:
            found[name] = _check(Channel(name, address))
        except ChannelError as error:
            error.where = f"{file}:{number}"
            raise
    return sorted(found.values())


def infer_name(address: str) -> str:
    """The name of a channel that is given none: the last part of its address, without `-unstable` or `-stable`; a suite's name."""
    if address.startswith(PREFIX):
        return DebianAddress.parse(address).suite
    return _base_name(address).removesuffix("-unstable").removesuffix("-stable")


def add_channel(file: Path, address: str, name: str | None = None) -> Channel:
    """Subscribe to a channel, or change the address of the one of that name.  Raises ChannelError, OSError."""
    channel = _check(Channel(infer_name(address) if name is None else name, address))
    _write_channels(file, [other for other in read_channels(file) if other.name != channel.name] + [channel])
    return channel


def _write_channels(file: Path, channels: Sequence[Channel]) -> None:
    # A list that is a link (into a repository of dotfiles, say) stays one.
    place = Path(os.path.realpath(file))
    part = place.with_name(f"{place.name}.tmp-{os.getpid()}")
    try:
        part.write_text("".join(f"{channel.address} {channel.name}\n" for channel in sorted(channels)), encoding="utf-8", errors="surrogateescape")
        part.rename(place)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


def _check(channel: Channel) -> Channel:
    if channel.is_debian:
        try:
            DebianAddress.parse(channel.address)
        except DebianError as error:
            raise ChannelError(error.message, code=error.code, hint=error.hint) from error
    elif not _ADDRESS.match(channel.address) or any(letter.isspace() for letter in channel.address):
        raise ChannelError(f"not the address of a channel: `{channel.address}`", hint="it begins with `https://`, `http://`, `file://` or `debian:`")
    if not _NAME.fullmatch(channel.name):
        hint = "letters, digits and `_`, and after the first `.` and `-` too; a name can be given behind the address"
        raise ChannelError(f"not a name for a channel: `{channel.name}`", hint=hint)
    return channel


def _base_name(address: str) -> str:
    return os.path.basename(address.rstrip("/"))


# ---------------------------------------------------------------------------------------------------- the profile


def remove_channel(store: Store, places: Places, name: str, build: Build) -> None:
    """Unsubscribe from a channel, and make a generation without it.  Raises ChannelError if there is no such channel."""
    channels = read_channels(places.list)
    profile = Profile(places.profile, store.layout)
    is_there = any(_holds(store, element, name) for element in _read_elements(store, profile))
    if all(channel.name != name for channel in channels) and not is_there:
        raise _no_such_channel([name], channels)
    _write_channels(places.list, [channel for channel in channels if channel.name != name])
    if is_there:
        _install(store, profile, build, lambda present: [element for element in present if not _holds(store, element, name)])


def update_channels(store: Store, places: Places, source: Source, build: Build, names: Collection[str] = ()) -> list[Channel]:
    """Bring the channels of these names (all, without names) up to date; those that were.

    The other channels stay as they are.  Raises ChannelError, FetchError, and what `build` raises; then nothing has changed.
    """
    channels = read_channels(places.list)
    unknown = set(names) - {channel.name for channel in channels}
    if unknown:
        raise _no_such_channel(sorted(unknown), channels)
    wanted = [channel for channel in channels if not names or channel.name in names]
    suites = {channel.name: _make_debian_channel(store, places, channel, source) for channel in wanted if channel.is_debian}
    derivations = _instantiate(store, [(channel, _fetch(source, channel)) for channel in wanted if not channel.is_debian])
    build(list(derivations.values()))
    new = suites | {channel.name: str(store.read_derivation(path).outputs["out"].path) for channel, path in derivations.items()}

    def choose(present: Sequence[Element]) -> list[Element]:
        elements = []
        for channel in channels:
            if channel.name in new:
                elements.append(_make_element(channel, new[channel.name]))
            else:
                # A channel that has never been fetched is none yet.
                elements += [_make_element(channel, element.out_path) for element in present if _holds(store, element, channel.name)]
        return elements

    _install(store, Profile(places.profile, store.layout), build, choose)
    _link_defexpr(places)
    return wanted


def _install(store: Store, profile: Profile, build: Build, choose: Callable[[Sequence[Element]], Sequence[Element]]) -> None:
    """Switch the profile to what is chosen, knowing what it has; again if another process has changed it meanwhile."""
    while True:
        token = profile.token
        path = make_environment(store, choose(_read_elements(store, profile)), build)
        if profile.switch_to_path(store, path, expected=token):
            return


def _make_element(channel: Channel, path: str) -> Element:
    # The version of a suite is when it was, which its store path says.
    name = base_name(path)[33:] if channel.is_debian else channel.package_name
    return Element(name, path, {"out": path}, system="builtin")


def _read_elements(store: Store, profile: Profile) -> list[Element]:
    if not profile.token:
        return []
    with Evaluator(store, EvalSettings(system="builtin")) as evaluator:
        return read_manifest(evaluator, store.layout, profile.environment)


def _holds(store: Store, element: Element, name: str) -> bool:
    """Whether an element of the profile is the channel of that name."""
    return os.path.lexists(store.real_path(f"{element.out_path}/{name}"))


def _no_such_channel(names: Sequence[str], channels: Sequence[Channel]) -> ChannelError:
    known = ", ".join(channel.name for channel in channels) or "none"
    return ChannelError(f"no channel of that name: `{', '.join(names)}`", code="no-such-channel", hint=f"there are: {known}")


def find_snapshot(store: Store, places: Places, name: str) -> str | None:
    """The store path of the snapshot that a channel has; None of a channel that is no Debian suite, or has never been fetched."""
    try:
        channel = store_path_in(store.layout, os.path.realpath(places.profile / name)) if os.path.lexists(places.profile / name) else None
        link = os.readlink(f"{store.real_path(channel)}/{name}/snapshot") if channel else ""
    except OSError:
        return None
    snapshot = os.path.normpath(f"{channel}/{name}/{link}")
    return snapshot if store.layout.is_in_store(snapshot) and store.is_valid(snapshot) else None


def _make_debian_channel(store: Store, places: Places, channel: Channel, source: Source) -> str:
    """The store path of a suite's channel: `NAME` in it has our expressions, and the snapshot they are about."""
    from nivalis.debian.snapshot import Snapshot

    expressions = _own_expressions()
    try:
        snapshot = source.make_snapshot(channel, find_snapshot(store, places, channel.name))
    except NivalisError as error:
        error.where = error.where or f"channel `{channel.name}`"
        raise
    date = Snapshot.open(store.real_path(snapshot)).about["date"][:10].replace("-", "")
    with tempfile.TemporaryDirectory(prefix="nivalis-channel-") as folder:
        # What Python leaves beside the programs of systems would make another store path of the same channel.
        shutil.copytree(expressions, f"{folder}/tree/{channel.name}", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        # Relative, so that it leads there wherever the store really lies.
        os.symlink(f"../../{os.path.basename(snapshot)}", f"{folder}/tree/{channel.name}/snapshot")
        own = _add_own_files(store, f"{folder}/own")
        with open(f"{folder}/tree/{channel.name}/nivalis.nix", "w", encoding="utf-8") as file:
            file.write(f'builtins.storePath "{own}"\n')
        return store.add_path(f"{folder}/tree", f"{channel.name}-{date}", references=[snapshot, own])


def _add_own_files(store: Store, scratch: str) -> str:
    """The store path of nivalis itself, which systems of the channel have: the package without its channel and what running it leaves there.

    Where this is the channel's `pkgs/nivalis`, that names what it was made from.
    """
    with suppress(OSError):
        made_from = os.readlink(f"{sys.prefix}/share/nivalis/source")
        if store.is_valid(made_from):
            return made_from
    package = os.path.dirname(os.path.abspath(nivalis.__file__))
    unwanted = {f"{package}/_channel", f"{package}/system/target"}

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name == "__pycache__" or f"{folder}/{name}" in unwanted]

    shutil.copytree(package, f"{scratch}/nivalis", symlinks=True, ignore=ignore)
    return store.add_path(scratch, "nivalis-source")


def _own_expressions() -> str:
    """The folder of the expressions that ship as <nixpkgs>."""
    place = nivalis.channel_place()
    if place is None:
        raise ChannelError(
            "the expressions of Debian's channel are missing", code="no-expressions", where=nivalis.__file__, hint="install nivalis again"
        )
    return place


def _fetch(source: Source, channel: Channel) -> str:
    """The archive of a channel, in the store."""
    name = _base_name(channel.address)
    try:
        if _ARCHIVE.search(name):
            return source.fetch(channel.address, name)
        # All comes from one place, though the address may lead elsewhere a moment later.
        with suppress(NotThereError):
            channel = Channel(channel.name, source.find_final_address(channel.address).rstrip("/"))
        try:
            return source.fetch(f"{channel.address}/{_ARCHIVES[0]}", _ARCHIVES[0])
        except FetchError as first:
            try:
                return source.fetch(f"{channel.address}/{_ARCHIVES[1]}", _ARCHIVES[1])
            except FetchError:
                raise first from None
    except FetchError as error:
        error.where = f"channel `{channel.name}`"
        raise


def _instantiate(store: Store, sources: Sequence[tuple[Channel, str]]) -> dict[Channel, str]:
    """The derivations that unpack archives."""
    found: dict[Channel, str] = {}
    with Evaluator(store, EvalSettings(system="builtin")) as evaluator:
        unpack: Any = evaluator.eval(_UNPACK)
        for channel, path in sources:
            found[channel] = str(unpack({"name": channel.package_name, "channelName": channel.name, "src": path})["drvPath"].to_python())
        evaluator.flush()
    return found


def _link_defexpr(places: Places) -> None:
    if places.defexpr.is_symlink():
        # So it was in the days of Nix 0.11, and led to one expression.
        places.defexpr.unlink()
    places.defexpr.mkdir(parents=True, exist_ok=True)
    replace_symlink(places.defexpr / "channels", str(places.profile))
