"""The builders' scripts of the modules, run as they are: trees, initrds, manuals, certificates."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from nixos_systems import NIXOS

TREE = NIXOS / "lib/make-tree.py"
INITRD = NIXOS / "modules/system/boot/make-initrd.py"
PARTITIONS = NIXOS / "modules/system/boot/partitions.sh"
MANUAL = NIXOS / "modules/misc/make-manual.py"
BUNDLE = NIXOS / "modules/security/make-bundle.py"


def run(script: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-B", "-P", str(script)]
    return subprocess.run(command, env={"out": str(out), **variables}, capture_output=True, text=True, check=False)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


# ---------------------------------------------------------------------------------------------------- trees


def make_tree(tmp_path: Path, entries: object) -> Path:
    write(tmp_path, {"entries": json.dumps(entries)})
    done = run(TREE, tmp_path / "out", entriesPath=str(tmp_path / "entries"))
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def listed(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_files_and_links(tmp_path: Path) -> None:
    out = make_tree(tmp_path, {"files": {"a/b": {"text": "at @out@\n", "executable": True}, "a/c": {"link": "../x"}, "d": {"text": ""}}})
    assert listed(out) == {"a/b": f"at {out}\n", "a/c": "-> ../x", "d": ""}
    assert os.access(out / "a/b", os.X_OK) and not os.access(out / "d", os.X_OK)


def test_a_base_is_shown_by_links(tmp_path: Path) -> None:
    """What is folded stays so where nothing comes beside it, and is opened from above where something does."""
    package = write(tmp_path / "package", {"one/x": "x", "two/deep/y": "y", "two/deep/z": "z"})
    base = write(tmp_path / "base", {"real/file": "file", "gone": "gone", "hidden/x": "x"})
    (base / "one").symlink_to(package / "one")
    (base / "two").symlink_to(package / "two")
    (base / "climbs").symlink_to("../usr/lib/os-release")
    (base / "real/inside").symlink_to("file")
    entries = {
        "base": str(base),
        "name": "etc",
        "without": ["gone", "hidden"],
        "files": {"two/deep/new": {"link": "/new"}, "two/deep/y": {"text": "mine"}, "real/file": {"text": "mine"}},
    }
    assert listed(make_tree(tmp_path, entries)) == {
        "climbs": "-> /usr/lib/os-release",
        "one": f"-> {package}/one",
        "real/file": "mine",
        "real/inside": "-> file",
        "two/deep/new": "-> /new",
        "two/deep/y": "mine",
        "two/deep/z": f"-> {package}/two/deep/z",
    }


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write(tmp_path, {"entries": json.dumps({"files": {"a": {"text": ""}, "a/b": {"text": ""}}})})
    done = run(TREE, tmp_path / "out", entriesPath=str(tmp_path / "entries"))
    assert done.returncode == 1 and "`a` is a file, and has to be a folder" in done.stderr


# ---------------------------------------------------------------------------------------------------- initrds

MODULES: dict[str, str | bytes] = {
    "kernel/virtio.ko": b"virtio",
    "kernel/virtio_ring.ko.xz": lzma.compress(b"ring"),
    "kernel/virtio-pci.ko": b"pci",
    "kernel/ext4.ko": b"ext4",
    "kernel/crc32c_generic.ko": b"crc",
    "kernel/loop.ko": b"loop",
    "modules.dep": "kernel/virtio-pci.ko: kernel/virtio.ko kernel/virtio_ring.ko.xz\nkernel/virtio.ko: kernel/virtio_ring.ko.xz\n"
    "kernel/virtio_ring.ko.xz:\nkernel/ext4.ko:\nkernel/crc32c_generic.ko:\nkernel/loop.ko:\n",
    "modules.builtin": "kernel/nvme.ko\n",
    "modules.alias": "# Aliases\nalias pci:v00001AF4d*sv* virtio_pci\nalias crc32c crc32c_generic\nalias fs-ext4 ext4\n",
    "modules.softdep": "# Soft dependencies\nsoftdep ext4 pre: crc32c\n",
}


def describe(tmp_path: Path, **more: object) -> dict[str, object]:
    tree = write(tmp_path / "modules", MODULES)
    write(tmp_path, {"busybox": "busybox", "e2fsck": "e2fsck", "library": "library", "init": "#!/bin/busybox sh\nverbose=@verbose@\n"})
    return {
        "tree": str(tree),
        "busybox": str(tmp_path / "busybox"),
        "script": str(tmp_path / "init"),
        "library": str(tmp_path / "library"),
        "checker": str(tmp_path / "e2fsck"),
        "mounts": [
            {"what": "/dev/vda1", "where": "/", "type": "ext4", "options": ["noatime", "discard"], "check": True},
            {"what": "tmpfs", "where": "/var", "type": "tmpfs", "options": ["mode=755"], "check": False},
        ],
        "load": ["loop"],
        "available": ["virtio_pci", "nvme", "never"],
        "filesystems": ["ext4", "auto"],
        "commands": {"preDevice": "echo one", "postDevice": "", "postMount": ""},
        "verbose": True,
        "configuration": "options loop max_loop=8\nblacklist x\n",
        **more,
    }


def unpack(data: bytes) -> dict[str, tuple[int, bytes]]:
    """An archive of cpio's format "newc": modes and contents."""
    found: dict[str, tuple[int, bytes]] = {}
    offset = 0
    while True:
        fields = [int(data[offset + 6 + 8 * index : offset + 14 + 8 * index], 16) for index in range(13)]
        name_at, size = offset + 110, fields[6]
        name = data[name_at : name_at + fields[11] - 1].decode()
        start = (name_at + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return found
        assert data[offset : offset + 6] == b"070701" and fields[2:4] == [0, 0] and fields[5] == 0
        found[name] = (fields[1], data[start : start + size])
        offset = (start + size + 3) & ~3


def make_initrd(tmp_path: Path, **more: object) -> subprocess.CompletedProcess[str]:
    write(tmp_path, {"description": json.dumps(describe(tmp_path, **more))})
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    return run(INITRD, tmp_path / "out", descriptionPath=str(tmp_path / "description"))


def test_an_initrd(tmp_path: Path) -> None:
    assert make_initrd(tmp_path).returncode == 0
    packed = (tmp_path / "out/initrd").read_bytes()
    files = unpack(gzip.decompress(packed))
    assert {name for name in files if name.startswith("modules/")} == {
        f"modules/{name}.ko" for name in ("loop", "ext4", "crc32c_generic", "virtio", "virtio_ring", "virtio-pci")
    }
    assert files["modules/virtio_ring.ko"][1] == b"ring" and files["dev/console"][0] == 0o020600
    assert files["mounts"][1] == b"/dev/vda1 / ext4 noatime,discard check\ntmpfs /var tmpfs mode=755\n"
    assert (files["bin/e2fsck"], files["partitions.sh"][1]) == ((0o100755, b"e2fsck"), b"library")
    assert files["init"] == (0o100755, b"#!/bin/busybox sh\nverbose=1\n")
    functions = files["modules.sh"][1].decode()
    assert "  load loop /modules/loop.ko\n  load ext4 /modules/crc32c_generic.ko /modules/ext4.ko\n" in functions
    assert "load virtio_pci /modules/virtio_ring.ko /modules/virtio.ko /modules/virtio-pci.ko ;; esac" in functions
    assert "pre_device() {\n:\necho one\n}" in files["commands.sh"][1].decode()
    shutil.copytree(tmp_path / "out", tmp_path / "first")
    assert make_initrd(tmp_path).returncode == 0 and (tmp_path / "out/initrd").read_bytes() == packed


def test_a_shell_understands_it(tmp_path: Path) -> None:
    """Devices find their modules, by this machine's shell."""
    assert make_initrd(tmp_path).returncode == 0
    functions = unpack(gzip.decompress((tmp_path / "out/initrd").read_bytes()))["modules.sh"][1].decode()
    (tmp_path / "functions").write_text(functions)
    devices = "match_device pci:v00001AF4d00001000svx; match_device pci:v00008086"
    script = f". {tmp_path}/functions; load() {{ echo $1; }}; load_always; {devices}; options_of loop"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["loop", "ext4", "virtio_pci", "max_loop=8"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("dos\nlabel-id: 0x0234abcd", ["0234abcd-01", "0234abcd-02"]),
        ("gpt", ["6f1c0d5e-2b7a-4c3d-9e8f-001122334455", "a0b1c2d3-e4f5-4678-89ab-cdef01234567"]),
    ],
)
def test_names_of_partitions(tmp_path: Path, label: str, expected: list[str]) -> None:
    """As sfdisk wrote them, read by what the initrd's shell has; here with this machine's programs of the same names."""
    sfdisk = shutil.which("sfdisk", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sfdisk is None or shutil.which("hexdump") is None:
        pytest.skip("no sfdisk or no hexdump on this machine")
    with open(tmp_path / "disk", "wb") as file:
        file.truncate(8 << 20)
    names = [f", uuid={name}" if label == "gpt" else "" for name in expected]
    script = f"label: {label}\n" + "".join(f"size=1M{name}\n" for name in names)
    subprocess.run([sfdisk, "--quiet", tmp_path / "disk"], input=script, text=True, check=True)
    asked = "; ".join(f"name_partition {tmp_path}/disk {number} 512" for number in (1, 2))
    done = subprocess.run(["sh", "-euc", f". {PARTITIONS}; {asked}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_a_module_that_there_is_not(tmp_path: Path) -> None:
    done = make_initrd(tmp_path, load=["never"])
    assert done.returncode == 1 and "no such module: `never`" in done.stderr


def test_the_initrd_script_is_sh() -> None:
    script = NIXOS / "modules/system/boot/initrd.sh"
    subprocess.run(["sh", "-n", script], check=True)
    subprocess.run(["sh", "-n", PARTITIONS], check=True)
    assert {"match_device", "load_always", "options_of", "pre_device", "post_device", "post_mount"} <= set(re.findall(r"\w+", script.read_text()))


# ---------------------------------------------------------------------------------------------------- manuals, certificates


def test_the_manual(tmp_path: Path) -> None:
    option = {
        "name": "a.<name>.b-c",
        "type": "string",
        "description": "One `x-y`.\n\n.Two",
        "readOnly": False,
        "default": '"\\n"',
        "example": "{\n  a = 1;\n}",
        "declarations": ["<nixpkgs/nixos/a.nix>"],
    }
    write(tmp_path, {"options": json.dumps([option])})
    assert run(MANUAL, tmp_path / "out", optionsPath=str(tmp_path / "options"), version="12").returncode == 0
    text = gzip.decompress((tmp_path / "out/share/man/man5/configuration.nix.5.gz").read_bytes()).decode()
    assert "\\fBa.<name>.b\\-c\\fR\n.RS 4\nOne \\fBx\\-y\\fR.\n.sp\n\\&.Two\n" in text
    assert '\\fB"\\en"\\fR' in text and ".nf\n{\n  a = 1;\n}\n.fi" in text


def test_certificates(tmp_path: Path) -> None:
    folder = write(tmp_path / "mozilla", {"b.crt": "B\n", "a.crt": "A", "c.crt": "C\n\n"})
    more = write(tmp_path / "more", {"own": "OWN\n"}) / "own"
    variables = {"folder": str(folder), "files": str(more)}
    assert run(BUNDLE, tmp_path / "out", **variables, without='["b"]').returncode == 0
    assert (tmp_path / "out").read_text() == "A\nC\nOWN\n"
    done = run(BUNDLE, tmp_path / "other", **variables, without='["never"]')
    assert done.returncode == 1 and "`never`" in done.stderr


@pytest.mark.parametrize("script", [TREE, INITRD, MANUAL, BUNDLE], ids=lambda path: path.stem)
def test_scripts_need_the_standard_library_alone(script: Path) -> None:
    """They are run by a bare Python, without the folders of installed packages."""
    imported = set(re.findall(r"^(?:import|from) (\w+)", script.read_text(), re.MULTILINE))
    assert imported <= set(sys.stdlib_module_names)
