"""Disk images, read: file systems that mke2fs made, in every form that qemu-img writes; and bytes that are damaged."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nivalis._native import Hash
from nivalis.image import Disk, ImageError, explain_image
from nivalis.image.ext4 import find_file_system
from nivalis.store.database import Database, PathInfo, Registration

MIB = 1 << 20
STORE = "/nix/store"
SYSTEM = f"{STORE}/{'s' * 32}-nixos-system-web-12"
PATHS = {
    SYSTEM: 1000,
    f"{STORE}/{'a' * 32}-bash-5.2": 3000,
    f"{STORE}/{'b' * 32}-bash-5.1": 4000,
    f"{STORE}/{'c' * 32}-hello.conf": 20,
}


def _find(program: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {program} on this machine")
    return found


def _fill(root: Path) -> None:
    """A machine with a store's database, a generation, and files that are laid out in unusual ways."""
    database = root / "nix/var/nix/db"
    database.mkdir(parents=True)
    with closing(Database.open(database)) as opened:
        infos = (PathInfo(path, Hash("sha256", bytes(32)), size, frozenset()) for path, size in PATHS.items())
        opened.register([Registration(info) for info in infos])
    profiles = root / "nix/var/nix/profiles"
    profiles.mkdir()
    (profiles / "system-3-link").symlink_to(SYSTEM)
    (profiles / "system").symlink_to("system-3-link")
    (root / "behind").symlink_to("/" + "x/../" * 30 + "many")
    (root / "loop").symlink_to("loop")
    (root / "x").mkdir()
    (root / "many").mkdir()
    for number in range(600):
        (root / f"many/{number:040}").write_text(str(number))
    # A hole after each block: more extents than an inode has room for.
    with open(root / "holes", "wb") as file:
        for number in range(400):
            file.seek(number * 8192)
            file.write(bytes([number % 251 + 1]) * 4096)
        file.truncate(400 * 8192 + 5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("root")
    _fill(made)
    return made


@pytest.fixture(scope="module")
def raw(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with one partition, as an image's builder makes it."""
    file = tmp_path_factory.mktemp("disk") / "disk.raw"
    with open(file, "wb") as stream:
        stream.truncate(17 * MIB)
        table = bytes(446) + bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (32768).to_bytes(4, "little")
        stream.write(table.ljust(510, b"\0") + b"\x55\xaa")
    options = ["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "nixos", "-d", str(root), "-E", f"offset={MIB}"]
    subprocess.run([_find("mke2fs"), *options, str(file), "4096"], check=True, capture_output=True)
    # Large folders get their index.
    assert subprocess.run([_find("e2fsck"), "-fyD", f"{file}?offset={MIB}"], check=False, capture_output=True).returncode in (0, 1)
    return file


def _convert(raw: Path, *options: str) -> Path:
    target = raw.with_name("converted")
    subprocess.run([_find("qemu-img"), "convert", "-f", "raw", *options, str(raw), str(target)], check=True, capture_output=True)
    return target


FORMS = {
    "raw": (),
    "qcow2": ("-O", "qcow2"),
    "version 2": ("-O", "qcow2", "-o", "compat=0.10"),
    "zlib": ("-O", "qcow2", "-c"),
    "zstd": ("-O", "qcow2", "-c", "-o", "compression_type=zstd"),
    "small clusters": ("-O", "qcow2", "-c", "-o", "cluster_size=4096"),
}


@pytest.mark.parametrize("form", FORMS)
def test_files_are_what_they_were(raw: Path, root: Path, form: str) -> None:
    file = _convert(raw, *FORMS[form]) if FORMS[form] else raw
    with Disk(file) as disk:
        assert (disk.format, disk.size) == ("qcow2" if FORMS[form] else "raw", 17 * MIB)
        files = find_file_system(disk)
        assert (files.label, files.size) == ("nixos", 16 * MIB) and 0 < files.free < files.size
        for name in ("holes", "nix/var/nix/db/db.sqlite", f"many/{599:040}"):
            assert b"".join(files.read_file(name)) == (root / name).read_bytes()
        assert b"".join(files.read_file(f"/behind/./{7:040}")) == b"7"
        assert files.read_link("behind") == os.readlink(root / "behind")
        with pytest.raises(FileNotFoundError):
            files.read_file("/many/none")
        for place in ("/many", "/holes/below", "/loop/below"):
            with pytest.raises(ImageError):
                files.read_file(place)


def test_explain(raw: Path) -> None:
    content = explain_image(_convert(raw, "-O", "qcow2", "-c"))
    assert content.toplevel == SYSTEM and content.store_size == sum(PATHS.values())
    assert [(one.name, one.versions, one.size, len(one.paths)) for one in content.packages] == [
        ("bash", ("5.1", "5.2"), 7000, 2),
        ("nixos-system-web", ("12",), 1000, 1),
        ("hello.conf", (), 20, 1),
    ]


def test_explain_as_a_command(raw: Path) -> None:
    nivalis = str(Path(sys.executable).parent / "nivalis")

    def explain(*words: str) -> str:
        return subprocess.run([nivalis, "image", "explain", *words, str(raw)], capture_output=True, text=True, check=True).stdout

    assert explain().splitlines()[:4] == [
        "6.8 KiB  87.3 %  bash              5.1, 5.2",
        " 1000 B  12.5 %  nixos-system-web  12",
        "   20 B   0.2 %  hello.conf",
        "store: 7.8 KiB in 4 paths of 3 packages",
    ]
    found = json.loads(explain("--json"))
    assert found["toplevel"] == SYSTEM and found["packages"][0]["paths"] == sorted(path for path in PATHS if "bash" in path)


def test_a_file_system_without_a_table(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "root.ext4"
    subprocess.run([_find("mke2fs"), "-q", "-t", "ext4", "-d", str(root), str(file), "16M"], check=True, capture_output=True)
    assert explain_image(file).toplevel == SYSTEM


def test_a_machine_that_was_written_to_while_its_database_was_open(root: Path, tmp_path: Path) -> None:
    """What is new is in the log of the database, beside it."""
    machine = tmp_path / "machine"
    shutil.copytree(root / "nix", machine / "nix", symlinks=True)
    database = machine / "nix/var/nix/db"
    new = f"{STORE}/{'d' * 32}-lighttpd-1.4"
    with closing(Database.open(database)) as opened:
        opened.register([Registration(PathInfo(new, Hash("sha256", bytes(32)), 7, frozenset()))])
        file = tmp_path / "disk"
        subprocess.run([_find("mke2fs"), "-q", "-t", "ext4", "-d", str(machine), str(file), "16M"], check=True, capture_output=True)
    assert new in [path for one in explain_image(file).packages for path in one.paths]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: file.write_bytes(b""), "there is no ext4"),
        (lambda file: file.write_bytes(bytes(3 * MIB)), "there is no ext4"),
        (lambda file: file.write_bytes(b"QFI\xfb" + bytes(100)), "unknown kind"),
        (lambda file: subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "8M"], check=True), "there is no ext4"),
        (lambda file: subprocess.run([_find("mke2fs"), "-q", "-t", "ext4", str(file), "4M"], check=True), "there is no store"),
        (lambda file: subprocess.run([_find("mke2fs"), "-q", "-t", "ext2", str(file), "4M"], check=True), "not mapped by extents"),
    ],
)
def test_what_is_no_image_of_a_system(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    file = tmp_path / "disk"
    make(file)
    with pytest.raises(ImageError, match=message):
        explain_image(file)


def test_a_disk_that_needs_another_file(raw: Path, tmp_path: Path) -> None:
    file = tmp_path / "layer"
    subprocess.run([_find("qemu-img"), "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(raw), str(file)], check=True)
    with pytest.raises(ImageError, match="not complete"):
        explain_image(file)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1 << 30), form=st.sampled_from(["raw", "zlib"]))
def test_damage_is_an_error_or_is_not_noticed(raw: Path, seed: int, form: str) -> None:
    """Any bytes: an ImageError, or an answer; never another exception, and never without an end."""
    whole = raw.with_name(form)
    if not whole.exists():
        _convert(raw, *FORMS[form] or ("-O", "raw")).rename(whole)
    data = bytearray(whole.read_bytes())
    chance = random.Random(seed)
    # Where the tables are: headers, the tables of clusters, group descriptors, inodes.
    limit = chance.choice([1024, 4 * 65536, MIB + 4096, MIB + 128 * 1024, len(data)])
    start = MIB if form == "raw" and limit > MIB else 0
    for _ in range(chance.randint(1, 40)):
        data[chance.randrange(start, min(limit, len(data)))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
    if chance.random() < 0.2:
        del data[chance.randrange(len(data)) :]
    damaged = raw.with_name("damaged")
    damaged.write_bytes(data)
    with suppress(ImageError):
        explain_image(damaged)
