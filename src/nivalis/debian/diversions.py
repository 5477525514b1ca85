"""Files of others that a package puts aside, to have its own in their place: a newer `shasum` than Perl's.

On Debian a package's `preinst` says so to `dpkg-divert` (dpkg-divert(1)), after which the file of every other package comes under the other name.
What is said is read (`nivalis.debian.scripts`), and in a farm it holds where both packages have the file.
"""

from __future__ import annotations

from nivalis.debian.scripts import is_plain, read_commands

__all__ = ["parse_diversions"]

_WITH_VALUE = frozenset({"--admindir", "--divert", "--instdir", "--package", "--root"})
_OTHER_ACTIONS = frozenset({"--list", "--listpackage", "--remove", "--truename"})


def parse_diversions(script: str) -> list[tuple[str, str]]:
    """The diversions that a maintainer script adds by commands whose words are known: absolute paths, from and to."""
    found = []
    for words in read_commands(script, "dpkg-divert"):
        options: dict[str, str] = {}
        paths: list[str] = []
        rest = iter(words)
        for word in rest:
            if not word.startswith("--"):
                paths.append(word)
            elif word in _WITH_VALUE:
                options[word] = next(rest, "")
            else:
                name, _, value = word.partition("=")
                options[name] = value
        if len(paths) == 1 and _OTHER_ACTIONS.isdisjoint(options):
            pair = paths[0], options.get("--divert", f"{paths[0]}.distrib")
            if all(map(is_plain, pair)):
                found.append(pair)
    return found
