"""A disk image from a system's closure; runs as a builder, over Debian's tools in /usr (see default.nix).

The file system is made empty by mke2fs and filled by debugfs, which reads the files where they are in the store: no tree is copied, no mount is
needed, and what lies where does not depend on the order in which this machine lists folders.  What a builder's user and clock have left in
the inodes is then set to root's and to the first second of 1970; the checksums of metadata come last, as they cover all of that.

The disk is for a PC's BIOS: a boot sector and GRUB's core before the one partition at 1 MiB.  The core's list of blocks is right as grub-mkimage
writes it, because it begins in the disk's second sector.

Formats: ext4 (https://docs.kernel.org/filesystems/ext4/), the DOS partition table (sfdisk's), GRUB's boot.img (its manual, "Images").
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any, NoReturn

MIB = 1 << 20
# Where the partition begins, in bytes.
START = MIB
BLOCK = 4096
GRUB = "/usr/lib/grub/i386-pc"
MODULES = [
    *("biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "search", "search_label"),
    *("serial", "terminal", "echo", "test", "ls", "loadenv", "minicmd", "gzio"),
]
STORE = "/nix/store"
PROFILES = "/nix/var/nix/profiles"
# What GRUB can read; checksums are added at the end.
FEATURES = """\
[defaults]
  base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
  inode_size = 256
  inode_ratio = 16384
[fs_types]
  ext4 = {
    features = has_journal,extent,huge_file,flex_bg,64bit,uninit_bg,dir_nlink,extra_isize
  }
"""
# Folders of every machine, with their modes; what is below them is made by activation and by the programs that need it.
FOLDERS = {
    **dict.fromkeys(("/boot", "/dev", "/etc", "/home", "/mnt", "/nix", "/opt", "/proc", "/run", "/srv", "/sys", "/var", PROFILES), 0o755),
    "/nix/store": 0o1775,
    "/root": 0o700,
    "/tmp": 0o1777,
}
# The group of build users, who may add to the store.
BUILDERS = 30000
# Times in the image, in seconds since the epoch: what the store's files have, too.
EPOCH = 1


def main() -> None:
    with open(os.environ["NIX_ATTRS_JSON_FILE"], encoding="utf-8") as file:
        attributes = json.load(file)
    description = attributes["description"]
    sys.path[:0] = description["libraries"]
    # A clock for e2fsprogs; e2fsck has one of its own.
    os.environ["E2FSPROGS_FAKE_TIME"] = os.environ["E2FSCK_TIME"] = str(EPOCH)
    os.environ["PATH"] = "/usr/sbin:/usr/bin"
    out = attributes["outputs"]["out"]
    os.mkdir(out)
    target = f"{out}/{description['fileName']}"

    kind = description["format"]
    if kind == "direct":
        write_direct(description["toplevel"], out)
        return
    tree = make_tree(description, attributes["closure"])
    if kind == "tar":
        write_tar(tree, f"{target}.tar")
        return
    disk = f"{target}.raw" if kind == "raw" else "disk.raw"
    write_disk(disk, tree, description)
    if kind != "raw":
        from qcow2 import write_qcow2

        tell("compressing the image")
        write_qcow2(disk, f"{target}.qcow2", "zstd" if kind == "qcow2-zstd" else "zlib", int(os.environ["NIX_BUILD_CORES"]))


def tell(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, errors="surrogateescape", check=False)
    if done.returncode != 0:
        fail(f"{command[0]} ended with status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


# ---- what is on the disk ----


class Tree:
    """Places on the disk: folders with modes, links with targets, and files with where they are read from."""

    def __init__(self) -> None:
        self.folders: dict[str, int] = {}
        self.links: dict[str, str] = {}
        self.files: dict[str, str] = {}
        # Links that were made at another time than the rest.
        self.dates: dict[str, int] = {}
        # In bytes, by blocks.
        self.size = 0

    def add_folder(self, place: str, mode: int = 0o755) -> None:
        if place not in ("", "/") and place not in self.folders:
            self.add_folder(os.path.dirname(place))
            self.folders[place] = mode
            self.size += BLOCK

    def add_link(self, place: str, target: str) -> None:
        self.add_folder(os.path.dirname(place))
        self.links[place] = target

    def add(self, place: str, source: str) -> None:
        """What is at `source`, with all that is below it."""
        if os.path.islink(source):
            self.add_link(place, os.readlink(source))
        elif os.path.isdir(source):
            self.add_folder(place, os.stat(source).st_mode & 0o777)
            for entry in sorted(os.listdir(source)):
                self.add(f"{place}/{entry}", f"{source}/{entry}")
        else:
            self.add_folder(os.path.dirname(place))
            self.files[place] = source
            self.size += -(-os.stat(source).st_size // BLOCK) * BLOCK


def make_tree(description: Mapping[str, Any], closure: list[Mapping[str, Any]]) -> Tree:
    tell("looking at the system")
    tree = Tree()
    for place, mode in FOLDERS.items():
        tree.add_folder(place, mode)
    for info in closure:
        tree.add(info["path"], info["path"])
    write_database("database", closure)
    for name in ("db.sqlite", "schema"):
        tree.add(f"/nix/var/nix/db/{name}", f"database/{name}")
    toplevel, channels = description["toplevel"], description["channels"]
    date = int(datetime.datetime.fromisoformat(description["date"]).timestamp())
    tree.add_link(f"{PROFILES}/system-1-link", toplevel)
    tree.add_link(f"{PROFILES}/system", "system-1-link")
    # What lists generations shows when they were made: here, from what.
    tree.dates[f"{PROFILES}/system-1-link"] = date
    if channels is not None:
        tree.add_link(f"{PROFILES}/per-user/root/channels-1-link", channels)
        tree.add_link(f"{PROFILES}/per-user/root/channels", "channels-1-link")
    tree.add_link("/nix/var/nix/gcroots/profiles", PROFILES)
    tree.add_link(f"/nix/var/nix/gcroots/boot/{os.path.basename(toplevel)}", toplevel)
    with open("grub.cfg", "w", encoding="utf-8") as file:
        file.write(make_menu(toplevel, date))
    tree.add("/boot/grub/grub.cfg", "grub.cfg")
    for place, source in description["contents"].items():
        tree.add(f"/{place}", source)
    return tree


def make_menu(toplevel: str, date: int) -> str:
    """GRUB's menu with the one generation, as a switch writes it."""
    menu, data = (importlib.import_module(f"target.{name}") for name in ("menu", "data"))
    system = data.System.read(toplevel)
    entry = menu.make_entry("", 1, date, toplevel, system)
    if system.boot is None or entry is None:
        fail("the system has no boot loader, or no kernel: `boot.loader.grub.enable`")
    text: str = menu.make_menu(system.boot, [entry], entry, copied=False)
    return text


def write_database(folder: str, closure: list[Mapping[str, Any]]) -> None:
    """The store's database, which knows each path of the closure."""
    from pathlib import Path

    from nivalis._native import Hash
    from nivalis.store.database import Database, PathInfo, Registration

    os.makedirs(folder)
    registrations = []
    for one in sorted(closure, key=lambda one: one["path"]):
        info = PathInfo(one["path"], Hash.parse(one["narHash"], "sha256"), one["narSize"], frozenset(one["references"]))
        registrations.append(Registration(info._replace(registration_time=EPOCH, ca=one.get("ca"))))
    with closing(Database.open(Path(folder))) as database:
        database.register(registrations)


# ---- the disk ----


def write_disk(disk: str, tree: Tree, description: Mapping[str, Any]) -> None:
    size = description["diskSize"]
    if size == "auto":
        # Beside the files: inodes, the journal, what ext4 keeps for itself.
        needed = tree.size + (len(tree.files) + len(tree.links)) * 512 + 96 * MIB + tree.size // 50
        size = -(-needed // MIB) + description["additionalSpace"]
    size = size * MIB
    if tree.size + START > size:
        fail(f'the disk is too small: {size // MIB} MiB for {tree.size // MIB} MiB of files; a larger `diskSize` helps, or "auto"')
    with open(disk, "wb") as file:
        file.truncate(size)
    seed = uuid.UUID(description["seed"][:32])
    write_partition_table(disk, int(description["seed"][32:40], 16))
    write_file_system(disk, tree, description["label"], str(seed), size - START)
    write_boot_loader(disk)


def write_partition_table(disk: str, signature: int) -> None:
    run("sfdisk", "--quiet", disk, text=f"label: dos\nlabel-id: {signature:#010x}\nstart={START // 512}, type=83, bootable\n")


def write_file_system(disk: str, tree: Tree, label: str, seed: str, size: int) -> None:
    tell(f"writing {len(tree.files)} files")
    # Of our own, for the same features with any e2fsprogs.
    with open("mke2fs.conf", "w", encoding="utf-8") as file:
        file.write(FEATURES)
    os.environ["MKE2FS_CONFIG"] = os.path.abspath("mke2fs.conf")
    place = f"{disk}?offset={START}"
    options = f"offset={START},hash_seed={seed},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1"
    blocks = f"{size // BLOCK}"
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), "-L", label, "-U", seed, "-E", options, "-m", "1", disk, blocks)
    debug(place, fill(tree))
    with open(disk, "r+b") as file:
        settle_inodes(file.fileno())
    debug(place, (f"set_inode_field {quote(link)} {field} @{date}" for link, date in tree.dates.items() for field in ("mtime", "ctime", "crtime")))
    # Folders of many files get their index; 1 says that something was done.
    done = subprocess.run(["e2fsck", "-fyD", place], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        fail(f"e2fsck finds the new file system wrong: {done.stdout}{done.stderr}")
    run("tune2fs", "-O", "metadata_csum", place)


def debug(place: str, commands: Iterable[str]) -> None:
    said = run("debugfs", "-w", "-f", "-", place, text="".join(f"{line}\n" for line in commands))
    wrong = [line for line in said.splitlines() if not line.startswith(("debugfs: ", "Allocated inode: "))]
    if wrong:
        fail(f"debugfs says: {wrong[0]}")


def fill(tree: Tree) -> Iterator[str]:
    """debugfs's commands, folder by folder."""
    below: dict[str, list[str]] = {folder: [] for folder in ["/", *tree.folders]}
    for place in [*tree.folders, *tree.links, *tree.files]:
        below[os.path.dirname(place)].append(place)
    for folder in sorted(below):
        if folder != "/":
            yield f"cd {quote(os.path.dirname(folder))}"
            yield f"mkdir {quote(os.path.basename(folder))}"
        yield f"cd {quote(folder)}"
        for place in sorted(below[folder]):
            name = quote(os.path.basename(place))
            if place in tree.links:
                yield f"symlink {name} {quote(tree.links[place])}"
            elif place in tree.files:
                yield f"write {quote(os.path.abspath(tree.files[place]))} {name}"
    for folder, mode in tree.folders.items():
        if mode != 0o755:
            yield f"set_inode_field {quote(folder)} mode {0o40000 | mode:#o}"


def quote(word: str) -> str:
    if "\n" in word:
        fail(f"a file's name has a line break, which debugfs cannot be told: {word!r}")
    return '"' + word.replace('"', '""') + '"'


def settle_inodes(descriptor: int) -> None:
    """Give every inode to root, and fixed times.  The groups' tables say which are in use."""
    superblock = os.pread(descriptor, 1024, START + 1024)
    inodes, _, _, _, _, _, log_block = struct.unpack_from("<7I", superblock, 0)
    per_group = struct.unpack_from("<I", superblock, 40)[0]
    inode_size = struct.unpack_from("<H", superblock, 88)[0]
    block = 1024 << log_block
    is_64bit = struct.unpack_from("<I", superblock, 96)[0] & 0x80
    descriptor_size = struct.unpack_from("<H", superblock, 254)[0] if is_64bit else 32
    groups = -(-inodes // per_group)
    table = os.pread(descriptor, groups * descriptor_size, START + block * (2 if block == 1024 else 1))
    for group in range(groups):
        entry = table[group * descriptor_size : (group + 1) * descriptor_size]
        flags = struct.unpack_from("<H", entry, 18)[0]
        if flags & 1:  # no inode of this group was ever used
            continue
        unused = struct.unpack_from("<H", entry, 28)[0]
        where = struct.unpack_from("<I", entry, 8)[0] | (struct.unpack_from("<I", entry, 40)[0] << 32 if descriptor_size >= 64 else 0)
        used = per_group - unused
        data = bytearray(os.pread(descriptor, used * inode_size, START + where * block))
        for at in range(0, len(data), inode_size):
            if data[at : at + 2] != b"\0\0":
                settle_inode(data, at, group * per_group + at // inode_size + 1)
        os.pwrite(descriptor, data, START + where * block)


def settle_inode(data: bytearray, at: int, number: int) -> None:
    mode = struct.unpack_from("<H", data, at)[0]
    # The store is its builders', too: the one folder with this mode.
    group = BUILDERS if mode == 0o41775 else 0
    struct.pack_into("<H", data, at + 0x02, 0)
    struct.pack_into("<3I", data, at + 0x08, EPOCH, EPOCH, EPOCH)
    struct.pack_into("<H", data, at + 0x18, group)
    struct.pack_into("<I", data, at + 0x64, 0)
    struct.pack_into("<2H", data, at + 0x78, 0, 0)
    if number >= 11:
        # What came with larger inodes: parts of seconds, and when it was made.
        struct.pack_into("<5I", data, at + 0x84, 0, 0, 0, EPOCH, 0)


def write_boot_loader(disk: str) -> None:
    """GRUB's boot sector and core, in front of the partition."""
    run("grub-mkimage", "-O", "i386-pc", "-d", GRUB, "-p", "(hd0,msdos1)/boot/grub", "-o", "core.img", *MODULES)
    with open("core.img", "rb") as file:
        core = file.read()
    with open(f"{GRUB}/boot.img", "rb") as file:
        boot = bytearray(file.read(440))
    if len(core) > START - 512:
        fail(f"GRUB's core has {len(core)} bytes, and does not fit in front of the partition")
    # No work-around for floppies, the core in the second sector, of the disk that the BIOS has started.
    boot[0x66:0x68] = b"\x90\x90"
    struct.pack_into("<Q", boot, 0x5C, 1)
    boot[0x64] = 0xFF
    with open(disk, "r+b") as file:
        file.write(boot)
        file.seek(512)
        file.write(core)


# ---- without a boot loader ----


def write_direct(toplevel: str, out: str) -> None:
    """What starts the disk in place of its boot loader: kernel, initrd, and what the kernel is told."""
    for name in ("kernel", "initrd"):
        if not os.path.exists(f"{toplevel}/{name}"):
            fail(f"the system has no {name}")
        shutil.copyfile(f"{toplevel}/{name}", f"{out}/{name}")
    with open(f"{toplevel}/kernel-params", encoding="utf-8") as file:
        parameters = file.read().strip()
    with open(f"{out}/cmdline", "w", encoding="utf-8") as file:
        file.write(f"{parameters} init={toplevel}/init\n")


# ---- a tree as an archive ----


def write_tar(tree: Tree, target: str) -> None:
    import tarfile

    def member(place: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(place.lstrip("/"))
        info.type, info.mode, info.mtime = kind, mode, EPOCH
        info.uname = info.gname = "root"
        if place == STORE:
            info.gid, info.gname = BUILDERS, "nixbld"
        return info

    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for place in sorted({**tree.folders, **tree.links, **tree.files}):
            if place in tree.folders:
                archive.addfile(member(place, tarfile.DIRTYPE, tree.folders[place]))
            elif place in tree.links:
                info = member(place, tarfile.SYMTYPE, 0o777)
                info.linkname = tree.links[place]
                archive.addfile(info)
            else:
                status = os.stat(tree.files[place])
                info = member(place, tarfile.REGTYPE, status.st_mode & 0o777)
                info.size = status.st_size
                with open(tree.files[place], "rb") as file:
                    archive.addfile(info, file)


if __name__ == "__main__":
    main()
