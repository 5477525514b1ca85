"""What `nix-store` does without a store: archives of files anywhere, and saying its version.

A command line that is no more than that is understood here, without all that the others need.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["dump", "find_work", "restore", "show_version"]


def find_work(words: Sequence[str]) -> Callable[[], int] | None:
    """What a whole command line asks for; None if that is anything else."""
    match words:
        case ["--version"]:
            return show_version
        case ["--dump", path] if not path.startswith("-"):
            return lambda: dump(path)
        case ["--restore", target] if not target.startswith("-"):
            return lambda: restore(target)
    return None


def show_version() -> int:
    from nivalis import _native

    print(f"nix-store (nivalis {_native.__version__}) {_native.NIX_VERSION}")
    return 0


def dump(path: str) -> int:
    """Write a file or tree to stdout.  Raises OSError, StoreContentError."""
    from nivalis.store.dump import dump_path

    dump_path(path, sys.stdout.fileno())
    return 0


def restore(target: str) -> int:
    """Make a file or tree from stdin.  Raises NarError, OSError."""
    from nivalis.store.dump import restore_path

    restore_path(target, sys.stdin.fileno())
    return 0
