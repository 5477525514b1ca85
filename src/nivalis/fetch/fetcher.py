"""Fetching into the store: what `fetchurl`, `fetchTarball`, `fetchGit` and addresses in a search path ask for.

What has a hash is looked for in the store first, and then needs no network at all.  What has none is remembered in the cache by its
address: for `ttl` seconds it is what came last, as long as that is still valid, and after that the server is asked whether it changed; if it
cannot be asked, there is a warning, and what came last serves on.
The cache is a folder with one small file for each address; whatever is damaged or missing in it is fetched again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

from nivalis import _native
from nivalis._native import Hash
from nivalis.fetch.archive import unpack_single
from nivalis.fetch.errors import ArchiveError, FetchedHashError, FetchError, GitError, NotThereError
from nivalis.fetch.git import GitRepository, GitRequest
from nivalis.fetch.network import Network
from nivalis.fetch.transport import Download, download
from nivalis.store.store import Source, Store

__all__ = ["StoreFetcher"]

_CHANNELS = "https://channels.nixos.org"


class Listener(Protocol):
    """Who is told how a download goes."""

    def advance(self, received: int, expected: int | None) -> None: ...

    def retry(self, text: str) -> None: ...

    def close(self) -> None: ...


class StoreFetcher:
    """Fetches into `store`; the `fetcher=` of an evaluator.  `cache` is a folder, which is made when it is needed.

    `on_start` is asked at each download who is to be told how it goes.
    """

    def __init__(
        self,
        store: Store,
        cache: str | os.PathLike[str],
        network: Network,
        *,
        clock: Callable[[], float] = time.time,
        on_start: Callable[[str], Listener | None] = lambda address: None,
        on_warn: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._store = store
        self._cache = os.fspath(cache)
        self._network = network
        self._clock = clock
        self._on_start = on_start
        self._on_warn = on_warn
        self._entries: dict[str, str | None] = {}

    def fetch(self, kind: str, arguments: Mapping[str, str]) -> tuple[str, dict[str, str | int | bool]]:
        """What `builtins.<kind>` asks for: its store path and further attributes.  Raises FetchError and the store's errors."""
        if kind == "fetchGit":
            return self._fetch_git(arguments)
        address = _expanded(arguments["url"])
        wanted = Hash.parse(arguments["sha256"], "sha256") if arguments.get("sha256") else None
        if kind == "fetchurl":
            name = arguments.get("name") or os.path.basename(unquote(urlsplit(address).path)) or "source"
            return self._fetch_file(address, name, wanted), {}
        if kind == "fetchTarball":
            return self._fetch_archive(address, arguments.get("name") or "source", wanted), {}
        raise FetchError(f"cannot be fetched by `builtins.{kind}`: `{address}`", hint="use `fetchTarball`, `fetchGit` or `fetchurl`")

    def search_entry(self, address: str) -> str | None:
        """The store path of what is behind an address in a search path; None, after a warning, if it cannot be had."""
        if address not in self._entries:
            try:
                self._entries[address] = self._fetch_archive(_expanded(address), "source", None)
            except FetchError as error:
                self._on_warn(f"entry of the search path cannot be fetched, and is passed over: `{address}` ({error.message})")
                self._entries[address] = None
        return self._entries[address]

    def _fetch_file(self, address: str, name: str, wanted: Hash | None) -> str:
        return self._fetch(address, name, "flat", wanted, lambda file, folder: file)

    def _fetch_archive(self, address: str, name: str, wanted: Hash | None) -> str:
        def unpacked(file: str, folder: str) -> str:
            os.mkdir(f"{folder}/unpacked")
            try:
                return unpack_single(file, f"{folder}/unpacked")
            except ArchiveError as error:
                error.where = address
                raise

        return self._fetch(address, name, "nar", wanted, unpacked)

    def _fetch(self, address: str, name: str, method: Literal["flat", "nar"], wanted: Hash | None, prepare: Callable[[str, str], str]) -> str:
        store = self._store
        if wanted is not None:
            path = _native.make_fixed_output_path(name, method, wanted, [], store.store_dir)
            store.protect([path])
            if store.is_valid(path):
                return path
        note = _Note.read(self._cache, f"{method}\0{name}\0{address}")
        known = note.path if note.path and self._is_valid(note.path) else None
        if known is not None and wanted is None and self._clock() - note.time < self._network.ttl:
            return known
        with tempfile.TemporaryDirectory(prefix="nivalis-fetch-") as folder:
            try:
                got = self._download(address, f"{folder}/file", note.etag if known and wanted is None else "")
            except FetchError as error:
                # What was good an hour ago serves better than nothing; but to whom asks for what is there now it is a lie.
                if known is None or wanted is not None or not self._network.ttl or isinstance(error, NotThereError):
                    raise
                self._on_warn(f"{error.message}; what was fetched before is used")
                return known
            if got.is_unchanged and known is not None:
                note.write(known, got, self._clock())
                return known
            source = prepare(f"{folder}/file", folder)
            path = self._add(source, name, method, wanted, address)
            note.write(path, got, self._clock())
            return path

    def _download(self, address: str, target: str, etag: str) -> Download:
        listener = self._on_start(address)
        if listener is None:
            return download(address, target, network=self._network, etag=etag)
        try:
            return download(address, target, network=self._network, etag=etag, on_progress=listener.advance, on_retry=listener.retry)
        finally:
            listener.close()

    def _add(self, source: str, name: str, method: Literal["flat", "nar"], wanted: Hash | None, address: str) -> str:
        if wanted is not None:
            found = (_native.hash_file("sha256", source) if method == "flat" else _native.hash_nar(source))[0]
            if found != wanted:
                specified, got = wanted.format_prefixed("sri"), found.format_prefixed("sri")
                raise FetchedHashError(
                    f"hash mismatch in what was fetched from `{address}`\n  specified: {specified}\n     got:    {got}",
                    hint="if what was fetched is right, put the second hash into the expression",
                )
        return self._store.add_sources([Source(source, name, method)])[0]

    def _is_valid(self, path: str) -> bool:
        self._store.protect([path])
        return self._store.is_valid(path)

    def _fetch_git(self, arguments: Mapping[str, str]) -> tuple[str, dict[str, str | int | bool]]:
        address = arguments["url"]
        submodules = bool(arguments.get("submodules"))
        if arguments.get("lfs"):
            raise GitError(f"Git LFS is not supported: `{address}`")
        if submodules and arguments.get("exportIgnore"):
            raise GitError(f"`exportIgnore` and `submodules` cannot both be asked for: `{address}`")
        request = GitRequest(
            reference=arguments.get("ref") or None,
            revision=arguments.get("rev") or None,
            shallow=bool(arguments.get("shallow")),
            all_refs=bool(arguments.get("allRefs")),
            submodules=submodules,
            export_ignore=bool(arguments.get("exportIgnore", "" if submodules else "1")),
        )
        repository = GitRepository(address, self._cache, self._network, clock=self._clock, on_warn=self._on_warn)
        with tempfile.TemporaryDirectory(prefix="nivalis-fetch-") as folder:
            target = f"{folder}/tree"
            checkout = repository.check_out(target, request)
            path = self._store.add_sources([Source(target, arguments.get("name") or "source")])[0]
        nar_hash = self._store.path_info(path).nar_hash
        if arguments.get("narHash") and Hash.parse(arguments["narHash"], "sha256") != nar_hash:
            specified, got = arguments["narHash"], nar_hash.format_prefixed("sri")
            raise FetchedHashError(f"hash mismatch in what was fetched from `{address}`\n  specified: {specified}\n     got:    {got}")
        dirty = checkout.dirty_revision
        return path, {
            **({"dirtyRev": f"{dirty}-dirty", "dirtyShortRev": f"{dirty[:7]}-dirty"} if dirty else {}),
            "rev": checkout.revision,
            "shortRev": checkout.revision[:7],
            "revCount": checkout.count,
            "lastModified": checkout.last_modified,
            "lastModifiedDate": time.strftime("%Y%m%d%H%M%S", time.gmtime(checkout.last_modified)),
            "narHash": nar_hash.format_prefixed("sri"),
            "submodules": submodules,
        }


class _Note:
    """What the cache remembers of one address."""

    def __init__(self, file: Path, path: str = "", etag: str = "", time: float = 0) -> None:
        self._file = file
        self.path = path
        self.etag = etag
        self.time = time

    @classmethod
    def read(cls, cache: str, key: str) -> _Note:
        file = Path(cache) / "fetched" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}.json"
        try:
            data: Any = json.loads(file.read_bytes())
            return cls(file, str(data["path"]), str(data["etag"]), float(data["time"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls(file)

    def write(self, path: str, got: Download, now: float) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            part.write_text(json.dumps({"path": path, "etag": got.etag, "time": now}))
            part.rename(self._file)
        except OSError:
            # A cache that cannot be written is only slow.
            return


def _expanded(address: str) -> str:
    """An address as it is fetched: `channel:name` is a channel's newest archive."""
    if address.startswith("channel:"):
        return f"{_CHANNELS}/{address.removeprefix('channel:')}/nixexprs.tar.xz"
    return f"file://{address}" if address.startswith("/") else address
