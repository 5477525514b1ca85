"""The boot menu: what is in it, which entry is booted, what it keeps, and that it is whole whenever the plug is pulled."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nivalis.system.target.data import System, TargetError
from nivalis.system.target.menu import check_room, find_entries, write_menu
from nivalis.system.target.places import Root
from system_data import killed_at, make_data, make_toplevel

GRUB = {"kind": "grub", "device": "/dev/vda", "timeout": 3}
CHANNEL = Path(__file__).resolve().parents[2] / "channel/nixos"


class Disk:
    """A machine's root folder with generations of its system; kernels are files in its store."""

    def __init__(self, root: Path) -> None:
        self.folder = root
        self.root = Root(str(root))
        self.profile = root / "nix/var/nix/profiles/system"
        self.profile.parent.mkdir(parents=True)

    def make(self, number: int, *, profile: str = "system", loader: dict[str, Any] | None = None, size: int = 10, **kernel: Any) -> System:
        """A generation, which is the current one then."""
        name = f"{len(list((self.folder / 'nix').glob('store/*-system'))):032d}-system"
        version = kernel.pop("version", f"6.{number}")
        path = f"/nix/store/{version}-linux"
        os.makedirs(self.folder / path[1:], exist_ok=True)
        for file in ("vmlinuz", "initrd"):
            (self.folder / path[1:] / file).write_bytes(bytes(size))
        data = make_data(
            paths={"kernel": f"{path}/vmlinuz", "initrd": f"{path}/initrd"},
            kernel={"version": version, "params": ["console=ttyS0"], **kernel},
            boot={"loader": {**GRUB, **(loader or {})}},
        )
        place = make_toplevel(self.folder / "nix/store" / name, data)
        link = self.profile.parent / profile
        link.parent.mkdir(exist_ok=True)
        link.with_name(f"{link.name}-{number}-link").symlink_to(f"/nix/store/{name}")
        link.unlink(missing_ok=True)
        link.symlink_to(f"{link.name}-{number}-link")
        return System.read(str(place))

    @property
    def menu(self) -> str:
        return (self.folder / "boot/grub/grub.cfg").read_text()

    @property
    def titles(self) -> list[str]:
        return re.findall(r"menuentry '(.*?)' --id", self.menu)

    @property
    def kept(self) -> set[str]:
        return {os.readlink(link) for link in (self.folder / "nix/var/nix/gcroots/boot").iterdir()}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk")


def _titles(disk: Disk) -> list[str]:
    return [re.sub(r"\d{4}-\d\d-\d\d", "DATE", title) for title in disk.titles]


def test_an_entry_for_each_generation(disk: Disk) -> None:
    disk.make(1)
    disk.make(2)
    write_menu(disk.root, disk.make(3))
    assert _titles(disk) == [
        "NixOS",
        "NixOS - Configuration 3 (DATE - 12.20261120, Linux 6.3)",
        "NixOS - Configuration 2 (DATE - 12.20261120, Linux 6.2)",
        "NixOS - Configuration 1 (DATE - 12.20261120, Linux 6.1)",
    ]
    newest = os.readlink(disk.profile.with_name("system-3-link"))
    assert f"  linux /nix/store/6.3-linux/vmlinuz init={newest}/init console=ttyS0\n  initrd /nix/store/6.3-linux/initrd\n" in disk.menu
    assert "set timeout=3\nset default='nixos'\n" in disk.menu
    assert len(disk.kept) == 3


def test_the_current_generation_is_booted_though_it_is_not_the_newest(disk: Disk) -> None:
    first = disk.make(1)
    disk.make(2)
    disk.profile.unlink()
    disk.profile.symlink_to("system-1-link")
    write_menu(disk.root, first)
    assert "menuentry 'NixOS' --id 'nixos' {\n  linux /nix/store/6.1-linux" in disk.menu


def test_a_generation_leaves_the_menu_before_it_is_released(disk: Disk) -> None:
    disk.make(1)
    system = disk.make(2)
    write_menu(disk.root, system)
    write_menu(disk.root, system, without=["/nix/var/nix/profiles/system-1-link"])
    assert [title for title in _titles(disk) if "Configuration 1" in title] == []
    assert disk.kept == {os.readlink(disk.profile.with_name("system-2-link"))}


def test_the_limit_spares_the_current_generation(disk: Disk) -> None:
    for number in range(1, 6):
        system = disk.make(number, loader={"configurationLimit": 2})
    disk.profile.unlink()
    disk.profile.symlink_to("system-1-link")
    write_menu(disk.root, system)
    assert [entry.number for entry in find_entries(disk.root, 2)] == [5, 4, 1]


def test_other_profiles(disk: Disk) -> None:
    disk.make(1, profile="system-profiles/test")
    write_menu(disk.root, disk.make(1))
    assert "NixOS - Profile 'test' - Configuration 1 (DATE - 12.20261120, Linux 6.1)".replace("'", "'\\''") in re.sub(
        r"\d{4}-\d\d-\d\d", "DATE", disk.menu
    )


def test_words_that_grub_would_read_as_its_own(disk: Disk) -> None:
    system = disk.make(1, params=["a=$b;{c}", "it's"], loader={"extraEntries": "menuentry x { true }", "extraConfig": "set x=1", "serial": True})
    write_menu(disk.root, system)
    assert "init=/nix/store/" in disk.menu and "'a=$b;{c}' 'it'\\''s'" in disk.menu
    assert disk.menu.endswith("menuentry x { true }\n") and "set x=1\n" in disk.menu and "serial --unit=0" in disk.menu
    checker = shutil.which("grub-script-check")
    if checker is not None:
        subprocess.run([checker, str(disk.folder / "boot/grub/grub.cfg")], check=True)


def test_a_generation_that_cannot_be_read_is_left_out(disk: Disk, capfd: pytest.CaptureFixture[str]) -> None:
    disk.make(1)
    (disk.folder / os.readlink(disk.profile.with_name("system-1-link"))[1:] / "system.json").write_text("{")
    write_menu(disk.root, disk.make(2))
    assert [entry.number for entry in find_entries(disk.root, 9)] == [2]
    assert "generation 1 is left out of the boot menu" in capfd.readouterr().err


def test_nothing_to_boot_and_no_such_loader(disk: Disk) -> None:
    system = disk.make(1)
    (disk.profile.with_name("system-1-link")).unlink()
    with pytest.raises(TargetError, match="no generation"):
        write_menu(disk.root, system)
    with pytest.raises(TargetError, match="no such boot loader"):
        write_menu(disk.root, disk.make(2, loader={"kind": "lilo"}))


def test_room(disk: Disk) -> None:
    system = disk.make(1)
    assert system.boot is not None
    assert check_room(disk.root, [system], system.boot) > 1 << 20


def _on_a_small_boot(disk: Disk, size: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the programs where /boot is a file system of its own."""
    toplevel = disk.folder / os.readlink(disk.profile.with_name(os.readlink(disk.profile)))[1:]
    (disk.folder / "boot").mkdir(exist_ok=True)
    program = [sys.executable, "-S", "-B", "-m", "target", "switch-to-configuration", str(toplevel), "--root", str(disk.folder), *words]
    look = 'find "$1/boot" -type f -printf "%P %s\\n" | sort'
    script = f'mount -t tmpfs -o size={size} tmpfs "$1/boot" || exit 99; place=$1; shift; "$@"; status=$?; set -- "$place"; {look}; exit $status'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(disk.folder), *program]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(CHANNEL)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_kernels_are_copied_where_the_store_cannot_be_seen(disk: Disk) -> None:
    disk.make(1, version="6.1", size=100)
    disk.make(2, version="6.2", size=200)
    done = _on_a_small_boot(disk, "4m", "menu")
    assert done.returncode == 0, done.stderr
    files = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert files.pop("grub/grub.cfg")
    assert files == {f"kernels/6.{number}-linux-{file}": str(100 * number) for number in (1, 2) for file in ("vmlinuz", "initrd")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_boot_changes_nothing(disk: Disk) -> None:
    disk.make(1, size=3 << 20)
    done = _on_a_small_boot(disk, "4m", "check")
    assert done.returncode == 1 and done.stdout == ""
    assert "error[boot-full]: /boot has 4096 KiB left and the new boot menu needs 7168 KiB\n  hint: remove old generations" in done.stderr


def test_killed_anywhere_the_menu_is_whole(disk: Disk) -> None:
    first = disk.make(1)
    write_menu(disk.root, first)
    before = disk.menu
    second = disk.make(2)
    menus = set()
    for step in itertools.count():
        (disk.folder / "boot/grub/grub.cfg").write_text(before)
        was_killed = killed_at(step, partial(write_menu, disk.root, second))
        menus.add(disk.menu)
        # Whatever it names is kept.
        assert {re.sub("/init$", "", place) for place in re.findall(r"init=(\S*)", disk.menu)} <= disk.kept
        if not was_killed:
            break
    assert len(menus) == 2 and disk.menu != before
