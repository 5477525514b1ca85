"""Switching: a running machine goes from the system it has to another.

    lock, check           nothing has changed yet
    menu                  what is booted next
    note, stop            units that are gone or must not see their files change
    activate              accounts, wrappers, one rename, /etc
    reload, restart, start
    strike off            what the note said

The note (`/run/nixos/switch.json`) is what remains of a switch that was killed: the next one, wherever it goes, starts what this one had
stopped.  It is in /run because a reboot starts everything anyway.

The work is done by a process of its own session and its own scope, so that neither the end of the terminal nor that of sshd ends it; who asked
sees what it writes to the log (`/var/log/nixos-switch.log`), and may go.  The words are NixOS's, for people and scripts know them.

Exit status: 0; 1 nothing was changed; 2 a step of activation failed; 3 a unit could not be reloaded; 4 units failed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from .activate import activate
from .data import DiskFullError, System, TargetError, name_error
from .menu import check_room, write_menu
from .places import BOOTED, CURRENT, Root, say, warn
from .plan import Machine, Plan, Running, Step, make_plan
from .systemd import Manager, find_shipped

__all__ = ["ACTIONS", "LOG", "check_machine", "lock_machine", "look_at_machine", "run_action", "run_detached"]

ACTIONS = ("switch", "boot", "test", "dry-activate", "check", "plan")
LOG = "/var/log/nixos-switch.log"
_FOLDER = "/run/nixos"
_NOTE = f"{_FOLDER}/switch.json"
_LOCK = f"{_FOLDER}/switch.lock"
# Bytes that have to be free for the files in /etc and /var/lib: far more than there are.
_NEEDED = 4 << 20
# Mounts that nobody asked for: by activation, by the manager for a moment, by a login.
_BYWAYS = re.compile(r"run-(wrappers|credentials-.*|user-.*)\.mount|.*\.(scope|device)")


def run_action(root: Root, toplevel: str, action: str) -> int:
    """Do one of ACTIONS with the system at `toplevel`; the exit status.  Raises TargetError, OSError."""
    system = System.read(toplevel)
    if action in ("plan", "dry-activate"):
        old = _read_system(root, CURRENT)
        plan = make_plan(old, system, look_at_machine(root, toplevel, old, system))
        if action == "plan":
            print(json.dumps(plan.to_json(), indent=2))
        else:
            _say_plan(plan, is_other_manager=_is_other_manager(os.path.realpath(root.place(CURRENT)), toplevel))
        return 0
    check_machine(root, system, has_menu=action != "test")
    if action == "check":
        return 0
    with lock_machine(root):
        if action in ("switch", "boot") and system.boot is not None:
            say("updating GRUB 2 menu...")
            write_menu(root, system, root.strip(toplevel))
        return 0 if action == "boot" else _apply(root, toplevel, system)


def check_machine(root: Root, system: System, *, has_menu: bool = True) -> None:
    """Raises TargetError if the machine cannot become this system, or be booted with it by its menu."""
    if root.is_live:
        machine = os.uname().machine
        if system.system.partition("-")[0] != machine:
            raise TargetError(f"the system is for {system.system}, and this machine is {machine}", code="system-architecture")
        if not os.path.exists("/etc/NIXOS"):
            hint = "`nixos-rebuild build` changes nothing; /etc/NIXOS marks a machine that may be changed"
            raise TargetError("this machine does not run NixOS", code="not-nixos", hint=hint)
        if os.geteuid() != 0:
            raise TargetError("only root can switch a machine to another system", code="not-root", hint="use sudo")
    status = os.statvfs(root.folder)
    if status.f_bavail * status.f_frsize < _NEEDED:
        raise DiskFullError
    if system.boot is not None and has_menu:
        check_room(root, [system], system.boot)


def look_at_machine(root: Root, toplevel: str, old: System | None, new: System) -> Machine:
    """What is known of the machine for a plan from `old` to `new`, the system of `toplevel`, which need not be built yet."""
    farm = f"{toplevel}/sw"
    farms = [f"{os.path.realpath(root.place(CURRENT))}/sw", farm if os.path.exists(farm) else new.paths.get("sw", "")]
    shipped = find_shipped(farms[0])
    is_same = all(map(os.path.exists, farms)) and os.path.samefile(*farms)
    manager = Manager(toplevel) if _has_manager(root) else None
    machine = Machine(
        units=manager.list_units() if manager is not None else None if root.is_live else {},
        booted=_read_system(root, BOOTED),
        pending=_read_note(root),
        shipped_old=shipped,
        shipped_new=shipped if is_same else find_shipped(farms[1]),
    )
    if manager is None or machine.units is None:
        return machine
    # What is not known yet can only spare a unit.
    plan = make_plan(old, new, machine)
    touched = _names((*plan.stop, *plan.reload, *plan.restart, *plan.start, *plan.skip))
    return machine._replace(units=manager.examine(machine.units, touched))


def _has_manager(root: Root) -> bool:
    return root.is_live and os.path.isdir("/run/systemd/system")


def _read_system(root: Root, path: str) -> System | None:
    target = root.read_link(path)
    if target is None:
        return None
    try:
        return System.read(target)
    except (TargetError, OSError) as error:
        warn(f"the system that `{path}` leads to cannot be read, so all units count as new: {error}")
        return None


# ---- doing it ----


def _apply(root: Root, toplevel: str, system: System) -> int:
    old = _read_system(root, CURRENT)
    machine = look_at_machine(root, toplevel, old, system)
    if machine.pending:
        say("taking up a switch that was interrupted...")
    plan = make_plan(old, system, machine)
    manager = Manager(toplevel) if _has_manager(root) else None
    status = 0
    root.make_folder(_FOLDER)
    root.write_file(_NOTE, json.dumps({"to": toplevel, "pending": _pending_of(plan, machine.pending)}).encode())
    _say_units("stopping the following units", plan.stop)
    if manager is not None and not manager.do("stop", _names(plan.stop)):
        warn("not all of them could be stopped")
    _say_units("NOT restarting the following changed units", plan.skip)
    say("activating the configuration...")
    before = os.path.realpath(root.place(CURRENT))
    try:
        if not activate(root, toplevel, system, old):
            status = 2
    except OSError as error:
        if os.path.realpath(root.place(CURRENT)) != toplevel:
            # It is the old system still, and what was stopped belongs to it.
            if manager is not None:
                manager.do("start", _names(plan.stop))
            raise
        say(str(name_error(error)))
        status = 2
    if manager is not None:
        status = _tell_manager(manager, plan, machine, before) or status
    root.remove(_NOTE)
    for reason in plan.reboot:
        say(f"a reboot is needed: {reason}")
    return status


def _tell_manager(manager: Manager, plan: Plan, machine: Machine, before: str) -> int:
    """Have units be as planned; 0, 3 or 4."""
    status = 0
    is_other = _is_other_manager(before, manager.toplevel)
    if is_other:
        say("restarting systemd...")
    if (before != manager.toplevel or machine.pending) and not manager.reload_manager(again=is_other):
        status = 3
    farms = [os.path.realpath(f"{toplevel}/sw") for toplevel in (before, manager.toplevel)]
    # Packages bring such files, too.
    if plan.tmpfiles or farms[0] != farms[1]:
        manager.make_temporary_files()
    manager.forget_failures(plan.forget)
    _say_units("reloading the following units", plan.reload)
    if not manager.do("reload", _names(plan.reload)):
        status = 3
    _say_units("restarting the following units", plan.restart)
    manager.do("restart", _names(plan.restart))
    known = machine.units or {}
    _say_units("starting the following units", [step for step in plan.start if step.name in known or step.why != "is new"])
    manager.do("start", _names(plan.start))
    manager.wait_for_rest(_names((*plan.restart, *plan.start)))
    return _report(manager, plan, known) or status


def _is_other_manager(before: str, after: str) -> bool:
    """Whether the service manager of two toplevels is not the same."""
    programs = [os.path.realpath(f"{toplevel}/sw/usr/lib/systemd/systemd") for toplevel in (before, after)]
    return programs[0] != programs[1] and os.path.exists(programs[1])


def _report(manager: Manager, plan: Plan, before: Mapping[str, Running]) -> int:
    after = manager.list_units()
    touched = _names((*plan.reload, *plan.restart, *plan.start))
    started, failed = [], []
    for name, unit in sorted(after.items()):
        was = before.get(name, Running("inactive"))
        if unit.state == "failed" and (name in touched or was.state != "failed"):
            failed.append(name)
        elif unit.is_active and not was.is_active and not _BYWAYS.fullmatch(name):
            started.append(name)
    if started:
        say(f"the following new units were started: {', '.join(started)}")
    if not failed:
        return 0
    warn(f"the following units failed: {', '.join(failed)}")
    manager.show_status(failed)
    return 4


def _pending_of(plan: Plan, before: Mapping[str, str]) -> dict[str, str]:
    """What the next switch has to see to; that what is stopped for good stays so is for it to say, since it may go back."""
    pending = dict(before)
    for action, steps in (("start", plan.stop), ("reload", plan.reload), ("restart", plan.restart), ("start", plan.start)):
        pending |= dict.fromkeys(_names(steps), action)
    return pending


def _read_note(root: Root) -> dict[str, str]:
    try:
        found: Any = json.loads(root.read(_NOTE) or "{}")
        return {str(name): str(action) for name, action in found.get("pending", {}).items()}
    except (ValueError, AttributeError):
        return {}


@contextmanager
def lock_machine(root: Root) -> Iterator[None]:
    """Be the only one who changes the machine.  Raises TargetError while another one does."""
    root.make_folder(_FOLDER)
    descriptor = os.open(root.place(_LOCK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetError("another switch is going on", code="switch-busy", hint=f"`tail -f {LOG}` shows how far it is") from None
        yield
    finally:
        os.close(descriptor)


# ---- words ----


def _names(steps: Iterable[Step]) -> set[str]:
    return {step.name for step in steps}


def _say_units(text: str, steps: Collection[Step]) -> None:
    if steps:
        say(f"{text}: {', '.join(sorted(_names(steps)))}")


def _say_plan(plan: Plan, *, is_other_manager: bool) -> None:
    would = "would "
    _say_units(f"{would}stop the following units", plan.stop)
    _say_units(f"{would}NOT stop the following changed units", plan.skip)
    say(f"{would}activate the configuration...")
    for kind, changes in (("user", plan.users), ("group", plan.groups)):
        for change in changes:
            if change.new is None:
                say(f"{would}remove {kind} ‘{change.name}’")
    if is_other_manager:
        say(f"{would}restart systemd")
    _say_units(f"{would}reload the following units", plan.reload)
    _say_units(f"{would}restart the following units", plan.restart)
    _say_units(f"{would}start the following units", plan.start)
    for reason in plan.reboot:
        say(f"a reboot {would}be needed: {reason}")


# ---- apart from whoever asked ----


def run_detached(work: Any) -> int:
    """Run `work`, which gives an exit status, in a process that outlives this one; its status, if this one lives to see it.

    What it writes goes to the log, and from there to stderr.  Raises TargetError while another one runs, whose log it is then.
    """
    with lock_machine(Root()):
        pass
    with suppress(OSError):
        os.rename(LOG, f"{LOG}.1")
    log = os.open(LOG, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.setsid()
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            _enter_scope()
            status = work()
        except (TargetError, OSError) as error:
            say(str(name_error(error) if isinstance(error, OSError) else error))
        except BaseException as error:
            say(f"error[internal-bug]: {type(error).__name__}: {error}")
        finally:
            os._exit(status)
    os.close(log)
    return _follow(process)


def _enter_scope() -> None:
    """Leave the control group of the session: it goes when the session goes, with all that is in it."""
    if not os.path.isdir("/run/systemd/system"):
        return
    name = f"nixos-switch-{os.getpid()}.scope"
    words = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit"]
    arguments = ["ssa(sv)a(sa(sv))", name, "fail", "1", "PIDs", "au", "1", str(os.getpid()), "0"]
    with suppress(OSError):
        subprocess.run(
            [Manager(os.path.realpath(CURRENT)).program("busctl"), "--quiet", "call", *words, *arguments], check=False, stderr=subprocess.DEVNULL
        )


def _follow(process: int) -> int:
    try:
        with open(LOG, "rb") as log:
            while True:
                ended, status = os.waitpid(process, os.WNOHANG)
                while data := log.read(1 << 16):
                    sys.stderr.buffer.write(data)
                    sys.stderr.buffer.flush()
                if ended:
                    return os.waitstatus_to_exitcode(status)
                time.sleep(0.03)
    except KeyboardInterrupt:
        say(f"the switch goes on; `{LOG}` says how it ends")
        return 130
