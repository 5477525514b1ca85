"""Where commands get their store paths from: the binary caches that are configured, as the substituter of builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nivalis.cli.eval_cache import cache_folder

if TYPE_CHECKING:
    from nivalis.build.events import Listener
    from nivalis.cache.substituter import CacheSubstituter
    from nivalis.settings.settings import Settings
    from nivalis.store.store import Store

__all__ = ["open_substituter"]


def open_substituter(store: Store, config: Settings, environment: Mapping[str, str], listen: Listener = lambda event: None) -> CacheSubstituter:
    """Fetches into `store` as `config` says; to be closed.  Nothing is asked before something is wanted.  Raises SettingError, KeyFormatError."""
    from nivalis.cache.settings import CacheSettings
    from nivalis.cache.substituter import CacheSubstituter

    return CacheSubstituter(store, CacheSettings.make(config.given(), environment, cache_folder(environment)), listen)
