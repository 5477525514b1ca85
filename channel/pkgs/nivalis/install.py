"""Make a virtual environment with nivalis in it; runs as a builder (see default.nix).

It is what `python -m venv` and pip make (https://docs.python.org/3/library/venv.html), but that byte code is compiled beforehand, since nobody
can write it into the store, and is never compared with its source, whose time says nothing there.
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import re
import shutil
import sys
import zipfile

SCRIPT = """#!{out}/bin/python3
import sys
from {module} import {function}
sys.exit({function}())
"""
# Whole files of data as code, which nobody loads often.
NOT_COMPILED = "pygments/lexers"


def main() -> None:
    variables = os.environ
    out, version = variables["out"], variables["python"]
    home = f"{variables['farm']}/usr/bin"
    packages = f"{out}/lib/python{version}/site-packages"
    os.makedirs(f"{out}/bin")
    os.makedirs(packages)
    with open(f"{out}/pyvenv.cfg", "w", encoding="utf-8") as file:
        file.write(f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n")
    for name in ("python", "python3", f"python{version}"):
        os.symlink(f"{home}/python3", f"{out}/bin/{name}")
    for wheel in variables["wheels"].split():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
    shutil.copytree(f"{variables['source']}/nivalis", f"{packages}/nivalis", symlinks=True)
    os.chmod(f"{packages}/nivalis", 0o755)
    os.symlink(variables["channel"], f"{packages}/nivalis/_channel")
    # What a channel that is made here has as its nivalis; ours is changed below.
    os.makedirs(f"{out}/share/nivalis")
    os.symlink(variables["source"], f"{out}/share/nivalis/source")
    os.chmod(f"{packages}/nivalis/system", 0o755)
    os.symlink("../_channel/nixos/target", f"{packages}/nivalis/system/target")
    for name, entry in json.loads(variables["programs"]).items():
        module, _, function = entry.partition(":")
        place = f"{out}/bin/{name}"
        with open(place, "w", encoding="utf-8") as file:
            file.write(SCRIPT.format(out=out, module=module, function=function))
        os.chmod(place, 0o755)
    # What is loaded is not what is changed.
    sys.path.insert(0, variables["source"])
    find_libraries(packages, variables["libraries"].split())
    compile_all(packages)


def find_libraries(packages: str, libraries: list[str]) -> None:
    """Have the kernel and the wheels' modules find the C library in the store: in a sandbox there is no other."""
    from nivalis._native import edit_elf, read_elf

    for folder, _, files in os.walk(packages):
        for name in files:
            if name.endswith(".so") or ".so." in name:
                place = f"{folder}/{name}"
                found = read_elf(place)
                if found is not None:
                    os.chmod(place, 0o755)
                    edit_elf(place, runpath=":".join([*filter(None, [found[4]]), *libraries]))


def compile_all(packages: str) -> None:
    for folder, _, _ in os.walk(packages):
        os.chmod(folder, 0o755)
    # By this process alone: handing out such small files takes more than half as much time as to compile them.
    compileall.compile_dir(
        packages,
        quiet=2,
        rx=re.compile(NOT_COMPILED),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        stripdir=packages,
        prependdir=packages,
    )


if __name__ == "__main__":
    main()
