"""Generations of a profile: the links `<profile>-<number>-link` beside it, of which the profile itself names the current one.

The format is CppNix's, and so is the lock (`<profile>.lock`) that whoever changes a profile holds.  The current generation is never removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nivalis.store.locks import lock_paths

__all__ = ["Generation", "current_generation", "find_generations", "find_profiles", "remove_old_generations"]


class Generation(NamedTuple):
    """One generation; `created` is in seconds since the epoch."""

    number: int
    link: Path
    created: float


def find_generations(profile: Path) -> list[Generation]:
    """All generations, the oldest first."""
    found = []
    for name in os.listdir(profile.parent):
        number = _number_in(profile.name, name)
        if number is not None:
            link = profile.parent / name
            with suppress(FileNotFoundError):
                found.append(Generation(number, link, link.lstat().st_mtime))
    return sorted(found, key=lambda generation: generation.number)


def current_generation(profile: Path) -> int | None:
    """The number of the generation that the profile is at."""
    try:
        return _number_in(profile.name, os.path.basename(os.readlink(profile)))
    except OSError:
        return None


def find_profiles(folder: Path) -> Iterator[Path]:
    """The profiles in `folder` and below whose generations this user may remove."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, PermissionError):
        return
    is_writable = os.access(folder, os.W_OK)
    for entry in entries:
        if entry.is_symlink():
            with suppress(FileNotFoundError):
                if is_writable and "link" in os.readlink(entry.path):
                    yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from find_profiles(Path(entry.path))


def remove_old_generations(
    profile: Path,
    *,
    older_than: float | None = None,
    dry_run: bool = False,
    on_remove: Callable[[Generation], object] = lambda generation: None,
    before: Callable[[Sequence[Generation]], object] = lambda generations: None,
) -> list[Generation]:
    """Remove all generations but the current one; those that were removed.

    With `older_than` (seconds since the epoch) the profile can still be taken back to what it was at that moment: of the older generations
    the newest stays too.  With `dry_run` nothing is removed.  `before` is told all of them before the first is; what it raises keeps them.
    """
    with lock_paths([str(profile)]):
        removed = []
        is_old_enough = older_than is None
        current = current_generation(profile)
        for generation in reversed(find_generations(profile)):
            if not is_old_enough:
                is_old_enough = older_than is not None and generation.created < older_than
            elif generation.number != current:
                removed.append(generation)
        removed.sort(key=lambda generation: generation.number)
        if not dry_run:
            before(removed)
        for generation in removed:
            on_remove(generation)
            if not dry_run:
                generation.link.unlink(missing_ok=True)
        return removed


def _number_in(profile: str, name: str) -> int | None:
    match = re.fullmatch(re.escape(profile) + r"-([0-9]{1,18})-link", name)
    return int(match[1]) if match else None
