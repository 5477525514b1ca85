"""From a mirror to a snapshot in the store: the suite and its pockets, each verified, read, joined, resolved and written.

A suite is served in pockets: `bookworm`, `bookworm-updates`, `bookworm-security`.  Which ones belong to a suite is known beforehand and
never learnt from a mirror, since one that withholds the security pocket must be refused, not believed.  What is newer wins.

Nothing gets into the store before all has been checked.  If the archive has not changed since the last snapshot, nothing but the Releases is fetched.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote

from nivalis.debian.address import DebianAddress
from nivalis.debian.errors import DebianError, MirrorError, ReleaseError, SnapshotError
from nivalis.debian.index import Stanza, check_index, join_pockets, plan_index, read_packages
from nivalis.debian.keys import debian_keys
from nivalis.debian.mirror import order_mirrors, try_each
from nivalis.debian.release import MOST_BYTES, STRICT, Relaxed, Release, check_suite, check_time, read_release, verify
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import SYSTEMS, Snapshot, write_snapshot
from nivalis.fetch.errors import FetchError, NotThereError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import Connections, download, open_connections
from nivalis.store.store import Store

if TYPE_CHECKING:
    from pysequoia import Cert

__all__ = ["Listener", "SnapshotMaker"]


class Listener(Protocol):
    """Who is told how a download goes."""

    def advance(self, received: int, expected: int | None) -> None: ...

    def retry(self, text: str) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Pocket:
    """One verified Release, and the mirror that had it; `place` is its address."""

    name: str
    mirror: str
    place: str
    release: Release


class _Folder(NamedTuple):
    """Where files are downloaded to, and over which connections."""

    place: str
    connections: Connections


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMaker:
    """Makes snapshots.  `system` is Nix's name of what asks (`x86_64-linux`), `clock` gives seconds since 1970.

    `on_start` is asked at each download who is to be told how it goes.
    """

    store: Store
    network: Network
    system: str
    clock: Callable[[], float]
    relaxed: Relaxed = STRICT
    keys: Sequence[Cert] | None = None
    on_start: Callable[[str], Listener | None] = lambda address: None

    def make(self, address: DebianAddress, mirrors: Sequence[str], last: str | None = None) -> str:
        """The store path of what `mirrors` have now of a suite; `last` is that of the snapshot before, if there is one.

        Raises DebianError, FetchError and the store's errors; then nothing has been added.
        """
        architecture = address.architecture or _architecture_of(self.system)
        before = None
        if last is not None:
            # One of another version of this program is no reason to stay with it.
            with suppress(SnapshotError):
                before = Snapshot.open(self.store.real_path(last))
        with tempfile.TemporaryDirectory(prefix="nivalis-debian-") as name, closing(open_connections(self.network)) as connections:
            folder = _Folder(name, connections)
            pockets = [self._fetch_release(pocket, mirrors, before, folder) for pocket in address.pockets]
            releases = [(pocket.release, address.components) for pocket in pockets]
            if last is not None and before is not None and before.is_of(releases, architecture):
                return last
            with _without_collector():
                # One index is read while the next one comes.
                with ThreadPoolExecutor() as pool:
                    read = [
                        pool.submit(list, self._fetch_packages(pocket, component, architecture, folder))
                        for pocket in pockets
                        for component in address.components
                    ]
                    packages = join_pockets((one.result() for one in read), architecture)
                resolution = Resolver(packages, architecture).resolve()
                return self.store.add_made(
                    f"debian-{pockets[0].release.codename or address.suite}-snapshot",
                    lambda place: write_snapshot(place, releases, packages, resolution, architecture),
                )

    def _fetch_release(self, name: str, mirrors: Sequence[str], before: Snapshot | None, folder: _Folder) -> _Pocket:
        file = Path(folder.place, "InRelease")
        strangers: list[ReleaseError] = []
        found: list[_Pocket] = []

        def fetch(mirror: str) -> None:
            place = f"{mirror}/dists/{name}/InRelease"
            self._download(place, file, MOST_BYTES, folder.connections)
            try:
                text = verify(file.read_bytes(), debian_keys() if self.keys is None else self.keys, place)
            except ReleaseError as error:
                if error.code != "unknown-key":
                    raise
                # The machine's sources may well have another archive with a suite of that name.
                strangers.append(error)
                raise NotThereError(error.message) from error
            found.append(_Pocket(name, mirror, place, read_release(text, place)))

        try:
            try_each(order_mirrors(mirrors, security=name.endswith("-security")), fetch)
        except FetchError as error:
            if strangers:
                raise strangers[0] from error
            if isinstance(error, NotThereError):
                raise MirrorError(f"no mirror has the suite `{name}` (asked: {', '.join(mirrors)})", hint="is that the name of a suite?") from error
            raise
        pocket = found[0]
        check_suite(pocket.release, name, pocket.place)
        codename = pocket.release.codename
        check_time(pocket.release, self.clock(), pocket.place, last=None if before is None else before.date_of(codename), relaxed=self.relaxed)
        return pocket

    def _fetch_packages(self, pocket: _Pocket, component: str, architecture: str, folder: _Folder) -> Iterator[Stanza]:
        index, most = plan_index(pocket.release, component, architecture, pocket.place)
        file = Path(folder.place, "Packages")
        base = f"{pocket.mirror}/dists/{pocket.name}"
        path, place = Path(index.path), f"{base}/{quote(index.path)}"
        places = [f"{base}/{quote(str(path.parent))}/by-hash/SHA256/{index.sha256}"] if pocket.release.by_hash else []
        place = try_each([*places, place], lambda place: self._download(place, file, index.size, folder.connections))
        data = file.read_bytes()
        check_index(data, index, place)
        return read_packages(data, index.path, most, place)

    def _download(self, address: str, file: Path, most: int, connections: Connections) -> None:
        """Download at most `most` bytes and a little; more is an error at once, and not a full disk."""
        listener = self.on_start(address)

        def advance(received: int, expected: int | None) -> None:
            if received > most + (1 << 20):
                raise DebianError(f"server sends more than there can be: `{address}`", code="index-mismatch")
            if listener is not None:
                listener.advance(received, expected)

        def retry(text: str) -> None:
            if listener is not None:
                listener.retry(text)

        try:
            download(address, str(file), network=self.network, connections=connections, on_progress=advance, on_retry=retry)
        finally:
            if listener is not None:
                listener.close()


def _architecture_of(system: str) -> str:
    for architecture, name in SYSTEMS.items():
        if name == system:
            return architecture
    raise DebianError(
        f"Debian has no architecture for this system: `{system}`", code="no-architecture", hint="`arch=` in the channel's address names one"
    )


@contextmanager
def _without_collector() -> Iterator[None]:
    """Sixty thousand packages are no garbage, and to look for it among them again and again takes a third of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
