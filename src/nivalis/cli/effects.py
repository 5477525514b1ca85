"""What an evaluation or a build may do to the world, loaded when it does it: building, fetching, substituting.

Most evaluations do neither, and a command must not load for them what only others need.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from nivalis.cli.common_options import open_store
from nivalis.cli.talk import show_warning
from nivalis.errors import NivalisError
from nivalis.store.layout import StoreLayout

if TYPE_CHECKING:
    from nivalis.build.events import Listener
    from nivalis.build.goals import Closure
    from nivalis.cache.substituter import CacheSubstituter
    from nivalis.fetch.fetcher import StoreFetcher
    from nivalis.settings import Settings
    from nivalis.store.store import Store

__all__ = ["LazyBuilder", "LazyFetcher", "LazySubstituter"]


class LazyBuilder:
    """Builds what evaluation imports, as `config` says."""

    def __init__(self, store: Store, environment: Mapping[str, str], config: Settings) -> None:
        self._store = store
        self._environment = environment
        self._config = config

    def realise(self, wanted: Sequence[tuple[str, str]]) -> list[str]:
        """Make outputs (derivation, output name) valid; their paths.  Raises NivalisError."""
        from nivalis.build.builder import StoreBuilder
        from nivalis.build.events import one_at_a_time
        from nivalis.build.progress import PlainRenderer, TerminalRenderer
        from nivalis.build.settings import BuildSettings

        settings = BuildSettings.make(self._config.text("system"), self._environment, self._config.given())
        renderer = (TerminalRenderer if sys.stderr.isatty() else PlainRenderer)(sys.stderr)
        listen = one_at_a_time(renderer.handle)
        try:
            with LazySubstituter(self._store, self._environment, self._config, listen) as substituter:
                return StoreBuilder(self._store, settings, listen=listen, substituter=substituter).realise(wanted)
        finally:
            renderer.close()


class LazySubstituter:
    """Fetches what is to be built or valid from the binary caches that `config` names; the `substituter=` of builds.

    `listen` hears of it from several threads, several at once: see `one_at_a_time`.
    """

    def __init__(self, store: Store, environment: Mapping[str, str], config: Settings, listen: Listener = lambda event: None) -> None:
        self._store = store
        self._environment = environment
        self._config = config
        self._listen = listen
        self._opened: CacheSubstituter | None = None

    def available(self, paths: Collection[str]) -> set[str]:
        return self._open().available(paths)

    def closure(self, paths: Collection[str]) -> Closure:
        return self._open().closure(paths)

    def substitute(
        self, paths: Collection[str], done: Callable[[str, NivalisError | None], object], is_stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._open().substitute(paths, done, is_stopped)

    def fetch(self, path: str) -> None:
        self._open().fetch(path)

    def repair(self, path: str) -> None:
        """Replace the content of a valid path by that of a cache.  Raises NivalisError."""
        self._open().repair(path)

    def __enter__(self) -> LazySubstituter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End what goes on, and close what is open."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _open(self) -> CacheSubstituter:
        if self._opened is None:
            from nivalis.cache.settings import CacheSettings
            from nivalis.cache.substituter import CacheSubstituter
            from nivalis.cli.eval_cache import cache_folder

            settings = CacheSettings.make(self._config.given(), self._environment, cache_folder(self._environment))
            self._opened = CacheSubstituter(self._store, settings, self._listen)
        return self._opened


class LazyFetcher:
    """Fetches what evaluation asks for, as `config` says.

    Given a layout, it opens the store there when something is fetched, for writing.
    """

    def __init__(self, store: Store | StoreLayout, environment: Mapping[str, str], config: Settings) -> None:
        self._store = store
        self._environment = environment
        self._config = config
        self._opened: Store | None = None
        self._made: StoreFetcher | None = None

    def fetch(self, kind: str, arguments: Mapping[str, str]) -> tuple[str, dict[str, str | int | bool]]:
        """What `builtins.<kind>` asks for.  Raises NivalisError."""
        return self._fetcher().fetch(kind, arguments)

    def search_entry(self, address: str) -> str | None:
        """The folder behind an address in the search path.  Raises NivalisError."""
        return self._fetcher().search_entry(address)

    def close(self) -> None:
        """Close what was opened here."""
        self._made = None
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _fetcher(self) -> StoreFetcher:
        # One for all: it remembers what could not be had.
        if self._made is None:
            self._made = self._make_fetcher()
        return self._made

    def _make_fetcher(self) -> StoreFetcher:
        from nivalis.cli.downloading import DownloadProgress
        from nivalis.cli.eval_cache import cache_folder
        from nivalis.fetch.fetcher import StoreFetcher
        from nivalis.fetch.network import Network

        cache = cache_folder(self._environment)
        if cache is None:
            raise NivalisError("nothing can be fetched without a cache folder", code="no-cache-folder", hint="set HOME or XDG_CACHE_HOME")
        store = self._store
        if isinstance(store, StoreLayout):
            store = self._opened = self._opened or open_store(store, self._config)
        network = Network.make(self._environment, self._config)
        return StoreFetcher(store, cache, network, on_start=DownloadProgress, on_warn=show_warning)
