"""A kernel's modules in one tree of links, with the index that `depmod` makes.

It runs as a builder.  `trees` are packages with modules for the kernel `version`, the kernel itself first; `depmod` is that program.
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
    done = subprocess.run([variables["depmod"], "-b", out, version], check=False, capture_output=True, text=True)
    # Modules of the kernel's own names that have no order are no matter.
    print(done.stderr, end="")
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
