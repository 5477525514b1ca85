"""The garbage collector: removes what no root leads to, beside builds and evaluations, its own and CppNix's.

What is *live* is every root and what follows from it: references; with `keep_derivations` the derivation that a live path was built by;
with `keep_outputs` the outputs of a live derivation.  The rest is dead, and so is whatever lies in the store directory without being valid.

Why nothing in use is ever lost: the collector holds `gc.lock` exclusively, so temporary roots made before are in their files, which it
reads; those made later come through its socket (`nivalis.store.gc_server`), and whoever sends one waits for the answer.  Dead paths go in
batches, referrers before what they refer to.  Before each batch the collector asks which of it has become safe since; if any has, all
that it refers to is taken off the list.  A batch is made invalid in one transaction, which leaves out what has got referrers in the
meantime, then moved to names that are no store paths, and only then removed at leisure.  Killed at any point, it leaves garbage
for the next one, and a store that is valid.

Garbage that has the hash part of a root (locks, what is being written), a lock file that is locked, and temporary folders of programs that
are still running are spared.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from nivalis.errors import StoreError, StoreReadOnlyError
from nivalis.store.database import Graph, reserve_space
from nivalis.store.gc_server import RootServer
from nivalis.store.live_roots import find_permanent_roots, find_runtime_roots, find_temporary_roots
from nivalis.store.metadata import remove_tree
from nivalis.store.paths import HASH_LENGTH, hash_part
from nivalis.store.queries import KeepPolicy
from nivalis.store.store import Store

__all__ = ["Collected", "PathInUseError", "collect", "delete_paths", "find_dead", "find_live"]

_BATCH = 1000
_PATH_NAME = re.compile(r"^[0-9abcdfghijklmnpqrsvwxyz]{32}-[0-9a-zA-Z+._?=-]+$")
# CppNix: `add-<process>-<n>`, `tmp-<process>-<n>`, `.tmp-link-<process>-<n>`.  Ours: `.trash-<process>-<n>`.
_OF_PROCESS = re.compile(r"^\.?(?:add|tmp|tmp-link|trash)-(\d+)-\d+$")
_SPARED_NAMES = frozenset({".links", "lost+found"})


class PathInUseError(StoreError):
    """A path was to be deleted that something still needs."""

    default_code = "path-in-use"


@dataclass(slots=True)
class Collected:
    """What was removed: store paths, and names in the store directory that are none; and how many bytes that freed."""

    paths: list[str] = field(default_factory=list)
    size: int = 0


def find_live(store: Store, keep: KeepPolicy) -> list[str]:
    """The valid paths that a collector would keep, sorted."""
    with _collecting(store) as server:
        graph = _Liveness(store.database.graph(), keep)
        graph.mark(_root_paths(store), server.roots())
        return sorted(graph.live_paths())


def find_dead(store: Store, keep: KeepPolicy) -> list[str]:
    """What a collector would remove, sorted: valid paths, and garbage in the store directory."""
    with _collecting(store) as server:
        graph = _Liveness(store.database.graph(), keep)
        graph.mark(_root_paths(store), server.roots())
        roots = server.roots()
        garbage = (f"{store.store_dir}/{name}" for name in _list_garbage(store, graph) if name[:HASH_LENGTH] not in roots)
        return sorted([*graph.dead_paths(), *garbage])


def collect(store: Store, keep: KeepPolicy, *, max_freed: int | None = None, on_delete: Callable[[str], object] = lambda path: None) -> Collected:
    """Remove what is dead; stop when more than `max_freed` bytes have been freed.  Raises StoreReadOnlyError."""
    with _collecting(store, deletes=True) as server:
        collected = Collected()
        graph = _Liveness(store.database.graph(), keep)
        graph.mark(_root_paths(store), server.roots())
        remover = _Remover(store, server, graph, collected, max_freed, on_delete)
        if max_freed != 0:
            _ = remover.remove_valid(graph.dead_paths()) and remover.remove_garbage(_list_garbage(store, graph))
        remover.finish()
        _remove_unused_links(store)
        return collected


def delete_paths(
    store: Store,
    paths: Collection[str],
    keep: KeepPolicy,
    *,
    ignore_liveness: bool = False,
    on_delete: Callable[[str], object] = lambda path: None,
    collected: Collected | None = None,
) -> Collected:
    """Remove `paths`, in this order, if nothing needs them; what refers to them must be among them.

    With `ignore_liveness` only the announcements of running processes count as roots.  What was removed is in `collected` even when
    an error ends it: PathInUseError.
    """
    collected = Collected() if collected is None else collected
    if ignore_liveness:
        keep = KeepPolicy(outputs=False, derivations=False)
    with _collecting(store, deletes=True) as server:
        graph = _Liveness(store.database.graph(), keep)
        graph.mark(() if ignore_liveness else _root_paths(store), server.roots())
        remover = _Remover(store, server, graph, collected, None, on_delete)
        wanted = set(paths)
        done: set[str] = set()
        for path in sorted(wanted):
            if path in done:
                continue
            needed = graph.dependents([path])
            if graph.is_live(path) or not needed <= wanted or hash_part(path) in server.roots():
                raise PathInUseError(
                    f"cannot delete path because it is still in use: `{path}`",
                    where=path,
                    hint="`nix-store --query --roots` and `nix-store --query --referrers` show by what",
                )
            if needed:
                remover.remove_valid([one for one in graph.order() if one in needed - done])
                done |= needed
            else:
                remover.remove_garbage([path[len(store.store_dir) + 1 :]])
        remover.finish()
        _remove_unused_links(store)
    return collected


def _root_paths(store: Store) -> set[str]:
    layout = store.layout
    return {*find_permanent_roots(layout, read_only=store.read_only), *find_runtime_roots(layout)}


@contextmanager
def _collecting(store: Store, *, deletes: bool = False) -> Iterator[RootServer]:
    """Be the collector: hold the lock, listen to others.  What was announced before is safe from the beginning."""
    layout = store.layout
    if store.read_only:
        if deletes:
            raise StoreReadOnlyError("the store was opened for reading only", where=str(layout.real_store_dir))
        yield RootServer(str(layout.state_dir), layout.store_dir, map(hash_part, find_temporary_roots(layout, read_only=True)))
        return
    reserve = layout.database_dir / "reserved"
    if deletes:
        # On a full disk this is the room for the transactions.
        reserve.unlink(missing_ok=True)
    lock = os.open(layout.state_dir / "gc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with RootServer(str(layout.state_dir), layout.store_dir) as server:
            server.add(hash_part(path) for path in find_temporary_roots(layout))
            yield server
    finally:
        os.close(lock)
        if deletes:
            reserve_space(reserve)


class _Liveness:
    """Which valid paths are live, and what must go before what."""

    def __init__(self, graph: Graph, keep: KeepPolicy) -> None:
        self._paths = graph.paths
        self._ids = {path: number for number, path in graph.paths.items()}
        below: dict[int, list[int]] = defaultdict(list)
        for referrer, reference in graph.references:
            below[referrer].append(reference)
        self._below = below
        # What else a live path keeps.
        kept: dict[int, list[int]] = defaultdict(list)
        if keep.derivations:
            for number, deriver in graph.derivers.items():
                if deriver in self._ids:
                    kept[number].append(self._ids[deriver])
        if keep.outputs:
            for drv, path in graph.outputs:
                if path in self._ids:
                    kept[drv].append(self._ids[path])
        self._kept = kept
        self._live: set[int] = set()

    def mark(self, paths: Iterable[str], hash_parts: Collection[str]) -> None:
        """Make `paths`, and those with these hash parts, live, and all that they need."""
        pending = [self._ids[path] for path in paths if path in self._ids]
        if hash_parts:
            pending += [number for path, number in self._ids.items() if hash_part(path) in hash_parts]
        live, below, kept = self._live, self._below, self._kept
        while pending:
            number = pending.pop()
            if number not in live:
                live.add(number)
                pending += below.get(number, ())
                pending += kept.get(number, ())

    def is_live(self, path: str) -> bool:
        return self._ids.get(path) in self._live

    def is_valid(self, path: str) -> bool:
        return path in self._ids

    def live_paths(self) -> list[str]:
        return [self._paths[number] for number in self._live]

    def dead_paths(self) -> list[str]:
        """What is not live, referrers before what they refer to."""
        return [path for path in self.order() if self._ids[path] not in self._live]

    def order(self) -> list[str]:
        """Every valid path, after all that refers to it: the reverse of a depth-first post-order."""
        done: list[int] = []
        visited: set[int] = set()
        for start in self._paths:
            stack = [(start, False)]
            while stack:
                number, is_finished = stack.pop()
                if is_finished:
                    done.append(number)
                elif number not in visited:
                    visited.add(number)
                    stack.append((number, True))
                    stack += [(child, False) for child in self._below.get(number, ()) if child not in visited]
        return [self._paths[number] for number in reversed(done)]

    def dependents(self, paths: Collection[str]) -> set[str]:
        """Those of `paths` that are valid, and all that would have to go with them."""
        above: dict[int, list[int]] = defaultdict(list)
        for edges in (self._below, self._kept):
            for start, ends in edges.items():
                for end in ends:
                    above[end].append(start)
        found: set[int] = set()
        pending = [self._ids[path] for path in paths if path in self._ids]
        while pending:
            number = pending.pop()
            if number not in found:
                found.add(number)
                pending += above.get(number, ())
        return {self._paths[number] for number in found}


class _Remover:
    """Removes paths in batches.  Its methods say whether there may be more."""

    def __init__(
        self,
        store: Store,
        server: RootServer,
        graph: _Liveness,
        collected: Collected,
        max_freed: int | None,
        on_delete: Callable[[str], object],
    ) -> None:
        self._store = store
        self._server = server
        self._graph = graph
        self._collected = collected
        self._max_freed = max_freed
        self._on_delete = on_delete
        self._folder = str(store.layout.real_store_dir)
        self._count = 0
        self._trash = _Trash()

    def remove_valid(self, paths: list[str]) -> bool:
        # Small steps where it has to stop at the right moment.
        step = _BATCH if self._max_freed is None else 1
        for start in range(0, len(paths), step):
            batch = paths[start : start + step]
            while True:
                safe = self._server.claim({hash_part(path) for path in batch})
                if not safe:
                    break
                self._graph.mark((), safe)
                batch = [path for path in batch if not self._graph.is_live(path)]
            try:
                gone = self._store.database.invalidate_unreferenced(batch)
                moved = [(path, self._move_away(path[len(self._store.store_dir) + 1 :])) for path in gone]
            finally:
                self._server.release()
            for path, _ in moved:
                self._tell(path)
            # While the next batch is made invalid.
            self._trash.remove([trash for _, trash in moved if trash is not None])
            if self._is_enough():
                return False
        return True

    def remove_garbage(self, names: Iterable[str]) -> bool:
        for name in names:
            with _own(f"{self._folder}/{name}", name) as is_ours:
                if not is_ours or self._server.claim({name[:HASH_LENGTH]}):
                    continue
                try:
                    # Somebody may have made it valid since; then it is no garbage.
                    if self._store.is_valid(f"{self._store.store_dir}/{name}"):
                        continue
                    trash = self._move_away(name)
                    if trash is not None and name.endswith(".lock"):
                        _mark_deleted(trash)
                finally:
                    self._server.release()
            self._tell(f"{self._store.store_dir}/{name}")
            self._trash.remove([] if trash is None else [trash])
            if self._is_enough():
                return False
        return True

    def finish(self) -> None:
        """Wait until all is gone, and count it."""
        self._collected.size += self._trash.wait()

    def _is_enough(self) -> bool:
        if self._max_freed is None:
            return False
        self.finish()
        return self._collected.size > self._max_freed

    def _move_away(self, name: str) -> str | None:
        """Rename to what is no store path, beside the old name: another folder would need the right to write the thing itself.

        What is not a folder is removed at once, in one step.
        """
        place = f"{self._folder}/{name}"
        try:
            status = os.lstat(place)
            if not stat.S_ISDIR(status.st_mode) and not name.endswith(".lock"):
                os.unlink(place)
                self._collected.size += status.st_size if status.st_nlink <= 2 else 0
                return None
            self._count += 1
            trash = f"{self._folder}/.trash-{os.getpid()}-{self._count}"
            # Garbage of an earlier process with this number may stand there.
            remove_tree(trash)
            os.rename(place, trash)
            return trash
        except FileNotFoundError:
            return None

    def _tell(self, path: str) -> None:
        self._on_delete(path)
        self._collected.paths.append(path)


class _Trash:
    """Removes trees in a thread, those of one order at a time.  An error comes with the next order."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._size = 0
        self._error: OSError | None = None

    def remove(self, places: list[str]) -> None:
        """Begin to remove `places`, when those before are gone.  Raises OSError."""
        self._join()
        if places:
            # Whoever is interrupted does not wait for it: what it leaves is garbage.
            self._thread = threading.Thread(target=self._run, args=[places], name="trash", daemon=True)
            self._thread.start()

    def wait(self) -> int:
        """Wait until all are gone; what was freed since this was asked last, in bytes.  Raises OSError."""
        self._join()
        size, self._size = self._size, 0
        return size

    def _run(self, places: list[str]) -> None:
        try:
            for place in places:
                self._size += remove_tree(place)
        except OSError as error:
            self._error = error

    def _join(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error


def _list_garbage(store: Store, graph: _Liveness) -> list[str]:
    """The names in the store directory that are neither valid nor spared in any case."""
    names = sorted(os.listdir(store.layout.real_store_dir))
    return [name for name in names if name not in _SPARED_NAMES and not graph.is_valid(f"{store.store_dir}/{name}")]


@contextmanager
def _own(place: str, name: str) -> Iterator[bool]:
    """Whether garbage is nobody's: no living process's folder, and nobody holds a lock on it, as we do meanwhile."""
    process = _OF_PROCESS.match(name)
    if process is not None and os.path.exists(f"/proc/{process[1]}"):
        yield False
        return
    if not (name.endswith(".lock") or name.startswith("tmp-")):
        yield True
        return
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _mark_deleted(lock_file: str) -> None:
    # Whoever has the file open and waits for the lock that we hold sees by this byte that it has lost its name.
    with suppress(OSError), open(lock_file, "ab") as stream:
        stream.write(b"d")


def _remove_unused_links(store: Store) -> None:
    """Remove from `.links` what no path is linked to any more."""
    with suppress(FileNotFoundError), os.scandir(store.layout.links_dir) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_nlink == 1:
                    os.unlink(entry.path)
