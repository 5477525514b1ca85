"""`nix-channel`: subscriptions to collections of packages, and bringing them up to date.

Flags and files are CppNix's.  Where it passes over a name that is not subscribed to, this is an error.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nivalis.cli.arguments import Flags, UsageError, read_program
from nivalis.cli.building import BuildOptions, open_building
from nivalis.cli.common_options import open_store
from nivalis.cli.failures import run
from nivalis.errors import NivalisError
from nivalis.store.roots import store_path_in

if TYPE_CHECKING:
    from nivalis.debian.snapshot import Difference
    from nivalis.profile.channels import Channel, Places
    from nivalis.store.store import Store

__all__ = ["RELAXATIONS", "ChannelDesk", "main", "nix_channel"]

_HELP = """\
Usage: nix-channel --add ADDRESS [NAME]
       nix-channel --remove NAME
       nix-channel --list
       nix-channel --update [NAMES...]
       nix-channel --list-generations
       nix-channel --rollback [GENERATION]

  --add                     subscribe; without NAME, to the last part of the address (less `-stable` and `-unstable`)
  --remove                  unsubscribe
  --list                    print the subscriptions
  --update                  fetch what all channels, or those of these NAMES, have now; <NAME> leads there
  --list-generations        print what can be gone back to
  --rollback                go back to what the last update replaced, or to that generation
  --mirror URL              with --add debian:SUITE: take the packages from there; may be given several times
  --allow-expired           with --update: take a Release of Debian's that is past its time, --allow-future one that is ahead of this
                            machine's clock, --allow-downgrade one that is older than the last
  --store PLACE             use the store there: a folder, or local?root=...
  --option NAME VALUE       set one of Nix's settings
  -h, --help, --version
"""
# How many arguments a command takes: at least, and at most.
RELAXATIONS = ("expired", "future", "downgrade")
_COUNTS = {"add": (1, 2), "remove": (1, 1), "list": (0, 0), "update": (0, sys.maxsize), "list-generations": (0, 0), "rollback": (0, 1)}


class Options(BuildOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.action: str | None = None
        self.mirrors: list[str] = []
        self.relaxed: set[str] = set()

    def flags(self) -> Flags:
        own: dict[str, tuple[int, Callable[..., object]]] = {}
        for name in _COUNTS:
            own[f"--{name}"] = (0, lambda name=name: setattr(self, "action", name))
        own["--mirror"] = (1, self.mirrors.append)
        for name in RELAXATIONS:
            own[f"--allow-{name}"] = (0, lambda name=name: self.relaxed.add(name))
        return {**super().flags(), **own}


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nix_channel(sys.argv[1:])))


def nix_channel(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    options = Options()
    if not read_program("nix-channel", _HELP, words, options.flags(), options.words.append):
        return 0
    action, hint = options.action, "`nix-channel --help` shows all flags"
    if action is None:
        raise UsageError("no command is given", hint=hint)
    if not _COUNTS[action][0] <= len(options.words) <= _COUNTS[action][1]:
        raise UsageError(f"wrong number of arguments for '--{action}': {len(options.words)}", hint=hint)
    desk = ChannelDesk(options, dict(os.environ))
    match action:
        case "add":
            desk.add(*options.words, mirrors=options.mirrors)
        case "remove":
            desk.remove(options.words[0])
        case "list":
            for channel in desk.subscriptions():
                print(channel.name, channel.address)
        case "update":
            desk.update(options.words, options.relaxed)
        case "list-generations":
            desk.print_generations()
        case _:
            desk.roll_back(options.words[0] if options.words else None)
    return 0


class ChannelDesk:
    """What one user does with channels; places and progress are chosen here."""

    def __init__(self, options: BuildOptions, environment: Mapping[str, str]) -> None:
        self._options = options
        self._environment = environment
        self._layout = options.layout(environment)

    @property
    def places(self) -> Places:
        """Where this user's channels are."""
        from nivalis.profile.channels import Places

        try:
            record = pwd.getpwuid(os.geteuid())
            user, home = record.pw_name, record.pw_dir
        except KeyError:
            user, home = self._environment.get("USER", ""), ""
        home = self._environment.get("HOME") or home
        if not user or not home.startswith("/"):
            raise NivalisError("it is not known who is asking", code="no-user", hint="set HOME and USER")
        return Places.of(home, user, self._layout.profiles_dir)

    def add(self, address: str, name: str | None = None, *, mirrors: Sequence[str] = ()) -> Channel:
        """Subscribe to a channel; a Debian suite is then updated from `mirrors`, if there are any."""
        from nivalis.debian.address import PREFIX
        from nivalis.debian.mirror import check_mirror, set_channel_mirrors
        from nivalis.profile.channels import add_channel

        if mirrors and not address.startswith(PREFIX):
            raise UsageError("a mirror is for a Debian suite: `debian:SUITE`")
        for mirror in mirrors:
            check_mirror(mirror)
        channel = add_channel(self.places.list, address, name)
        if channel.is_debian:
            set_channel_mirrors(self._environment, channel.name, mirrors)
        return channel

    def subscriptions(self) -> list[Channel]:
        """The subscriptions."""
        from nivalis.profile.channels import read_channels

        return read_channels(self.places.list)

    def remove(self, name: str) -> None:
        """Unsubscribe from a channel."""
        from nivalis.debian.mirror import set_channel_mirrors
        from nivalis.profile.channels import remove_channel

        with self._open() as store:
            remove_channel(store, self.places, name, lambda derivations: self._build(store, derivations))
        set_channel_mirrors(self._environment, name, [])

    def update(self, names: Sequence[str], relaxed: Collection[str] = ()) -> list[Channel]:
        """Bring channels up to date; `relaxed` are of RELAXATIONS."""
        from nivalis.profile.channels import update_channels

        with self._open() as store:
            source = _Source(self._options, self._environment, store, relaxed)
            return update_channels(store, self.places, source, lambda derivations: self._build(store, derivations), names)

    def compare(self, old: str | None, new: str | None, relaxed: Collection[str] = ()) -> list[tuple[str, list[Difference]]]:
        """What differs between snapshots of Debian, for each channel.

        `old` and `new` are snapshots, or generations of the profile; without `new`, what there is now, and without both, what an update would bring.
        """
        from nivalis.debian.snapshot import Snapshot, compare

        def differences(before: str, after: str) -> list[Difference]:
            return compare(Snapshot.open(store.real_path(before)), Snapshot.open(store.real_path(after)))

        with self._open() as store:
            if old is not None:
                before, after = self._snapshots(store, old), self._snapshots(store, new)
                if "" in before or "" in after:
                    return [("", differences(one, other)) for one in before.values() for other in after.values()]
                return [(name, differences(before[name], after[name])) for name in sorted(before.keys() & after.keys())]
            source = _Source(self._options, self._environment, store, relaxed)
            present = self._snapshots(store, None)
            suites = [channel for channel in self.subscriptions() if channel.name in present]
            return [(channel.name, differences(present[channel.name], source.make_snapshot(channel, present[channel.name]))) for channel in suites]

    def find_snapshots(self) -> dict[str, Path]:
        """Where the snapshots of the subscribed Debian suites really are, by channel."""
        with self._open() as store:
            return {name: Path(store.real_path(path)) for name, path in self._snapshots(store, None).items()}

    def _snapshots(self, store: Store, word: str | None) -> dict[str, str]:
        """The snapshots of all channels in a generation (without a word, in the present one), or the one that a path names, under no name."""
        from dataclasses import replace

        from nivalis.profile.channels import find_snapshot
        from nivalis.profile.profiles import Profile

        places = self.places
        if word is not None:
            if not (word.isascii() and word.isdecimal()):
                path = store_path_in(store.layout, os.path.realpath(word)) or word
                store.check_valid([path])
                return {"": path}
            if int(word) not in [generation.number for generation in Profile(places.profile, self._layout).generations()]:
                raise UsageError(f"the channels have no generation {word}")
            places = replace(places, profile=places.profile.with_name(f"{places.profile.name}-{word}-link"))
        folder = os.path.realpath(places.profile)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        found = {name: find_snapshot(store, places, name) for name in names}
        return {name: path for name, path in found.items() if path is not None}

    def find_installed(self, channel: Channel) -> str | None:
        """The store path in which the profile has a channel."""
        link = self.places.profile / channel.name
        real = os.path.realpath(link)
        return store_path_in(self._layout, real) if os.path.lexists(link) else None

    def print_generations(self) -> None:
        """Print the generations of the profile, as nix-env does."""
        import time

        from nivalis.profile.profiles import Profile

        profile = Profile(self.places.profile, self._layout)
        current = profile.current()
        for generation in profile.generations():
            made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(generation.created))
            print(f"{generation.number:4}   {made}   {'(current)' if generation.number == current else ''}")

    def roll_back(self, number: str | None) -> None:
        """Make an older generation the current one."""
        from nivalis.profile.profiles import Profile

        if number is not None and not (number.isascii() and number.isdecimal()):
            raise UsageError(f"not the number of a generation: '{number}'")
        profile = Profile(self.places.profile, self._layout)
        profile.switch_to(None if number is None else int(number), on_switch=_tell_switch)

    def _open(self) -> Store:
        return open_store(self._layout, self._options.config)

    def _build(self, store: Store, derivations: Sequence[str]) -> None:
        with open_building(self._options, store, self._environment) as building:
            result = building.realise(derivations)
        result.check()


def _tell_switch(old: int, new: int) -> None:
    print(f"switching profile from version {old} to {new}", file=sys.stderr)


class _Source:
    """Brings the archives of channels, with progress on stderr."""

    def __init__(self, options: BuildOptions, environment: Mapping[str, str], store: Store, relaxed: Collection[str] = ()) -> None:
        from nivalis.cli.effects import LazyFetcher
        from nivalis.fetch.network import Network

        self._network = Network.make(environment, options.config)
        # Whoever asks for an update wants what is there now.
        options.set("tarball-ttl", "0")
        self._fetcher = LazyFetcher(store, environment, options.config)
        self._store = store
        self._environment = environment
        self._system = options.system
        self._relaxed = relaxed

    def find_final_address(self, address: str) -> str:
        from nivalis.fetch.transport import find_final_address

        return find_final_address(address, network=self._network)

    def fetch(self, address: str, name: str) -> str:
        return self._fetcher.fetch("fetchurl", {"url": address, "name": name})[0]

    def make_snapshot(self, channel: Channel, last: str | None) -> str:
        import time

        from nivalis.cli.downloading import DownloadProgress
        from nivalis.debian.address import DebianAddress
        from nivalis.debian.archive import SnapshotMaker
        from nivalis.debian.mirror import read_mirrors
        from nivalis.debian.release import Relaxed

        maker = SnapshotMaker(
            store=self._store,
            network=self._network,
            system=self._system,
            clock=time.time,
            relaxed=Relaxed(**dict.fromkeys(self._relaxed, True)),
            on_start=DownloadProgress,
        )
        return maker.make(DebianAddress.parse(channel.address), read_mirrors(self._environment).of_channel(channel.name), last)
