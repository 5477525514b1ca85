"""The plug is pulled in the middle of a switch: whatever is on the disk then boots, as the old or as the new system, and whole.

A machine of the real archive's packages runs on its own kernel in QEMU (NIVALIS_DEBIAN, see `nixos_machines`).  It is switched, killed after a
random time, and booted again as its boot menu says: the menu is read from the disk by debugfs, which replays no journal, as GRUB does not.
NIVALIS_PLUGS says how often; each time takes minutes.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nixos_machines import Emulated, Factory, _find, open_factory

PLUGS = int(os.environ.get("NIVALIS_PLUGS", "2"))
OLD = """{ pkgs, lib, ... }: {
  networking.hostName = "old";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  boot.kernelParams = [ "console=ttyS0" ];
  boot.loader.grub.device = "/dev/vda";
  services.getty.autologinUser = "root";
  # What is emulated on a busy machine is slower than systemd waits.
  systemd.settings.Manager = { DefaultDeviceTimeoutSec = 3600; DefaultTimeoutStartSec = 3600; };
  programs.bash.promptInit = "PS1=";
  systemd.services.web = { wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "${pkgs.coreutils}/bin/sleep 10000"; };
  environment.etc = { kept.text = "kept"; old.text = "old"; both.text = "old"; };
  users.users.old = { isSystemUser = true; group = "old"; };
  users.groups.old = { };
}"""
NEW = OLD.replace('"old"', '"new"').replace("old", "new").replace("10000", "20000")
# What is so on a machine that is one of the two, and on none that is half of each.
LOOK = (
    "hostname; cat /etc/both /etc/kept; echo; ls /etc/old /etc/new 2>/dev/null; getent passwd old new | cut -d: -f1; pgrep -a sleep | cut -d' ' -f3"
)


class Disk:
    """A disk with the closures of two systems, of which the first is installed."""

    def __init__(self, factory: Factory, toplevels: list[str], folder: Path) -> None:
        self._factory = factory
        self._folder = folder
        self._count = 0
        root = folder / "root"
        (root / "nix/store").mkdir(parents=True)
        (root / "boot").mkdir()
        profiles = root / "nix/var/nix/profiles"
        profiles.mkdir(parents=True)
        for number, toplevel in enumerate(toplevels, 1):
            (profiles / f"system-{number}-link").symlink_to(toplevel)
        (profiles / "system").symlink_to("system-1-link")
        for path in sorted({path for toplevel in toplevels for path in factory.closure(toplevel)}):
            subprocess.run(["cp", "-a", factory.real(path), root / path[1:]], check=True)
        self.image = folder / "disk"
        with open(self.image, "wb") as file:
            file.truncate(3 << 30)
        subprocess.run([_find("mke2fs"), "-q", "-t", "ext4", "-L", "nixos", "-d", root, self.image], check=True)
        shutil.rmtree(root)

    def boot(self, init: str) -> Machine:
        """Start the system whose first program is at `init`."""
        self._count += 1
        return Machine(self._factory, self.image, init.removesuffix("/init"), self._folder / f"console{self._count}")

    def menu(self) -> str:
        """The `init` of what is booted when nobody chooses, as a loader finds it that reads no journal."""
        # Without sums and bitmaps, at which a loader does not look, and which may be of another moment than the rest.
        command = [_find("debugfs"), "-n", "-c", "-R", "cat /boot/grub/grub.cfg", str(self.image)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        text = done.stdout
        found = re.search(r"menuentry 'NixOS' --id 'nixos' \{\n  linux (\S+) init=(\S+).*\n  initrd (\S+)\n\}\n", text)
        assert found is not None and text.rstrip().endswith("}"), text + done.stderr
        return found[2]


class Machine(Emulated):
    """A machine on a disk that stays."""

    def __init__(self, factory: Factory, image: Path, toplevel: str, log: Path) -> None:
        real = factory.real(toplevel)
        kernel, initrd = (str(factory.real(os.readlink(real / name))) for name in ("kernel", "initrd"))
        argv = [_find("qemu-system-x86_64"), "-accel", "tcg", "-m", "1024", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"]
        argv += ["-kernel", kernel, "-initrd", initrd, "-append", f"{(real / 'kernel-params').read_text()} init={toplevel}/init"]
        argv += ["-drive", f"file={image},format=raw,if=virtio,cache=writeback"]
        self._start(argv, log)

    def come_up(self) -> None:
        self.log_in()
        assert self.run("systemctl is-system-running --wait") == "running", self.run("systemctl --failed")

    def kill(self) -> None:
        super().kill()
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()


def _expected(name: str) -> list[str]:
    return [name, f"{name}kept", f"/etc/{name}", name, "10000" if name == "old" else "20000"]


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    with open_factory(tmp_path / "store") as made:
        yield made


def test_the_plug_is_pulled(factory: Factory, tmp_path: Path) -> None:
    toplevels = {name: factory.build(text) for name, text in (("old", OLD), ("new", NEW))}
    disk = Disk(factory, list(toplevels.values()), tmp_path)
    chance = random.Random(os.environ.get("NIVALIS_SEED", "1"))
    machine = disk.boot(f"{toplevels['old']}/init")
    name = "old"
    try:
        machine.come_up()
        assert machine.run(LOOK).split() == _expected("old")
        took = 20.0
        for attempt in range(PLUGS + 1):
            before, name = name, "new" if name == "old" else "old"
            number = list(toplevels).index(name) + 1
            link = "/nix/var/nix/profiles/system"
            switch = f"ln -sfn system-{number}-link {link}.part; mv -T {link}.part {link}; {toplevels[name]}/bin/switch-to-configuration switch"
            started = time.monotonic()
            if attempt == 0:
                # How long it takes here, and that it works.
                assert "starting the following units: web.service" in machine.run(switch)
                took = time.monotonic() - started
            else:
                machine.type(f"{switch}\n")
                # What must not be torn comes first: the menu, then accounts and files.
                time.sleep(took * chance.random() ** 2)
                machine.kill()
                init = disk.menu()
                assert init in {f"{toplevels[one]}/init" for one in (before, name)}
                name = before if init == f"{toplevels[before]}/init" else name
                machine = disk.boot(init)
                machine.come_up()
            assert machine.run(LOOK).split() == _expected(name), f"attempt {attempt}"
            assert machine.run("readlink /run/current-system") == toplevels[name]
    finally:
        machine.kill()
