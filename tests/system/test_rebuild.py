"""`nixos-rebuild` on a machine: the steps of an afternoon with a web server, word for word, and what then is so.

The machine is a container of the real archive's packages (NIVALIS_DEBIAN, see `nixos_machines`), in which this checkout's commands run; they see the
store in which the test has built what the configurations ask for, so nothing is downloaded while the machine waits.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from nixos_machines import Container, Factory, open_factory

CHECKOUT = Path(__file__).resolve().parents[2]
BASE = '{ boot.isContainer = true; networking.hostName = "web1"; services.openssh.enable = true; }'
WEB = """{
  imports = [ ./base.nix ];
  networking.firewall.allowedTCPPorts = [ 80 ];
  services.lighttpd = { enable = true; document-root = "/srv/www"; };
}"""
BROKEN = """{ pkgs, ... }: { imports = [ ./web.nix ]; systemd.services.broken = {
  wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "${pkgs.coreutils}/bin/false"; }; }"""
# A system that is built, and is not for this machine.
FOREIGN = '{ lib, ... }: { imports = [ ./base.nix ]; system.build.data.system = lib.mkForce "riscv64-linux"; }'


class Machine:
    """A container with a store, a configuration, and the commands of this checkout."""

    def __init__(self, factory: Factory, folder: Path) -> None:
        root = folder / "machine"
        self.folder = root / "etc/nixos"
        self.folder.mkdir(parents=True)
        configurations = {"base": BASE, "web": WEB, "broken": BROKEN, "foreign": FOREIGN}
        for name, text in configurations.items():
            (self.folder / f"{name}.nix").write_text(text)
        toplevels = [factory.build(str(self.folder / f"{name}.nix")) for name in configurations]
        # A store that is kept from one run to the next has no generations of this machine.
        (folder / "profiles").mkdir()
        # This Python may be in /usr, where the machine has its own packages.
        python = f"/host-python/{Path(sys.executable).resolve().relative_to(sys.base_prefix)}"
        (folder / "commands").mkdir()
        for entry in entry_points(group="console_scripts"):
            if entry.value.startswith("nivalis."):
                command = folder / "commands" / entry.name
                command.write_text(f'#!/bin/sh\nexec {python} {sys.prefix}/bin/{entry.name} "$@"\n')
                command.chmod(0o755)
        binds = [
            (factory.store.layout.state_dir, "/nix/var/nix"),
            (folder / "profiles", "/nix/var/nix/profiles"),
            (folder / "commands", "/host-commands"),
            (Path("/usr/lib"), "/host-lib"),
            (Path(sys.base_prefix), "/host-python"),
            *((place, str(place)) for place in sorted({Path(sys.prefix), CHECKOUT})),
        ]
        self.container = Container(factory, toplevels[0], root, tuple(binds))
        variables = {
            "PATH": "/host-commands:$PATH",
            "PYTHONPATH": f"{CHECKOUT}/src:{sysconfig.get_path('purelib')}",
            # This Python was made for this machine's libraries.
            "LD_LIBRARY_PATH": f"/host-lib/{os.uname().machine}-linux-gnu",
            "NIX_PATH": f"nixpkgs={CHECKOUT}/channel:debian-snapshot=/nix/store/{factory.snapshot.name}",
        }
        self._environment = "; ".join(f'export {name}="{value}"' for name, value in variables.items())

    def run(self, script: str, check: bool = True) -> list[str]:
        return self.container.run(f"{self._environment}; exec 2>&1; {script}", check).splitlines()

    def rebuild(self, name: str, words: str = "switch", check: bool = True) -> list[str]:
        """Make a configuration the machine's, and rebuild it."""
        (self.folder / "configuration.nix").write_text((self.folder / f"{name}.nix").read_text())
        return self.run(f"nixos-rebuild {words}", check)

    def page(self) -> str:
        return self.container.run("exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -n 1 <&3", check=False)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with open_factory(tmp_path_factory.mktemp("root")) as factory:
        here, there = platform.libc_ver()[1], json.loads((factory.snapshot / "names.json").read_text())["libc6"].partition("-")[0]
        if here != there:
            # Its Python needs its libraries, and the machine's programs theirs; there can be only one path for both.
            pytest.skip(f"this machine's C library is {here}, and the suite's {there}")
        made = Machine(factory, tmp_path_factory.mktemp("machines"))
        yield made
        made.container.stop()


def _plan(machine: Machine) -> dict[str, object]:
    found = json.loads("\n".join(machine.run("nivalis plan --json")))
    assert isinstance(found, dict)
    return found


def test_an_afternoon_with_a_web_server(machine: Machine) -> None:
    building, activating = "building the system configuration...", ["activating the configuration...", "setting up /etc..."]
    assert machine.rebuild("base") == [building, *activating]
    # A plan would start again what has failed.
    assert machine.run("systemctl --failed --plain --no-legend") == [], machine.run("journalctl --no-pager --lines=200")
    machine.run("mkdir -p /srv/www; echo hello > /srv/www/index.html; touch /tmp/mine")
    sshd = machine.run("systemctl show --value --property=MainPID sshd")

    (machine.folder / "configuration.nix").write_text(WEB)
    plan = _plan(machine)
    assert plan["start"] == [{"name": "lighttpd.service", "why": "is new"}]
    assert plan["reload"] == [{"name": "firewall.service", "why": "has changed"}]
    assert (plan["stop"], plan["restart"]) == ([], [])
    packages = plan["packages"]
    assert isinstance(packages, list) and "lighttpd" in [one["name"] for one in packages]
    assert machine.run("nixos-rebuild dry-activate") == [
        building,
        "would activate the configuration...",
        "would reload the following units: firewall.service",
        "would start the following units: lighttpd.service",
    ]
    assert machine.page() != "hello"

    assert machine.rebuild("web") == [
        building,
        *activating,
        "reloading the following units: firewall.service",
        "the following new units were started: lighttpd.service",
    ]
    assert machine.page() == "hello"
    assert "80" in " ".join(machine.run("nft list ruleset | grep dport"))
    assert machine.run("getent passwd lighttpd | cut -d: -f1; systemctl is-active lighttpd") == ["lighttpd", "active"]

    assert machine.run("nixos-rebuild switch --rollback") == [
        "switching from generation 2 to 1",
        "stopping the following units: lighttpd.service",
        "activating the configuration...",
        "removing group ‘lighttpd’",
        "removing user ‘lighttpd’",
        "setting up /etc...",
        "reloading the following units: firewall.service",
    ]
    assert machine.page() != "hello"
    assert machine.run("getent passwd lighttpd", check=False) == []
    assert machine.run("nft list ruleset | grep -c 'dport.* 80'", check=False) == ["0"]

    assert machine.rebuild("web")[-1] == "the following new units were started: lighttpd.service"
    assert machine.page() == "hello"
    assert machine.run("systemctl show --value --property=MainPID sshd") == sshd
    rows = json.loads("\n".join(machine.run("nixos-rebuild list-generations --json")))
    assert [(row["generation"], row["current"]) for row in rows] == [(2, True), (1, False)]
    assert machine.run("ls /tmp/mine") == ["/tmp/mine"]
    assert _plan(machine)["start"] == [] and "the machine is what its configuration says" in machine.run("nivalis plan")


def test_a_test_is_forgotten(machine: Machine) -> None:
    machine.rebuild("web")
    before = machine.run("readlink /nix/var/nix/profiles/system")
    assert "stopping the following units: lighttpd.service" in machine.rebuild("base", "test")
    assert machine.run("readlink /nix/var/nix/profiles/system") == before
    assert "the following new units were started: lighttpd.service" in machine.rebuild("web", "test")


def test_a_unit_that_never_starts(machine: Machine) -> None:
    machine.rebuild("web")
    said = machine.rebuild("broken", "switch || echo status $?")
    assert "warning: the following units failed: broken.service" in said
    assert said[-2:] == ["warning: error(s) occurred while switching to the new configuration", "status 4"]
    assert machine.page() == "hello"
    machine.rebuild("web")
    assert machine.run("systemctl --failed --plain --no-legend") == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{ services.lightpd.enable = true; }", "services.lightpd"),
        ('{ imports = [ ./base.nix ]; networking.firewall.allowedTCPPorts = [ "x" ]; }', "allowedTCPPorts"),
        ("{ pkgs, ... }: { imports = [ ./base.nix ]; environment.systemPackages = [ pkgs.there-is-none ]; }", "there-is-none"),
        # Both places are named.
        ('{ imports = [ ./base.nix ]; networking.hostName = "other"; }', "base.nix"),
        ('{ imports = [ ./base.nix ]; networking.hostName = "other"; }', "configuration.nix"),
        ('{ imports = [ ./base.nix ]; nixpkgs.system = "riscv64-linux"; }', "riscv64-linux"),
        (FOREIGN, "error[system-architecture]: the system is for riscv64-linux, and this machine is"),
    ],
)
def test_bad_configurations_change_nothing(machine: Machine, text: str, code: str) -> None:
    machine.rebuild("web")
    before = machine.run("readlink /run/current-system /nix/var/nix/profiles/system; nixos-rebuild list-generations")
    (machine.folder / "bad.nix").write_text(text)
    said = machine.rebuild("bad", "switch && echo done", check=False)
    assert "done" not in said and code in "\n".join(said)
    assert machine.run("readlink /run/current-system /nix/var/nix/profiles/system; nixos-rebuild list-generations") == before
    assert machine.page() == "hello"


def test_a_profile_of_its_own(machine: Machine) -> None:
    """Another configuration from the command line, kept apart from the machine's own generations."""
    machine.rebuild("web")
    before = machine.run("readlink /nix/var/nix/profiles/system; nixos-rebuild list-generations | wc -l")
    said = machine.run("nixos-rebuild switch -p trial -I nixos-config=/etc/nixos/base.nix")
    assert "stopping the following units: lighttpd.service" in said
    assert machine.run("readlink /nix/var/nix/profiles/system; nixos-rebuild list-generations | wc -l") == before
    (trial,) = machine.run("readlink -f /nix/var/nix/profiles/system-profiles/trial")
    assert machine.run("readlink /nix/var/nix/profiles/system-profiles/trial; readlink -f /run/current-system") == ["trial-1-link", trial]
    rows = json.loads("\n".join(machine.run("nixos-rebuild list-generations -p trial --json")))
    assert [(row["generation"], row["current"]) for row in rows] == [(1, True)]
    assert "the following new units were started: lighttpd.service" in machine.rebuild("web")
    said = machine.run("nixos-rebuild switch -I nixos-config=/nowhere.nix || true")
    assert any("error[no-configuration]" in line for line in said) and machine.run("systemctl is-active lighttpd") == ["active"]


def test_what_is_said_about_the_machine(machine: Machine) -> None:
    machine.rebuild("web")
    version = machine.run("nixos-version")
    assert version == machine.run("cat /run/current-system/nixos-version")
    assert json.loads("\n".join(machine.run("nixos-version --json")))["nixosVersion"] == version[0]
    assert machine.run("nixos-option services.lighttpd.enable")[:2] == ["Value:", "  true"]
    assert "services.lighttpd.document-root" in machine.run("nivalis options lighttpd root")
