"""The options' values: defaults, what is configured, and what a command line says, each with the place that it comes from.

What is set later wins; `extra-name` adds to a list.  A value is checked when it is set, so that an error names its place; a name that
is no option is kept aside, for a warning.  The defaults of this machine are found out when they are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from nivalis.settings.errors import SettingError
from nivalis.settings.files import read_configuration
from nivalis.settings.machine import default_text
from nivalis.settings.table import OPTIONS, Option, find_option

__all__ = ["Settings", "Value", "read_settings"]

Value = bool | int | str | list[str] | dict[str, str]

_TRUE = frozenset({"true", "yes", "1"})
_FALSE = frozenset({"false", "no", "0"})
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """What is configured for whoever has this environment.  Raises ConfigurationError, SettingError."""
    settings = Settings(environment)
    for name, text, place in read_configuration(environment):
        # The variable stands above the files, and is understood by whoever evaluates.
        if name not in ("nix-path", "extra-nix-path") or "NIX_PATH" not in environment:
            settings.set(name, text, place)
    return settings


class Settings:
    """The values of all options; without anything set, the defaults.

    Names are options' names.  `unknown` are names that were set and are no option's, with their places.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._texts: dict[str, str] = {}
        self._places: dict[str, tuple[str, ...]] = {}
        self._replaced: set[str] = set()
        self.unknown: dict[str, str] = {}

    def set(self, name: str, text: str, place: str = "") -> bool:
        """Set an option by one of its names, or add to it; whether there is such an option.  Raises SettingError.

        `place` is where that is said, for errors and for whoever asks.
        """
        found = find_option(name)
        if found is None:
            self.unknown.setdefault(name, place)
            return False
        option, adds = found
        _check(option, name, text, place)
        known = option.name
        if adds:
            text = f"{self.text(known)} {text}"
            self._places[known] = (*self._places.get(known, ()), place)
        else:
            self._places[known] = (place,)
            self._replaced.add(known)
        self._texts[known] = _normal(option, text)
        return True

    # ---- to ask ----

    def text(self, name: str) -> str:
        """The value as `nix.conf` would have it."""
        if name in self._texts:
            return self._texts[name]
        option = OPTIONS[name]
        return default_text(name, self._environment) if option.is_machines else option.default

    def switch(self, name: str) -> bool:
        """The value of a switch."""
        # What else a switch can be (`relaxed`) is a way of being on.
        return self.text(name) not in _FALSE

    def number(self, name: str) -> int:
        """The value of a number; `auto` is that of processors."""
        text = self.text(name)
        return os.cpu_count() or 1 if text == "auto" else _parse_number(text)

    def words(self, name: str) -> tuple[str, ...]:
        """The words of a list; those of a set in alphabetical order."""
        return tuple(self.text(name).split())

    def pairs(self, name: str) -> dict[str, str]:
        """What a map's names stand for."""
        return {key: value for key, _, value in (word.partition("=") for word in self.words(name))}

    def value(self, name: str) -> Value:
        """The value as its kind has it."""
        kind = OPTIONS[name].kind
        if kind == "switch":
            return self.switch(name)
        if kind == "number":
            return self.number(name)
        if kind == "map":
            return self.pairs(name)
        return list(self.words(name)) if OPTIONS[name].is_list else self.text(name)

    def is_set(self, name: str) -> bool:
        """Whether something was set, be it only added."""
        return name in self._texts

    def is_replaced(self, name: str) -> bool:
        """Whether something was set in place of the default, rather than added to it."""
        return name in self._replaced

    def places(self, name: str) -> tuple[str, ...]:
        """Where the value comes from: what set it, and what added to it; nothing for a default."""
        return self._places.get(name, ())

    def given(self) -> dict[str, str]:
        """The options that were set, and their values as text."""
        return dict(self._texts)


def _check(option: Option, name: str, text: str, place: str) -> None:
    hint = None
    if text in option.also:
        return
    if option.kind == "switch":
        if text not in _TRUE and text not in _FALSE:
            hint = "it is `true` or `false`"
    elif option.kind == "number":
        digits = text[:-1] if text[-1:].upper() in _UNITS else text
        if not (digits.isascii() and digits.isdigit()):
            hint = "it is a number, with one of the units K, M, G, T or without"
    elif option.kind == "path" and option.default.startswith("/") and not text:
        hint = "it is a path"
    if hint is not None:
        more = "".join(f", or `{word}`" for word in option.also)
        raise SettingError(f"setting `{name}` has an invalid value: `{text}`", where=place or None, hint=hint + more)


def _normal(option: Option, text: str) -> str:
    if option.kind == "switch":
        return text if text in option.also else "true" if text in _TRUE else "false"
    if option.kind == "number":
        return text if text in option.also else str(_parse_number(text))
    if option.kind == "words":
        return " ".join(text.split())
    if option.kind == "set":
        return " ".join(sorted(set(text.split())))
    if option.kind == "map":
        # As with CppNix, a name keeps what it was first given.
        pairs: dict[str, str] = {}
        for word in text.split():
            if "=" in word:
                pairs.setdefault(word.partition("=")[0], word)
        return " ".join(pairs.values())
    return text


def _parse_number(text: str) -> int:
    unit = _UNITS.get(text[-1:].upper(), 1)
    return int(text[:-1] if unit > 1 else text) * unit
