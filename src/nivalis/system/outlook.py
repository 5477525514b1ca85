"""What becoming a configuration would take: the plan, and beside it what is built and fetched, how much room that needs, and the boot menu.

Nothing is built or downloaded for it.  The packages are those of the whole closures where the new system is built already; before that, what is
known are the packages that the configuration names, and the derivations that have yet to be built: what becomes a package of Debian's is fetched from
its archive, whose records say how large it is.
"""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nivalis.build.goals import Substituter, Wanted, make_plan
from nivalis.build.settings import BuildSettings
from nivalis.store.closures import diff_closures
from nivalis.store.store import Store
from nivalis.system.configuration import Configuration
from nivalis.system.machine import Machine
from nivalis.system.target import plan as target_plan
from nivalis.system.target.menu import Entry, find_entries
from nivalis.system.target.places import Root
from nivalis.system.target.plan import Plan
from nivalis.system.target.switch import look_at_machine

if TYPE_CHECKING:
    from nivalis.build.goals import Plan as BuildPlan
    from nivalis.debian.snapshot import Snapshot

__all__ = ["Effort", "Outlook", "PackageChange", "look_ahead"]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package in the old and in the new system: its versions, None where it is not in one; and bytes on disk, where they are known."""

    name: str
    old: str | None
    new: str | None
    size_old: int | None = None
    size_new: int | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is to be done: derivations to build, files to fetch, and bytes: to download, needed in the store, free there, free in /boot.

    `needed` is None where the size of something is not known.
    """

    builds: int
    fetches: int
    download: int
    needed: int | None
    store_free: int
    boot_free: int | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """The whole of it; `old` is None where no system runs.  `menu` are the titles of the boot entries after the switch."""

    old: str | None
    new: str
    label: str
    plan: Plan
    packages: tuple[PackageChange, ...]
    effort: Effort
    menu: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it for JSON."""
        plan = self.plan.to_json()
        plan["packages"] = [asdict(one) for one in self.packages]
        return {"old": self.old, "new": self.new, "label": self.label, **plan, "effort": asdict(self.effort), "menu": list(self.menu)}


def look_ahead(
    store: Store, machine: Machine, configuration: Configuration, settings: BuildSettings, substituter: Substituter | None = None
) -> Outlook:
    """Look at the machine, and at what the configuration would make of it.  Raises StoreError, and OSError of the machine's own files."""
    old = machine.current()
    system = machine.read(old)
    # Where no system runs, what does run belongs to none.
    known = look_at_machine(Root(), store.real_path(configuration.toplevel), system, configuration.system) if old is not None else None
    plan = target_plan.make_plan(system, configuration.system, known)
    builds = make_plan(store, [Wanted(configuration.derivation, ("out",))], settings, substituter)
    return Outlook(
        old,
        configuration.toplevel,
        configuration.system.label,
        plan,
        _compare_packages(store, plan, machine, configuration),
        _measure(store, builds, configuration),
        _foresee_menu(machine, configuration),
    )


# ---- packages ----


def _compare_packages(store: Store, plan: Plan, machine: Machine, configuration: Configuration) -> tuple[PackageChange, ...]:
    old = machine.current()
    if old is not None and store.valid_among([old, configuration.toplevel]) == {old, configuration.toplevel}:
        return _compare_closures(store, old, configuration.toplevel)
    return _compare_named(store, plan, machine, configuration)


def _compare_closures(store: Store, old: str, new: str) -> tuple[PackageChange, ...]:
    found = []
    for one in diff_closures(store, old, new).packages:
        # What was only made again is seen in the units, and what has no version is a file of the configuration.
        if one.before != one.after and any((*one.before, *one.after)):
            before, after = (", ".join(version or "-" for version in versions) or None for versions in (one.before, one.after))
            found.append(PackageChange(one.name, before, after, one.size_before or None, one.size_after or None))
    return tuple(found)


def _compare_named(store: Store, plan: Plan, machine: Machine, configuration: Configuration) -> tuple[PackageChange, ...]:
    systems = machine.read(machine.current()), configuration.system
    paths = [{name: package.path for name, package in system.packages.items()} if system else {} for system in systems]
    sizes = {path: info.nar_size for path, info in store.database.infos(store.valid_among({*paths[0].values(), *paths[1].values()})).items()}
    return tuple(
        PackageChange(one.name, one.old, one.new, sizes.get(paths[0].get(one.name, "")), sizes.get(paths[1].get(one.name, "")))
        for one in plan.packages
        if one.old != one.new
    )


# ---- the effort ----


def _measure(store: Store, plan: BuildPlan, configuration: Configuration) -> Effort:
    debs = {goal.derivation.env.get("path", "") for goal in plan.goals.values() if goal.derivation.builder == "builtin:debian-fetch"}
    download, needed = plan.download_size, plan.unpacked_size
    is_known = True
    if debs:
        records = _find_records(configuration.snapshot, debs)
        is_known = len(records) == len(debs)
        download += sum(record["size"] for record in records.values())
        needed += sum(record["size"] + record.get("installedSize", 0) * 1024 for record in records.values())
    return Effort(
        builds=len(plan.goals) - len(debs),
        fetches=len(debs) + len(plan.downloads),
        download=download,
        needed=needed if is_known else None,
        store_free=_free(str(store.layout.real_store_dir)) or 0,
        boot_free=None if configuration.system.boot is None else _free("/boot"),
    )


def _find_records(snapshot: str | None, debs: set[str]) -> Mapping[str, Any]:
    """The records of packages by the place of their files in the archive, as far as the snapshot has them."""
    from nivalis.errors import NivalisError

    found: dict[str, Any] = {}
    opened = _open_snapshot(snapshot)
    if opened is None:
        return found
    for path in debs:
        with suppress(NivalisError):
            record = opened.record(posixpath.basename(path).partition("_")[0])
            if record["filename"] == path:
                found[path] = record
    return found


def _open_snapshot(place: str | None) -> Snapshot | None:
    from nivalis.debian.snapshot import Snapshot
    from nivalis.errors import NivalisError

    with suppress(NivalisError):
        return None if place is None else Snapshot.open(place)
    return None


def _free(folder: str) -> int | None:
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


# ---- the boot menu ----


def _foresee_menu(machine: Machine, configuration: Configuration) -> tuple[str, ...]:
    boot, kernel = configuration.system.boot, configuration.system.kernel
    if boot is None or kernel is None:
        return ()
    entries = find_entries(Root(), boot.configuration_limit)
    own = [one for one in entries if one.profile == machine.profile_name]
    if not own or own[0].toplevel != configuration.toplevel:
        number = own[0].number + 1 if own else 1
        date = time.strftime("%Y-%m-%d")
        new = Entry(machine.profile_name, number, date, configuration.toplevel, configuration.system.label, "", "", kernel.version, ())
        entries = [new, *entries][: max(boot.configuration_limit, 1)]
    return tuple(f"NixOS - {one.title}" for one in entries)
