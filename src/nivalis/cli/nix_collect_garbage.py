"""`nix-collect-garbage`: remove what no root leads to, and on request the old generations of profiles before.

The profiles are those of the store that is collected; for the machine's own store, the user's own (`~/.local/state/nix`) too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nivalis.cli.arguments import UsageError, read_program
from nivalis.cli.failures import run
from nivalis.cli.store_options import StoreOptions, parse_number, print_freed
from nivalis.profile.generations import Generation, find_profiles, remove_old_generations
from nivalis.store.layout import StoreLayout

__all__ = ["main", "nix_collect_garbage"]

_HELP = """\
Usage: nix-collect-garbage [FLAGS]

Removes what no garbage-collector root leads to.

  -d, --delete-old          first remove all old generations of all profiles
  --delete-older-than DAYS  first remove generations older than this (`30d`), but for the one that was in use then
  --max-freed BYTES         stop when so much has been freed
  --dry-run                 remove no generation and nothing else, only say which generations it would be
  --store PLACE             use the store there: a folder, or local?root=...
  -h, --help, --version
"""

_DAY = 24 * 3600


class Options(StoreOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.removes_generations = False
        self.days: int | None = None
        self.max_freed: int | None = None
        self.dry_run = False

    def delete_old(self) -> None:
        self.removes_generations = True

    def delete_older_than(self, text: str) -> None:
        digits = text.removesuffix("d")
        if digits == text or not (digits.isascii() and digits.isdigit()) or int(digits) < 1:
            raise UsageError(f"invalid number of days '{text}'", hint="it looks like `14d`")
        self.removes_generations = True
        self.days = int(digits)

    def set_max_freed(self, text: str) -> None:
        self.max_freed = max(0, parse_number(text, "--max-freed"))


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nix_collect_garbage(sys.argv[1:])))


def nix_collect_garbage(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError, OSError."""
    options = Options()
    own: dict[str, tuple[int, Callable[..., object]]] = {
        "-d": (0, options.delete_old),
        "--delete-old": (0, options.delete_old),
        "--delete-older-than": (1, options.delete_older_than),
        "--max-freed": (1, options.set_max_freed),
        "--dry-run": (0, lambda: setattr(options, "dry_run", True)),
    }
    if not read_program("nix-collect-garbage", _HELP, words, options.flags(own), _refuse_word):
        return 0
    layout = options.layout(os.environ)
    if options.removes_generations:
        _remove_generations(layout, options)
    if options.dry_run:
        return 0
    from nivalis.store import gc

    with options.open(os.environ) as store:
        print_freed(gc.collect(store, options.keep, max_freed=options.max_freed, on_delete=lambda path: sys.stderr.write(f"deleting '{path}'\n")))
    return 0


def _remove_generations(layout: StoreLayout, options: Options) -> None:
    older_than = None if options.days is None else time.time() - options.days * _DAY
    verb = "would remove" if options.dry_run else "removing"

    def say(generation: Generation) -> None:
        sys.stderr.write(f"{verb} generation {generation.number} of profile '{profile}'\n")

    def before(generations: Sequence[Generation]) -> None:
        from nivalis.system.machine import take_from_menu

        take_from_menu(layout, profile, generations)

    for folder in _profile_folders(layout, os.environ):
        for profile in find_profiles(folder):
            remove_old_generations(profile, older_than=older_than, dry_run=options.dry_run, on_remove=say, before=before)


def _profile_folders(layout: StoreLayout, environment: Mapping[str, str]) -> list[Path]:
    folders = [layout.profiles_dir]
    if not layout.is_moved:
        home = environment.get("HOME")
        state = environment.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else None)
        if state is not None:
            folders.append(Path(state) / "nix/profiles")
    return folders


def _refuse_word(word: str) -> None:
    raise UsageError(f"unexpected argument '{word}'")
