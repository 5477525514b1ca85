"""Profiles: a link to the current one of its generations, and how it comes to point at another.

A generation is a link to a store path, and never changes.  Switching is one rename of the profile's link, so at any moment, however
a process dies, the profile leads to the old generation or to the new one.  Whoever changes a profile holds its lock
(`<profile>.lock`, shared with CppNix) while it does; long work comes before that, and is done again if the profile has changed
meanwhile: its `token` tells.

Which profile is the user's own is CppNix 2.8's rule: where `~/.nix-profile` points, which is made to lead to
`profiles/default` (root's) or `profiles/per-user/<user>/profile` in the state folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nivalis.errors import NivalisError
from nivalis.profile.front import front_of, has_front, is_front, update_front
from nivalis.profile.generations import Generation, current_generation, find_generations
from nivalis.store.layout import StoreLayout
from nivalis.store.locks import lock_paths
from nivalis.store.roots import linked_path, replace_symlink, resolve_link

if TYPE_CHECKING:
    from nivalis.store.store import Store

__all__ = ["GenerationError", "Profile", "find_default_profile", "link_default_profile"]


class GenerationError(NivalisError):
    """There is no such generation, or it cannot be removed."""

    default_code = "generation"


class Profile(NamedTuple):
    """A profile; `path` is absolute, and there need not be anything yet."""

    path: Path
    layout: StoreLayout

    @property
    def token(self) -> str:
        """What the link says, empty without one: it is another text after each switch."""
        try:
            return os.readlink(self.path)
        except OSError:
            return ""

    @property
    def environment(self) -> str:
        """What the profile leads to: a store path, or wherever the links end."""
        place = str(self.path)
        for _ in range(40):
            path = _store_path(self.layout, place)
            target = resolve_link(place) if path is None else None
            if target is None:
                return path or place
            place = target
        return place

    def generations(self) -> list[Generation]:
        """All generations, the oldest first."""
        return find_generations(self.path) if self.path.parent.is_dir() else []

    def current(self) -> int | None:
        """The number of the current generation."""
        return current_generation(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the lock; others wait.  To be entered once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with lock_paths([str(self.path)]):
            yield

    def switch_to_path(self, store: Store, target: str, *, expected: str | None = None) -> bool:
        """Make a generation of the valid path `target`, and switch to it; if the newest one is the same, to that.

        With `expected`, a token, nothing is done if the profile has changed since that was read, and the answer is False.
        Raises RootError, InvalidPathError, OSError.
        """
        with self.lock():
            if expected is not None and self.token != expected:
                return False
            self._drop_leftovers()
            newest = max(self.generations(), key=lambda generation: generation.number, default=None)
            if newest is not None and linked_path(self.layout, str(newest.link)) == target:
                self._point_at(newest.link)
                return True
            link = self.path.with_name(f"{self.path.name}-{newest.number + 1 if newest else 1}-link")
            # Below the profiles' folder a link is a root by its place.
            store.add_root(link, target, indirect=not link.is_relative_to(self.layout.profiles_dir))
            self._point_at(link)
            return True

    def switch_to(self, number: int | None = None, *, dry_run: bool = False, on_switch: Callable[[int, int], object] = lambda old, new: None) -> None:
        """Switch to the generation of that number, or to the one before the current.  Raises GenerationError.

        `on_switch` is told the numbers before it is done.
        """
        with self.lock():
            current = self.current()
            generations = self.generations()
            if number is None:
                found = [generation for generation in generations if current is not None and generation.number < current]
            else:
                found = [generation for generation in generations if generation.number == number]
            if not found:
                known = ", ".join(str(generation.number) for generation in generations)
                missing = f"no generation is older than the current one ({current or 0})" if number is None else f"there is no generation {number}"
                raise GenerationError(f"{missing}: `{self.path}`", hint=f"there are the generations {known}" if known else "nothing is installed yet")
            on_switch(current or 0, found[-1].number)
            if not dry_run:
                self._point_at(found[-1].link)

    def remove(
        self,
        numbers: Collection[int],
        *,
        dry_run: bool = False,
        on_remove: Callable[[Generation], object] = lambda _: None,
        before: Callable[[Sequence[Generation]], object] = lambda _: None,
    ) -> None:
        """Remove generations by their numbers; a number that there is not is passed over.  Raises GenerationError for the current one.

        `before` is told all of them before the first is removed; what it raises keeps them.
        """
        with self.lock():
            current = self.current()
            if current in numbers:
                raise GenerationError(f"generation {current} is the current one and stays: `{self.path}`", hint="switch to another one first")
            _remove([one for one in self.generations() if one.number in numbers], dry_run, on_remove, before)

    def keep_last(
        self,
        count: int,
        *,
        dry_run: bool = False,
        on_remove: Callable[[Generation], object] = lambda _: None,
        before: Callable[[Sequence[Generation]], object] = lambda _: None,
    ) -> None:
        """Remove the older generations but for the last `count` up to the current one, as `remove` does.  Raises GenerationError."""
        if count < 1:
            raise GenerationError("at least one generation has to stay: the current one is among them")
        with self.lock():
            current = self.current() or 0
            upto = [one for one in self.generations() if one.number <= current]
            _remove(list(reversed(upto[:-count])), dry_run, on_remove, before)

    def _drop_leftovers(self) -> None:
        """Remove links that a process had not put in their place when it was killed: they would keep what they point at for ever."""
        leftover = re.compile(re.escape(self.path.name) + r"(-[0-9]+-link)?\.tmp-[0-9]+-[0-9a-f]{8}")
        for name in os.listdir(self.path.parent):
            if leftover.fullmatch(name):
                self.path.with_name(name).unlink(missing_ok=True)

    def _point_at(self, link: Path) -> None:
        # The link names its neighbour, so that the folder can be moved.
        replace_symlink(self.path, link.name)
        if has_front(self.layout):
            update_front(self.layout, self.path, self.environment)


def find_default_profile(layout: StoreLayout, environment: dict[str, str], user: str) -> Path:
    """The profile of `user`, and the link that leads there if there is none.

    A store under another root has profiles of its own, which the link at home says nothing about; but the store that a user has who names
    none, on a machine without one, is seen by the profile's front.
    """
    own = layout.profiles_dir / ("default" if user == "root" else f"per-user/{user}/profile")
    home = environment.get("HOME")
    if not home:
        return own
    link = Path(home) / ".nix-profile"
    try:
        if layout.is_moved:
            if layout == StoreLayout.parse("", environment) and not os.path.lexists(link):
                replace_symlink(link, str(front_of(own)))
            return own
        if not os.path.lexists(link):
            replace_symlink(link, str(own))
        if is_front(os.readlink(link)):
            return own
        return Path(os.path.normpath(link.parent / os.readlink(link)))
    except OSError:
        # Something else than a link, or a home that cannot be written.
        return own if layout.is_moved else link


def link_default_profile(environment: dict[str, str], profile: Path) -> None:
    """Make `~/.nix-profile` lead to `profile`.  Raises OSError."""
    link = Path(environment.get("HOME") or "/") / ".nix-profile"
    replace_symlink(link, profile.name if profile.parent == link.parent else str(profile))


def _remove(
    generations: list[Generation], dry_run: bool, on_remove: Callable[[Generation], object], before: Callable[[Sequence[Generation]], object]
) -> None:
    if not dry_run:
        before(generations)
    for generation in generations:
        on_remove(generation)
        if not dry_run:
            generation.link.unlink(missing_ok=True)


def _store_path(layout: StoreLayout, place: str) -> str | None:
    """The store path at a place, which a link in a moved store may name by where it really is."""
    if place.startswith(f"{layout.real_store_dir}/"):
        place = f"{layout.store_dir}{place[len(str(layout.real_store_dir)) :]}"
    return place if layout.is_in_store(place) else None
