"""A tiny guest: Debian's kernel and busybox on a disk of one FAT file system, which boots in seconds, also emulated.

At boot it loads the drivers of virtio, asks DHCP for its address, and runs its user data as a shell script; what that says goes to the
serial console.  The packages come by the machine's own apt, into a folder of the user's cache, once; nothing of the machine is changed.

    python3 tests/cloud/guest.py       make it, and print where it is
"""

from __future__ import annotations

import fcntl
import functools
import gzip
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

_PACKAGES = ("busybox-static", "syslinux", "mtools")
_KERNEL = "linux-image-cloud-amd64"
# In the order in which they need each other.
_MODULES = (
    *("drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko", "drivers/virtio/virtio_pci_modern_dev.ko"),
    *("drivers/virtio/virtio_pci_legacy_dev.ko", "drivers/virtio/virtio_pci.ko", "net/core/failover.ko", "drivers/net/net_failover.ko"),
    *("drivers/net/virtio_net.ko", "drivers/block/virtio_blk.ko", "drivers/acpi/button.ko", "drivers/input/evdev.ko"),
)
_INIT = """#!/bin/sh
export PATH=/bin HOME=/
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /lib/$module; done
acpid
ip link set lo up; ip link set eth0 up
echo "GUEST serial $(cat /sys/class/dmi/id/product_serial)"
udhcpc -i eth0 -q -f -n -t 30 -s /dhcp && echo "GUEST address $(ip -4 -o addr show eth0)"
# The network is there; a script that fails is no reason to end.
wget -q -O /script http://169.254.169.254/latest/user-data && sh /script
echo "GUEST ready"
while :; do sleep 3600; done
"""
_DHCP = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev eth0; ip route add default via $router
for server in $dns; do echo "nameserver $server"; done >/etc/resolv.conf
"""
_VERSION = "4"


def missing() -> str:
    """Why there can be no guest here, or an empty string."""
    for name in ("qemu-system-x86_64", "qemu-img", "setpriv", "apt-get", "dpkg-deb"):
        if shutil.which(name) is None:
            return f"there is no {name}"
    return ""


@functools.cache
def make_guest() -> Path:
    """The image, a raw disk.  Raises CalledProcessError where the packages cannot be had."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nivalis-tests"
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / f"guest-{_VERSION}.img"
    with open(folder / "guest.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not image.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                os.rename(_make(Path(work)), image)
    return image


def _make(work: Path) -> Path:
    root = work / "root"
    kernel = subprocess.run(["apt-cache", "depends", "--important", _KERNEL], capture_output=True, text=True, check=True).stdout
    name = next(line.split()[-1] for line in kernel.splitlines() if "Depends: linux-image-" in line)
    subprocess.run(["apt-get", "download", "-q", *_PACKAGES, name], cwd=work, check=True, capture_output=True)
    for package in work.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    (modules,) = (root / "lib/modules").iterdir()
    files: dict[str, bytes] = {
        "init": _INIT.encode(),
        "dhcp": _DHCP.encode(),
        # The power button, by the name that acpid has for it.
        "etc/acpi/PWRF/00000080": b"#!/bin/sh\necho GUEST power button >/dev/ttyS0\npoweroff -f\n",
        "modules": "\n".join(Path(one).name for one in _MODULES).encode(),
        "bin/busybox": (root / "bin/busybox").read_bytes(),
        "bin/sh": (root / "bin/busybox").read_bytes(),
    }
    files |= {f"lib/{Path(one).name}": (modules / "kernel" / one).read_bytes() for one in _MODULES}
    (work / "initrd").write_bytes(gzip.compress(b"".join(_cpio(files)), 1))
    (work / "syslinux.cfg").write_text("default guest\nlabel guest\nkernel vmlinuz\ninitrd initrd\nappend console=ttyS0 quiet panic=-1\n")
    (kernel_file,) = (root / "boot").glob("vmlinuz-*")
    shutil.copy(kernel_file, work / "vmlinuz")
    disk = work / "disk.img"
    with open(disk, "wb") as stream:
        stream.truncate(32 << 20)
    programs = root / "usr/bin"
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "MTOOLS_SKIP_CHECK": "1"}
    # The whole disk is the file system, whose first sector is the boot sector.
    subprocess.run(["mformat", "-i", disk, "::"], env=environment, check=True)
    subprocess.run(["mcopy", "-i", disk, work / "vmlinuz", work / "initrd", work / "syslinux.cfg", "::"], env=environment, check=True)
    subprocess.run(["syslinux", "--install", disk], env=environment, check=True, capture_output=True)
    return disk


def _cpio(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """An archive that the kernel unpacks (`newc`)."""
    folders = dict.fromkeys(["bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lib", "proc", "sys", "var", "var/run", "var/log"])
    entries: list[tuple[str, int, bytes]] = [(name, 0o040755, b"") for name in folders]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(f"{field:08X}".encode() for field in fields) + name.encode() + b"\0"
        yield head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


if __name__ == "__main__":
    print(missing() or make_guest())
