"""The database of hardware that udev reads (hwdb(7)), of the lists of packages and of the configuration's own.

It runs as a builder: `packages` are those with lists, `own` is a further list, which has the last word, and `program` is systemd-hwdb(8).
"""

from __future__ import annotations

import os
import shutil
import subprocess

_FOLDERS = ("usr/lib/udev/hwdb.d", "etc/udev/hwdb.d")


def main() -> None:
    variables = os.environ
    lists: dict[str, str] = {}
    for package in variables["packages"].split():
        for folder in _FOLDERS:
            if os.path.isdir(f"{package}/{folder}"):
                lists |= {entry.name: entry.path for entry in os.scandir(f"{package}/{folder}") if entry.name.endswith(".hwdb")}
    os.makedirs("root/etc/udev/hwdb.d")
    for name, path in [*lists.items(), ("99-local.hwdb", variables["own"])]:
        os.symlink(path, f"root/etc/udev/hwdb.d/{name}")
    # It says of a list that it cannot read, and goes on.
    subprocess.run([variables["program"], "update", f"--root={os.getcwd()}/root", "--strict"], check=True)
    shutil.copyfile("root/etc/udev/hwdb.bin", variables["out"])


if __name__ == "__main__":
    main()
