"""Where Nix's own commands start: an answer from the evaluation cache, or else the command.

A command loads the kernel and the language's face; a cached answer must not, so it is looked for before the command's module is
imported.  This module imports nothing that a hit does not need.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["leave", "nix_build", "nix_env", "nix_instantiate", "nix_shell", "nix_store"]


def nix_instantiate() -> None:
    """The program `nix-instantiate`."""
    # The process is short, and what it holds is needed until its end: to look for garbage, and to take everything down in order at the
    # end, would take a third of a small evaluation's time.
    gc.disable()
    status = _ask("nix-instantiate")
    if status is None:
        from nivalis.cli.nix_instantiate import run_program

        status = run_program()
    leave(status)


def nix_build() -> None:
    """The program `nix-build`."""
    status = _ask("nix-build")
    if status is not None:
        leave(status)
    from nivalis.cli.nix_build import run_program

    raise SystemExit(run_program())


def nix_env() -> None:
    """The program `nix-env`, of whose answers none is kept; it starts and ends as quickly as the others."""
    gc.disable()
    from nivalis.cli.nix_env import run_program

    leave(run_program())


def nix_shell() -> None:
    """The program `nix-shell`, which becomes the shell."""
    from nivalis.cli.nix_shell_start import answer

    try:
        status = answer(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    if status is None:
        from nivalis.cli.nix_shell import run_program

        status = run_program()
    raise SystemExit(status)


def nix_store() -> None:
    """The program `nix-store`."""
    # What is loaded stays.
    gc.disable()
    from nivalis.cli.nix_store_files import find_work

    work = find_work(sys.argv[1:])
    if work is not None:
        from nivalis.cli.failures import run

        leave(run(work))
    from nivalis.cli.nix_store import main

    gc.freeze()
    # A build may take hours.
    gc.enable()
    main()


def leave(status: int) -> NoReturn:
    """End the process at once; stores are closed by now."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = status or 1
    os._exit(status)


def _ask(command: str) -> int | None:
    if "--no-eval-cache" in sys.argv:
        return None
    from nivalis.cli.eval_cache import answer

    try:
        return answer(command)
    except KeyboardInterrupt:
        from nivalis.cli.failures import drop_output

        drop_output()
        return 130
