"""One at a time: a lock for each server that is deployed or destroyed, among all commands of this user on this machine.

Of two that see no server of a name, each would make one, and no cloud has a lock that could be taken.  So there is a file for each name and cloud, by
default below `~/.local/state`, which is locked as long as a command works (flock(2): it ends with the process, however that ends), and says which
process that is.  The file stays, for whoever waits has it open.

What it does not do: it knows nothing of other machines.  Two servers of one name that come of that are an error of the next command.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["hold", "locks_folder"]


def locks_folder(environment: Mapping[str, str]) -> Path:
    """Where the locks of a user are: `nivalis/deploy` below XDG_STATE_HOME."""
    home = Path(environment.get("HOME") or os.path.expanduser("~"))
    return Path(environment.get("XDG_STATE_HOME") or home / ".local/state") / "nivalis/deploy"


@contextmanager
def hold(folder: Path, url: str, name: str, on_wait: Callable[[str], object]) -> Iterator[None]:
    """Have the lock of a name in the cloud at `url`.  Waits while another has it, after `on_wait` was told which process.  Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = folder / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    with open(place, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            on_wait(file.read().strip())
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
