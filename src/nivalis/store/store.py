"""The store: what is in it, and how things get in.

A `Store` is opened on a layout and closed again; it holds the database, the temporary roots of this process, and nothing else.
Opening makes what is missing, unless it is opened for reading only: then nothing is written at all, and what would be added is
only given its path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from nivalis import _native
from nivalis._native import Hash
from nivalis._types import Filter, HashAlgo, Method
from nivalis.errors import InvalidPathError, StoreContentError, StoreReadOnlyError
from nivalis.store.add import Addition, add_all
from nivalis.store.content import Blob, Staged, Text, hash_source, read_small, stage
from nivalis.store.database import Database, PathInfo
from nivalis.store.derivation import Derivation
from nivalis.store.layout import StoreLayout
from nivalis.store.metadata import make_canonical, remove_tree
from nivalis.store.paths import is_derivation
from nivalis.store.roots import make_root
from nivalis.store.temproots import TempRoots


class Source(NamedTuple):
    """A file or tree on disk to be added under `name`.

    `expected` is its store path where the caller knows it: if that is valid, the source is not even read; if the source turns
    out to belong elsewhere, adding it raises StoreContentError.
    """

    path: str
    name: str
    method: Method = "nar"
    algo: HashAlgo = "sha256"
    references: Collection[str] = ()
    filter: Filter | None = None
    expected: str | None = None


class Store:
    """A store on disk."""

    def __init__(self, layout: StoreLayout, database: Database, temp_roots: TempRoots, *, read_only: bool) -> None:
        self.layout = layout
        self.database = database
        self.temp_roots = temp_roots
        self.read_only = read_only
        self._has_tidied = False

    @classmethod
    def open(cls, layout: StoreLayout, *, read_only: bool = False, build_users_group: str = "nixbld", optimises: bool = False) -> Store:
        """Open the store, made anew where there is none.

        The group of the build users, if there is one, may write to the store.  With `optimises`, files of paths that are added become
        links to equal ones.  Raises StorePlaceError and the database's errors.
        """
        if not read_only:
            layout.make_folders(build_users_group)
        database = Database.open(layout.database_dir, read_only=read_only)
        store = cls(layout, database, TempRoots(str(layout.state_dir)), read_only=read_only)
        if optimises and not read_only:
            database.on_register = store._optimise
        return store

    def close(self) -> None:
        """Close the database and give the temporary roots up."""
        self.database.close()
        self.temp_roots.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def store_dir(self) -> str:
        """The logical store directory."""
        return self.layout.store_dir

    # ---- questions ----

    def is_valid(self, path: str) -> bool:
        return self.database.is_valid(path)

    def valid_among(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths` that are valid."""
        return self.database.valid_among(paths)

    def check_valid(self, paths: Collection[str]) -> None:
        """Raises InvalidPathError if one of `paths` is not valid."""
        for path in set(paths).difference(self.valid_among(paths)):
            raise InvalidPathError(f"path is not valid: `{path}`")

    def path_info(self, path: str) -> PathInfo:
        """Raises InvalidPathError."""
        return self.database.info(path)

    def real_path(self, path: str) -> str:
        """Where a store path, or a path below one, really is."""
        return self.layout.real_path(path)

    def read_derivation(self, drv_path: str) -> Derivation:
        """Raises InvalidPathError, DerivationError."""
        try:
            with open(self.real_path(drv_path), "rb") as file:
                data = file.read()
        except FileNotFoundError as error:
            raise InvalidPathError(f"path is not valid: `{drv_path}`") from error
        return Derivation.parse(data, self.store_dir)

    def path_of(self, source: Source) -> str:
        """The store path that `source` has or would have; nothing is written."""
        small = read_small(source.path, source.method, source.algo)
        return self._path_for(source, small.hash if small else hash_source(source.path, source.method, source.algo, source.filter))

    # ---- additions ----

    def protect(self, paths: Iterable[str]) -> None:
        """Make `paths` temporary roots: until `close` no collector removes them.  To be called before asking if they are valid."""
        if not self.read_only:
            self.temp_roots.add(paths)

    def add_path(
        self,
        path: str | os.PathLike[str],
        name: str | None = None,
        *,
        method: Method = "nar",
        algo: HashAlgo = "sha256",
        references: Collection[str] = (),
        filter: Filter | None = None,
    ) -> str:
        """Add the file or tree at `path`; its store path.  `flat` adds the bytes of a regular file, `nar` all there is."""
        real = os.path.abspath(path)
        return self.add_sources([Source(real, name or os.path.basename(real), method, algo, references, filter)])[0]

    def add_sources(self, sources: Sequence[Source]) -> list[str]:
        """Add files and trees in one batch; their store paths, in the same order."""
        self._check_writable()
        expected = [source.expected for source in sources if source.expected is not None]
        self.protect(expected)
        valid = self.valid_among(expected)
        paths: list[str] = []
        additions: list[Addition] = []
        with ExitStack() as waiting:
            for source in sources:
                if source.expected is not None and source.expected in valid:
                    paths.append(source.expected)
                    continue
                content: Blob | Staged | None = read_small(source.path, source.method, source.algo)
                if content is None:
                    part = waiting.enter_context(self.waiting_place())
                    content = stage(source.path, part, source.method, source.algo, source.filter)
                path = self._path_for(source, content.hash)
                if source.expected is not None and source.expected != path:
                    raise StoreContentError(f"file changed since its store path was computed: `{source.path}`", where=source.expected)
                paths.append(path)
                additions.append(Addition(path, content, frozenset(source.references)))
            self._add(additions)
        return paths

    def add_made(self, name: str, make: Callable[[str], object]) -> str:
        """Add the tree that `make` writes at the place it is called with; its store path.

        The place is in the store directory, so nothing is copied: for trees of thousands of files.
        """
        self._check_writable()
        with self.waiting_place() as part:
            make(part)
            make_canonical(part)
            nar_hash, nar_size = _native.hash_nar(part)
            path = _native.make_fixed_output_path(name, "nar", nar_hash, [], self.store_dir)
            self._add([Addition(path, Staged(part, "nar", nar_hash, nar_hash, nar_size))])
        return path

    @contextmanager
    def waiting_place(self) -> Iterator[str]:
        """A place in the store directory for content whose store path is not known yet; what stands there in the end is removed.

        No collector takes it (see `nivalis.store.waiting`).
        """
        from nivalis.store.waiting import make_name, remove_abandoned  # most of what is added is too small to need one

        if not self._has_tidied:
            self._has_tidied = True
            remove_abandoned(self.layout, self.database)
        path = f"{self.store_dir}/{make_name()}"
        self.protect([path])
        place = self.real_path(path)
        try:
            yield place
        finally:
            remove_tree(place)

    def add_bytes(self, name: str, data: bytes, *, method: Method = "flat", algo: HashAlgo = "sha256", executable: bool = False) -> str:
        """Add a regular file with these bytes; its store path."""
        self._check_writable()
        content = Blob.make(data, executable=executable, method=method, algo=algo)
        path = _native.make_fixed_output_path(name, method, content.hash, [], self.store_dir)
        self._add([Addition(path, content)])
        return path

    def add_text(self, name: str, data: bytes, references: Collection[str] = ()) -> str:
        """Add a text (as `builtins.toFile` does); its store path."""
        self._check_writable()
        content = Text(data, references, self.store_dir)
        path = content.path(name)
        self._add([Addition(path, content, frozenset(references))])
        return path

    def add_texts(self, texts: Iterable[tuple[str, bytes, Collection[str]]]) -> None:
        """Add texts whose paths are known, derivations among them, in one batch: (store path, bytes, references) each.

        They may refer to each other in any order.  Raises StoreContentError if a path is not that of its text, InvalidPathError
        if a reference is neither in the batch nor valid.
        """
        self._check_writable()
        self._add(Addition(path, Text(data, references, self.store_dir), frozenset(references)) for path, data, references in texts)

    def add_derivations(self, derivations: Iterable[tuple[str, bytes, Collection[str]]]) -> None:
        """As `add_texts`, for .drv files."""
        batch = list(derivations)
        for path, _, _ in batch:
            if not is_derivation(path):
                raise StoreContentError(f"not the path of a derivation: `{path}`")
        self.add_texts(batch)

    def add_root(self, link: str | os.PathLike[str], target: str, *, indirect: bool = True) -> Path:
        """Make `link` a garbage-collector root of the valid path `target`; the link's absolute path.  Raises RootError."""
        self._check_writable()
        self.protect([target])
        self.check_valid([target])
        return make_root(self.layout, link, target, indirect=indirect)

    def _add(self, additions: Iterable[Addition]) -> None:
        add_all(self.layout, self.database, self.temp_roots, additions)

    def _path_for(self, source: Source, digest: Hash) -> str:
        return _native.make_fixed_output_path(source.name, source.method, digest, list(source.references), self.store_dir)

    def _optimise(self, paths: Iterable[str]) -> None:
        from nivalis.store.optimise import optimise_path

        for path in paths:
            # What is only loaded into the database may not be there yet.
            if os.path.lexists(self.real_path(path)):
                optimise_path(self, path)

    def _check_writable(self) -> None:
        if self.read_only:
            raise StoreReadOnlyError("the store was opened for reading only", where=str(self.layout.real_store_dir))
