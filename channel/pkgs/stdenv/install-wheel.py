"""Install wheels below a folder: `install-wheel.py FOLDER WHEEL...`.

Modules go where Debian's Python looks below a prefix, and scripts for `console_scripts` are written
(https://packaging.python.org/en/latest/specifications/binary-distribution-format/).  Nothing is compiled: byte code is Python's to make.
"""

import os
import stat
import sys
import zipfile
from configparser import ConfigParser

SITE = "lib/python3/dist-packages"
SCRIPT = """#!/usr/bin/env python3
import sys
from {module} import {first}
sys.exit({function}())
"""


def install(prefix: str, wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                place = find_place(prefix, info.filename)
                data = archive.read(info)
                is_script = ".data/scripts/" in info.filename
                if is_script and data.startswith(b"#!python"):
                    data = b"#!/usr/bin/env python3" + data[data.index(b"\n") :]
                write(place, data, is_script or bool(info.external_attr >> 16 & stat.S_IXUSR))
                if info.filename.endswith(".dist-info/entry_points.txt"):
                    write_scripts(prefix, data.decode())


def find_place(prefix: str, name: str) -> str:
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return f"{prefix}/{SITE}/{name}"
    kind, _, rest = rest.partition("/")
    folders = {"purelib": SITE, "platlib": SITE, "scripts": "bin", "data": ".", "headers": f"include/{top.split('-')[0]}"}
    return os.path.normpath(f"{prefix}/{folders[kind]}/{rest}")


def write_scripts(prefix: str, text: str) -> None:
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    for section in ("console_scripts", "gui_scripts"):
        for name, value in parser.items(section) if parser.has_section(section) else ():
            module, _, function = value.split("[")[0].strip().partition(":")
            script = SCRIPT.format(module=module, function=function, first=function.split(".")[0])
            write(f"{prefix}/bin/{name}", script.encode(), True)


def write(place: str, data: bytes, executable: bool) -> None:
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb") as file:
        file.write(data)
    os.chmod(place, 0o755 if executable else 0o644)


for path in sys.argv[2:]:
    install(sys.argv[1], path)
