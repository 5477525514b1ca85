"""Real systems over a real archive: built twice, started, and looked at from inside.  Only with NIVALIS_DEBIAN; see `nixos_machines`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nivalis.build import BuildSettings, realise
from nivalis.lang import EvalSettings, Evaluator
from nixos_machines import Container, Emulated, Factory, _find, open_factory
from nixos_systems import SYSTEM

COMMON = """
  services.openssh = { enable = true; settings.PasswordAuthentication = false; };
  environment.systemPackages = [ pkgs.curl (pkgs.writeShellScriptBin "hi" "echo hi") ];
  environment.etc = { plain.text = "plain"; secret = { text = "secret"; mode = "0640"; group = "shadow"; }; };
  users.users.alice = { isNormalUser = true; description = "Alice"; extraGroups = [ "sudo" ]; };
  security.sudo.wheelNeedsPassword = false;
  security.wrappers.reads = { source = "${pkgs.coreutils}/bin/cat"; capabilities = "cap_dac_read_search+ep"; };
  time.timeZone = "Europe/London";
  i18n.defaultLocale = "de_DE.UTF-8";
  systemd.services.once = {
    wantedBy = [ "multi-user.target" ]; serviceConfig.Type = "oneshot"; path = [ pkgs.curl ]; script = "curl --version > /run/once";
  };
  systemd.tmpfiles.rules = [ "d /srv/www 0755 www-data www-data -" ];
  system.activationScripts.mine.text = "echo $systemConfig > /run/mine";
"""
BOX = f"""{{ pkgs, ... }}: {{ boot.isContainer = true; networking.hostName = "box"; {COMMON} }}"""
# A server of NTP for which it is always the tenth of January of 2033.
CLOCK = """
import socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("127.0.0.1", 123))
    while True:
        asked, sender = s.recvfrom(100)
        now = struct.pack(">II", 1988971200 + 2208988800, 0)
        s.sendto(struct.pack(">BBBbIII", 0x24, 1, 4, -20, 0, 0, 0x4C4F434C) + now + asked[40:48] + now + now, sender)
"""
SERVER = f"""{{ pkgs, utils, ... }}: let clock = ''{CLOCK}''; in {{
  networking.hostName = "web1";
  fileSystems."/" = {{ device = "/dev/disk/by-label/nixos"; fsType = "ext4"; }};
  fileSystems."/data" = {{ device = "/dev/vdb"; fsType = "ext4"; autoFormat = true; }};
  swapDevices = [ {{ device = "/var/swap"; size = 16; }} ];
  boot = {{
    kernelParams = [ "console=ttyS0" ];
    kernelModules = [ "dummy" ];
    blacklistedKernelModules = [ "kvm_amd" "kvm_intel" ];
    extraModprobeConfig = "options dummy numdummies=2";
    kernel.sysctl."vm.swappiness" = 11;
    loader.grub.enable = false;
  }};
  # What is emulated on a busy machine is slower than systemd waits.
  systemd.settings.Manager = {{ DefaultDeviceTimeoutSec = 3600; DefaultTimeoutStartSec = 3600; }};
  services.getty.autologinUser = "root";
  services.qemuGuest.enable = true;
  services.udev.extraRules = ''KERNEL=="vdb", SYMLINK+="for-data"'';
  services.udev.extraHwdb = "evdev:input:b0003v05AFp8277*\\n KEYBOARD_KEY_70039=leftalt\\n";
  services.timesyncd.servers = [ "127.0.0.1" ];
  systemd.services.clock = {{
    wantedBy = [ "sysinit.target" ]; before = [ "systemd-timesyncd.service" ]; unitConfig.DefaultDependencies = false;
    environment.PYTHONHOME = "${{utils.python}}/usr";
    serviceConfig.ExecStart = "${{utils.python}}/usr/bin/python3 -S ${{pkgs.writeText "clock.py" clock}}";
  }};
  console = {{ keyMap = "de"; font = "Lat2-Terminus16"; }};
  programs.bash.promptInit = "PS1=";
  {COMMON}
}}"""


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with open_factory(tmp_path_factory.mktemp("root")) as made:
        yield made


@pytest.fixture(scope="module")
def box(factory: Factory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    container = Container(factory, factory.build(BOX), tmp_path_factory.mktemp("machines") / "box")
    yield container
    container.stop()


def test_a_container_comes_up_whole(box: Container) -> None:
    assert box.run("systemctl is-system-running") == "running", box.run("systemctl --failed")
    assert "Failed" not in box.said and "warning" not in box.said


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("hostname", "box"),
        ("cat /etc/plain; readlink /etc/plain", "plain/etc/static/plain"),
        ("stat -c '%a %U %G' /etc/secret; cat /etc/secret", "640 root shadow\nsecret"),
        ("hi; command -v hi", "hi\n/usr/local/bin/hi"),
        ("head -c 4 /run/once", "curl"),
        ("stat -c '%U %a' /srv/www", "www-data 755"),
        ("[ $(cat /run/mine) = $(readlink /run/current-system) ] && echo same", "same"),
        ("id -nG alice; stat -c %a ~alice", "users sudo\n700"),
        ("runuser -u alice -- sudo -n id -u", "0"),
        ("su alice -c 'id -un'", "alice"),
        ("runuser -u nobody -- reads /etc/shadow | grep -c ^root:", "1"),
        ("su - alice -c 'echo $LANG $HOME; locale -k decimal_point'", 'de_DE.UTF-8 /home/alice\ndecimal_point=","'),
        ("awk 'BEGIN { print 1 + 1 }'", "2"),
        ("getent hosts box | cut -d' ' -f1", "127.0.0.2"),
        ("runuser -u nobody -- cat /etc/shadow 2>&1 | grep -o denied", "denied"),
        ("ls /etc/init.d /etc/dpkg 2>&1 | grep -c 'No such'", "2"),
        ("curl -sI https://localhost 2>&1; echo $?", "7"),
        ("readlink /usr /bin /etc/static", "/run/current-system/sw/usr\nusr/bin\n/run/current-system/etc"),
        # Trixie's systemd has a link to the keyboard that an administrator may choose.
        ("find /etc/ /usr/bin/ -xtype l | grep -ve mtab -e vconsole.conf", ""),
    ],
)
def test_inside(box: Container, script: str, expected: str) -> None:
    assert box.run(script, check=expected != "") == expected


def test_logins_by_ssh(box: Container) -> None:
    box.run("mkdir -pm 700 ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519 && cat ~/.ssh/id_ed25519.pub > ~/.ssh/authorized_keys")
    ssh = "ssh -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR"
    # Trixie's logind counts the user's service manager, too.
    assert box.run(f"{ssh} root@localhost 'echo $LANG; loginctl list-sessions --no-legend | grep -vcw manager'").splitlines()[-1] == "1"
    assert "Permission denied" in box.run(f"{ssh} -o BatchMode=yes alice@localhost id", check=False)
    assert "/etc/hostname" in box.run("echo 'ls /etc/hostname' | sftp -q -b - root@localhost")


def test_activation_again_changes_nothing(box: Container) -> None:
    before = box.run("cd /etc && find . -exec ls -ldn --time-style=full-iso {} + | sort -k9")
    box.run("/run/current-system/activate")
    assert box.run("cd /etc && find . -exec ls -ldn --time-style=full-iso {} + | sort -k9").replace("NIXOS", "").count("\n") == before.count("\n")


@pytest.mark.parametrize("what", ["config.system.build.modules", "config.system.build.initialRamdisk", "config.system.build.etc", "system"])
def test_the_same_bytes_twice(factory: Factory, what: str) -> None:
    with Evaluator(factory.store, EvalSettings(system=SYSTEM)) as evaluator:
        text = f'let made = {factory.expression(SERVER)}; in builtins.attrNames (builtins.getContext "${{made.{what}}}")'
        (drv_path,) = map(str, evaluator.eval(text).to_python())
        evaluator.flush()
    realise(factory.store, [drv_path], BuildSettings.make(SYSTEM, os.environ, {})).check()
    realise(factory.store, [drv_path], BuildSettings.make(SYSTEM, os.environ, {})._replace(mode="check")).check()


def test_a_server_on_its_own_kernel(factory: Factory, tmp_path: Path) -> None:
    machine = Emulated(factory, factory.build(SERVER), tmp_path, disks=(64 << 20,))
    try:
        machine.log_in()
        assert machine.run("systemctl is-system-running --wait") == "running", machine.run("systemctl --failed")
        assert machine.run("uname -r; hostname") == f"{os.readlink(factory.real(factory.build(SERVER)) / 'kernel').rpartition('vmlinuz-')[2]}\nweb1"
        assert machine.run("findmnt -no SOURCE,FSTYPE /; findmnt -no SOURCE,FSTYPE /data").split() == ["/dev/vda", "ext4", "/dev/vdb", "ext4"]
        assert machine.run("sysctl -n vm.swappiness; ls -1d /sys/class/net/dummy*").split() == [
            "11",
            "/sys/class/net/dummy0",
            "/sys/class/net/dummy1",
        ]
        assert machine.run("lsmod | grep -c kvm; modprobe loop; lsmod | grep -c '^loop '").split() == ["0", "1"]
        assert machine.run("swapon --noheadings --show=NAME,SIZE").split() == ["/var/swap", "16M"]
        assert machine.run("resolvectl dns | grep -o 10.0.2.3; ip -4 -br address | grep -o 10.0.2.15").split() == ["10.0.2.3", "10.0.2.15"]
        assert machine.run("date +%Z; id -nG alice; hi").splitlines() == ["GMT", "users sudo", "hi"]
        assert machine.run("man -w configuration.nix").startswith("/usr/local/share/man/man5")
        assert machine.run("readlink -f /dev/for-data") == "/dev/vdb"
        assert machine.run("systemd-hwdb query evdev:input:b0003v05AFp8277x") == "KEYBOARD_KEY_70039=leftalt"
        assert machine.ask_agent("guest-get-host-name") == {"host-name": "web1"}
        machine.run("while ! timedatectl show-timesync | grep -q ServerAddress=127.0.0.1; do sleep 1; done")
        assert machine.run("while [ $(date +%Y) != 2033 ]; do sleep 1; done; date -u +%F") == "2033-01-10"
        machine.run("systemctl poweroff")
        assert machine.wait_for_end() == 0
        assert "Power down" in machine.said
    finally:
        machine.kill()


GUID, SIGNATURE = "6f1c0d5e-2b7a-4c3d-9e8f-001122334455", "0x0234abcd"
PARTITIONS = f"""{{
  fileSystems."/" = {{ device = "/dev/disk/by-partuuid/{GUID.upper()}"; fsType = "ext4"; }};
  fileSystems."/var/log" = {{ device = "PARTUUID={SIGNATURE[2:]}-01"; fsType = "ext4"; }};
  boot = {{ kernelParams = [ "console=ttyS0" ]; loader.grub.enable = false; }};
  services.getty.autologinUser = "root";
  programs.bash.promptInit = "PS1=";
  # What is emulated on a busy machine is slower than systemd waits.
  systemd.settings.Manager = {{ DefaultDeviceTimeoutSec = 3600; DefaultTimeoutStartSec = 3600; }};
}}"""


def test_disks_are_known_by_their_partitions_and_mended_before_they_are_mounted(factory: Factory, tmp_path: Path) -> None:
    """Of either kind of table, in the initrd; one of the two file systems has counted wrong."""
    logs = tmp_path / "logs"
    with open(logs, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run([_find("sfdisk"), "--quiet", logs], input=f"label: dos\nlabel-id: {SIGNATURE}\nstart=2048\n", text=True, check=True)
    subprocess.run([_find("mke2fs"), "-q", "-F", "-t", "ext4", "-E", f"offset={1 << 20}", logs, f"{(64 << 10) - 2048}k"], check=True)
    table = f"label: gpt\nstart=2048, uuid={GUID}\n"
    machine = Emulated(factory, factory.build(PARTITIONS), tmp_path, disks=(logs,), table=table, spoil="set_super_value free_inodes_count 1")
    try:
        machine.log_in()
        assert "stage 1: checking /dev/vda1" in machine.said and "stage 1: checking /dev/vdb1" in machine.said
        assert "was not cleanly unmounted, check forced" in machine.said
        assert machine.run("systemctl is-system-running --wait") == "running", machine.run("systemctl --failed")
        assert machine.run("findmnt -no SOURCE /; findmnt -no SOURCE /var/log").split() == ["/dev/vda1", "/dev/vdb1"]
        machine.type("systemctl poweroff\n")
        assert machine.wait_for_end() == 0
    finally:
        machine.kill()
    done = subprocess.run([_find("e2fsck"), "-fn", f"{tmp_path}/disk?offset={1 << 20}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_root_that_is_broken(factory: Factory, tmp_path: Path) -> None:
    """It is not mounted: what mending costs is for somebody to decide."""
    machine = Emulated(factory, factory.build(SERVER), tmp_path, words="boot.panic_on_fail", spoil="clri /nix")
    try:
        machine.wait_for("stage 1: error: /dev/vda has errors")
        assert machine.wait_for_end() == 0
        assert "stage 1: mounting /dev/vda on /" not in machine.said
    finally:
        machine.kill()


def test_a_root_that_is_not_there(factory: Factory, tmp_path: Path) -> None:
    machine = Emulated(factory, factory.build(SERVER), tmp_path, words="root=/dev/never boot.panic_on_fail")
    try:
        machine.wait_for("stage 1: waiting for /dev/never")
        machine.wait_for("stage 1: error: there is no /dev/never")
        # It would start again.
        assert machine.wait_for_end() == 0
    finally:
        machine.kill()
