"""The boot menu: an entry for each generation of the system's profiles, in GRUB's language.

GRUB reads ext4 without its journal, so what it finds after a crash is not what the kernel would find.  A rename that is only in the journal is no
rename; and one whose folder is on the disk already, while the new file's inode is not, or the old one's is as a freed one, is an empty menu.
So the new file is on the disk, synced, before it gets its name; the old one keeps another name (`grub.cfg.old`), and with it its inode; and
between the two syncs nothing changes but the folder.

Where /boot is a file system of its own, or the store is one, kernels are copied to `/boot/kernels`, named by their store paths; those that no
entry names are removed after the menu is safe.  Whether there is room for them is asked before anything is changed.

What the menu names must not be collected, so each entry's system is a garbage-collector root in `gcroots/boot`: made before the menu is
written, and given up when the menu without it is on the disk.  Whoever removes generations has the menu written without them first.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import NamedTuple

from .data import Boot, System, TargetError
from .places import Root, warn

__all__ = ["PROFILES", "Entry", "check_room", "find_entries", "make_entry", "make_menu", "write_menu"]

PROFILES = "/nix/var/nix/profiles"
_ROOTS = "/nix/var/nix/gcroots/boot"
_CONFIG = "/boot/grub/grub.cfg"
_KERNELS = "/boot/kernels"
# What has to be free beside the kernels: the menu twice, and folders.
_MARGIN = 1 << 20
# A word that GRUB's language takes as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


class Entry(NamedTuple):
    """One generation; `profile` is empty for the system's own.  `date` is the day on which it was made."""

    profile: str
    number: int
    date: str
    toplevel: str
    label: str
    kernel: str
    initrd: str
    version: str
    params: tuple[str, ...]

    @property
    def title(self) -> str:
        profile = f"Profile '{self.profile}' - " if self.profile else ""
        return f"{profile}Configuration {self.number} ({self.date} - {self.label}, Linux {self.version})"


def find_entries(root: Root, limit: int, *, without: Collection[str] = ()) -> list[Entry]:
    """The last `limit` generations of each profile, the newest first; `without` are links of generations that are about to go."""
    profiles = {"": f"{PROFILES}/system"}
    with suppress(OSError):
        names = os.listdir(root.place(f"{PROFILES}/system-profiles"))
        profiles |= {name: f"{PROFILES}/system-profiles/{name}" for name in sorted(names) if not re.fullmatch(r".*-\d+-link|.*\.(lock|tmp-.*)", name)}
    found = []
    for name, profile in profiles.items():
        current = root.read_link(profile)
        links = sorted(_find_links(root, profile), reverse=True)
        kept = [(number, link) for number, link in links if link not in without]
        # What a rollback leads to is in the menu, however many are newer.
        chosen = [(number, link) for place, (number, link) in enumerate(kept) if place < limit or os.path.basename(link) == current]
        for number, link in chosen:
            entry = _read_entry(root, name, number, link)
            if entry is not None:
                found.append(entry)
    return found


def _find_links(root: Root, profile: str) -> list[tuple[int, str]]:
    folder, name = os.path.split(profile)
    pattern = re.compile(re.escape(name) + r"-([0-9]{1,18})-link")
    try:
        matches = [pattern.fullmatch(one) for one in os.listdir(root.place(folder))]
    except OSError:
        return []
    return [(int(match[1]), f"{folder}/{match[0]}") for match in matches if match]


def _read_entry(root: Root, profile: str, number: int, link: str) -> Entry | None:
    place = root.place(link)
    try:
        # Where the whole root may be moved, links are relative.
        toplevel = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(place)))
        made = os.lstat(place).st_mtime
        system = System.read(_real(root, toplevel))
    except (OSError, TargetError) as error:
        warn(f"generation {number} is left out of the boot menu: {error}")
        return None
    return make_entry(profile, number, made, toplevel, system)


def make_entry(profile: str, number: int, made: float, toplevel: str, system: System) -> Entry | None:
    """The entry of a generation that was made at `made`, in seconds since the epoch; None if it cannot be booted."""
    if system.kernel is None or "kernel" not in system.paths:
        return None
    return Entry(
        profile,
        number,
        time.strftime("%Y-%m-%d", time.localtime(made)),
        toplevel,
        system.label,
        system.paths["kernel"],
        system.paths.get("initrd", ""),
        system.kernel.version,
        system.kernel.params,
    )


def _real(root: Root, path: str) -> str:
    inside = root.place(path)
    return inside if os.path.lexists(inside) else path


# ---- the text ----


def make_menu(boot: Boot, entries: Sequence[Entry], default: Entry, *, copied: bool) -> str:
    """The text of grub.cfg; `default` is what is booted when nobody chooses."""
    lines = ["# Written at each switch from the generations of the system; what is changed here by hand does not stay."]
    if boot.serial:
        lines += ["serial --unit=0 --speed=115200", "terminal_input serial console", "terminal_output serial console"]
    lines += [f"set timeout={-1 if boot.timeout is None else boot.timeout}", f"set default={_quote(boot.default or 'nixos')}"]
    if boot.extra_config:
        lines.append(boot.extra_config.rstrip("\n"))
    lines += _make_entry("NixOS", "nixos", default, copied, "")
    lines.append('submenu "NixOS - All configurations" --id nixos-all {')
    for entry in entries:
        lines += _make_entry(f"NixOS - {entry.title}", f"nixos-{entry.profile or 'system'}-{entry.number}", entry, copied, "  ")
    lines.append("}")
    if boot.extra_entries:
        lines.append(boot.extra_entries.rstrip("\n"))
    return "\n".join([*lines, ""])


def _make_entry(title: str, name: str, entry: Entry, copied: bool, indent: str) -> list[str]:
    kernel, initrd = ((_copy_place(path).removeprefix("/boot") if copied else path) for path in (entry.kernel, entry.initrd))
    words = " ".join(word if _PLAIN.fullmatch(word) else _quote(word) for word in (f"init={entry.toplevel}/init", *entry.params))
    lines = [f"menuentry {_quote(title)} --id {_quote(name)} {{", f"  linux {kernel} {words}"]
    if entry.initrd:
        lines.append(f"  initrd {initrd}")
    return [indent + line for line in [*lines, "}"]]


def _quote(text: str) -> str:
    """A word of GRUB's language, in which everything between single quotes stands for itself."""
    return "'" + text.replace("'", "'\\''").replace("\n", " ") + "'"


def _copy_place(path: str) -> str:
    """Where a file of the store is copied to: `/nix/store/HASH-linux-6.1/boot/vmlinuz` has all of that in its name."""
    return f"{_KERNELS}/{path.removeprefix('/nix/store/').replace('/', '-')}"


# ---- the disk ----


def _are_copied(root: Root) -> bool:
    """Whether GRUB, which sees one file system, sees no store beside /boot."""
    try:
        return os.stat(_real(root, "/boot")).st_dev != os.stat(_real(root, "/nix/store")).st_dev
    except OSError:
        return False


def check_room(root: Root, systems: Sequence[System], boot: Boot) -> int:
    """How many bytes are free in /boot.  Raises TargetError if the kernels of `systems` and a new menu do not fit beside what is there."""
    folder = root.place("/boot")
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    needed = _MARGIN
    if _are_copied(root):
        paths = {system.paths[name] for system in systems for name in ("kernel", "initrd") if name in system.paths}
        needed += sum(os.path.getsize(_real(root, path)) for path in paths if not os.path.exists(root.place(_copy_place(path))))
    if free < needed:
        raise TargetError(
            f"/boot has {free >> 10} KiB left and the new boot menu needs {needed >> 10} KiB",
            code="boot-full",
            hint="remove old generations (`nix-collect-garbage -d`), or have fewer in the menu (`boot.loader.grub.configurationLimit`)",
        )
    return free


def write_menu(root: Root, system: System, default: str | None = None, *, without: Collection[str] = ()) -> list[Entry]:
    """Write the menu that `system` wants, over all generations but those whose links are in `without`; its entries.

    `default` is the toplevel to boot when nobody chooses; without it, that is the current generation's.  Raises TargetError, OSError.
    """
    boot = system.boot
    if boot is None:
        return []
    if boot.kind != "grub":
        raise TargetError(f"there is no such boot loader: `{boot.kind}`", code="boot-loader")
    entries = find_entries(root, boot.configuration_limit, without=without)
    if not entries:
        raise TargetError("no generation of the system can be booted", code="boot-empty", hint="`nixos-rebuild boot` makes one")
    current = os.path.basename(root.read_link(f"{PROFILES}/system") or "")
    chosen = next(
        (one for one in entries if (one.toplevel == default if default else f"{one.profile or 'system'}-{one.number}-link" == current)), entries[0]
    )
    copied = _are_copied(root)
    _write_roots(root, entries)
    if copied:
        _copy_kernels(root, entries)
    data = make_menu(boot, entries, chosen, copied=copied).encode()
    root.make_folder(os.path.dirname(_CONFIG))
    if root.read(_CONFIG) != data.decode():
        _replace_menu(root, data)
    os.sync()
    _drop_unnamed(root, entries, copied)
    return entries


def _replace_menu(root: Root, data: bytes) -> None:
    new, old = f"{_CONFIG}.new", f"{_CONFIG}.old"
    root.write_file(new, data)
    # All file systems: Python cannot name one, and the others are waited for little.  With the new file, what an earlier writer left is safe.
    os.sync()
    root.remove(old)
    with suppress(FileNotFoundError):
        os.link(root.place(_CONFIG), root.place(old))
    os.sync()
    os.rename(root.place(new), root.place(_CONFIG))


def _write_roots(root: Root, entries: Sequence[Entry]) -> None:
    root.make_folder(_ROOTS)
    for entry in entries:
        root.write_link(f"{_ROOTS}/{os.path.basename(entry.toplevel)}", entry.toplevel)


def _copy_kernels(root: Root, entries: Sequence[Entry]) -> None:
    root.make_folder(_KERNELS)
    for entry in entries:
        for path in filter(None, (entry.kernel, entry.initrd)):
            place = root.place(_copy_place(path))
            if not os.path.exists(place):
                part = f"{place}.nivalis-new"
                shutil.copyfile(_real(root, path), part)
                os.rename(part, place)
    # A menu that is on the disk must name nothing that is not.
    os.sync()


def _drop_unnamed(root: Root, entries: Sequence[Entry], copied: bool) -> None:
    named = {os.path.basename(entry.toplevel) for entry in entries}
    kernels = {os.path.basename(_copy_place(path)) for entry in entries for path in (entry.kernel, entry.initrd) if path} if copied else set()
    for folder, kept in ((_ROOTS, named), (_KERNELS, kernels)):
        with suppress(FileNotFoundError):
            for name in os.listdir(root.place(folder)):
                if name not in kept:
                    root.remove(f"{folder}/{name}")
