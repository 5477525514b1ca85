"""What an evaluation may do to the world, loaded when it does it: building and fetching.

Most evaluations do neither, and a command must not load for them what only others need.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nivalis.cli.talk import show_warning
from nivalis.errors import NivalisError
from nivalis.store.layout import StoreLayout

if TYPE_CHECKING:
    from nivalis.fetch.fetcher import StoreFetcher
    from nivalis.settings import Settings
    from nivalis.store.store import Store

__all__ = ["LazyBuilder", "LazyFetcher"]


class LazyBuilder:
    """Builds what evaluation imports, as `config` says."""

    def __init__(self, store: Store, environment: Mapping[str, str], config: Settings) -> None:
        self._store = store
        self._environment = environment
        self._config = config

    def realise(self, wanted: Sequence[tuple[str, str]]) -> list[str]:
        """Make outputs (derivation, output name) valid; their paths.  Raises NivalisError."""
        from nivalis.build.builder import StoreBuilder
        from nivalis.build.progress import PlainRenderer, TerminalRenderer
        from nivalis.build.settings import BuildSettings

        settings = BuildSettings.make(self._config.text("system"), self._environment, self._config.given())
        renderer = (TerminalRenderer if sys.stderr.isatty() else PlainRenderer)(sys.stderr)
        try:
            return StoreBuilder(self._store, settings, listen=renderer.handle).realise(wanted)
        finally:
            renderer.close()


class LazyFetcher:
    """Fetches what evaluation asks for, as `config` says.

    Given a layout, it opens the store there when something is fetched, for writing.
    """

    def __init__(self, store: Store | StoreLayout, environment: Mapping[str, str], config: Settings) -> None:
        self._store = store
        self._environment = environment
        self._config = config
        self._opened: Store | None = None

    def fetch(self, kind: str, arguments: Mapping[str, str]) -> tuple[str, dict[str, str | int | bool]]:
        """What `builtins.<kind>` asks for.  Raises NivalisError."""
        return self._fetcher().fetch(kind, arguments)

    def search_entry(self, address: str) -> str | None:
        """The folder behind an address in the search path.  Raises NivalisError."""
        return self._fetcher().search_entry(address)

    def close(self) -> None:
        """Close what was opened here."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _fetcher(self) -> StoreFetcher:
        from nivalis.cli.downloading import DownloadProgress
        from nivalis.cli.eval_cache import cache_folder
        from nivalis.fetch.fetcher import StoreFetcher
        from nivalis.fetch.network import Network
        from nivalis.store.store import Store

        cache = cache_folder(self._environment)
        if cache is None:
            raise NivalisError("nothing can be fetched without a cache folder", code="no-cache-folder", hint="set HOME or XDG_CACHE_HOME")
        store = self._store
        if isinstance(store, StoreLayout):
            store = self._opened = self._opened or Store.open(store)
        network = Network.make(self._environment, self._config)
        return StoreFetcher(store, cache, network, on_start=DownloadProgress, on_warn=show_warning)
