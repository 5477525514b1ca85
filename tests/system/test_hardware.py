"""What `nixos-generate-config` finds, on a machine made of files; and that what it writes can be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nivalis.cli.nixos_generate_config import nixos_generate_config
from nivalis.lang import EvalSettings, Evaluator
from nivalis.system.hardware import FileSystem, look_at_hardware, show_configuration, show_hardware

MOUNTS = """\
25 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 25 0:5 / /proc rw - proc proc rw
40 25 254:2 / /srv/my\\040data rw,noatime - xfs /dev/vdb rw,attr2
41 25 0:40 /@home /home rw,relatime - btrfs /dev/vdc rw,compress=zstd:3,subvol=/@home
42 25 254:1 /etc/x /etc/bound rw - ext4 /dev/vda1 rw
43 25 0:41 / /tmp rw - tmpfs tmpfs rw
44 25 254:1 / /nix/store ro - ext4 /dev/vda1 rw
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    files = {
        "proc/self/mountinfo": MOUNTS,
        "proc/swaps": "Filename Type Size Used Priority\n/dev/vda5 partition 1 0 -2\n",
        "proc/cpuinfo": "processor : 0\nflags : fpu svm lm\n",
        "sys/devices/vda/vda1/partition": "1\n",
        "sys/bus/pci/devices/0000:00:03.0/class": "0x010000\n",
        "sys/bus/pci/devices/0000:00:03.0/vendor": "0x1af4\n",
        "sys/bus/pci/devices/0000:00:02.0/class": "0x030000\n",
        "sys/bus/pci/devices/0000:00:02.0/vendor": "0x1234\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    links = {
        "sys/class/block/vda1": "../../devices/vda/vda1",
        "dev/disk/by-uuid/1111-root": "../../vda1",
        "dev/disk/by-uuid/2222-swap": "../../vda5",
        "sys/bus/pci/devices/0000:00:03.0/driver": "../../drivers/virtio-pci",
        "sys/bus/pci/drivers/virtio-pci/module": "../../../../module/virtio_pci",
        "sys/bus/pci/devices/0000:00:02.0/driver": "../../drivers/bochs",
        "sys/bus/pci/drivers/bochs/module": "../../../../module/bochs",
    }
    for name, target in links.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    return tmp_path


def test_what_is_found(machine: Path) -> None:
    found = look_at_hardware("x86_64-linux", machine=str(machine))
    assert found.file_systems == (
        FileSystem("/", "/dev/disk/by-uuid/1111-root", "ext4"),
        FileSystem("/home", "/dev/vdc", "btrfs", ("compress=zstd:3", "subvol=/@home")),
        FileSystem("/srv/my data", "/dev/vdb", "xfs", ("noatime",)),
    )
    assert found.swaps == ("/dev/disk/by-uuid/2222-swap",)
    assert found.initrd_modules == ("virtio_blk", "virtio_pci", "virtio_scsi")
    assert found.kernel_modules == ("kvm-amd",)
    assert found.disk == "/dev/vda"


def test_below_a_root(machine: Path) -> None:
    assert [one.where for one in look_at_hardware("x86_64-linux", "/srv/my data", str(machine)).file_systems] == ["/"]


def test_what_is_written_can_be_read(machine: Path) -> None:
    found = look_at_hardware("x86_64-linux", machine=str(machine))
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as evaluator:
        lib = "{ mkDefault = x: x; }"
        made = evaluator.eval(f"({show_hardware(found)}) {{ lib = {lib}; }}").to_python()
        first = evaluator.eval(f"({show_configuration(found, '12')}) {{ config = {{ }}; pkgs = {{ }}; }}", base_dir="/etc/nixos").to_python()
    assert made["fileSystems"]["/srv/my data"] == {"device": "/dev/vdb", "fsType": "xfs", "options": ["noatime"]}
    assert made["swapDevices"] == [{"device": "/dev/disk/by-uuid/2222-swap"}]
    assert made["nixpkgs"] == {"hostPlatform": "x86_64-linux"}
    assert first["boot"]["loader"]["grub"]["device"] == "/dev/vda" and first["system"]["stateVersion"] == "12"
    assert "fileSystems" not in show_hardware(found, with_file_systems=False)


def test_an_existing_configuration_stays(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "nixos"
    assert nixos_generate_config(["--dir", str(folder)]) == 0
    assert sorted(os.listdir(folder)) == ["configuration.nix", "hardware-configuration.nix"]
    (folder / "configuration.nix").write_text("mine")
    capfd.readouterr()
    assert nixos_generate_config(["--dir", str(folder)]) == 0
    assert (folder / "configuration.nix").read_text() == "mine"
    assert "warning: not overwriting existing" in capfd.readouterr().err
    assert nixos_generate_config(["--dir", str(folder), "--force"]) == 0
    assert (folder / "configuration.nix").read_text() != "mine"
