"""What going from one system to another changes: a function of the two, and of what the machine says about itself.

The rules for units are NixOS's, with one difference: NixOS starts every active target again and so runs again whatever is wanted by one, while
here a unit is started only for a reason, which the plan says.

    gone, or masked                              stop
    changed: `reloadIfChanged`, or a mount       reload
    changed: `restartIfChanged = false`          left alone, and said so
    changed: `stopIfChanged` (the default)       stop before the files are replaced, start afterwards
    changed: otherwise                           restart afterwards
    changed, and started by a socket             stop both, start the socket
    new, changed or failed, and wanted           start

The message bus, logind and what a user is logged in by are never stopped or restarted, whatever a module says: that would end the session
which asked for the switch.

A unit that only a package brings has no entry in the data; its file's place in the store stands for its identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from .data import Mount, System, Unit, Wrapper

__all__ = ["Change", "Machine", "Plan", "Running", "Step", "make_plan", "mount_unit"]

_T = TypeVar("_T")


class Step(NamedTuple):
    """Something that is done to a unit, and why."""

    name: str
    why: str


class Change(NamedTuple):
    """Something that is one way before and another after; None where it is not at all."""

    name: str
    old: str | None
    new: str | None


class Running(NamedTuple):
    """What the service manager says of a unit; `oneshot` of a service that does something and ends."""

    state: str
    oneshot: bool = False
    refuses_stop: bool = False

    @property
    def is_active(self) -> bool:
        return self.state in ("active", "activating", "reloading", "refreshing")


class Machine(NamedTuple):
    """What is known of a machine beside the two systems.

    Without `units`, all that the old system wants is taken to run.  `booted` is the system whose kernel runs.  `pending` says what an
    interrupted switch may not have done yet: `start`, `restart` or `reload` by unit.  `shipped` are the units that packages bring,
    with the place of each in the store, in the old and in the new system.
    """

    units: Mapping[str, Running] | None = None
    booted: System | None = None
    pending: Mapping[str, str] = {}
    shipped_old: Mapping[str, str] = {}
    shipped_new: Mapping[str, str] = {}


class Plan(NamedTuple):
    """What will be done; units that are stopped and started again are in `stop` and in `start`.

    `forget` are units that have failed, and are gone or tried again; `reboot` are reasons for a reboot.
    """

    stop: tuple[Step, ...] = ()
    reload: tuple[Step, ...] = ()
    restart: tuple[Step, ...] = ()
    start: tuple[Step, ...] = ()
    forget: tuple[str, ...] = ()
    skip: tuple[Step, ...] = ()
    packages: tuple[Change, ...] = ()
    users: tuple[Change, ...] = ()
    groups: tuple[Change, ...] = ()
    files: tuple[Change, ...] = ()
    mounts: tuple[Change, ...] = ()
    sysctl: tuple[Change, ...] = ()
    wrappers: tuple[Change, ...] = ()
    containers: tuple[Change, ...] = ()
    tmpfiles: bool = False
    reboot: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self)

    def to_json(self) -> dict[str, Any]:
        """All of it for JSON: steps as {name, why}, changes as {name, old, new}."""
        found: dict[str, Any] = {}
        for field, value in zip(self._fields, self, strict=True):
            if isinstance(value, tuple):
                found[field] = [one._asdict() if isinstance(one, (Step, Change)) else one for one in value]
            else:
                found[field] = value
        return found


def make_plan(old: System | None, new: System, machine: Machine | None = None) -> Plan:
    """What going from `old` (None: from nothing) to `new` changes."""
    machine = machine or Machine()
    units = _Units(old, new, machine)
    units.run()
    mounts = _plan_mounts(old, new, machine, units)
    return Plan(
        stop=_steps(units.stop),
        reload=_steps(units.reload),
        restart=_steps(units.restart),
        start=_steps(units.start),
        forget=tuple(units.find_forgotten()),
        skip=_steps(units.skip),
        packages=_changes(old and old.packages, new.packages, lambda one: one.version, ignore=lambda one: one.path),
        users=_changes(old and old.users, new.users, lambda one: _show_fields(one, ("uid", "group", "home", "shell", "description"))),
        groups=_changes(old and old.groups, new.groups, lambda one: _show_fields(one, ("gid", "members"))),
        files=_changes(old and old.etc, new.etc, lambda one: f"{one.source} {one.mode}" if one.is_copy else one.source),
        mounts=mounts,
        sysctl=_changes(old and old.kernel and old.kernel.sysctl, new.kernel.sysctl if new.kernel else {}, str),
        wrappers=_changes(old and old.wrappers, new.wrappers, _describe_wrapper),
        containers=_changes(old and old.containers, new.containers, str),
        tmpfiles=(old.tmpfiles if old else ()) != new.tmpfiles,
        reboot=tuple(_find_reboot_reasons(machine.booted or old, new)) + units.needs_reboot,
    )


def _describe_wrapper(wrapper: Wrapper) -> str:
    text = f"{wrapper.source} {wrapper.owner}:{wrapper.group} {wrapper.mode}"
    return text if wrapper.capabilities is None else f"{text}, capabilities {', '.join(map(str, wrapper.capabilities.permitted))}"


# ---- units ----

# Their end would be that of the session in which the switch was asked for.  Of a template, every instance.
_SACRED = re.compile(
    r"(systemd-logind|user@.*|user-runtime-dir@.*|getty@.*|serial-getty@.*|console-getty|emergency|rescue)\.service"
    r"|session-.*\.scope|init\.scope"
)
_BUSES = ("dbus.service", "dbus-broker.service")
# Active on every machine that has come up; what is taken for so when nobody can be asked.
_USUAL_TARGETS = tuple(f"{name}.target" for name in ("basic", "local-fs", "multi-user", "network", "paths", "sockets", "swap", "sysinit", "timers"))


class _Units:
    """The decisions about units, each by name with its reason."""

    def __init__(self, old: System | None, new: System, machine: Machine) -> None:
        self.stop: dict[str, str] = {}
        self.reload: dict[str, str] = {}
        self.restart: dict[str, str] = {}
        self.start: dict[str, str] = {}
        self.skip: dict[str, str] = {}
        self.needs_reboot: tuple[str, ...] = ()
        self._old = dict(old.units) if old else {}
        self._new = dict(new.units)
        self._places = {mount_unit(one.where) for one in new.mounts} | {mount_unit(one.what, "swap") for one in new.swaps}
        self._machine = machine
        if machine.units is not None:
            self._running = dict(machine.units)
        else:
            wanted = [name for name, unit in self._old.items() if not unit.is_masked and unit.enabled and (unit.wanted_by or unit.required_by)]
            self._running = {name: Running("active") for name in (*wanted, *_USUAL_TARGETS)}

    def is_active(self, name: str) -> bool:
        return name in self._running and self._running[name].is_active

    @property
    def knows_machine(self) -> bool:
        return self._machine.units is not None

    def run(self) -> None:
        for name in sorted(self._running):
            if self.is_active(name):
                self._look_at_active(name)
        self._take_up_pending()
        self._find_starts()

    def find_forgotten(self) -> list[str]:
        """What has failed, and is started again or gone."""
        failed = sorted(name for name, unit in self._running.items() if unit.state == "failed")
        return [name for name in failed if name in self.start or (_find(self._old, name) is not None and not self._is_there(name))]

    def _look_at_active(self, name: str) -> None:
        was, will = _find(self._old, name), _find(self._new, name)
        if will is None and was is None:
            self._look_at_shipped(name)
        elif will is None or (name in self._old and name not in self._new):
            # Of an instance, its template is no reason to go on.
            self._stop(name, "is no longer part of the system")
        elif will.is_masked:
            if was is None or not was.is_masked:
                self._stop(name, "is masked")
        elif was is None or was.is_masked:
            shipped = _find(self._machine.shipped_old, name)
            if shipped is not None and shipped != will.file:
                self._change(name, will, "is now configured by the system")
        elif was.identity != will.identity:
            self._change(name, will, "has changed")
        elif was.reload_triggers != will.reload_triggers:
            self.reload[name] = "what it reads has changed"

    def _look_at_shipped(self, name: str) -> None:
        was, will = (_find(shipped, name) for shipped in (self._machine.shipped_old, self._machine.shipped_new))
        if was is None or was == will or not self._machine.shipped_new:
            return
        if will is None:
            self._stop(name, "comes with no package any more")
        elif name.endswith(".service") and not self._running[name].oneshot:
            self._change(name, Unit(will, "", stop_if_changed=False), "its package has changed")

    def _stop(self, name: str, why: str) -> None:
        if name in _BUSES or _SACRED.fullmatch(name) or self._running[name].refuses_stop:
            self.skip[name] = f"{why}; it stays until the next boot"
        else:
            self.stop[name] = why

    def _change(self, name: str, unit: Unit, why: str) -> None:
        kind = name.rpartition(".")[2]
        if kind in ("target", "slice", "scope", "device"):
            return
        if name in _BUSES or unit.on_change == "reload" or kind == "mount":
            self.reload[name] = why
        elif _SACRED.fullmatch(name):
            self.skip[name] = f"{why}; a restart would end sessions"
        elif unit.on_change == "ignore" or not unit.restart_if_changed or self._running[name].refuses_stop:
            self.skip[name] = why
        elif kind == "socket":
            service = f"{name.removesuffix('.socket')}.service"
            if self.is_active(service):
                self.stop.setdefault(service, f"{name} {why}")
            self.stop[name] = self.start[name] = why
        elif kind != "service" or not unit.stop_if_changed:
            self.restart[name] = why
        else:
            socket = f"{name.removesuffix('.service')}.socket"
            self.stop[name] = why
            if self.is_active(socket) and not unit.not_socket_activated and self._is_there(socket):
                self.stop[socket] = self.start[socket] = f"{name} {why}"
            else:
                self.start[name] = why

    def _take_up_pending(self) -> None:
        why = "a switch was interrupted"
        for name, action in sorted(self._machine.pending.items()):
            if name in self.stop or not self._is_there(name):
                continue
            if not self.is_active(name):
                self.start.setdefault(name, why)
            elif action == "restart":
                self.restart.setdefault(name, why)
            elif action == "reload" and name not in self.restart:
                self.reload.setdefault(name, why)

    def _is_there(self, name: str) -> bool:
        """Whether the new system has a unit."""
        unit = _find(self._new, name)
        return not unit.is_masked if unit is not None else name in self._places or _find(self._machine.shipped_new, name) is not None

    def _find_starts(self) -> None:
        """What is wanted, and is new, has changed or has failed.  What a started unit wants is started too."""
        reasons = {name: why for name, unit in self._new.items() if "@." not in name and (why := self._why_start(name, unit)) is not None}
        waiting = True
        while waiting:
            waiting = False
            for name, why in reasons.items():
                unit = self._new[name]
                if name not in self.start and any(self._will_run(by) for by in (*unit.wanted_by, *unit.required_by)):
                    self.start[name] = why
                    waiting = True

    def _why_start(self, name: str, unit: Unit) -> str | None:
        if unit.is_masked or not unit.enabled or name in self.start or (self.is_active(name) and name not in self.stop):
            return None
        if name in self.stop:
            return self.stop[name]
        was = self._old.get(name)
        if was is None or was.is_masked:
            return "is new"
        if not {*was.wanted_by, *was.required_by} >= {*unit.wanted_by, *unit.required_by}:
            return "is wanted now"
        if was.identity != unit.identity:
            return "has changed"
        if name in self._running and self._running[name].state == "failed":
            return "had failed"
        return None

    def _will_run(self, name: str) -> bool:
        return (self.is_active(name) and name not in self.stop) or name in self.start


def _find(units: Mapping[str, _T], name: str) -> _T | None:
    """The entry of a unit; of an instance without its own, that of its template."""
    if name in units:
        return units[name]
    before, mark, after = name.partition("@")
    return units.get(f"{before}@.{after.rpartition('.')[2]}") if mark else None


# ---- mounts and swap ----

# No running system can do without these.
_ESSENTIAL = frozenset(["/", "/nix", "/nix/store", "/nix/var", "/usr", "/etc", "/var", "/run", "/dev", "/proc", "/sys"])


def mount_unit(path: str, suffix: str = "mount") -> str:
    """The name of the unit of a place or a device (systemd.unit(5), "String Escaping").  Path of `/srv/a-b`: `srv-a\\x2db.mount`."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return f"-.{suffix}"
    escaped = []
    for index, byte in enumerate("/".join(parts).encode()):
        letter = chr(byte)
        if letter == "/":
            escaped.append("-")
        elif (letter.isascii() and (letter.isalnum() or letter in ":_")) or (letter == "." and index > 0):
            escaped.append(letter)
        else:
            escaped.append(f"\\x{byte:02x}")
    return f"{''.join(escaped)}.{suffix}"


def _plan_mounts(old: System | None, new: System, machine: Machine, units: _Units) -> tuple[Change, ...]:
    """The changes, of which `units` gets what is to be done."""
    before = {one.where: one for one in (old.mounts if old else ())}
    after = {one.where: one for one in new.mounts}
    reasons = []
    for where in sorted(before.keys() | after.keys()):
        was, will, name = before.get(where), after.get(where), mount_unit(where)
        if was == will or (was and will and _show_mount(was) == _show_mount(will)):
            continue
        is_mounted = units.is_active(name) if units.knows_machine else was is not None
        is_other = was is None or will is None or (was.what, was.type) != (will.what, will.type)
        if is_other and is_mounted and (where in _ESSENTIAL or (was and was.needed_for_boot) or (will and will.needed_for_boot)):
            reasons.append(f"what is mounted at {where} cannot be replaced while the system runs")
        elif will is None:
            if is_mounted:
                units.stop[name] = "is mounted no longer"
        elif not is_mounted:
            if "noauto" not in will.options:
                units.start[name] = "is new" if was is None else "has changed"
        elif is_other:
            units.stop[name] = units.start[name] = "is another file system now"
        else:
            units.reload[name] = "its options have changed"
    swaps = [{mount_unit(one.what, "swap"): one for one in (system.swaps if system else ())} for system in (old, new)]
    for name in sorted(swaps[0].keys() - swaps[1].keys()):
        if units.is_active(name) or not units.knows_machine:
            units.stop[name] = "is swapped to no longer"
    for name in sorted(swaps[1].keys() - swaps[0].keys()):
        if not units.is_active(name):
            units.start[name] = "is new"
    units.needs_reboot += tuple(reasons)
    shown = [{one.where: one for one in (system.mounts if system else ())} for system in (old, new)]
    return _changes(shown[0], shown[1], _show_mount) + _changes(
        {one.what: one for one in (old.swaps if old else ())}, {one.what: one for one in new.swaps}, lambda one: ",".join(("swap", *one.options))
    )


def _show_mount(one: Mount) -> str:
    return f"{one.what} {one.type} {','.join(one.options) or 'defaults'}"


# ---- the kernel ----


def _find_reboot_reasons(booted: System | None, new: System) -> Iterable[str]:
    if booted is None or booted.kernel is None or new.kernel is None or "kernel" not in new.paths:
        # A container has the kernel of its host.
        return
    if booted.paths.get("kernel") != new.paths.get("kernel"):
        was, will = booted.kernel.version, new.kernel.version
        yield f"the kernel is another: {was} → {will}" if was != will else f"the kernel {will} is another build"
    elif booted.paths.get("modules") != new.paths.get("modules"):
        yield "the kernel's modules are others"
    if booted.kernel.params != new.kernel.params:
        yield f"the kernel's parameters are others: {' '.join(new.kernel.params) or 'none'}"
    banned = sorted(set(new.kernel.blacklist) - set(booted.kernel.blacklist))
    if banned:
        yield f"kernel modules that are loaded stay so: {', '.join(banned)}"
    gone = sorted(booted.kernel.sysctl.keys() - new.kernel.sysctl.keys())
    if gone:
        yield f"the kernel keeps what was set: {', '.join(gone)}"


# ---- what differs ----


def _changes(old: Any, new: Mapping[str, Any], show: Any, ignore: Any = None) -> tuple[Change, ...]:
    """The names at which two mappings differ in what `show` says, or in `ignore`, which is not shown."""
    before: Mapping[str, Any] = old or {}
    found = []
    for name in sorted(before.keys() | new.keys()):
        was, will = before.get(name), new.get(name)
        texts = [None if one is None else show(one) for one in (was, will)]
        hidden = [None if one is None or ignore is None else ignore(one) for one in (was, will)]
        if texts[0] != texts[1] or hidden[0] != hidden[1]:
            found.append(Change(name, *texts))
    return tuple(found)


def _show_fields(one: Any, names: Iterable[str]) -> str:
    shown = []
    for name in names:
        value = getattr(one, name)
        if value not in (None, "", ()):
            shown.append(f"{name} {','.join(value) if isinstance(value, tuple) else value}")
    return ", ".join(shown)


def _steps(found: Mapping[str, str]) -> tuple[Step, ...]:
    return tuple(Step(name, why) for name, why in sorted(found.items()))
