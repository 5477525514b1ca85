"""The programs of a toplevel: `python -S -B -m target PROGRAM TOPLEVEL [WORD...]`, with PYTHONHOME and PYTHONPATH set for this alone.

init                            the first program of the system
activate [--root DIR]           activation only
switch-to-configuration         switch | boot | test | dry-activate | check | plan
    menu [LINK...]              the boot menu without the generations of these links
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .data import System, TargetError, name_error
from .places import Root, say

_USAGE = "usage: switch-to-configuration [--root DIR] switch | boot | test | dry-activate | check | plan | menu [LINK...]"


def main(words: Sequence[str]) -> int:
    """Do what the words say; the exit status."""
    program, place, *rest = words
    toplevel = os.path.realpath(place)
    for name in ("PYTHONHOME", "PYTHONPATH"):
        # They are this Python's, and not those that scripts and units start.
        os.environ.pop(name, None)
    if program == "init":
        from .init import run_init

        run_init(toplevel, rest)
    root = Root()
    if rest[:1] == ["--root"] and len(rest) > 1:
        root, rest = Root(os.path.realpath(rest[1])), rest[2:]
    try:
        if program == "activate":
            from .activate import activate

            return 0 if activate(root, toplevel, System.read(toplevel)) else 2
        return _switch(root, toplevel, rest)
    except (TargetError, OSError) as error:
        say(str(name_error(error) if isinstance(error, OSError) else error))
        return 1


def _switch(root: Root, toplevel: str, words: Sequence[str]) -> int:
    from .switch import ACTIONS, check_machine, lock_machine, run_action, run_detached

    action, *rest = words or [""]
    if action == "menu":
        from .menu import write_menu

        with lock_machine(root):
            write_menu(root, System.read(toplevel), without=rest)
        return 0
    if action not in ACTIONS or rest:
        say(_USAGE)
        return 1
    if action not in ("switch", "test") or not root.is_live:
        return run_action(root, toplevel, action)
    check_machine(root, System.read(toplevel), has_menu=action == "switch")
    return run_detached(lambda: run_action(root, toplevel, action))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
