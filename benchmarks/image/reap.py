"""`reap.py COMMAND …`: runs a command and waits for all that it leaves.

bubblewrap ends without waiting for what it started, whose processor time and memory would then be nobody's; here they become this process's, and
so whoever waits for it sees them.
"""

from __future__ import annotations

import ctypes
import os
import sys

# From linux/prctl.h.
PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> int:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    command = os.posix_spawnp(argv[0], argv, os.environ)
    code = 1
    while True:
        try:
            process, status = os.wait()
        except ChildProcessError:
            return code
        if process == command:
            code = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
