"""`builtin:debian-fetch`: one .deb, from whichever mirror has it.

The derivation has `path`, the file's place below a mirror, and the hash of its output; which mirrors there are, the builder is told by whoever
starts it (`mirror.builder_variables`), so that no address is part of a derivation.  A mirror that has the file is believed only if the
hash is right; else the next one is asked.

A file leaves the mirrors when a newer version comes.  An archive of all that ever was, as snapshot.debian.org is, knows it by its package's name and
version (https://salsa.debian.org/snapshot-team/snapshot/raw/master/API): the file's name says both, without the epoch.

Runs inside the sandbox, in a process of its own (see `nivalis.build.builtin_builders`).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nivalis import _native
from nivalis._native import Hash
from nivalis.debian.errors import MirrorError, PackageGoneError
from nivalis.debian.mirror import VARIABLE, order_mirrors, try_each
from nivalis.fetch.errors import FetchedHashError, FetchError, NotThereError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download

__all__ = ["build"]


def build(environment: Mapping[str, str], out: str) -> None:
    """Fetch `$path`.  Raises MirrorError, PackageGoneError, FetchError."""
    path = environment.get("path", "")
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise MirrorError(f"derivation names no file of a mirror: `{path}`", hint="its attribute `path` does: `pool/main/c/curl/curl_8_amd64.deb`")
    configured = json.loads(environment.get(VARIABLE) or "{}")
    mirrors, archive = configured.get("mirrors", []), configured.get("snapshotArchive", "")
    if not mirrors and not archive:
        raise MirrorError("no mirror of Debian is known", code="no-mirror", hint="name one in `~/.config/nivalis/debian.json`")
    wanted = Hash.parse(environment.get("outputHash", ""), "sha256")
    network = Network(environment, attempts=3)
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        file = f"{folder}/file"

        def fetch(address: str) -> None:
            download(address, file, network=network)
            found = _native.hash_file("sha256", file)[0]
            if found != wanted:
                os.unlink(file)
                raise FetchedHashError(f"mirror has another file: `{address}` ({found.format_prefixed('sri')}, not {wanted.format_prefixed('sri')})")

        def fetch_from(mirror: str) -> None:
            fetch(f"{mirror}/{quote(path)}")

        try:
            if not mirrors:
                raise NotThereError(f"no mirror has it: `{path}`")
            try_each(order_mirrors(mirrors, security=path.startswith("pool/updates/")), fetch_from)
        except FetchError as error:
            if not archive:
                if isinstance(error, NotThereError):
                    raise _gone(
                        path,
                        mirrors,
                        "a newer snapshot of the channel has its successor; `snapshotArchive` in the configuration of mirrors"
                        " names an archive of old packages, such as https://snapshot.debian.org",
                    ) from error
                raise
            fetch(_find_archived(path, archive, folder, network, mirrors))
        shutil.move(file, out)


def _gone(path: str, mirrors: list[str], hint: str) -> PackageGoneError:
    return PackageGoneError(f"no mirror has this package any more: `{path}` (asked: {', '.join(mirrors)})", hint=hint)


def _find_archived(path: str, archive: str, folder: str, network: Network, mirrors: list[str]) -> str:
    """The address at which an archive of old packages has a file.  Raises PackageGoneError, FetchError."""
    name, _, rest = os.path.basename(path).removesuffix(".deb").partition("_")
    version, _, architecture = rest.rpartition("_")

    def ask(question: str) -> Any:
        file = f"{folder}/answer"
        download(f"{archive}/mr/{question}", file, network=network)
        with open(file, "rb") as answer:
            return json.load(answer)["result"]

    try:
        for row in ask(f"binary/{quote(name)}/"):
            full = row["binary_version"]
            if full.rpartition(":")[2] == version:
                for binary in ask(f"binary/{quote(name)}/{quote(full)}/binfiles"):
                    if binary["architecture"] in (architecture, "all"):
                        return f"{archive}/file/{quote(binary['hash'])}"
    except (NotThereError, ValueError, KeyError, TypeError) as error:
        raise _gone(path, [*mirrors, archive], "it may never have been there") from error
    raise _gone(path, [*mirrors, archive], "it may never have been there")
