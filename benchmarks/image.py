"""`./dev bench image`: a disk image of a server, beside mkosi and mmdebstrap.

The image is the one for Brightbox.  What it is made from comes from the mirrors that this machine is set to use, once, before anything is measured;
then all is on this machine.  The peers install the same packages, from an archive in a folder.

- *From packages' files*: ours has .debs and wheels in its store, and nothing else.
- *Packages in the store*: ours makes the system (units, /etc, initrd, ...) and the image; nivalis, which is in it, is one of the packages.
- *System in the store*: ours makes the image.
- *Boot*: from the start of QEMU, which emulates, until the server's ssh answers.

mkosi makes a GPT disk with one ext4 partition, and of that a qcow2, which it does not compress.  It gets no EFI partition, which it could only fill
where the kernel has vfat; but an initrd is made, by dracut, as it makes one for disks that start.  mmdebstrap makes a tree, with an initrd by
initramfs-tools, of which mke2fs makes a file system and qemu-img a compressed qcow2: the least that could be done by hand.  Neither disk has a boot
loader.  Both run as root; ours runs as whoever starts it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._bench import CHECKOUT, Plan, run_main
from benchmarks._measure import BenchmarkError, Program, check_run
from benchmarks._report import OURS, Row

BIN = CHECKOUT / ".venv/bin"
SCRIPTS = Path(__file__).resolve().parent / "image"
SUITE = "bookworm"
# The version of mkosi whose flags are given: Debian 12's.  Later ones are another program.
MKOSI = "14"
# The disk that the peers are told to make, in GiB.
SIZE = 2
FILES, PACKAGES, SYSTEM, BOOT = "image, from packages' files", "image, packages in the store", "image, system in the store", "boot, until ssh answers"


class Bench:
    """The programs, and the rows they are measured in."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.data = plan.folder / "data"
        self.empty = plan.folder / "empty"

    def rows(self) -> list[Row]:
        """All that are wanted.  Raises BenchmarkError."""
        ours = [name for name in (FILES, PACKAGES, SYSTEM) if self.plan.is_wanted(name)]
        if not ours and not self.plan.is_wanted(BOOT):
            return []
        print("building an image ...", file=sys.stderr, flush=True)
        self.data.mkdir()
        self.empty.mkdir()
        check_run([sys.executable, str(SCRIPTS / "prepare.py"), str(self.data), SUITE], os.environ | {"PYTHONPATH": str(CHECKOUT)})
        self.plan.notes.append(f"{len(self.found()['apt'])} packages of Debian")
        rows = self.image_rows(ours) if ours else []
        return [*rows, *self.boot_rows()] if self.plan.is_wanted(BOOT) else rows

    # ---- the rows ----

    def image_rows(self, names: Sequence[str]) -> list[Row]:
        """One measurement, in which each of our programs takes its turn with the peers."""
        peers = self.peers()
        figures = self.plan.measure("images", [*map(self.our_program, names), *(program for program, _ in peers)], compare_output=False)
        sizes = {OURS: self.image().stat().st_size, **{program.name: image.stat().st_size for program, image in peers}}
        theirs = {program.name: figures[program.name] for program, _ in peers}

        def row(name: str) -> Row:
            if "mkosi" in theirs:
                self.plan.notes.append(f"{name}: {figures[name].wall / theirs['mkosi'].wall:.2f} of mkosi's wall time (goal: 0.2)")
            return Row(name, {OURS: figures[name], **theirs}, limits={"wall": 15.0}, sizes=sizes)

        return [row(name) for name in names]

    def our_program(self, name: str) -> Program:
        found = self.found()
        gone = {FILES: [*found["packages"], *found["made"]], PACKAGES: found["made"], SYSTEM: [found["image"]]}[name]
        argv = [str(BIN / "nix-build"), "<nixpkgs/nixos>", "-A", "config.system.build.brightboxImage", "--no-out-link", "--max-jobs", "auto"]
        return Program(name, [*REAP, *argv], self.environment(), prepare=lambda: self.delete(gone))

    def peers(self) -> list[tuple[Program, Path]]:
        """The others that this machine has, and where the image of each will be."""
        if os.geteuid() != 0:
            self.plan.notes.append("without mkosi and mmdebstrap, which need root")
            return []
        return [
            *(self.mkosi() if self.has_peer("mkosi", "mkosi", "debootstrap", "systemd-nspawn", "qemu-img") else []),
            *(self.mmdebstrap() if self.has_peer("mmdebstrap", "mmdebstrap", "mke2fs", "qemu-img") else []),
        ]

    def has_peer(self, name: str, *programs: str) -> bool:
        """Whether all that a peer needs is there; a note says what is missing."""
        missing = [program for program in programs if find(program) is None]
        if missing:
            self.plan.notes.append(f"without {name}: there is no {', '.join(missing)}")
        return not missing

    def mkosi(self) -> list[tuple[Program, Path]]:
        version = check_run([tool("mkosi"), "--version"]).split()[-1]
        if version.split(".")[0] != MKOSI:
            self.plan.notes.append(f"without mkosi: this is {version}, and the flags are {MKOSI}'s")
            return []
        if self.plan.folder.is_relative_to("/dev"):
            self.plan.notes.append("without mkosi: TMPDIR is below /dev, of which its apt sees another")
            return []
        self.plan.others.append(f"mkosi {version}")
        folder = self.plan.folder / "mkosi"
        disk, mirror = folder / "disk.qcow2", self.data / "mirror"
        # systemd-nspawn, by which it runs programs in the tree, needs no systemd outside by these.
        environment = self.environment() | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        mkosi = [
            *(tool("mkosi"), "--force", "--nspawn-keep-unit", "--distribution=debian", f"--release={SUITE}", "--format=gpt_ext4", "--qcow2"),
            *(f"--mirror=file://{mirror}", f"--local-mirror=file://{mirror}", "--repository-key-check=no", f"--root-size={SIZE}G"),
            *(f"--output={disk}", f"--workspace-dir={self.plan.folder}", f"--postinst-script={SCRIPTS / 'make-initrd.sh'}", "--package=dracut"),
            *(f"--package={name}" for name in self.found()["apt"]),
        ]
        return [(Program("mkosi", [*REAP, *mkosi], environment, lambda: _make_anew(folder)), disk)]

    def mmdebstrap(self) -> list[tuple[Program, Path]]:
        self.plan.others.append(f"mmdebstrap {check_run([tool('mmdebstrap'), '--version']).split()[-1]}")
        folder, names, mirror = self.plan.folder / "mmdebstrap", self.found()["apt"], self.data / "mirror"
        qcow2, tree = folder / "disk.qcow2", folder / "tree"
        by_hand = f"""
            mmdebstrap --mode=root --variant=essential --quiet --include={",".join(names)} {SUITE} {tree} \\
                'deb [trusted=yes] copy:{mirror} {SUITE} main'
            truncate --size={SIZE}G {folder}/disk
            mke2fs -q -t ext4 -d {tree} {folder}/disk
            qemu-img convert -c -f raw -O qcow2 {folder}/disk {qcow2}
            """
        return [(Program("mmdebstrap", [*REAP, "/bin/sh", "-euc", by_hand], self.environment(), lambda: _make_anew(folder)), qcow2)]

    def boot_rows(self) -> list[Row]:
        if not self.has_peer("the machine's start", "qemu-system-x86_64"):
            return []
        check_run([str(BIN / "nix-store"), "--realise", str(self.found()["image"])], self.environment())
        program = Program(OURS, [sys.executable, str(SCRIPTS / "boot.py"), tool("qemu-system-x86_64"), str(self.image())], self.environment())
        return [Row(BOOT, self.plan.measure(BOOT, [program], compare_output=False))]

    # ---- what they work on ----

    def found(self) -> dict[str, Any]:
        """What `prepare.py` says of what it has made."""
        found: dict[str, Any] = json.loads((self.data / "set.json").read_text())
        return found

    def image(self) -> Path:
        return Path(f"{self.data}/store{self.found()['image']}/nixos.qcow2")

    def delete(self, paths: Sequence[str]) -> None:
        """Remove from the store what is there of some paths, with what uses it."""
        present = [path for path in paths if os.path.lexists(f"{self.data}/store{path}")]
        environment = self.environment()
        users = check_run([str(BIN / "nix-store"), "--query", "--referrers-closure", *present], environment).split()
        outputs = [path for path in users if not path.endswith(".drv")]
        check_run([str(BIN / "nix-store"), "--delete", "--ignore-liveness", *outputs], environment)
        os.sync()

    def environment(self) -> dict[str, str]:
        found = self.found()
        search = {
            "nixpkgs": self.data / "channel",
            "debian-snapshot": f"{self.data}/store{found['snapshot']}",
            "nixos-config": self.data / "channel/nixos/modules/virtualisation/brightbox-config.nix",
        }
        return {
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "HOME": str(self.empty),
            "TMPDIR": str(self.plan.folder),
            "LC_ALL": "C.UTF-8",
            "NIX_CONF_DIR": str(self.empty),
            "NIX_CONFIG": "substituters =",
            "NIX_REMOTE": f"local?root={self.data}/store",
            "NIX_PATH": ":".join(f"{name}={place}" for name, place in search.items()),
        }


REAP = [sys.executable, str(SCRIPTS / "reap.py")]


def _make_anew(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    os.sync()


def find(name: str) -> str | None:
    """Where a program of Debian's is, if it is there."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def tool(name: str) -> str:
    """Where a program of Debian's is.  Raises BenchmarkError."""
    place = find(name)
    if place is None:
        raise BenchmarkError(f"there is no {name}")
    return place


PAGE = """\
# Images, measured

Made by `TMPDIR=/mnt ./dev bench image --markdown docs/reference/benchmarks-image.md`, as root, with a tmpfs at /mnt: on a disk, ext4
without a journal is slow to give inodes again that were just deleted, as each round deletes thousands. What is measured stands at the top of
`benchmarks/image.py`. Processor time and memory are also those of what runs in sandboxes; the peak is that of the largest process.

"""


def main() -> int:
    return run_main("image", "Disk images, beside mkosi and mmdebstrap.", PAGE, lambda plan: Bench(plan).rows(), BIN / "nivalis", beside_cppnix=False)


if __name__ == "__main__":
    sys.exit(main())
