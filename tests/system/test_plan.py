"""What a plan says of pairs of small systems: units and the reasons, accounts, mounts, the kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nivalis.system.target.data import DataError, System
from nivalis.system.target.plan import Machine, Plan, Running, make_plan, mount_unit
from system_data import make_data, make_system

WANTED = {"wantedBy": ["multi-user.target"]}
ACTIVE = Running("active")
TARGETS = {"multi-user.target": ACTIVE, "sockets.target": ACTIVE, "timers.target": ACTIVE}


def _plan(old: dict[str, Any], new: dict[str, Any], machine: dict[str, Running] | None = None, **known: Any) -> Plan:
    """The plan between systems of these units; what is not said of the machine is that all old units run."""
    running = dict.fromkeys(old, ACTIVE) if machine is None else machine
    return make_plan(make_system(units=old), make_system(units=new), Machine({**TARGETS, **running}, **known))


def _names(plan: Plan) -> dict[str, list[str]]:
    """What is done to units, without what is empty."""
    found = {verb: [step.name for step in getattr(plan, verb)] for verb in ("stop", "reload", "restart", "start", "skip")}
    return {verb: names for verb, names in found.items() if names}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"a.service": WANTED}, {"a.service": WANTED}, {}, id="unchanged"),
        pytest.param({}, {"a.service": WANTED}, {"start": ["a.service"]}, id="new"),
        pytest.param({}, {"a.service": {}}, {}, id="new-and-wanted-by-nobody"),
        pytest.param({}, {"a.service": {"wantedBy": ["sleep.target"]}}, {}, id="new-and-wanted-by-what-does-not-run"),
        pytest.param({}, {"a.service": {**WANTED, "enabled": False}}, {}, id="new-and-not-enabled"),
        pytest.param({}, {"a.service": {**WANTED, "file": None}}, {}, id="new-and-masked"),
        pytest.param({}, {"a.service": {"wantedBy": ["b.service"]}, "b.service": WANTED}, {"start": ["a.service", "b.service"]}, id="chain"),
        pytest.param({"a.service": WANTED}, {}, {"stop": ["a.service"]}, id="gone"),
        pytest.param({"a.service": WANTED}, {"a.service": {**WANTED, "file": None}}, {"stop": ["a.service"]}, id="masked"),
        pytest.param({"a.service": WANTED}, {"a.service": {**WANTED, "enabled": False}}, {}, id="wanted-no-longer"),
        pytest.param(
            {"a.service": WANTED}, {"a.service": {**WANTED, "identity": "2"}}, {"stop": ["a.service"], "start": ["a.service"]}, id="changed"
        ),
        pytest.param({"a.service": {}}, {"a.service": {"identity": "2"}}, {"stop": ["a.service"], "start": ["a.service"]}, id="changed-unwanted"),
        pytest.param(
            {"a.service": WANTED}, {"a.service": {**WANTED, "identity": "2", "stopIfChanged": False}}, {"restart": ["a.service"]}, id="restart"
        ),
        pytest.param({"a.service": WANTED}, {"a.service": {**WANTED, "identity": "2", "onChange": "reload"}}, {"reload": ["a.service"]}, id="reload"),
        pytest.param(
            {"a.service": WANTED}, {"a.service": {**WANTED, "identity": "2", "restartIfChanged": False}}, {"skip": ["a.service"]}, id="left-alone"
        ),
        pytest.param({"a.service": WANTED}, {"a.service": {**WANTED, "identity": "2", "onChange": "ignore"}}, {"skip": ["a.service"]}, id="ignored"),
        pytest.param({"a.service": WANTED}, {"a.service": {**WANTED, "reloadTriggers": "x"}}, {"reload": ["a.service"]}, id="reload-trigger"),
        pytest.param({"a.timer": WANTED}, {"a.timer": {**WANTED, "identity": "2"}}, {"restart": ["a.timer"]}, id="timer"),
        pytest.param({"a.target": WANTED}, {"a.target": {**WANTED, "identity": "2"}}, {}, id="target"),
        pytest.param({"srv.mount": {}}, {"srv.mount": {"identity": "2"}}, {"reload": ["srv.mount"]}, id="mount"),
        pytest.param({"dbus.service": {}}, {"dbus.service": {"identity": "2"}}, {"reload": ["dbus.service"]}, id="bus"),
        pytest.param(
            {"systemd-logind.service": {}}, {"systemd-logind.service": {"identity": "2"}}, {"skip": ["systemd-logind.service"]}, id="logind"
        ),
        pytest.param({"systemd-logind.service": {}}, {}, {"skip": ["systemd-logind.service"]}, id="logind-gone"),
        pytest.param(
            {"a.service": {}, "a.socket": {}},
            {"a.service": {"identity": "2"}, "a.socket": {}},
            {"stop": ["a.service", "a.socket"], "start": ["a.socket"]},
            id="started-by-a-socket",
        ),
        pytest.param(
            {"a.service": {}, "a.socket": {}},
            {"a.service": {}, "a.socket": {"identity": "2"}},
            {"stop": ["a.service", "a.socket"], "start": ["a.socket"]},
            id="socket",
        ),
        pytest.param(
            {"a.service": {}, "a.socket": {}},
            {"a.service": {**WANTED, "identity": "2"}},
            {"stop": ["a.service", "a.socket"], "start": ["a.service"]},
            id="no-socket-any-more",
        ),
        pytest.param(
            {"a.service": WANTED, "a.socket": {}},
            {"a.service": {**WANTED, "identity": "2"}, "a.socket": {}},
            {"stop": ["a.service", "a.socket"], "start": ["a.service", "a.socket"]},
            id="started-by-a-socket-and-wanted",
        ),
        pytest.param(
            {"a.service": {}, "a.socket": {}},
            {"a.service": {"identity": "2", "notSocketActivated": True}, "a.socket": {}},
            {"stop": ["a.service"], "start": ["a.service"]},
            id="not-by-its-socket",
        ),
    ],
)
def test_units(old: dict[str, Any], new: dict[str, Any], expected: dict[str, list[str]]) -> None:
    assert _names(_plan(old, new)) == expected


@pytest.mark.parametrize(
    ("state", "new", "expected"),
    [
        ("inactive", {"identity": "1"}, {}),
        ("inactive", {"identity": "2"}, {"start": ["a.service"]}),
        ("failed", {"identity": "1"}, {"start": ["a.service"]}),
        ("activating", {"identity": "2"}, {"stop": ["a.service"], "start": ["a.service"]}),
    ],
)
def test_unit_that_does_not_run(state: str, new: dict[str, Any], expected: dict[str, list[str]]) -> None:
    plan = _plan({"a.service": WANTED}, {"a.service": {**WANTED, **new}}, {"a.service": Running(state)})
    assert _names(plan) == expected


def test_failures_of_what_is_gone_are_forgotten() -> None:
    failed = Running("failed")
    plan = _plan(
        {"a.service": WANTED, "b.service": WANTED}, {"b.service": WANTED}, {"a.service": failed, "b.service": failed, "else.service": failed}
    )
    assert plan.forget == ("a.service", "b.service")


def test_what_is_wanted_now_is_started() -> None:
    assert _names(_plan({"a.service": {}}, {"a.service": WANTED}, {})) == {"start": ["a.service"]}


def test_instances_follow_their_template() -> None:
    running = {"a@one.service": ACTIVE, "a@two.service": ACTIVE}
    plan = _plan({"a@.service": {}}, {"a@.service": {"identity": "2"}}, running)
    assert _names(plan) == {"stop": [*running], "start": [*running]}
    assert _names(_plan({"a@.service": {}}, {}, running)) == {"stop": [*running]}
    # One that was declared itself goes when it is declared no more.
    assert _names(_plan({"a@.service": {}, "a@one.service": {}}, {"a@.service": {}}, running)) == {"stop": ["a@one.service"]}


def test_what_cannot_be_stopped_is_left() -> None:
    plan = _plan({"a.service": {}}, {"a.service": {"identity": "2"}}, {"a.service": Running("active", refuses_stop=True)})
    assert _names(plan) == {"skip": ["a.service"]}


def test_reasons_are_said() -> None:
    plan = _plan({"a.service": WANTED, "b.service": WANTED}, {"a.service": {**WANTED, "identity": "2"}, "c.service": WANTED})
    assert plan.stop == (("a.service", "has changed"), ("b.service", "is no longer part of the system"))
    assert plan.start == (("a.service", "has changed"), ("c.service", "is new"))


def test_units_that_only_packages_bring() -> None:
    old = {"x.service": "/nix/store/1/x.service", "y.service": "/nix/store/1/y.service", "once.service": "/1", "same.service": "/1"}
    new = {"x.service": "/nix/store/2/x.service", "once.service": "/2", "same.service": "/1"}
    running = {
        "x.service": ACTIVE,
        "y.service": ACTIVE,
        "once.service": Running("active", oneshot=True),
        "same.service": ACTIVE,
        "other.service": ACTIVE,
    }
    plan = _plan({}, {}, running, shipped_old=old, shipped_new=new)
    assert _names(plan) == {"restart": ["x.service"], "stop": ["y.service"]}


def test_a_unit_of_a_package_comes_under_the_systems_rule() -> None:
    new = {"x.service": {"file": "/nix/store/own/x.service", **WANTED}}
    plan = _plan({}, new, {"x.service": ACTIVE}, shipped_old={"x.service": "/nix/store/1/x.service"})
    assert _names(plan) == {"stop": ["x.service"], "start": ["x.service"]}
    new["x.service"]["file"] = "/nix/store/1/x.service"
    assert _names(_plan({}, new, {"x.service": ACTIVE}, shipped_old={"x.service": "/nix/store/1/x.service"})) == {}


@pytest.mark.parametrize(
    ("pending", "state", "expected"),
    [
        ("start", "inactive", {"start": ["a.service"]}),
        ("start", "active", {}),
        ("restart", "active", {"restart": ["a.service"]}),
        ("restart", "inactive", {"start": ["a.service"]}),
        ("reload", "active", {"reload": ["a.service"]}),
    ],
)
def test_an_interrupted_switch_is_taken_up(pending: str, state: str, expected: dict[str, list[str]]) -> None:
    plan = _plan({"a.service": WANTED}, {"a.service": WANTED}, {"a.service": Running(state)}, pending={"a.service": pending})
    assert _names(plan) == expected


def test_what_an_interrupted_switch_stopped_and_is_no_more_stays_stopped() -> None:
    assert _names(_plan({}, {}, {}, pending={"a.service": "start", "srv.mount": "start"})) == {}


def test_without_a_machine_all_that_is_wanted_runs() -> None:
    old, new = make_system(units={"a.service": WANTED, "b.service": {}}), make_system(units={"c.service": WANTED})
    assert _names(make_plan(old, new)) == {"stop": ["a.service"], "start": ["c.service"]}


def test_from_nothing() -> None:
    plan = make_plan(None, make_system(units={"a.service": WANTED}, users={"users": {"me": {"group": "users", "uid": 1000}}}))
    assert _names(plan) == {"start": ["a.service"]}
    assert plan.users == (("me", None, "uid 1000, group users, home /var/empty, shell /usr/sbin/nologin"),)


# ---------------------------------------------------------------------------------------------------- everything else


def _mount(where: str, what: str = "/dev/vdb", options: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    return {"where": where, "what": what, "type": "ext4", "options": list(options), **more}


@pytest.mark.parametrize(
    ("old", "new", "expected", "needs_reboot"),
    [
        ([], [_mount("/srv")], {"start": ["srv.mount"]}, False),
        ([], [_mount("/srv", options=("noauto",))], {}, False),
        ([_mount("/srv")], [], {"stop": ["srv.mount"]}, False),
        ([_mount("/srv")], [_mount("/srv", "/dev/vdc")], {"stop": ["srv.mount"], "start": ["srv.mount"]}, False),
        ([_mount("/srv")], [_mount("/srv", options=("noatime",))], {"reload": ["srv.mount"]}, False),
        ([_mount("/")], [_mount("/", options=("noatime",))], {"reload": ["-.mount"]}, False),
        ([_mount("/")], [_mount("/", "/dev/vdc")], {}, True),
        ([_mount("/data", neededForBoot=True)], [], {}, True),
    ],
)
def test_mounts(old: list[dict[str, Any]], new: list[dict[str, Any]], expected: dict[str, list[str]], needs_reboot: bool) -> None:
    running = {mount_unit(one["where"]): ACTIVE for one in old}
    plan = make_plan(make_system(mounts=old), make_system(mounts=new), Machine(running))
    assert _names(plan) == expected
    assert bool(plan.reboot) == needs_reboot


def test_swap() -> None:
    plan = make_plan(make_system(swaps=[{"what": "/swap-file"}]), make_system(swaps=[{"what": "/dev/vdb"}]), Machine({"swap\\x2dfile.swap": ACTIVE}))
    assert _names(plan) == {"stop": ["swap\\x2dfile.swap"], "start": ["dev-vdb.swap"]}
    assert [change.name for change in plan.mounts] == ["/dev/vdb", "/swap-file"]


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/", "-.mount"),
        ("/srv/www", "srv-www.mount"),
        ("/srv/a-b", "srv-a\\x2db.mount"),
        ("/.hidden/x y", "\\x2ehidden-x\\x20y.mount"),
        ("/a.b/", "a.b.mount"),
    ],
)
def test_names_of_mount_units(path: str, unit: str) -> None:
    assert mount_unit(path) == unit


def _kernel(**changes: Any) -> System:
    paths = {"kernel": changes.pop("kernel", "/nix/store/k/vmlinuz"), "modules": "/nix/store/m"}
    return make_system(paths=paths, kernel={"version": "6.1", "params": ["quiet"], **changes})


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (_kernel(), None),
        (_kernel(kernel="/nix/store/k2/vmlinuz", version="6.2"), "the kernel is another: 6.1 → 6.2"),
        (_kernel(kernel="/nix/store/k2/vmlinuz"), "the kernel 6.1 is another build"),
        (_kernel(params=["debug"]), "the kernel's parameters are others: debug"),
        (_kernel(blacklist=["pcspkr"]), "kernel modules that are loaded stay so: pcspkr"),
        (_kernel(sysctl={"a.b": "1"}), None),
        (make_system(), None),
        (make_system(kernel={"params": ["quiet", "more"]}), None),
    ],
)
def test_reboot(new: System, reason: str | None) -> None:
    plan = make_plan(make_system(), new, Machine({}, booted=_kernel()))
    assert plan.reboot == (() if reason is None else (reason,))


def test_the_booted_kernel_counts_and_not_the_last_one() -> None:
    newer = _kernel(kernel="/nix/store/k2/vmlinuz", version="6.2")
    assert make_plan(newer, _kernel(), Machine({}, booted=_kernel())).reboot == ()
    assert make_plan(newer, newer, Machine({}, booted=_kernel())).reboot != ()


def test_what_differs() -> None:
    old = make_system(
        packages={"a": {"version": "1", "path": "/nix/store/1"}, "b": {"version": "1", "path": "/nix/store/2"}, "c": {"path": "/nix/store/3"}},
        etc={"gone": {"source": "/x"}, "mode": {"source": "/x", "mode": "0600"}},
        users={"users": {"me": {"group": "users", "shell": "/bin/sh"}}, "groups": {"users": {"gid": 100, "members": []}}},
        kernel={"sysctl": {"a": "1"}},
        wrappers={"sudo": {"source": "/x"}},
        containers={"web": {"system": "/1"}},
        tmpfiles=["d /x"],
    )
    new = make_system(
        packages={"a": {"version": "2", "path": "/nix/store/4"}, "b": {"version": "1", "path": "/nix/store/5"}, "c": {"path": "/nix/store/3"}},
        etc={"new": {"source": "/x"}, "mode": {"source": "/x", "mode": "0640"}},
        users={"users": {"me": {"group": "users", "shell": "/bin/bash"}}, "groups": {"users": {"gid": 100, "members": ["me"]}}},
        kernel={"sysctl": {"a": "2", "b": "1"}},
        wrappers={"sudo": {"source": "/y"}},
        containers={"web": {"system": "/2"}},
    )
    plan = make_plan(old, new, Machine({}))
    assert plan.packages == (("a", "1", "2"), ("b", "1", "1"))
    assert plan.files == (("gone", "/x", None), ("mode", "/x 0600", "/x 0640"), ("new", None, "/x"))
    assert plan.users == (("me", "group users, home /var/empty, shell /bin/sh", "group users, home /var/empty, shell /bin/bash"),)
    assert plan.groups == (("users", "gid 100", "gid 100, members me"),)
    assert plan.sysctl == (("a", "1", "2"), ("b", None, "1"))
    assert [change.name for change in (*plan.wrappers, *plan.containers)] == ["sudo", "web"]
    assert plan.tmpfiles
    assert json.loads(json.dumps(plan.to_json()))["packages"][0] == {"name": "a", "old": "1", "new": "2"}
    assert make_plan(new, new, Machine({})).is_empty


# ---------------------------------------------------------------------------------------------------- the data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "`the file` is no object"),
        ("{}", "`format` is missing"),
        ('{"format": 2}', "format 2, and this knows 1"),
        (json.dumps(make_data(units={"a.service": {"enabled": 1}})), "`units.a.service.enabled` is no bool: 1"),
        (json.dumps(make_data(mounts=[{"where": "/"}])), "`mounts[0].what` is missing"),
        (json.dumps(make_data(kernel={"params": "quiet"})), "`kernel.params` is no list"),
    ],
)
def test_bad_data_are_refused_with_their_place(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        System.parse(text)
    assert message in str(caught.value)
    assert "error[system-data]" in str(caught.value)
