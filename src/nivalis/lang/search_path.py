"""Search paths: what `<name>` looks through, as NIX_PATH and `-I` spell it.

An entry is `prefix=place` or just `place`; a place is a folder, a file, or an address (`https://…`, `channel:…`) that is fetched
when it is needed.  The format, and which words make an address, are CppNix's (`nix-path` in nix.conf's manual).

Nothing is read here: whether a place exists is asked when a name is looked up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["SearchEntry", "default_search_path", "default_search_places", "is_address", "parse_nix_path"]

_SCHEMES = frozenset({"http", "https", "file", "channel", "git", "s3", "ssh"})


def is_address(text: str) -> bool:
    """Whether a place is something to fetch rather than a file name."""
    if text.startswith("channel:"):
        return True
    scheme, found, _ = text.partition("://")
    return bool(found) and scheme in _SCHEMES


class SearchEntry(NamedTuple):
    """One entry: names that begin with `prefix` (any, if it is empty) are looked for in `place`."""

    prefix: str
    place: str

    @classmethod
    def parse(cls, text: str) -> SearchEntry:
        prefix, found, place = text.partition("=")
        return cls(prefix, place) if found else cls("", text)

    def resolved(self, folder: str) -> SearchEntry:
        """With a relative place made absolute, from `folder`."""
        if is_address(self.place) or self.place.startswith("flake:"):
            return self
        return SearchEntry(self.prefix, os.path.normpath(os.path.join(folder, self.place)))


def parse_nix_path(text: str) -> list[SearchEntry]:
    """The entries of NIX_PATH, between which colons stand; the colon in an address is none of them."""
    entries: list[str] = []
    rest = text
    while rest:
        entry, _, after = rest.partition(":")
        # The place begins after the last `=` so far; if an address begins there, its next colon belongs to it.
        place = len(entry) - len(entry.rpartition("=")[2])
        if len(entry) < len(rest) and (is_address(rest[place:]) or rest.startswith("flake:", place)):
            more, _, after = after.partition(":")
            entry = f"{entry}:{more}"
        entries.append(entry)
        rest = after
    return [SearchEntry.parse(entry) for entry in entries]


def default_search_path(environment: Mapping[str, str], state_dir: str) -> list[SearchEntry]:
    """What is looked through where NIX_PATH is not set: the channels of the user and of root, as far as they exist."""
    return [entry for entry in default_search_places(environment, state_dir) if os.path.exists(entry.place)]


def default_search_places(environment: Mapping[str, str], state_dir: str) -> list[SearchEntry]:
    """The places of `default_search_path`, whether they exist or not."""
    home = environment.get("HOME") or "/"
    channels = os.path.join(state_dir, "profiles/per-user/root/channels")
    return [
        SearchEntry("", os.path.join(home, ".nix-defexpr/channels")),
        SearchEntry("nixpkgs", os.path.join(channels, "nixpkgs")),
        SearchEntry("", channels),
    ]
