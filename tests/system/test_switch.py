"""Switching a running machine, with the real systemd: what is said, and what then is so."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import nspawn
from system_data import make_data, make_toplevel

TARGET = Path(__file__).resolve().parents[2] / "channel/nixos/target"


class Host:
    """A machine, and the store that it sees."""

    def __init__(self, folder: Path) -> None:
        self.nix = folder / "nix"
        (self.nix / "store").mkdir(parents=True)
        shutil.copytree(TARGET, self.nix / "programs/target", ignore=shutil.ignore_patterns("__pycache__"))
        self.machine = nspawn.Machine(folder, [(self.nix, "/nix")])
        self.machine.run("touch", "/etc/NIXOS")
        # Accounts that Debian has, and that no system here declares.
        self._number = 0

    def make(self, units: Mapping[str, str], **data: Any) -> str:
        """A system of units, each given by its text; what is wanted by multi-user.target says so in its text.  Its path on the machine."""
        self._number += 1
        name = f"{self._number:032d}-nixos-system"
        described, etc = dict(data.pop("describe", {})), dict(data.pop("etc", {}))
        all_units = {}
        for unit, text in units.items():
            file = self._write(unit, text)
            wanted = re.findall(r"^WantedBy=(.*)", text, re.MULTILINE)
            all_units[unit] = {"file": file, "identity": text, "wantedBy": wanted, **described.get(unit, {})}
            etc[f"systemd/system/{unit}"] = {"source": file}
            for target in wanted:
                etc[f"systemd/system/{target}.wants/{unit}"] = {"source": file}
        folder = make_toplevel(self.nix / "store" / name, make_data(units=all_units, etc=etc, system=f"{os.uname().machine}-linux", **data))
        system = json.loads((folder / "system.json").read_text())
        system["paths"] = {"sw": f"/nix/store/{name}/sw", "etc": f"/nix/store/{name}/etc"}
        (folder / "system.json").write_text(json.dumps(system))
        return f"/nix/store/{name}"

    def _write(self, name: str, text: str) -> str:
        self._number += 1
        place = f"store/{self._number:032d}-{name}"
        (self.nix / place).write_text(text)
        return f"/nix/{place}"

    def command(self, toplevel: str, action: str) -> list[str]:
        python = ["env", "PYTHONPATH=/nix/programs", "python3", "-S", "-B", "-m", "target", "switch-to-configuration"]
        return self.machine.command(*python, toplevel, action)

    def switch(self, toplevel: str, action: str = "switch") -> tuple[int, list[str]]:
        """The exit status, and what was said."""
        done = subprocess.run(self.command(toplevel, action), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        # A Debian has a /usr of its own.
        lines = (done.stdout + done.stderr).splitlines()
        return done.returncode, [line for line in lines if "is a folder with files of its own" not in line]

    def state(self, *units: str) -> list[str]:
        return [self.machine.run("systemctl", "is-active", unit, check=False).stdout.strip() for unit in units]

    def process(self, unit: str) -> str:
        return self.machine.ask("systemctl", "show", "--value", "--property=MainPID", unit)

    @property
    def current(self) -> str:
        return self.machine.ask("readlink", "/run/current-system")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    try:
        made = Host(tmp_path)
    except nspawn.NspawnError as error:
        pytest.skip(str(error))
    yield made
    made.machine.close()


def _service(command: str = "sleep infinity", more: str = "", wanted: str = "multi-user.target") -> str:
    return f"[Service]\nExecStart=/bin/sh -c 'exec {command}'\n{more}\n[Install]\nWantedBy={wanted}\n"


def test_only_what_changed_is_touched_and_all_of_it_is_said(host: Host) -> None:
    reload = "ExecReload=/bin/sh -c 'cat /etc/reloaded > /run/reloaded'"
    one = host.make(
        {
            "keep.service": _service(),
            "web.service": _service("sleep 1000"),
            "gone.service": _service(more="ExecStop=/bin/sh -c 'echo stopped > /run/gone'"),
            "quick.service": _service("sleep 1000"),
            "rules.service": _service(more=reload),
            "stays.service": _service("sleep 1000"),
        },
        etc={"reloaded": {"source": host._write("reloaded", "one\n")}},
        users={"users": {"lighttpd": {"group": "lighttpd"}}, "groups": {"lighttpd": {}}},
        describe={"rules.service": {"reloadTriggers": "1"}},
    )
    two = host.make(
        {
            "keep.service": _service(),
            "web.service": _service("sleep 2000"),
            "quick.service": _service("sleep 2000"),
            "rules.service": _service(more=reload),
            "stays.service": _service("sleep 2000"),
            "new.service": _service(),
        },
        etc={"reloaded": {"source": host._write("reloaded", "two\n")}, "tmpfiles.d/one.conf": {"source": host._write("one.conf", "d /srv/made\n")}},
        tmpfiles=["d /srv/made"],
        describe={
            "rules.service": {"reloadTriggers": "2"},
            "quick.service": {"stopIfChanged": False},
            "stays.service": {"restartIfChanged": False},
        },
    )
    assert host.switch(one) == (
        0,
        [
            "activating the configuration...",
            "setting up /etc...",
            "the following new units were started: gone.service, keep.service, quick.service, rules.service, stays.service, web.service",
        ],
    )
    assert "lighttpd" in host.machine.ask("getent", "passwd", "lighttpd")
    assert host.machine.ask("hostname") == "test"
    host.machine.run("touch", "/tmp/mine")
    before = {unit: host.process(unit) for unit in ("keep.service", "web.service", "quick.service", "rules.service", "stays.service", "dbus.service")}

    status, planned = host.switch(two, "dry-activate")
    assert status == 0 and planned == [
        "would stop the following units: gone.service, web.service",
        "would NOT stop the following changed units: stays.service",
        "would activate the configuration...",
        "would remove user ‘lighttpd’",
        "would remove group ‘lighttpd’",
        "would reload the following units: rules.service",
        "would restart the following units: quick.service",
        "would start the following units: new.service, web.service",
    ]
    assert host.current == one and {unit: host.process(unit) for unit in before} == before

    assert host.switch(two) == (
        0,
        [
            "stopping the following units: gone.service, web.service",
            "NOT restarting the following changed units: stays.service",
            "activating the configuration...",
            "removing group ‘lighttpd’",
            "removing user ‘lighttpd’",
            "setting up /etc...",
            "removing obsolete symlink ‘/etc/systemd/system/gone.service’...",
            "removing obsolete symlink ‘/etc/systemd/system/multi-user.target.wants/gone.service’...",
            "reloading the following units: rules.service",
            "restarting the following units: quick.service",
            "starting the following units: web.service",
            "the following new units were started: new.service",
        ],
    )
    assert host.current == two
    changed = {unit for unit, process in before.items() if host.process(unit) != process}
    assert changed == {"web.service", "quick.service"}
    assert host.state("gone.service", "new.service") == ["inactive", "active"]
    assert host.machine.ask("cat", "/run/gone", "/run/reloaded") == "stopped\ntwo"
    assert host.machine.ask("ls", "-d", "/tmp/mine", "/srv/made") == "/srv/made\n/tmp/mine"
    assert host.machine.run("getent", "passwd", "lighttpd", check=False).returncode != 0
    assert host.machine.run("systemctl", "cat", "gone.service", check=False).returncode != 0

    assert host.switch(two) == (0, ["activating the configuration...", "setting up /etc..."])
    assert host.switch(one)[0] == 0
    assert host.state("gone.service", "new.service") == ["active", "inactive"]
    plan = json.loads("\n".join(host.switch(two, "plan")[1]))
    assert plan["stop"] == [{"name": "gone.service", "why": "is no longer part of the system"}, {"name": "web.service", "why": "has changed"}]


def test_failing_units(host: Host) -> None:
    bad = host.make({"bad.service": _service("false"), "good.service": _service()})
    status, said = host.switch(bad)
    assert status == 4
    assert "the following new units were started: good.service" in said
    assert "warning: the following units failed: bad.service" in said
    assert any("Main process exited" in line for line in said), "systemctl status of what failed is shown"
    # Again, it is tried again; what runs is let alone.
    process = host.process("good.service")
    status, said = host.switch(bad)
    assert status == 4 and "starting the following units: bad.service" in said
    assert host.process("good.service") == process
    good = host.make({"bad.service": _service(), "good.service": _service()})
    assert host.switch(good)[0] == 0
    assert host.state("bad.service", "good.service") == ["active", "active"]


def test_sockets_timers_and_mounts(host: Host) -> None:
    socket = "[Socket]\nListenStream=/run/a.socket\n[Install]\nWantedBy=sockets.target\n"
    timer = "[Timer]\nOnCalendar=%s\n[Install]\nWantedBy=timers.target\n"
    plain = "[Service]\nExecStart=/bin/sleep %s\n"
    mount = {"where": "/srv/data", "what": "tmpfs", "type": "tmpfs"}

    def fstab(options: str) -> dict[str, Any]:
        return {"fstab": {"source": host._write("fstab", f"tmpfs /srv/data tmpfs {options} 0 0\n")}}

    one = host.make(
        {"a.socket": socket, "a.service": plain % 1000, "t.timer": timer % "daily", "t.service": plain % 1},
        mounts=[{**mount, "options": ["size=1m"]}],
        etc=fstab("size=1m"),
    )
    status, said = host.switch(one)
    assert status == 0 and said[-1] == "the following new units were started: a.socket, srv-data.mount, t.timer"
    assert host.state("a.socket", "a.service", "t.timer", "srv-data.mount") == ["active", "inactive", "active", "active"]
    host.machine.run("systemctl", "start", "a.service")
    two = host.make(
        {"a.socket": socket, "a.service": plain % 2000, "t.timer": timer % "weekly", "t.service": plain % 1},
        mounts=[{**mount, "options": ["size=2m"]}],
        etc=fstab("size=2m"),
    )
    assert host.switch(two) == (
        0,
        [
            "stopping the following units: a.service, a.socket",
            "activating the configuration...",
            "setting up /etc...",
            "reloading the following units: srv-data.mount",
            "restarting the following units: t.timer",
            "starting the following units: a.socket",
        ],
    )
    assert host.state("a.socket", "a.service") == ["active", "inactive"]
    assert "size=2048k" in host.machine.ask("findmnt", "--noheadings", "--output=OPTIONS", "/srv/data")
    three = host.make({})
    assert host.switch(three)[0] == 0
    assert host.state("a.socket", "t.timer", "srv-data.mount") == ["inactive"] * 3


def test_what_cannot_be_done_changes_nothing(host: Host) -> None:
    one = host.make({"a.service": _service()})
    host.switch(one)
    other = host.make({}, label="x")
    place = host.nix / other.removeprefix("/nix/") / "system.json"
    system = json.loads(place.read_text())
    for changes, code in (({"system": "riscv64-linux"}, "system-architecture"), ({"format": 99}, "system-data")):
        place.write_text(json.dumps({**system, **changes}))
        status, said = host.switch(other)
        assert status == 1 and f"error[{code}]" in said[0], said
        assert host.current == one and host.state("a.service") == ["active"]
    place.write_text(json.dumps(system))
    host.machine.run("rm", "/etc/NIXOS")
    assert "error[not-nixos]" in host.switch(other)[1][0]


def test_it_goes_on_when_nobody_watches_any_more(host: Host) -> None:
    slow = host.make(
        {"slow.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 2\n[Install]\nWantedBy=multi-user.target\n"}
    )
    watcher = subprocess.Popen(host.command(slow, "switch"), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True)
    assert watcher.stderr is not None
    while b"setting up /etc" not in watcher.stderr.readline():
        pass
    os.killpg(watcher.pid, signal.SIGHUP)
    watcher.wait()
    watcher.stderr.close()
    status, said = host.switch(slow)
    if status:
        assert "error[switch-busy]" in "\n".join(said)
    deadline = time.monotonic() + 60
    while host.state("slow.service") != ["active"] or host.machine.run("test", "-e", "/run/nixos/switch.json", check=False).returncode == 0:
        assert time.monotonic() < deadline, host.machine.ask("cat", "/var/log/nixos-switch.log")
        time.sleep(0.2)
    assert host.current == slow
    assert "the following new units were started: slow.service" in host.machine.ask("sh", "-c", "cat /var/log/nixos-switch.log*")


def test_killed_at_random_and_repeated_all_runs(host: Host) -> None:
    units = {f"u{number}.service": _service() for number in range(4)}
    systems = [
        host.make({**units, "web.service": _service("sleep 1000"), "old.service": _service()}),
        host.make({**units, "web.service": _service("sleep 2000"), "new.service": _service()}),
    ]
    assert host.switch(systems[0])[0] == 0
    started = time.monotonic()
    host.switch(systems[1])
    took = time.monotonic() - started
    host.switch(systems[0])
    interrupted = 0
    chance = random.Random(1)
    kept = [host.process(unit) for unit in units]
    for attempt in range(8):
        before, after = systems[attempt % 2], systems[(attempt + 1) % 2]
        watcher = subprocess.Popen(host.command(after, "switch"), stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.2, 1) * took)
        host.machine.run("sh", "-c", "systemctl kill --signal=KILL 'nixos-switch-*.scope'", check=False)
        watcher.wait()
        assert host.current in (before, after)
        # Whoever comes back may want either.
        wanted = chance.choice([before, after])
        status, said = host.switch(wanted)
        assert status == 0, said
        interrupted += "taking up a switch that was interrupted..." in said
        is_new = wanted == systems[1]
        assert host.state("web.service", "old.service", "new.service") == ["active", *(["inactive", "active"] if is_new else ["active", "inactive"])]
        assert ("sleep 2000" if is_new else "sleep 1000") in host.machine.ask(
            "sh", "-c", f"tr '\\0' ' ' < /proc/{host.process('web.service')}/cmdline"
        )
        assert [host.process(unit) for unit in units] == kept
        host.switch(after)
    assert interrupted, "none was killed in between"


def test_a_full_disk_leaves_the_old_system_running(host: Host) -> None:
    one = host.make({"web.service": _service("sleep 1000")})
    two = host.make({"web.service": _service("sleep 2000")}, etc={"more": {"source": host._write("more", "more")}})
    host.machine.run("sh", "-c", "mkdir -p /var/lib/nixos && mount -t tmpfs -o size=64k tmpfs /var/lib/nixos")
    assert host.switch(one)[0] == 0
    host.machine.run("sh", "-c", "dd if=/dev/zero of=/var/lib/nixos/fill bs=1k 2>/dev/null || true")
    # The note of what is in /etc cannot be written.
    status, said = host.switch(two)
    assert status == 1 and said[-2] == "error[disk-full]: the disk is full: `/var/lib/nixos/etc`", said
    assert said[-1].startswith("  hint: `nix-collect-garbage -d`")
    assert host.current == one and host.state("web.service") == ["active"]
    host.machine.run("rm", "/var/lib/nixos/fill")
    assert host.switch(two)[0] == 0
    assert host.current == two and host.state("web.service") == ["active"]
