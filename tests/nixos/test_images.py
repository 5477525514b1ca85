"""Disk images: what is asked of their builder, what first boot does, and, over a real archive, images that are built twice and started.

The latter only with NIVALIS_DEBIAN; see `nixos_machines`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from debian_packages import make_snapshot
from fetch_server import Server, serve
from nivalis.build import BuildSettings, realise
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout
from nixos_machines import Container, Emulated, Factory, open_factory
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
    assert set(found) == {"raw", "qcow2", "qcow2-zstd", "tar", "direct"}
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


# ---- qcow2 ----


@pytest.fixture
def qcow2() -> Iterator[Any]:
    sys.path.insert(0, str(NIXOS / "lib/disk-image"))
    try:
        yield importlib.import_module("qcow2")
    finally:
        sys.path.pop(0)


def skip_without(kind: str) -> None:
    library = {"zlib": "libdeflate.so.0", "zstd": "libzstd.so.1"}[kind]
    try:
        ctypes.CDLL(library)
    except OSError:
        pytest.skip(f"no {library} on this machine")


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
def test_an_image_has_what_the_disk_has(qcow2: Any, tmp_path: Path, kind: str) -> None:
    """Zeros, holes, what can be compressed and what cannot, in more than one table, and what is found again far behind; the last cluster is none."""
    skip_without(kind)
    disk = tmp_path / "disk"
    chance = random.Random(1)
    with open(disk, "wb") as file:
        for at, data in (
            (0, b"boot" * 1000),
            (3 << 20, chance.randbytes(300_000)),
            (4 << 20, bytes(1 << 20)),
            (6 << 20, chance.randbytes(30_000) * 10),
            (700 << 20, b"end" * 100_000),
        ):
            file.seek(at)
            file.write(data)
        file.truncate((700 << 20) + 300_512)
    images = []
    for workers in (1, 5):
        qcow2.write_qcow2(str(disk), str(tmp_path / f"image-{workers}"), kind, workers)
        images.append((tmp_path / f"image-{workers}").read_bytes())
    assert images[0] == images[1] and len(images[0]) < 1 << 20
    subprocess.run([find("qemu-img"), "check", "-q", tmp_path / "image-1"], check=True)
    subprocess.run([find("qemu-img"), "compare", "-q", "-f", "raw", "-F", "qcow2", disk, tmp_path / "image-1"], check=True)


def test_an_image_of_nothing(qcow2: Any, tmp_path: Path) -> None:
    skip_without("zlib")
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.touch()
    os.truncate(disk, 10 << 20)
    qcow2.write_qcow2(str(disk), str(image), "zlib", 1)
    subprocess.run([find("qemu-img"), "check", "-q", image], check=True)
    subprocess.run([find("qemu-img"), "compare", "-q", "-f", "raw", "-F", "qcow2", disk, image], check=True)


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


IMAGE = """{ lib, ... }: {
  networking.hostName = "disk";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; autoResize = true; };
  boot.growPartition = true;
  boot.kernelParams = [ "console=ttyS0" ];
  boot.loader.grub.device = "/dev/vda";
  services.getty.autologinUser = "root";
  programs.bash.promptInit = "PS1=";
}"""


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2-zstd", "tar", "direct"])
def test_the_same_bytes_twice(factory: Factory, kind: str) -> None:
    with Evaluator(factory.store, EvalSettings(system=SYSTEM)) as evaluator:
        drv_path = str(evaluator.eval(f"({factory.expression(IMAGE)}).config.system.build.images.{kind}.drvPath").to_python())
        evaluator.flush()
    settings = BuildSettings.make(SYSTEM, os.environ, {})
    realise(factory.store, [drv_path], settings).check()
    realise(factory.store, [drv_path], settings._replace(mode="check")).check()


def test_the_same_bytes_from_two_stores(factory: Factory, tmp_path: Path) -> None:
    with Store.open(StoreLayout.under(tmp_path)) as store:
        other = Factory(store, Path(make_snapshot(store, os.environ["NIVALIS_DEBIAN"]).folder))
        if other.snapshot.name != factory.snapshot.name:
            pytest.skip("the archive has changed meanwhile")
        here, there = (one.real(one.build(IMAGE, "config.system.build.images.qcow2")) for one in (factory, other))
        assert (here / "nixos.qcow2").read_bytes() == (there / "nixos.qcow2").read_bytes()


class Machine(Emulated):
    """A machine with an image as its disk, and nothing else."""

    def __init__(self, image: Path, form: str, log: Path, words: Sequence[str] = ()) -> None:
        argv = [find("qemu-system-x86_64"), "-accel", "tcg", "-m", "512", "-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"]
        self._start([*argv, "-drive", f"file={image},format={form},if=virtio,cache=unsafe", "-nic", "none", *words], log)


def find(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {program}")
    return found


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2-zstd", "direct"])
def test_a_machine_starts_from_it(factory: Factory, tmp_path: Path, kind: str) -> None:
    """From the BIOS on: GRUB, its menu, kernel, initrd; or from the kernel on.  Then the root is as large as the disk."""
    form = "raw" if kind in ("raw", "direct") else "qcow2"
    disk = tmp_path / "disk"
    shutil.copyfile(factory.real(factory.build(IMAGE, f"config.system.build.images.{'raw' if kind == 'direct' else kind}")) / f"nixos.{form}", disk)
    if kind == "raw":
        subprocess.run([find("e2fsck"), "-fn", f"{disk}?offset={1 << 20}"], check=True, capture_output=True)
    subprocess.run([find("qemu-img"), "resize", "-q", "-f", form, disk, "3G"], check=True)
    words = []
    if kind == "direct":
        direct = factory.real(factory.build(IMAGE, "config.system.build.images.direct"))
        words = ["-kernel", str(direct / "kernel"), "-initrd", str(direct / "initrd"), "-append", (direct / "cmdline").read_text().strip()]
    machine = Machine(disk, form, tmp_path / "console", words)
    try:
        machine.log_in()
        assert machine.run("systemctl is-system-running --wait", 900) == "running"
        assert int(machine.run("stat -fc '%b * %S' / | sed 's/.*/echo $((&))/' | sh")) > 2_900_000_000
        assert ("GRUB" in machine.said) == (kind != "direct")
    finally:
        machine.kill()


def test_a_container_starts_from_the_tar(factory: Factory, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("systemd-nspawn needs root")
    root = tmp_path / "root"
    root.mkdir()
    archive = factory.real(factory.build(IMAGE, "config.system.build.images.tar")) / "nixos.tar"
    subprocess.run(["tar", "-xpf", archive, "-C", root], check=True)
    container = Container(factory, "/nix/var/nix/profiles/system", root)
    try:
        assert container.run("hostname") == "disk"
        assert container.run("readlink -f /run/current-system").startswith("/nix/store/")
        assert container.run("systemctl --failed --no-legend") == ""
    finally:
        container.stop()
