"""Builders that are part of this program: `builtin:fetchurl` and the like.

They handle hostile input, so each runs in a process of its own, in the same sandbox as any builder: this module is what that process
executes.  (What one only fetches may come without it, see `nivalis.build.downloads`, and what only makes links, see `nivalis.build.buildenv`.)
The derivation's environment comes in a file, not as the process's own, where a variable such as PYTHONPATH would be obeyed.  The sandbox is
given Python and this package for it, read-only.

What a builder of a fixed output has to know of the user's configuration (where mirrors are, who one is to a server) it is told by variables
that whoever starts it finds out, outside the sandbox; a derivation never holds them.

`register` lets a higher package add a builder: a name, and the `module:function` that is called with the environment and the
path of the output.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nivalis.build.errors import CannotBuildError
from nivalis.errors import NivalisError

if TYPE_CHECKING:
    from nivalis.build.downloads import Fetcher

__all__ = [
    "PREFIX",
    "command",
    "configured_variables",
    "has_fetcher",
    "is_tame",
    "main",
    "make_fetcher",
    "register",
    "serve_command",
    "support_paths",
    "variables",
]

PREFIX = "builtin:"
_BUILDERS = {
    "debian-farm": "nivalis.debian.farm:build",
    "debian-fetch": "nivalis.debian.fetch:build",
    "debian-launchers": "nivalis.debian.launchers:build",
    "debian-package": "nivalis.debian.package:build",
    "fetchurl": "nivalis.build.fetchurl:build",
    "pypi-fetch": "nivalis.fetch.pypi:build",
    "unpack-channel": "nivalis.build.unpack_channel:build",
}
# What is no process of its own: see `nivalis.build.buildenv`.
_HERE = ("buildenv",)
# Who says, from the user's environment, what such a builder is told beside its derivation.
_CONFIGURED = {
    "debian-fetch": "nivalis.debian.mirror:builder_variables",
    "fetchurl": "nivalis.build.fetchurl:builder_variables",
    "pypi-fetch": "nivalis.fetch.pypi:builder_variables",
}
# Which a worker may run: they look at nothing but their inputs, and take the place where to write beside the output's path.
_TAME = frozenset({"debian-package"})
# What fetches for one in this process.
_FETCHERS = {"debian-fetch": "nivalis.debian.fetch:Fetcher", "pypi-fetch": "nivalis.fetch.pypi:Fetcher"}
_PYTHON = [sys.executable, "-P", "-B", "-m"]
_SYSTEM_PATHS = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ssl", "/etc/ld.so.cache", "/etc/alternatives")


def register(name: str, target: str) -> None:
    """Let derivations with the builder `builtin:<name>` be built by `module:function`."""
    _BUILDERS[name] = target


def command(builder: str, out: str, variables: str) -> list[str]:
    """The command that runs a builtin builder; `variables` is the file with its environment, as JSON.

    Raises CannotBuildError for one that there is not.
    """
    name = builder.removeprefix(PREFIX)
    if name not in _BUILDERS:
        raise CannotBuildError(f"there is no builtin builder of that name: `{builder}`", hint=f"known are: {', '.join(sorted([*_BUILDERS, *_HERE]))}")
    return [*_PYTHON, __name__, _BUILDERS[name], out, variables]


def configured_variables(builder: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What a builder of a fixed output is told of how its user is configured.  Raises NivalisError."""
    target = _CONFIGURED.get(builder.removeprefix(PREFIX))
    if target is None:
        return {}
    configure: Callable[[Mapping[str, str]], dict[str, str]] = _load(target)
    return configure(environment)


def is_tame(builder: str) -> bool:
    """Whether a worker may run a builder (see `nivalis.build.workers`)."""
    return builder.startswith(PREFIX) and builder.removeprefix(PREFIX) in _TAME


def serve_command() -> list[str]:
    """The command of a worker."""
    return [*_PYTHON, __name__]


def has_fetcher(builder: str) -> bool:
    """Whether what a builder does can be done in this process."""
    return builder.startswith(PREFIX) and builder.removeprefix(PREFIX) in _FETCHERS


def make_fetcher(builder: str, environment: Mapping[str, str], sleep: Callable[[float], object]) -> Fetcher:
    """What does a builder's work in this process; `sleep` waits before something is tried again.  Raises NivalisError."""
    make: Callable[[Mapping[str, str], Callable[[float], object]], Fetcher] = _load(_FETCHERS[builder.removeprefix(PREFIX)])
    return make(configured_variables(builder, environment), sleep)


def variables() -> dict[str, str]:
    """The environment of the process itself."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if os.path.isabs(path)), "PATH": os.defpath, "LC_ALL": "C.UTF-8"}


def support_paths() -> list[str]:
    """What of this machine such a process needs to see."""
    wanted = [*_SYSTEM_PATHS, sys.base_prefix, sys.prefix, os.path.dirname(os.path.dirname(__file__)), *filter(os.path.isabs, sys.path)]
    found: list[str] = []
    for place in wanted:
        if os.path.lexists(place) and not any(place == other or place.startswith(f"{other}/") for other in found):
            found.append(place)
    return found


def main(arguments: Sequence[str]) -> int:
    """The process: the builder's function, its output and the file with its environment; without any, a worker."""
    if not arguments:
        return _serve()
    target, out, file = arguments
    with open(file, encoding="utf-8", errors="surrogateescape") as stream:
        environment = json.load(stream)
    return _run(_load(target), environment, out)


def _run(build: Callable[..., object], *arguments: object) -> int:
    try:
        build(*arguments)
    except (NivalisError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve() -> int:
    """Run what is ordered on the socket that is the standard input, each in a process of its own; the answer is its exit status.

    An order comes as two files: one with what to do, as JSON, and one for what the builder says.
    """
    import socket

    connection = socket.socket(fileno=os.dup(0))
    # What nothing can be read from; there are no devices here.
    nothing, theirs = os.pipe()
    os.close(theirs)
    os.dup2(nothing, 0)
    # A collection would write to pages that are shared with what is split off, and there is nothing for it to find.
    gc.disable()
    while True:
        order, descriptors, _, _ = socket.recv_fds(connection, 16, 2)
        if not order:
            return 0
        file, log = descriptors
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            wanted = json.load(stream)
        build = _load(_BUILDERS[wanted["builder"].removeprefix(PREFIX)])
        process = os.fork()
        if process == 0:
            status = 1
            try:
                connection.close()
                os.dup2(log, 1)
                os.dup2(log, 2)
                status = _run(build, wanted["environment"], wanted["out"], wanted["place"])
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        os.close(log)
        connection.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
