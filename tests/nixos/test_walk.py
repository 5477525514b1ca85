"""A server's life, typed on its console: brought up to date, changed, taken back, changed again, started as it was before.

The machine is a disk image of the real archive's packages (NIVALIS_DEBIAN, see `nixos_machines`) that QEMU starts by its boot sector.  It has
nivalis, its channel and its configuration, and all that is typed is what its administrator would type; the page that it serves is asked for from
outside.  Everything is emulated, and the machine fetches packages from Debian's mirror itself: minutes, and on a busy machine many of them.
"""

from __future__ import annotations

import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from nixos_machines import Disk, Factory, open_factory

CONFIGURATION = """{ pkgs, ... }: {
  networking.hostName = "web1";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; autoResize = true; };
  boot.growPartition = true;
  boot.kernelParams = [ "console=ttyS0" ];
  boot.loader.grub.device = "/dev/vda";
  boot.loader.timeout = null;
  services.getty.autologinUser = "root";
  # What is emulated on a busy machine is slower than systemd waits.
  systemd.settings.Manager = { DefaultDeviceTimeoutSec = 3600; DefaultTimeoutStartSec = 3600; };
  programs.bash.promptInit = "PS1=";
  programs.nivalis.enable = true;
  environment.systemPackages = [ pkgs.curl ];
  # Not while somebody looks.
  nix.gc = { automatic = true; dates = "2090-01-01"; options = "--delete-old"; };
}
"""
# What step 9 adds.
ADDED = """  networking.firewall.allowedTCPPorts = [ 80 ];
  services.lighttpd.enable = true;
  services.lighttpd.document-root = "/srv/www";
}
"""
# The image has its own configuration and the channel that it was made from.
IMAGE = """{{ pkgs, ... }}: {{
  imports = [ {file} ];
  virtualisation.diskImage = {{
    channels = pkgs.nivalis.makeChannels "nixos";
    contents = {{
      "etc/nixos/configuration.nix" = {file};
      "root/.nix-channels" = pkgs.writeText "nix-channels" "debian:${{(builtins.head pkgs.snapshot.suites).codename}} nixos\\n";
    }};
  }};
}}"""
# A rebuild of an emulated machine, beside whatever else there is to do.
LONG = 3600
DOWN, ENTER = "\x0e", "\r"


class Server(Disk):
    """The machine, its console, and its page."""

    def __init__(self, image: Path, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port: int = free.getsockname()[1]
        super().__init__(image, log, self._port)

    def choose(self, generation: int | None = None) -> None:
        """Have GRUB start what its menu has first, or a generation, found under all configurations."""
        self.wait_for("NixOS - All configurations", LONG)
        if generation is not None:
            self.forget()
            self.type(DOWN)
            self.type(ENTER)
            self.wait_for(rf"Configuration {generation} \(")
            titles = re.findall(r"NixOS - Configuration (\d+) \(", self.said)
            for _ in range(list(dict.fromkeys(titles)).index(str(generation))):
                self.type(DOWN)
        self.forget()
        self.type(ENTER)
        self.wait_for("root.*automatic login", LONG)
        self.log_in()

    def ask(self, command: str) -> str:
        return self.run(command, LONG)

    def rebuild(self, words: str) -> list[str]:
        """What `nixos-rebuild` says, which must work."""
        # No terminal: no progress is drawn between the lines.
        said = self.ask(f"nixos-rebuild {words} 2>&1 | cat; echo status ${{PIPESTATUS[0]}}").splitlines()
        assert said[-1] == "status 0", said
        return said[:-1]

    def page(self) -> str:
        """What a browser outside sees; empty where it gets no answer."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self._port}/index.html", timeout=30) as answer:
                return str(answer.read().decode())
        except (TimeoutError, urllib.error.URLError, ConnectionError):
            return ""

    def shows(self, text: str) -> bool:
        """Whether that is the page, sooner or later: an emulated machine may be slow to answer."""
        deadline = time.monotonic() + LONG / 6
        while self.page() != text:
            if time.monotonic() > deadline:
                return False
        return True


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[Factory]:
    with open_factory(tmp_path / "store") as made:
        yield made


@pytest.fixture
def server(factory: Factory, tmp_path: Path) -> Iterator[Server]:
    file = tmp_path / "configuration.nix"
    file.write_text(CONFIGURATION)
    disk = tmp_path / "disk"
    shutil.copyfile(factory.real(factory.build(IMAGE.format(file=file), "config.system.build.images.raw")) / "nixos.raw", disk)
    with open(disk, "r+b") as stream:
        stream.truncate(4 << 30)
    machine = Server(disk, tmp_path / "console")
    yield machine
    machine.kill()


def test_the_walk_on_the_machine(server: Server) -> None:
    server.choose()
    assert server.ask("systemctl is-system-running --wait") == "running", server.ask("systemctl --failed")
    first = server.ask("readlink -f /run/current-system")
    assert server.ask("nixos-version") == server.ask("cat /run/current-system/nixos-version")
    found = server.ask("nixos-generate-config --show-hardware-config")
    assert 'fileSystems."/"' in found and "virtio_blk" in found

    # 8: nothing is newer, or other packages are.
    server.rebuild("switch --upgrade")
    before = server.ask("readlink -f /run/current-system")
    number = int(server.ask("readlink /nix/var/nix/profiles/system").split("-")[1])
    assert number == (1 if before == first else 2)

    # 9
    server.ask("sed -i '$d' /etc/nixos/configuration.nix")
    for line in ADDED.splitlines():
        server.ask(f"echo '{line}' >> /etc/nixos/configuration.nix")
    server.ask("mkdir -p /srv/www; echo hello > /srv/www/index.html")
    sshd = server.ask("systemctl show --value -p MainPID systemd-networkd dbus systemd-journald")
    said = server.rebuild("switch")
    assert said[0] == "building the system configuration..."
    assert any(re.search(r"created \d+ symlinks in user environment$", line) for line in said)
    assert said[-4:] == [
        "activating the configuration...",
        "setting up /etc...",
        "reloading the following units: firewall.service",
        "the following new units were started: lighttpd.service",
    ]
    assert server.ask("systemctl show --value -p MainPID systemd-networkd dbus systemd-journald") == sshd
    assert f"Configuration {number + 1} (" in server.ask("cat /boot/grub/grub.cfg")
    after = server.ask("readlink -f /run/current-system")

    # 10
    assert server.shows("hello\n")

    # 11
    said = server.rebuild("switch --rollback")
    assert said == [
        f"switching from generation {number + 1} to {number}",
        "updating GRUB 2 menu...",
        "stopping the following units: lighttpd.service",
        "activating the configuration...",
        "removing group ‘lighttpd’",
        "removing user ‘lighttpd’",
        "setting up /etc...",
        "reloading the following units: firewall.service",
    ]
    assert server.ask("getent passwd lighttpd; getent group lighttpd; readlink -f /run/current-system") == before

    # 12
    assert server.page() == "" and server.ask("curl -s http://localhost/; echo $?") == "7"
    assert server.ask("cat /srv/www/index.html") == "hello"
    server.rebuild("switch")
    assert server.ask("readlink -f /run/current-system") == after
    assert server.shows("hello\n")

    _fill_the_disk(server)

    # 13, with a kernel's command line that starts nothing as the newest generation.
    server.ask("""sed -i 's|"console=ttyS0"|& "root=/dev/never"|' /etc/nixos/configuration.nix""")
    server.rebuild("boot")
    assert server.ask("readlink -f /run/current-system") == after
    server.forget()
    server.type("systemctl reboot\n")
    server.wait_for("NixOS - All configurations", LONG)
    server.forget()
    server.type(ENTER)
    server.wait_for("stage 1: error: there is no /dev/never", LONG)
    server.forget()
    server.choose(number)
    assert server.ask("readlink -f /run/current-system /run/booted-system").split() == [before, before]
    assert server.ask("systemctl is-system-running --wait") == "running", server.ask("systemctl --failed")
    assert server.page() == "" and server.ask("cat /srv/www/index.html") == "hello"
    # What is booted so is not made the default.
    assert server.ask("readlink /nix/var/nix/profiles/system").split("-")[1] == str(number + 2)
    server.rebuild("switch --rollback")
    assert server.ask("readlink -f /run/current-system") == after and server.shows("hello\n")
    server.forget()
    server.type("systemctl reboot\n")
    server.choose()
    assert server.ask("readlink -f /run/current-system") == after and server.shows("hello\n")

    # What is not the machine's own generation any more leaves the menu, and then the disk.
    assert server.ask("systemctl is-active nix-gc.timer; systemctl start nix-gc; echo $?") == "active\n0", server.ask("journalctl -u nix-gc")
    assert re.findall(r"Configuration (\d+)", server.ask("cat /boot/grub/grub.cfg")) == [str(number + 1)]
    assert server.ask(f"ls -d {before}").endswith("No such file or directory")
    assert server.shows("hello\n")


def _fill_the_disk(server: Server) -> None:
    """A rebuild for which there is no room says so, and changes nothing."""
    state = "readlink -f /run/current-system /nix/var/nix/profiles/system; md5sum /boot/grub/grub.cfg"
    before = server.ask(state)
    server.ask("cp /etc/nixos/configuration.nix /root/kept; sed -i '$i programs.git.enable = true;' /etc/nixos/configuration.nix")
    server.ask("fallocate -l $(($(stat -fc '%f * %S' /))) /full; head -c 16M /dev/zero > /full2")
    said = server.ask("nixos-rebuild switch 2>&1 | cat; echo status ${PIPESTATUS[0]}")
    assert "error[disk-full]: " in said and "nix-collect-garbage" in said and said.endswith("status 1"), said
    assert server.ask(state) == before and server.shows("hello\n")
    server.ask("rm /full /full2; mv /root/kept /etc/nixos/configuration.nix")
    # Nor is there room for kernels where the boot loader finds them.
    said = server.ask("mount -t tmpfs -o size=2M boot /boot; nixos-rebuild switch 2>&1 | cat; echo status ${PIPESTATUS[0]}; umount /boot")
    assert "error[boot-full]: /boot has 2048 KiB left" in said and said.endswith("status 1"), said
    assert server.ask(state) == before and server.shows("hello\n")
