"""Disk images: what is asked of their builder, what first boot does, and, over a real archive, images that are built twice and started.

The latter only with NIVALIS_DEBIAN; see `nixos_machines`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetch_server import Server, serve
from nivalis.build import BuildSettings, realise
from nivalis.lang import EvalSettings, Evaluator
from nixos_machines import Factory, open_factory
from nixos_systems import CHANNEL, NIXOS, SYSTEM, Systems

BRIGHTBOX = str(NIXOS / "modules/virtualisation/brightbox-config.nix")
METADATA = NIXOS / "modules/virtualisation/instance-metadata.py"
CHECKOUT = CHANNEL.parent


def test_brightbox_image(systems: Systems) -> None:
    image = "config.system.build.brightboxImage.drvAttrs"
    description = json.loads(systems.eval(BRIGHTBOX, f"builtins.toJSON {image}.description"))
    assert (description["format"], description["fileName"], description["diskSize"]) == ("qcow2", "nixos", "auto")
    assert set(description["contents"]) == {"etc/nixos/configuration.nix", "root/.nix-channels"}
    data = systems.data(BRIGHTBOX)
    assert data["boot"]["loader"]["device"] == "/dev/vda" and data["boot"]["loader"]["serial"]
    assert {"instance-metadata.service", "grow-partition.service", "growfs--.service", "sshd.service"} <= data["units"].keys()


def test_formats_differ_in_nothing_else(systems: Systems) -> None:
    images = "config.system.build.images"
    found = json.loads(systems.eval(BRIGHTBOX, f"builtins.toJSON (builtins.mapAttrs (_: image: image.drvAttrs.description) {images})"))
    assert set(found) == {"raw", "qcow2", "qcow2-zstd", "tar"}
    assert all(one.pop("format") == name for name, one in found.items())
    assert len({json.dumps(one, sort_keys=True) for one in found.values()}) == 1


def test_a_disk_of_no_size(systems: Systems) -> None:
    error = systems.fail(f"{{ imports = [ {BRIGHTBOX} ]; virtualisation.diskSize = 0; }}", "config.system.build.brightboxImage.drvPath")
    assert "virtualisation.diskSize" in str(error)


def test_programs_are_those_of_the_wheel(systems: Systems) -> None:
    scripts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(systems.eval(BRIGHTBOX, "builtins.toJSON pkgs.nivalis.programs")) == scripts


def test_wheels_are_those_of_the_lock() -> None:
    sys.path.insert(0, str(CHANNEL / "pkgs/nivalis"))
    try:
        import lock  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    locked = {(project, version): hashes for project, version, hashes in lock.read_lock((CHECKOUT / "requirements/runtime.lock").read_text())}
    for python, wheels in json.loads((CHANNEL / "pkgs/nivalis/wheels.json").read_text()).items():
        assert {(wheel["project"], wheel["version"]) for wheel in wheels} == locked.keys()
        for wheel in wheels:
            assert wheel["sha256"] in locked[wheel["project"], wheel["version"]]
            assert lock.rank(wheel["file"], python) is not None
    assert lock.rank("a-1-cp311-cp311-manylinux_2_39_x86_64.whl", "3.11") is None
    assert lock.rank("a-1-cp313-cp313-manylinux_2_17_x86_64.whl", "3.11") is None
    assert lock.rank("a-1-cp312-abi3-manylinux_2_17_x86_64.whl", "3.11") is None


# ---- first boot ----


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


def ask_metadata(server: Server, folder: Path, *, name: str = "", patience: str = "5") -> subprocess.CompletedProcess[str]:
    """Run the program on a root of its own."""
    text = METADATA.read_text()
    for place in ("/var/lib/nixos/instance-id", "/root/.ssh/authorized_keys", "/etc/ec2-metadata", "/etc/hostname"):
        assert f'"{place}"' in text
        text = text.replace(f'"{place}"', f'"{folder}{place}"')
    program = folder / "program.py"
    program.write_text(text.replace("socket.sethostname(short)", "print(short)"))
    command = [sys.executable, "-S", "-B", "-P", str(program), server.address, patience, name]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keys_name_and_data_come_from_the_service(server: Server, tmp_path: Path) -> None:
    server.files = {
        "/latest/meta-data/instance-id": b"srv-12345",
        "/latest/meta-data/hostname": b"srv-12345.gb1.brightbox.com",
        "/latest/meta-data/public-keys/": b"0=one\n1=two",
        "/latest/meta-data/public-keys/0/openssh-key": b"ssh-ed25519 AAAA one\n",
        "/latest/meta-data/public-keys/1/openssh-key": b"ssh-ed25519 BBBB two",
        "/latest/user-data": b"\x00secret",
    }
    server.failures = 3
    done = ask_metadata(server, tmp_path, name="name")
    assert done.returncode == 0, done.stderr
    keys = tmp_path / "root/.ssh/authorized_keys"
    assert keys.read_text() == "ssh-ed25519 AAAA one\nssh-ed25519 BBBB two\n" and keys.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "etc/hostname").read_text() == "srv-12345\n"
    data = tmp_path / "etc/ec2-metadata/user-data"
    assert data.read_bytes() == b"\x00secret" and data.stat().st_mode & 0o777 == 0o600
    # A key that was taken away stays away.
    keys.write_text("")
    assert ask_metadata(server, tmp_path).returncode == 0 and keys.read_text() == ""


def test_keys_that_are_not_listed(server: Server, tmp_path: Path) -> None:
    server.files = {"/latest/meta-data/instance-id": b"srv-1", "/latest/meta-data/public-keys/0/openssh-key": b"ssh-ed25519 AAAA one\n"}
    keys = tmp_path / "root/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("ssh-rsa CCCC mine\n")
    assert ask_metadata(server, tmp_path).returncode == 0
    assert keys.read_text() == "ssh-rsa CCCC mine\nssh-ed25519 AAAA one\n"
    assert not (tmp_path / "etc/hostname").exists()


def test_a_service_that_never_answers(server: Server, tmp_path: Path) -> None:
    server.failures = 1000
    done = ask_metadata(server, tmp_path, patience="1")
    assert done.returncode == 1 and "does not answer" in done.stderr
    assert not (tmp_path / "root").exists()


# ---- real images ----


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with open_factory(tmp_path_factory.mktemp("root")) as made:
        yield made


# What is typed has no number where what is said has one.
SIZE = "sleep 5; echo root: $(($(stat -fc '%b * %S' /) / 1000000)) MB, failed: $(systemctl --failed --no-legend)."
IMAGE = """{ lib, ... }: {
  networking.hostName = "disk";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; autoResize = true; };
  boot.growPartition = true;
  boot.kernelParams = [ "console=ttyS0" ];
  boot.loader.grub.device = "/dev/vda";
  services.getty.autologinUser = "root";
  programs.bash.promptInit = "PS1=";
}"""


@pytest.mark.parametrize("kind", ["raw", "qcow2", "tar"])
def test_the_same_bytes_twice(factory: Factory, kind: str) -> None:
    with Evaluator(factory.store, EvalSettings(system=SYSTEM)) as evaluator:
        drv_path = str(evaluator.eval(f"({factory.expression(IMAGE)}).config.system.build.images.{kind}.drvPath").to_python())
        evaluator.flush()
    settings = BuildSettings.make(SYSTEM, os.environ, {})
    realise(factory.store, [drv_path], settings).check()
    realise(factory.store, [drv_path], dataclasses.replace(settings, mode="check")).check()


def test_the_file_system_is_whole_and_the_machine_starts(factory: Factory, tmp_path: Path) -> None:
    """From the BIOS on: GRUB, its menu, kernel, initrd; then the root is as large as the disk."""
    qemu, e2fsck = shutil.which("qemu-system-x86_64"), shutil.which("e2fsck", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if qemu is None or e2fsck is None:
        pytest.skip("no QEMU or no e2fsck")
    disk = tmp_path / "disk"
    shutil.copyfile(factory.real(factory.build(IMAGE, "config.system.build.images.raw")) / "nixos.raw", disk)
    subprocess.run([e2fsck, "-fn", f"{disk}?offset={1 << 20}"], check=True, capture_output=True)
    os.truncate(disk, 3 << 30)
    argv = [qemu, "-accel", "tcg", "-m", "512", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"]
    argv += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe", "-nic", "none"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as machine:
        assert machine.stdin is not None and machine.stdout is not None
        os.set_blocking(machine.stdout.fileno(), False)
        said, typed, deadline = b"", False, time.monotonic() + 900
        try:
            while (found := re.search(rb"root: (\d+) MB, failed: (.*)\.", said)) is None:
                assert time.monotonic() < deadline, said[-3000:]
                said += machine.stdout.read() or b""
                if not typed and b"(automatic login)" in said:
                    machine.stdin.write(SIZE.encode() + b"\n")
                    machine.stdin.flush()
                    typed = True
                time.sleep(0.2)
        finally:
            machine.kill()
    assert b"GRUB" in said and int(found[1]) > 2900 and found[2] == b"", said[-3000:]
