"""The machine that this runs on: which system it has, its generations, and starting the programs that change it.

Setting the profile and switching are two steps, each whole: the profile names the generation that boots, the switch makes the running machine
that.  Before either, the new system's own `check` says whether the machine can become it at all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nivalis.profile.generations import Generation
from nivalis.profile.profiles import Profile
from nivalis.store.layout import StoreLayout
from nivalis.store.roots import linked_path
from nivalis.store.store import Store
from nivalis.system.errors import MachineError, from_target
from nivalis.system.target.data import System, TargetError
from nivalis.system.target.places import BOOTED, CURRENT

__all__ = ["Machine", "SystemGeneration", "take_from_menu"]

_PROGRAM = "bin/switch-to-configuration"


@dataclass(frozen=True, slots=True)
class SystemGeneration:
    """One generation of a machine; `created` is in seconds since the epoch.  Of one that cannot be read, only the number is known."""

    number: int
    created: float
    label: str
    kernel: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, with the store at `layout`; `profile_name` is one of `system-profiles`, or empty for the system's own."""

    layout: StoreLayout
    profile_name: str = ""

    @property
    def profile(self) -> Profile:
        if not self.profile_name:
            return Profile(self.layout.profiles_dir / "system", self.layout)
        return Profile(self.layout.profiles_dir / "system-profiles" / self.profile_name, self.layout)

    def current(self) -> str | None:
        """The toplevel that the machine is switched to; None where none is."""
        return linked_path(self.layout, CURRENT)

    def booted(self) -> str | None:
        """The toplevel that it was booted with."""
        return linked_path(self.layout, BOOTED)

    def read(self, toplevel: str | None) -> System | None:
        """The data of a toplevel; None of one that is no system of this kind."""
        if toplevel is None:
            return None
        try:
            return System.read(self.layout.real_path(toplevel))
        except (TargetError, OSError):
            return None

    def generations(self) -> list[SystemGeneration]:
        """All generations, the oldest first."""
        current = self.profile.current()
        found = []
        for one in self.profile.generations():
            system = self.read(linked_path(self.layout, str(one.link)))
            kernel = system.kernel.version if system is not None and system.kernel is not None else ""
            found.append(SystemGeneration(one.number, one.created, system.label if system else "", kernel, one.number == current))
        return found

    def previous(self) -> str:
        """The toplevel of the generation before the current one.  Raises MachineError."""
        current = self.profile.current() or 0
        older = [one for one in self.profile.generations() if one.number < current]
        path = linked_path(self.layout, str(older[-1].link)) if older else None
        if path is None:
            raise MachineError(f"no generation is older than the current one ({current}): `{self.profile.path}`", code="generation")
        return path

    # ---- changing it ----

    def check(self, toplevel: str, action: str) -> None:
        """Raises MachineError if the machine cannot become the built system `toplevel`; nothing has been changed then."""
        from nivalis.system.target.places import Root
        from nivalis.system.target.switch import check_machine

        if self.layout.is_moved:
            message = f"a machine runs from its own store, and this one is elsewhere: `{self.layout.real_store_dir}`"
            raise MachineError(message, code="moved-store", hint="`nix-build` and `nixos-rebuild build` work with any store")
        try:
            check_machine(Root(), System.read(self.layout.real_path(toplevel)), has_menu=action != "test")
        except TargetError as error:
            raise from_target(error) from None

    def run(self, toplevel: str, words: Sequence[str]) -> int:
        """Run the program of a toplevel that switches to it; its exit status."""
        return subprocess.run([f"{self.layout.real_path(toplevel)}/{_PROGRAM}", *words], check=False).returncode

    def switch(self, store: Store, toplevel: str, action: str) -> int:
        """Make a generation, unless `action` is `test`, and the machine what it says; the exit status of doing so.  Raises MachineError."""
        self.check(toplevel, action)
        if action != "test":
            self.profile.switch_to_path(store, toplevel)
        return self.run(toplevel, [action])

    def roll_back(self, action: str, on_switch: Callable[[int, int], object]) -> int:
        """Go back to the generation before; as `switch`.  Raises MachineError, GenerationError."""
        toplevel = self.previous()
        self.check(toplevel, action)
        if action != "test":
            self.profile.switch_to(on_switch=on_switch)
        return self.run(toplevel, [action])


def take_from_menu(layout: StoreLayout, profile: Path, generations: Sequence[Generation]) -> None:
    """Have a boot menu written without generations that are about to be removed, and have it on the disk.

    To be called before they are: an entry whose system has been collected does not boot.  Of profiles that are no system's, nothing is done.
    Raises MachineError, and nothing must be removed then.
    """
    is_system = profile == layout.profiles_dir / "system" or profile.parent == layout.profiles_dir / "system-profiles"
    if not generations or not is_system or layout.is_moved:
        return
    # The system that boots knows how; where all systems have other profiles, that of this one.
    places = (f"{Profile(place, layout).environment}/{_PROGRAM}" for place in (layout.profiles_dir / "system", profile))
    program = next((place for place in places if os.path.exists(place)), None)
    if program is None:
        return
    done = subprocess.run([program, "menu", *(str(one.link) for one in generations)], check=False)
    if done.returncode:
        raise MachineError("the boot menu could not be written without the generations, so they stay", code="boot-menu")
