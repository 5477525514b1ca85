"""Where Nix's own commands start: an answer from the evaluation cache, or else the command.

A command loads the kernel and the language's face; a cached answer must not, so it is looked for before the command's module is
imported.  This module imports nothing that a hit does not need.
"""

from __future__ import annotations

import sys

__all__ = ["nix_instantiate"]


def nix_instantiate() -> None:
    """The program `nix-instantiate`."""
    status = _ask("nix-instantiate")
    if status is not None:
        raise SystemExit(status)
    from nivalis.cli.nix_instantiate import main

    main()


def _ask(command: str) -> int | None:
    if "--no-eval-cache" in sys.argv:
        return None
    from nivalis.cli.eval_cache import answer

    try:
        return answer(command)
    except KeyboardInterrupt:
        return 130
