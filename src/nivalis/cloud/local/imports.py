"""Importing images: a file from an address or from the library, looked at by `qemu-img`, kept under the image's identifier.

What an image is must be in its own file: one that names another file (a backing file, an external data file) would show the machine to
whoever boots it, and is refused.  So is one that is compressed as a whole, as the real cloud does not take these either.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from nivalis.cloud.errors import LocalCloudError
from nivalis.cloud.local.core import LocalCloud
from nivalis.cloud.local.state import Document
from nivalis.errors import NivalisError
from nivalis.fetch.network import Network
from nivalis.fetch.transport import download

__all__ = ["Probed", "find_qemu_img", "finish_import", "import_image", "probe_image", "remove_unused_images"]

_FORMATS = frozenset({"raw", "qcow2", "vdi", "vhdx", "vpc"})
_PACKED = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4"))
_MB = 1 << 20


class Probed(NamedTuple):
    """What an image is; sizes in MB, rounded up."""

    format: str
    virtual_size: int
    disk_size: int


def find_qemu_img() -> str:
    """Raises LocalCloudError."""
    found = shutil.which("qemu-img")
    if found is None:
        raise LocalCloudError("there is no `qemu-img` on this machine", hint="Debian has it in the package qemu-utils")
    return found


def probe_image(file: Path) -> Probed:
    """What the file is, by its own account.  Raises LocalCloudError."""
    with open(file, "rb") as stream:
        begin = stream.read(8)
    for magic, name in _PACKED:
        if begin.startswith(magic):
            raise LocalCloudError(f"image is compressed as a whole ({name})", hint="unpack it, or compress inside: `qemu-img convert -c -O qcow2`")
    done = subprocess.run([find_qemu_img(), "info", "--output=json", str(file)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalCloudError(f"image cannot be read: {done.stderr.strip()}")
    info = json.loads(done.stdout)
    specific = info.get("format-specific", {}).get("data", {})
    if info["format"] not in _FORMATS:
        raise LocalCloudError(f"image is of a kind that is not imported: `{info['format']}`")
    if "backing-filename" in info or specific.get("data-file"):
        raise LocalCloudError("image is not complete: it names another file")
    if info["virtual-size"] < 512:
        raise LocalCloudError("image is empty")
    return Probed(info["format"], -(-info["virtual-size"] // _MB), -(-info.get("actual-size", 0) // _MB))


async def import_image(cloud: LocalCloud, image: Document, network: Network) -> None:
    """Bring the file of an image that is `creating`, and make it available or failed."""
    target = cloud.places.images / image["id"]
    try:
        if image.get("http_url"):
            # The storage of this cloud wants nothing from outside, and a proxy would not find it.
            await asyncio.to_thread(download, image["http_url"], str(target), network=network)
        else:
            # Moved, so that the library is empty again.
            await asyncio.to_thread(shutil.move, cloud.places.incoming / image["source"], target)
        probed = await asyncio.to_thread(probe_image, target)
    except (NivalisError, OSError, ValueError) as error:
        target.unlink(missing_ok=True)
        cloud.say(f"import of {image['id']}: {error}")
        cloud.settle(image, "failed", of="creating")
        return
    os.chmod(target, 0o400)
    finish_import(cloud, image, target, probed)


def finish_import(cloud: LocalCloud, image: Document, file: Path, probed: Probed) -> None:
    """The file of an image is there; without anybody who still wants it, it goes."""
    sizes = {"format": probed.format, "virtual_size": probed.virtual_size, "disk_size": probed.disk_size}
    if not cloud.settle(image, "available", of="creating", **sizes):
        file.unlink(missing_ok=True)


def remove_unused_images(cloud: LocalCloud) -> None:
    """Delete the files of images that are gone and that no server's disk begins with."""
    used = {one["image"] for one in cloud.state.all("server") if one["status"] not in ("deleted", "failed")}
    for file in cloud.places.images.iterdir():
        image = cloud.state.find(file.name)
        if (image is None or image["status"] == "deleted") and file.name not in used:
            file.unlink(missing_ok=True)
