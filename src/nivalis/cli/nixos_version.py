"""`nixos-version`: what this machine runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from nivalis.cli.arguments import UsageError, read_program
from nivalis.cli.failures import run
from nivalis.errors import NivalisError

__all__ = ["main", "nixos_version"]

_HELP = """\
Usage: nixos-version [FLAGS]

Prints the version of the running system: the release of Debian, and the day of the snapshot that its packages are from.

  --json                    version, system, kernel and toplevel as JSON
  --hash, --revision        only the hash of the running system's store path
  -h, --help, --version
"""

_CURRENT = "/run/current-system"


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nixos_version(sys.argv[1:])))


def nixos_version(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    asked: list[str] = []
    flags = {flag: (0, lambda name=name: asked.append(name)) for flag, name in (("--json", "json"), ("--hash", "hash"), ("--revision", "hash"))}
    if not read_program("nixos-version", _HELP, words, flags, _refuse_word):
        return 0
    try:
        with open(f"{_CURRENT}/nixos-version", encoding="utf-8") as file:
            version = file.read().strip()
    except FileNotFoundError:
        raise NivalisError("this machine does not run NixOS", code="not-nixos", where=_CURRENT) from None
    toplevel = os.path.realpath(_CURRENT)
    if asked[-1:] == ["hash"]:
        print(os.path.basename(toplevel)[:32])
    elif asked[-1:] == ["json"]:
        with open(f"{_CURRENT}/system.json", encoding="utf-8") as file:
            data = json.load(file)
        kernel = (data.get("kernel") or {}).get("version") or None
        print(json.dumps({"nixosVersion": version, "system": data["system"], "kernelVersion": kernel, "toplevel": toplevel}, indent=2))
    else:
        print(version)
    return 0


def _refuse_word(word: str) -> None:
    raise UsageError(f"unexpected argument '{word}'")
