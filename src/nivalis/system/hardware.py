"""What a machine is made of, as far as a first configuration of it has to say: file systems, swap, the modules that its disks need.

All of it is read from the kernel's own files (/proc, /sys, /dev/disk), below a root folder that a test or an installer may choose.  What is only of
this boot (memory file systems, mounts by hand of removable disks) is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileSystem", "Hardware", "look_at_hardware", "show_configuration", "show_hardware"]

_KINDS = {"ext2", "ext3", "ext4", "btrfs", "xfs", "vfat", "f2fs", "ntfs3", "exfat", "zfs"}
# PCI classes of what a root file system may lie behind: storage, and USB controllers.
_STORAGE = re.compile(r"0x(01|0c03)")
# What somebody chose, among all that the kernel says of a mount.
_OPTIONS = {"subvol", "noatime", "compress", "fmask", "dmask"}
_PASSING = ("/nix/store", "/run/", "/proc", "/sys", "/dev")


@dataclass(frozen=True, slots=True)
class FileSystem:
    where: str
    device: str
    kind: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hardware:
    """`initrd_modules` are needed before the root is mounted; `kernel_modules` are for later; `disk` is where a boot loader would go."""

    file_systems: tuple[FileSystem, ...]
    swaps: tuple[str, ...]
    initrd_modules: tuple[str, ...]
    kernel_modules: tuple[str, ...]
    system: str
    disk: str | None


def look_at_hardware(system: str, root: str = "/", machine: str = "/") -> Hardware:
    """What is mounted at `root` and below, on the machine whose /proc, /sys and /dev are below `machine`.  Raises OSError."""
    names = _stable_names(machine)
    mounted = _read_mounts(root, machine, names)
    return Hardware(
        tuple(mounted),
        tuple(names.get(_device(machine, line.split()[0]), line.split()[0]) for line in _lines(f"{machine}/proc/swaps")[1:]),
        tuple(sorted(_storage_modules(machine))),
        tuple(sorted(_processor_modules(machine))),
        system,
        _find_disk(machine, next((one.device for one in mounted if one.where == "/"), None)),
    )


def _read_mounts(root: str, machine: str, names: Mapping[str, str]) -> Iterable[FileSystem]:
    """The mounts of proc_pid_mountinfo(5) that are of disks; of one place the last."""
    top = root.rstrip("/")
    found: dict[str, FileSystem] = {}
    for line in _lines(f"{machine}/proc/self/mountinfo"):
        mount, _, origin = line.partition(" - ")
        _, _, _, part, where, options, *_ = (_unescape(word) for word in mount.split(" "))
        kind, device, more = (_unescape(word) for word in origin.split(" ", 2))
        inside = where[len(top) :] or "/"
        if kind not in _KINDS or not (where == root or where.startswith(f"{top}/")) or inside.startswith(_PASSING):
            continue
        if part != "/" and inside != "/" and kind != "btrfs":
            # A folder of a file system that is mounted elsewhere.
            continue
        wanted = tuple(option for option in dict.fromkeys(f"{options},{more}".split(",")) if option.partition("=")[0] in _OPTIONS)
        found[inside] = FileSystem(inside, names.get(_device(machine, device), device), kind, wanted)
    return [found[where] for where in sorted(found)]


def _unescape(word: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), word)


def _stable_names(machine: str) -> dict[str, str]:
    """What does not change when disks are found in another order, by device."""
    found: dict[str, str] = {}
    folder = Path(f"{machine}/dev/disk/by-uuid")
    if folder.is_dir():
        for link in sorted(folder.iterdir()):
            found[os.path.basename(os.readlink(link))] = f"/dev/disk/by-uuid/{link.name}"
    return found


def _device(machine: str, name: str) -> str:
    """A device's own name, of whatever link to it: `vda1`."""
    return os.path.basename(os.path.realpath(f"{machine.rstrip('/')}{name}"))


def _storage_modules(machine: str) -> set[str]:
    found = set()
    folder = Path(f"{machine}/sys/bus/pci/devices")
    for device in folder.iterdir() if folder.is_dir() else ():
        try:
            kind = (device / "class").read_text()
            module = os.path.basename(os.readlink(device / "driver/module"))
        except OSError:
            continue
        vendor = (device / "vendor").read_text().strip()
        if _STORAGE.match(kind) or vendor == "0x1af4":
            found.add(module)
    if any(name.startswith("virtio") for name in found):
        # A disk of virtio is behind another module than its PCI device.
        found |= {"virtio_blk", "virtio_pci", "virtio_scsi"}
    return found


def _processor_modules(machine: str) -> set[str]:
    flags: set[str] = set()
    for line in _lines(f"{machine}/proc/cpuinfo"):
        if line.startswith("flags"):
            flags = set(line.split())
            break
    return {module for flag, module in (("vmx", "kvm-intel"), ("svm", "kvm-amd")) if flag in flags}


def _find_disk(machine: str, device: str | None) -> str | None:
    """The whole disk on which a partition is."""
    if device is None:
        return None
    name = _device(machine, device)
    place = os.path.realpath(f"{machine}/sys/class/block/{name}")
    if os.path.exists(f"{place}/partition"):
        return f"/dev/{os.path.basename(os.path.dirname(place))}"
    return f"/dev/{name}" if os.path.exists(place) else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


# ---- as Nix ----


def show_hardware(found: Hardware, *, with_file_systems: bool = True) -> str:
    """The text of hardware-configuration.nix."""
    lines = ["# Written by `nixos-generate-config`, which writes it again; changes belong into configuration.nix.", "{ lib, ... }:", "{"]
    lines.append(f"  boot.initrd.availableKernelModules = {_list(found.initrd_modules)};")
    lines.append(f"  boot.kernelModules = {_list(found.kernel_modules)};")
    if with_file_systems:
        for one in found.file_systems:
            lines += ["", f"  fileSystems.{_quote(one.where)} = {{", f"    device = {_quote(one.device)};", f"    fsType = {_quote(one.kind)};"]
            if one.options:
                lines.append(f"    options = {_list(one.options)};")
            lines.append("  };")
        devices = " ".join(f"{{ device = {_quote(device)}; }}" for device in found.swaps)
        lines += ["", f"  swapDevices = [ {devices} ];" if devices else "  swapDevices = [ ];"]
    lines += ["", f"  nixpkgs.hostPlatform = lib.mkDefault {_quote(found.system)};", "}", ""]
    return "\n".join(lines)


def show_configuration(found: Hardware, release: str) -> str:
    """The text of a first configuration.nix."""
    device = found.disk or "/dev/vda"
    return f"""\
# What this machine is.  `nixos-rebuild switch` makes it so; `nivalis options WORD` finds what can be said here.
{{ config, pkgs, ... }}:
{{
  imports = [ ./hardware-configuration.nix ];

  boot.loader.grub.device = {_quote(device)};

  # networking.hostName = "server";
  # time.timeZone = "Europe/London";

  # users.users.alice = {{
  #   isNormalUser = true;
  #   extraGroups = [ "wheel" ]; # sudo
  #   openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA... alice" ];
  # }};

  # environment.systemPackages = [ pkgs.vim pkgs.git ];

  services.openssh.enable = true;
  # networking.firewall.allowedTCPPorts = [ 80 ];

  # The release that this machine began with: some data on disk are of it.  It stays when the machine moves to a newer one.
  system.stateVersion = {_quote(release)};
}}
"""


def _list(texts: Iterable[str]) -> str:
    return f"[ {''.join(f'{_quote(text)} ' for text in texts)}]"


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'
