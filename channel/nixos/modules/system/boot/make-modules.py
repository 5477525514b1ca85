"""A kernel's modules in one tree of links, with the index that `depmod` makes.

It runs as a builder.  `trees` are packages with modules for the kernel `version`, the kernel itself first; `depmod` is that program, and
`libraries` are folders of libraries for it.  An index that lacks a module is worse than none, so each of its errors is one here.
"""

from __future__ import annotations

import os
import subprocess


def main() -> None:
    variables = os.environ
    out, version = variables["out"], variables["version"]
    folder = f"{out}/lib/modules/{version}"
    os.makedirs(folder)
    first, *others = variables["trees"].split()
    source = f"{first}/lib/modules/{version}"
    for name in sorted(os.listdir(source)):
        os.symlink(f"{source}/{name}", f"{folder}/{name}")
    for index, tree in enumerate(others):
        # depmod(8) prefers what is below `updates`.
        os.makedirs(f"{folder}/updates", exist_ok=True)
        os.symlink(f"{tree}/lib/modules/{version}", f"{folder}/updates/{index}")
    environment = {"LD_LIBRARY_PATH": ":".join(variables["libraries"].split())}
    done = subprocess.run([variables["depmod"], "-b", out, version], check=False, capture_output=True, text=True, env=environment)
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line or "FATAL" in line]
    if done.returncode or errors:
        raise SystemExit("\n".join(["error: depmod", *errors[:10]]))


if __name__ == "__main__":
    main()
