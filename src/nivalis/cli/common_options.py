"""What every command line of Nix's own commands may say: any setting, as `--option NAME VALUE` or as a flag of its own.

The flags are made from the table of options: `--name` and `--no-name` of a switch, `--name VALUE` of anything else, `--extra-name VALUE`
of a list.  What a command line says stands above what is configured.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

from nivalis.cli.arguments import Flags
from nivalis.cli.talk import show_warning
from nivalis.settings.settings import Settings, read_settings
from nivalis.settings.table import all_names
from nivalis.store.layout import StoreLayout

if TYPE_CHECKING:
    from nivalis.store.store import Store

__all__ = ["COMMAND_LINE", "CommonOptions", "open_store", "open_store_meanwhile"]

# The place of what a command line sets.
COMMAND_LINE = "command line"


def open_store(layout: StoreLayout, config: Settings, *, read_only: bool = False) -> Store:
    """Open a store as it is configured.  Raises StoreError."""
    from nivalis.store.store import Store  # most evaluations open none

    group, optimises = config.text("build-users-group"), config.switch("auto-optimise-store")
    return Store.open(layout, read_only=read_only, build_users_group=group, optimises=optimises)


def open_store_meanwhile(layout: StoreLayout, config: Settings) -> Store:
    """As `open_store`, in a thread of its own: who first asks something of the store waits for it, and gets the errors.

    To load what a store is made of, and to open it, takes as long as a small evaluation, which asks for it last.
    """
    return cast("Store", _Opening(layout, config))


class _Opening:
    def __init__(self, layout: StoreLayout, config: Settings) -> None:
        self.layout = layout
        self._store: Store | None = None
        self._error: BaseException | None = None
        self._done = _thread.allocate_lock()
        self._done.acquire()
        _thread.start_new_thread(self._open, (config,))

    def _open(self, config: Settings) -> None:
        try:
            self._store = open_store(self.layout, config)
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()

    def __getattr__(self, name: str) -> object:
        with self._done:
            if self._error is not None:
                raise self._error
            return getattr(self._store, name)


def _ignore(*words: str) -> None:
    """What a flag does that changes nothing here."""


class CommonOptions:
    """What the shared flags of one command line say."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._config: Settings | None = None

    @property
    def config(self) -> Settings:
        """The settings: what is configured, and what the command line has set so far.  Raises ConfigurationError, SettingError."""
        if self._config is None:
            self._config = read_settings(os.environ)
            for name, place in sorted(self._config.unknown.items()):
                self.warn(f"unknown setting '{name}' in {place}")
        return self._config

    @property
    def store(self) -> str | None:
        """What names the store, if that is set.  None, given, sets nothing."""
        return self.config.text("store") if self.config.is_set("store") else None

    @store.setter
    def store(self, address: str | None) -> None:
        self.set_given({"store": address})

    def flags(self) -> Flags:
        """The table of the shared flags."""
        table: dict[str, tuple[int, Callable[..., object]]] = {}
        for name, option, _ in all_names():
            if option.kind == "switch":
                table[f"--{name}"] = (0, partial(self.set, name, "true"))
                table[f"--no-{name}"] = (0, partial(self.set, name, "false"))
            else:
                table[f"--{name}"] = (1, partial(self.set, name))
        table["--option"] = (2, self.set)
        table["-j"] = (1, partial(self.set, "max-jobs"))
        table["-k"] = (0, partial(self.set, "keep-going", "true"))
        table["-K"] = (0, partial(self.set, "keep-failed", "true"))
        table["--log-format"] = (1, _ignore)
        for flag in ("-v", "--verbose", "--quiet", "--debug", "-Q", "--no-build-output"):
            table[flag] = (0, _ignore)
        return table

    def set(self, name: str, value: str) -> None:
        """Set one of Nix's settings.  Raises SettingError for a value that it cannot have; an unknown name is warned about."""
        known = name in self.config.unknown
        if not self.config.set(name, value, COMMAND_LINE) and not known:
            self.warn(f"unknown setting '{name}'")

    def set_given(self, values: Mapping[str, str | bool | None]) -> None:
        """Set what a command's own flags name: those that are neither None nor False.  Raises SettingError."""
        for name, value in values.items():
            if value is not None and value is not False:
                self.set(name, "true" if value is True else value)

    def warn(self, text: str) -> None:
        """Warn now, and whenever the same command line is answered from the cache."""
        show_warning(text)
        self.warnings.append(text)

    def layout(self, environment: Mapping[str, str]) -> StoreLayout:
        """The store that is set, else that of NIX_REMOTE.  Raises StorePlaceError."""
        return StoreLayout.parse(self.store_address(environment), environment)

    def store_address(self, environment: Mapping[str, str]) -> str:
        """What names the store."""
        return environment.get("NIX_REMOTE", "") if self.store is None else self.store
