"""Disk images, read: what is in one, without root, mount, or any program but this one.

    content = explain_image(Path("result/nixos.qcow2"))

What it is: readers of qcow2 (`Disk`) and of ext4 (`Ext4`) as far as finding and reading files goes, and over them the question what of a store an
image holds (`explain_image`).

What it may import: the standard library, `nivalis.errors`, and `nivalis.store` for how store paths are called; zstd from `nivalis.cache`.

What it does not do: it writes nothing, and makes no images (`channel/nixos/lib/disk-image` does).  It replays no journal: of a disk that was cut off
while it was written, it sees what had reached its place.
"""

from nivalis._lazy import from_modules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nivalis.image.disk import Disk, ImageError
    from nivalis.image.explain import ImageContent, explain_image
    from nivalis.image.ext4 import Ext4

__all__ = ["Disk", "Ext4", "ImageContent", "ImageError", "explain_image"]

__getattr__ = from_modules(
    __name__,
    {
        "Disk": "disk",
        "Ext4": "ext4",
        "ImageContent": "explain",
        "ImageError": "disk",
        "explain_image": "explain",
    },
)
