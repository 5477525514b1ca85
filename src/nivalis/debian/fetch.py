"""`builtin:debian-fetch`: one .deb, from whichever mirror has it.

The derivation has `path`, the file's place below a mirror, and the hash of its output; which mirrors there are, the builder is told by whoever
starts it (`mirror.builder_variables`), so that no address is part of a derivation.  A mirror that has the file is believed only if the
hash is right; else the next one is asked.

A file leaves the mirrors when a newer version comes.  An archive of all that ever was, as snapshot.debian.org is, knows it by its package's name and
version (https://salsa.debian.org/snapshot-team/snapshot/raw/master/API): the file's name says both, without the epoch.

`Fetcher` does so for many derivations at once, in the process that builds (see `nivalis.build.downloads`): whatever a server sends, it is
only hashed and kept.  Where an output is made again to be compared, `build` runs inside the sandbox, in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from nivalis import _native
from nivalis._native import Hash
from nivalis.debian.errors import MirrorError, PackageGoneError
from nivalis.debian.mirror import VARIABLE, order_mirrors, try_each
from nivalis.fetch.errors import FetchedHashError, FetchError, NotThereError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import Progress, download, open_connections

__all__ = ["Fetcher", "build"]


class Fetcher:
    """Fetches .debs over kept connections.  Safe to use from several threads.

    `told` are the variables of `mirror.builder_variables`; `sleep` waits before something is tried again.
    """

    def __init__(self, told: Mapping[str, str], sleep: Callable[[float], object] = time.sleep) -> None:
        """Raises MirrorError."""
        configured = json.loads(told.get(VARIABLE) or "{}")
        self._mirrors: list[str] = configured.get("mirrors", [])
        self._archive: str = configured.get("snapshotArchive", "")
        if not self._mirrors and not self._archive:
            raise MirrorError("no mirror of Debian is known", code="no-mirror", hint="name one in `~/.config/nivalis/debian.json`")
        self._network = Network(told, attempts=3)
        self._connections = open_connections(self._network)
        self._sleep = sleep

    def fetch(self, environment: Mapping[str, str], target: str, on_progress: Progress | None = None) -> None:
        """Fetch what a derivation with these variables names into the new file `target`.  Raises MirrorError, PackageGoneError, FetchError."""
        path = environment.get("path", "")
        if not path or path.startswith("/") or ".." in path.split("/"):
            raise MirrorError(
                f"derivation names no file of a mirror: `{path}`", hint="its attribute `path` does: `pool/main/c/curl/curl_8_amd64.deb`"
            )
        wanted = Hash.parse(environment.get("outputHash", ""), "sha256")

        def fetch(address: str) -> None:
            self._download(address, target, on_progress)
            found = _native.hash_file("sha256", target)[0]
            if found != wanted:
                os.unlink(target)
                raise FetchedHashError(f"mirror has another file: `{address}` ({found.format_prefixed('sri')}, not {wanted.format_prefixed('sri')})")

        try:
            if not self._mirrors:
                raise NotThereError(f"no mirror has it: `{path}`")
            is_security = path.startswith("pool/updates/")
            try_each(order_mirrors(self._mirrors, security=is_security), lambda mirror: fetch(f"{mirror}/{quote(path)}"))
        except FetchError as error:
            if self._archive:
                fetch(self._find_archived(path, f"{target}.answer"))
            elif isinstance(error, NotThereError):
                raise _gone(
                    path,
                    self._mirrors,
                    "a newer snapshot of the channel has its successor; `snapshotArchive` in the configuration of mirrors"
                    " names an archive of old packages, such as https://snapshot.debian.org",
                ) from error
            else:
                raise

    def abort(self) -> None:
        """End all that is under way, with an error."""
        self._connections.abort()

    def close(self) -> None:
        self._connections.close()

    def _download(self, address: str, target: str, on_progress: Progress | None = None) -> None:
        download(address, target, network=self._network, connections=self._connections, sleep=self._sleep, on_progress=on_progress)

    def _find_archived(self, path: str, scratch: str) -> str:
        """The address at which the archive of old packages has a file.  Raises PackageGoneError, FetchError."""
        name, _, rest = os.path.basename(path).removesuffix(".deb").partition("_")
        version, _, architecture = rest.rpartition("_")

        def ask(question: str) -> Any:
            try:
                self._download(f"{self._archive}/mr/{question}", scratch)
                with open(scratch, "rb") as answer:
                    return json.load(answer)["result"]
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(scratch)

        asked = [*self._mirrors, self._archive]
        try:
            for row in ask(f"binary/{quote(name)}/"):
                full = row["binary_version"]
                if full.rpartition(":")[2] == version:
                    for binary in ask(f"binary/{quote(name)}/{quote(full)}/binfiles"):
                        if binary["architecture"] in (architecture, "all"):
                            return f"{self._archive}/file/{quote(binary['hash'])}"
        except (NotThereError, ValueError, KeyError, TypeError) as error:
            raise _gone(path, asked, "it may never have been there") from error
        raise _gone(path, asked, "it may never have been there")


def build(environment: Mapping[str, str], out: str) -> None:
    """Fetch `$path`.  Raises MirrorError, PackageGoneError, FetchError."""
    file = f"{os.getcwd()}/fetched"
    Fetcher(environment).fetch(environment, file)
    shutil.move(file, out)


def _gone(path: str, asked: list[str], hint: str) -> PackageGoneError:
    return PackageGoneError(f"no mirror has this package any more: `{path}` (asked: {', '.join(asked)})", hint=hint)
