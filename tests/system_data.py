"""Small systems as data, and as toplevels on disk: what the tests of plans, activation and switching go between."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nivalis.system.target.data import System

__all__ = ["killed_at", "make_data", "make_system", "make_toplevel"]

# What a process does to files, as Python announces it.
_EVENTS = {
    "open",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.chown",
    "shutil.copyfile",
    "shutil.rmtree",
}


def make_data(**changes: Any) -> dict[str, Any]:
    """The JSON of a system of nothing but its format, and what is given; units need not say more than differs from the usual."""
    data: dict[str, Any] = {
        "format": 1,
        "system": "x86_64-linux",
        "hostName": "test",
        "label": "12.20261120",
        "stateVersion": "26.11",
        "paths": {"sw": "/nix/store/sw", "etc": "/nix/store/etc"},
        **changes,
    }
    data["units"] = {name: {"file": f"/nix/store/u/{name}", "identity": "1", **(unit or {})} for name, unit in data.get("units", {}).items()}
    return data


def make_system(**changes: Any) -> System:
    return System.from_json(make_data(**changes))


def make_toplevel(folder: Path, data: Mapping[str, Any]) -> Path:
    """A toplevel's folder with its data, and with the tree of links that /etc/static leads to."""
    folder.mkdir(parents=True)
    (folder / "sw/usr/bin").mkdir(parents=True)
    for name, file in data.get("etc", {}).items():
        if file.get("mode", "symlink") == "symlink":
            place = folder / "etc" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(file["source"])
    paths = {"sw": str(folder / "sw"), "etc": str(folder / "etc")}
    (folder / "system.json").write_text(json.dumps({**data, "paths": {**paths, **{k: v for k, v in data["paths"].items() if k not in paths}}}))
    return folder


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a process that is killed before its step of that number; whether it came so far."""
    process = os.fork()
    if process == 0:
        done = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal done
            if event in _EVENTS:
                done += 1
                if done > step:
                    os.kill(os.getpid(), signal.SIGKILL)

        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.addaudithook(count)
        work()
        os._exit(0)
    _, status = os.waitpid(process, 0)
    assert status in (0, signal.SIGKILL), status
    return status != 0
