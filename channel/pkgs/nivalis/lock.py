"""Write `wheels.json`, the files that the package is made of beside nivalis's own: `python channel/pkgs/nivalis/lock.py INDEX`.

Which versions there are says `requirements/runtime.lock`; here it is settled which wheel each Python of a Debian suite takes.  A wheel must run on
glibc 2.28 (https://peps.python.org/pep-0600/).  A file is taken only if its hash is among those of the lock.
"""

from __future__ import annotations

import json
import re
import sys
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE.parents[2] / "requirements" / "runtime.lock"
# Those of Debian 12 and 13.
PYTHONS = ("3.11", "3.13")
MACHINE = "x86_64"
GLIBC = (2, 28)


def main(index: str) -> None:
    wheels: dict[str, list[dict[str, str]]] = {python: [] for python in PYTHONS}
    for project, version, hashes in read_lock(LOCK.read_text(encoding="utf-8")):
        request = urllib.request.Request(f"{index}/{project}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        with urllib.request.urlopen(request) as answer:
            files = {entry["filename"]: entry["hashes"].get("sha256") for entry in json.load(answer)["files"]}
        offered = {name: digest for name, digest in files.items() if digest in hashes and name.endswith(".whl")}
        for python, chosen in wheels.items():
            name = min((name for name in offered if rank(name, python) is not None), key=lambda name: (rank(name, python), name), default=None)
            if name is None:
                raise SystemExit(f"{project} {version} has no wheel for Python {python}")
            chosen.append({"project": project, "version": version, "file": name, "sha256": offered[name]})
    (HERE / "wheels.json").write_text(json.dumps(wheels, indent=1) + "\n", encoding="utf-8")


def read_lock(text: str) -> list[tuple[str, str, set[str]]]:
    """Projects with their versions and hashes."""
    found = []
    for block in re.split(r"\n(?=[a-z0-9])", text):
        head = re.match(r"([a-z0-9-]+)==([^ ;\\]+)", block)
        if head:
            found.append((head[1], head[2], set(re.findall(r"sha256:([0-9a-f]{64})", block))))
    return found


def rank(name: str, python: str) -> int | None:
    """How well a wheel suits a Python, 0 the best; None where it does not."""
    tags, abi, platforms = name.removesuffix(".whl").split("-")[-3:]
    compact = python.replace(".", "")
    minor = int(python.partition(".")[2])
    if platforms == "any":
        return 2 if "py3" in tags.split(".") and abi == "none" else None
    if not any(runs_on(platform) for platform in platforms.split(".")):
        return None
    if tags == f"cp{compact}" and abi == f"cp{compact}":
        return 0
    if abi == "abi3" and tags.startswith("cp3") and int(tags[3:]) <= minor:
        return 100 - int(tags[3:])
    return None


def runs_on(platform: str) -> bool:
    match = re.fullmatch(r"manylinux_(\d+)_(\d+)_(.+)", platform)
    return match is not None and match[3] == MACHINE and (int(match[1]), int(match[2])) <= GLIBC


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
