"""Activation: what has to be so on a machine before its units start, at boot and at a switch alike.

The order matters.  Accounts first, since files and wrappers belong to them; wrappers next, for the new /usr leads to them; then one rename of
`/run/current-system` changes /usr and everything below /etc/static at once; then what is in /etc itself.

What was put into /etc is noted in `/var/lib/nixos/etc` before it is put there, and struck off after it is gone: so what a killed activation
left is known to the next one.  A file that somebody else had made where one of ours belongs is kept, as `NAME.before-nivalis`.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from .accounts import Accounts, apply_accounts
from .data import Capabilities, File, System, Wrapper
from .places import BOOTED, CURRENT, STATE, STATIC, Root, say, set_owner, warn

__all__ = ["activate"]

_LINKS = {
    "/usr": f"{CURRENT}/sw/usr",
    **{f"/{name}": f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")},
    STATIC: f"{CURRENT}/etc",
    # What the running system needs is no garbage, and neither is what it was booted from.
    "/nix/var/nix/gcroots/current-system": CURRENT,
    "/nix/var/nix/gcroots/booted-system": BOOTED,
}
_FOLDERS = {
    **dict.fromkeys(("/dev", "/etc", "/home", "/mnt", "/proc", "/run", "/srv", "/sys", "/var/cache", "/var/lib", "/var/log"), 0o755),
    "/root": 0o700,
    "/tmp": 0o1777,
    "/var/tmp": 0o1777,
    "/var/empty": 0o555,
}
_NOTED = f"{STATE}/etc"
_WRAPPERS = "/run/wrappers"
_KEPT = ".before-nivalis"


def activate(root: Root, toplevel: str, system: System, old: System | None = None) -> bool:
    """Make the machine what the system at `toplevel`, a store path, says; whether all of it worked.  Raises OSError.

    What leaves /etc is said of the files that `old` declares; those of packages come and go with them.
    """
    for path, mode in _FOLDERS.items():
        if path not in _LINKS:
            root.make_folder(path, mode)
    for path in ("/etc", "/run", STATE):
        root.sweep(path)
    accounts = apply_accounts(root, system)
    _make_wrappers(root, system, accounts)
    files = _list_etc(root, system)
    before = _read_noted(root)
    for name in sorted(files.keys() - before):
        _keep_foreign(root, name)
    _write_noted(root, before | files.keys())
    root.write_link(CURRENT, toplevel)
    for path, target in _LINKS.items():
        _link_folder(root, path, target)
    say("setting up /etc...")
    # What goes makes room for what comes: a folder may become a file.
    declared = old.etc if old else {}
    for name in sorted(before - files.keys()):
        if _remove_etc(root, name) and name in declared:
            say(f"removing obsolete {'file' if declared[name].is_copy else 'symlink'} ‘/etc/{name}’...")
    _make_etc(root, files, accounts)
    _write_noted(root, set(files))
    if root.read("/etc/NIXOS") is None:
        root.write_file("/etc/NIXOS", b"")
    if root.is_live:
        _set_up_machine(root, system)
    return _run_scripts(root, toplevel, system)


def _link_folder(root: Root, path: str, target: str) -> None:
    if root.is_folder(path):
        try:
            os.rmdir(root.place(path))
        except OSError:
            warn(f"`{path}` is a folder with files of its own, and stays; the system expects a link to `{target}`")
            return
    root.make_folder(os.path.dirname(path))
    root.write_link(path, target)


# ---- /etc ----


def _list_etc(root: Root, system: System) -> dict[str, File]:
    """What belongs into /etc: all that the system's tree has, of packages too, and each in the way that the data say, if they do."""
    files: dict[str, File] = {}

    def add(folder: str) -> None:
        with os.scandir(f"{tree}/{folder}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    add(f"{folder}{entry.name}/")
                else:
                    files[f"{folder}{entry.name}"] = File(entry.path)

    if "etc" in system.paths and os.path.isdir(tree := _source_of(root, system.paths["etc"])):
        add("")
    return files | dict(system.etc)


def _make_etc(root: Root, files: Mapping[str, File], accounts: Accounts) -> None:
    for name, file in sorted(files.items()):
        path = f"/etc/{name}"
        _open_folder(root, os.path.dirname(path))
        if root.is_folder(path) and not _remove_empty(root, path):
            warn(f"`{path}` is a folder with files of its own, and stays")
            continue
        if file.is_copy:
            _copy(root, path, file, accounts)
        else:
            root.write_link(path, file.source if file.mode == "direct-symlink" else f"{STATIC}/{name}")


def _copy(root: Root, path: str, file: File, accounts: Accounts) -> None:
    try:
        owner = accounts.owner(file.user, file.group)
    except KeyError as error:
        warn(f"`{path}` belongs to {error.args[0]}, who is not there; it is root's now")
        owner = (0, 0)
    with open(_source_of(root, file.source), "rb") as stream:
        data = stream.read()
    place, mode = root.place(path), int(file.mode, 8)
    with suppress(OSError):
        status = os.lstat(place)
        is_right = (status.st_mode & 0o170000) == 0o100000 and status.st_mode & 0o7777 == mode and (status.st_uid, status.st_gid) == owner
        if is_right and status.st_size == len(data):
            with open(place, "rb") as present:
                if present.read() == data:
                    return
    root.write_file(path, data, mode=mode, owner=owner)


def _source_of(root: Root, source: str) -> str:
    """A file in the store, which an image's root folder may hold itself."""
    inside = root.place(source)
    return inside if os.path.lexists(inside) else source


def _open_folder(root: Root, path: str) -> None:
    """Have a real folder where a link of ours may have been: what was one entry is several now."""
    if path != "/etc" and not root.is_folder(path):
        _open_folder(root, os.path.dirname(path))
        root.remove(path)
        root.make_folder(path)


def _keep_foreign(root: Root, name: str) -> None:
    """Put a file aside that is in the place of an entry, or of a folder above it, and was not made by us."""
    path = "/etc"
    for part in name.split("/"):
        path = f"{path}/{part}"
        if root.is_folder(path):
            continue
        target = root.read_link(path)
        is_ours = target is not None and target.startswith((f"{STATIC}/", "/nix/store/"))
        if not is_ours and os.path.lexists(root.place(path)):
            os.rename(root.place(path), root.place(path + _KEPT))
            say(f"`{path}` was there already, and is `{path}{_KEPT}` now")
        return


def _remove_etc(root: Root, name: str) -> bool:
    """Remove what was put there by an earlier system, and the folders that this leaves empty; whether it was no other entry's by now."""
    path = f"/etc/{name}"
    folders = [path[:index] for index, letter in enumerate(path) if letter == "/" and index > 0]
    if root.is_folder(path) or not all(root.is_folder(folder) for folder in folders):
        # What is there, or leads there, is another entry by now; and behind a link are files of the store.
        return False
    root.remove(path)
    for folder in reversed(folders[1:]):
        if not _remove_empty(root, folder):
            break
    return True


def _remove_empty(root: Root, path: str) -> bool:
    try:
        os.rmdir(root.place(path))
    except OSError:
        return False
    return True


def _read_noted(root: Root) -> set[str]:
    return set((root.read(_NOTED) or "").splitlines())


def _write_noted(root: Root, names: set[str]) -> None:
    if names != _read_noted(root):
        root.write_file(_NOTED, "".join(f"{name}\n" for name in sorted(names)).encode())


# ---- wrappers ----


def _make_wrappers(root: Root, system: System, accounts: Accounts) -> None:
    """A new folder of them, and one rename that puts it in the old one's place: no moment without sudo."""
    if root.is_live:
        _mount_wrappers()
    root.make_folder(_WRAPPERS)
    part = f"{_WRAPPERS}/wrappers.{secrets.token_hex(5)}"
    root.make_folder(part)
    for name, wrapper in sorted((_read_special(root, system) | dict(system.wrappers)).items()):
        _make_wrapper(root, f"{part}/{name}", wrapper, accounts)
    root.write_link(f"{_WRAPPERS}/bin", part)
    for name in os.listdir(root.place(_WRAPPERS)):
        if name.startswith("wrappers.") and f"{_WRAPPERS}/{name}" != part:
            shutil.rmtree(root.place(f"{_WRAPPERS}/{name}"), ignore_errors=True)


def _read_special(root: Root, system: System) -> dict[str, Wrapper]:
    """The programs of packages that have such a mode in Debian; the farm says which, by mode, owner, group, path and package."""
    try:
        with open(_source_of(root, f"{system.paths.get('sw', '')}/nix-support/debian/setuid"), encoding="utf-8") as file:
            lines = [line.split("\t") for line in file.read().splitlines()]
    except FileNotFoundError:
        return {}
    return {os.path.basename(path): Wrapper(f"{package}/{path}", owner, group, mode) for mode, owner, group, path, package in lines}


def _make_wrapper(root: Root, path: str, wrapper: Wrapper, accounts: Accounts) -> None:
    try:
        owner = accounts.owner(wrapper.owner, wrapper.group)
    except KeyError as error:
        warn(f"`{path}` belongs to {error.args[0]}, who is not there; it is left out")
        return
    place = root.place(path)
    shutil.copyfile(_source_of(root, wrapper.source), place)
    # To change the owner takes the bits of the mode away that this is all about.
    set_owner(place, owner)
    os.chmod(place, int(wrapper.mode, 8))
    if wrapper.capabilities is not None and os.geteuid() == 0:
        os.setxattr(place, "security.capability", _pack(wrapper.capabilities))


def _pack(capabilities: Capabilities) -> bytes:
    """A file's capabilities as the kernel has them on disk: vfs_cap_data of linux/capability.h, revision 2."""
    masks = [sum(1 << number for number in numbers) for numbers in (capabilities.permitted, capabilities.inheritable)]
    return struct.pack("<5I", 0x02000000 | capabilities.is_effective, *(mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in masks))


def _mount_wrappers() -> None:
    """A file system of their own, since /run is mounted so that setuid bits in it count for nothing."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        if any(line.split()[1] == _WRAPPERS for line in mounts):
            return
    from .mounting import mount

    os.makedirs(_WRAPPERS, exist_ok=True)
    try:
        mount("tmpfs", _WRAPPERS, "tmpfs", ["nodev"], "mode=755,size=50%")
    except OSError as error:
        warn(f"no file system for `{_WRAPPERS}`: {error.strerror}")


# ---- the running machine ----


def _set_up_machine(root: Root, system: System) -> None:
    if not (root.read("/etc/machine-id") or "").strip():
        # Without one systemd takes each boot for the first, and enables units by its presets.
        root.write_file("/etc/machine-id", f"{secrets.token_hex(16)}\n".encode(), mode=0o444)
    if system.host_name and socket.gethostname() != system.host_name:
        socket.sethostname(system.host_name)
    for name, value in sorted(system.kernel.sysctl.items() if system.kernel else ()):
        _write_setting("/proc/sys/" + _sysctl_place(name), value)


def _sysctl_place(name: str) -> str:
    """Of `net.ipv4.conf.eth0/1.forwarding`, in either spelling (sysctl.d(5)): the first separator says which of the two it is."""
    first = next((letter for letter in name if letter in "./"), "/")
    return name if first == "/" else name.translate(str.maketrans("./", "/."))


def _write_setting(place: str, value: str) -> None:
    try:
        with open(place, encoding="utf-8") as file:
            if file.read().split() == value.split():
                return
        with open(place, "w", encoding="utf-8") as file:
            file.write(value)
    except OSError as error:
        # In a container the kernel is the host's.
        if error.errno != errno.EROFS:
            warn(f"setting {place}: {error.strerror}")


def _run_scripts(root: Root, toplevel: str, system: System) -> bool:
    """The user's own steps, in their order; one that fails stops none of the others."""
    worked = True
    if not root.is_live:
        return worked
    environment = {
        "PATH": f"{toplevel}/sw/usr/bin:{toplevel}/sw/usr/sbin:{_WRAPPERS}/bin",
        "HOME": "/root",
        "systemConfig": toplevel,
        **{name: os.environ[name] for name in ("NIXOS_ACTION", "LANG", "TERM") if name in os.environ},
    }
    for script in system.scripts:
        try:
            status = subprocess.run([script.file], env=environment, stdin=subprocess.DEVNULL, check=False).returncode
        except OSError as error:
            warn(f"activation script snippet '{script.name}': {error.strerror}")
            status = 1
        if status:
            say(f"Activation script snippet '{script.name}' failed ({status})")
            worked = False
    return worked
