"""How a command ends: what went wrong on stderr, and an exit status.

An evaluation error's trace is folded: frames in files of others (what the search path leads to, what is in the store) are counted
in one line, the user's own are always shown, but not again and again where a function calls itself, and `--show-trace` shows all.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nivalis.errors import EvalError, Frame, InternalError, NivalisError
from nivalis.lang.encoding import encode

__all__ = ["INTERRUPTED", "LibraryPlace", "fold_trace", "report", "run"]

# How often the same frame is shown.
_REPEATED = 2
# What a shell reports for a command that Ctrl-C ended.
INTERRUPTED = 130


class LibraryPlace(NamedTuple):
    """A folder whose files are not the user's own, and how messages call it."""

    folder: str
    name: str

    def has(self, file: str) -> bool:
        return file == self.folder or file.startswith(self.folder.rstrip("/") + "/")


def fold_trace(error: EvalError, library: Sequence[LibraryPlace]) -> None:
    """Replace each run of the library's frames by one that counts them, and so each run of frames that were shown before.

    A frame without a place goes with the one before it.  One that is no step of the way ("the function is defined here") belongs to
    the error, and stays.
    """
    folded: list[Frame] = []
    hidden: list[str] = []
    shown: dict[Frame, int] = {}

    def finish() -> None:
        if hidden:
            names = " and ".join(dict.fromkeys(name for name in hidden if name))
            frames = f"{len(hidden)} frame{'s' if len(hidden) > 1 else ''}"
            folded.append(Frame(f"{frames} {names} hidden, `--show-trace` shows them"))
            hidden.clear()

    for frame in error.trace:
        place = None
        if frame.text.startswith("while "):
            shown[frame] = shown.get(frame, 0) + 1
            if frame.position is None:
                place = "" if hidden else None
            else:
                file = frame.position.file
                place = next((f"of {place.name}" for place in library if place.has(file)), None)
            if place is None and shown[frame] > _REPEATED:
                place = "like those above"
        if place is None:
            finish()
            folded.append(frame)
        else:
            hidden.append(place)
    finish()
    error.trace = tuple(folded)


def report(error: BaseException) -> None:
    """Say on stderr what went wrong."""
    if isinstance(error, NivalisError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        # Of a link or a renaming both places count.
        files = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
        file = f": `{'` -> `'.join(files)}`" if files else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "`nix-collect-garbage` removes what no root needs, with `-d` what only old generations need too"
            text = f"error[disk-full]: {error.strerror}{file}\n  hint: {hint}"
        else:
            text = f"error[os-error]: {error.strerror}{file}"
    else:
        text = str(InternalError(f"{type(error).__name__}: {error}"))
    sys.stdout.flush()
    sys.stderr.buffer.write(encode(text) + b"\n")
    sys.stderr.flush()


def drop_output() -> None:
    """Have nothing more written to standard output, nor what is still in its buffer."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run(work: Callable[[], int]) -> int:
    """The exit status of a command: what `work` says, 1 for an error, which is reported, and 130 after Ctrl-C."""
    try:
        status = work()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        # What is read by nobody could not be written now either.
        drop_output()
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever reads the output has seen enough.  Python's own attempt to flush at the end must not complain again.
        drop_output()
        return 1
    except (NivalisError, OSError) as error:
        report(error)
        return 1
    except Exception as error:
        if type(error).__module__ == "click.exceptions":
            # A wrong use of a command: click says so, with how it is used.  (Asked by name, as most programs do not load it.)
            raise
        import traceback  # only for a bug

        traceback.print_exc()
        report(error)
        return 1
