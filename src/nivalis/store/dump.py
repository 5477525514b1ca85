"""NARs of files anywhere: `nix-store --dump` and `--restore`.  No store is needed, and none is touched.

A NAR that is restored may come from an enemy: the kernel's reader makes regular files, directories and symlinks below the target,
and nothing else and nowhere else; modes hold no more than whether a file is executable.  The target must not exist.
"""

from __future__ import annotations

from nivalis import _native

TYPE_CHECKING = False  # a file is dumped in less time than it takes to load the store
if TYPE_CHECKING:
    from nivalis.store.nars import Readable

__all__ = ["dump_path", "restore_path"]


def dump_path(path: str, out: int) -> None:
    """Write the NAR of the file or tree at `path` to a descriptor.  Raises OSError, StoreContentError."""
    _native.write_nar(path, out)


def restore_path(target: str, nar: int | Readable) -> None:
    """Make `target` from the one NAR that `nar` gives.  Raises NarError, OSError; what was made before is left.

    The user's own files are the user's to change: as with CppNix, files are writable as far as the umask allows.
    """
    _native.unpack_nar(nar, target)
