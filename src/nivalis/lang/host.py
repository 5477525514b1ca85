"""The host of an evaluation: what the kernel asks of the world beyond reading files.

The kernel computes store paths itself and hands over in batches what is to be in the store; it asks for validity, references and
closures of store paths, to have outputs built and sources fetched, and it reports traces and warnings.  All calls come from the
kernel's thread while the thread that called the evaluator waits; none of them may use the evaluator.

Without a store, or with one that was opened for reading, nothing is written and, as in CppNix's read-only mode, store paths that
an expression names are not required to be valid.  Building and fetching are done by objects that are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from nivalis.errors import InvalidPathError, NivalisError
from nivalis.lang.encoding import decode
from nivalis.store.layout import StoreLayout

# What a database needs takes longer to load than most evaluations take: it is loaded when the store is asked.
if TYPE_CHECKING:
    from nivalis.store.store import Source, Store

__all__ = ["Builder", "FetchError", "Fetcher", "Host", "NotBuiltError"]


class NotBuiltError(NivalisError):
    """Evaluation needs the output of a derivation that is not in the store."""

    default_code = "not-built"


class FetchError(NivalisError):
    """Evaluation needs something from the network that cannot be had."""

    default_code = "fetch-failed"


class Builder(Protocol):
    """Who builds what evaluation needs."""

    def realise(self, wanted: Sequence[tuple[str, str]]) -> Sequence[str]:
        """Make outputs (derivation, output name) valid; their paths.  Raises NivalisError."""


class Fetcher(Protocol):
    """Who fetches what evaluation needs."""

    def fetch(self, kind: str, arguments: Mapping[str, str]) -> tuple[str, dict[str, str | int | bool]]:
        """What `builtins.<kind>` asks for: its store path and further attributes of the result.  Raises NivalisError."""

    def search_entry(self, address: str) -> str | None:
        """The folder or file behind an address in a search path; None if it cannot be had."""


_Text = tuple[str, bytes, list[str]]
_Source = tuple[str, str, str, Literal["nar", "flat"], list[str] | None]


class Host:
    """The world of one evaluator, over `store`.

    A `StoreLayout` in place of a store is opened for reading when something is asked of it.
    """

    def __init__(
        self,
        store: Store | StoreLayout | None,
        *,
        clock: Callable[[], float],
        on_trace: Callable[[str], None] | None = None,
        on_warn: Callable[[str], None] | None = None,
        on_break: Callable[[], None] | None = None,
        fetcher: Fetcher | None = None,
        builder: Builder | None = None,
        builds: bool = True,
    ) -> None:
        self._layout = store if isinstance(store, StoreLayout) else None
        self._store = None if isinstance(store, StoreLayout) else store
        self._owned: Store | None = None
        self._clock = clock
        self._on_trace = on_trace
        self._on_warn = on_warn
        self._on_break = on_break
        self._fetcher = fetcher
        self._builder = builder
        self._builds = builds

    def close(self) -> None:
        """Close what was opened here; a store that was handed in stays open."""
        if self._owned is not None:
            self._owned.close()
            self._owned = None

    # ---- the store ----

    def write(self, texts: list[_Text], sources: list[_Source]) -> None:
        """Put into the store what is not in it.  Sources come first, as texts refer to them."""
        store = self._store
        if store is None or store.read_only:
            return
        paths = [text[0] for text in texts] + [source[0] for source in sources]
        store.protect(paths)
        valid = store.valid_among(paths)
        missing = [_make_source(source) for source in sources if source[0] not in valid]
        if missing:
            store.add_sources(missing)
        store.add_texts(text for text in texts if text[0] not in valid)

    def is_valid(self, path: str) -> bool:
        store = self._opened()
        if store is None:
            return False
        store.protect([path])
        return store.is_valid(path)

    def references(self, path: str) -> list[str]:
        store = self._opened()
        if store is None:
            raise InvalidPathError(f"path '{path}' is not valid", code="invalid-store-path")
        return sorted(store.path_info(path).references)

    def closure(self, path: str) -> list[str]:
        """All that `path` refers to, itself included."""
        found = {path}
        waiting = [path]
        while waiting:
            for reference in self.references(waiting.pop()):
                if reference not in found:
                    found.add(reference)
                    waiting.append(reference)
        return sorted(found)

    def ensure_path(self, path: str) -> None:
        store = self._store
        if store is None or store.read_only:
            return
        store.protect([path])
        if not store.is_valid(path):
            raise InvalidPathError(f"path '{path}' is not valid", code="invalid-store-path")

    def realise(self, wanted: list[tuple[str, str]]) -> Sequence[str]:
        """The paths of outputs that are valid; a builder makes the others so."""
        if not self._builds:
            # Even what is built already: an evaluation must not depend on what happens to be in the store.
            raise NotBuiltError(
                f"evaluation may not read the output of a derivation: `{wanted[0][0]}`",
                code="forbidden",
                hint="the setting `allow-import-from-derivation` forbids it",
            )
        found = self._find_outputs(wanted)
        missing = [one for one, path in zip(wanted, found, strict=True) if path is None]
        if not missing:
            return [path for path in found if path is not None]
        if self._builder is None:
            derivation, output = missing[0]
            raise NotBuiltError(
                f"evaluation needs output `{output}` of a derivation that is not built: `{derivation}`",
                hint="nothing is built for an evaluation that writes nothing; `--read-write-mode` lets it, or build it first",
            )
        return self._builder.realise(wanted)

    def _find_outputs(self, wanted: Sequence[tuple[str, str]]) -> list[str | None]:
        store = self._opened()
        if store is None:
            return [None] * len(wanted)
        found: list[str | None] = []
        for derivation, output in wanted:
            path: str | None = None
            if store.is_valid(derivation):
                named = store.read_derivation(derivation).outputs.get(output)
                path = None if named is None else named.path
            if path is not None:
                store.protect([path])
            found.append(path if path is not None and store.is_valid(path) else None)
        return found

    def _opened(self) -> Store | None:
        if self._store is not None:
            return self._store
        if self._owned is None and self._layout is not None:
            from nivalis.store.store import Store

            self._owned = Store.open(self._layout, read_only=True)
        return self._owned

    # ---- the network ----

    def fetch(self, kind: str, arguments: dict[str, str]) -> tuple[str, dict[str, str | int | bool]]:
        if self._fetcher is None:
            what = arguments.get("url", "")
            raise FetchError(f"`builtins.{kind}` cannot fetch: `{what}`", hint="this evaluation is not given the network")
        return self._fetcher.fetch(kind, arguments)

    def search_entry(self, address: str) -> str | None:
        if self._fetcher is None:
            raise FetchError(
                f"an entry of the search path cannot be fetched: `{address}`",
                hint="this evaluation is not given the network; name a folder by `-I` or NIX_PATH instead",
            )
        return self._fetcher.search_entry(address)

    # ---- talk ----

    def current_time(self) -> int:
        return int(self._clock())

    def trace(self, message: bytes) -> None:
        if self._on_trace is not None:
            self._on_trace(decode(message))

    def warn(self, message: bytes) -> None:
        if self._on_warn is not None:
            self._on_warn(decode(message))

    def breakpoint(self) -> None:
        if self._on_break is not None:
            self._on_break()


def _make_source(source: _Source) -> Source:
    from nivalis.store.store import Source

    path, file, name, method, kept = source
    if kept is None:
        return Source(file, name, method, expected=path)
    wanted = frozenset(kept)
    return Source(file, name, method, filter=lambda below, _: below in wanted, expected=path)
