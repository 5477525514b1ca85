"""A running server: what system it has, what store paths it lacks, and having it become another system.

It is asked by its own programs (nix-store, nix-env, and those of the new system), which check themselves what the server can become.  Paths go
as `nix-store --export` writes them; each is valid there as soon as it has arrived whole, so a copy that broke off is gone on with.  A server
believes root's word on what paths are, as `nix-store --import` does.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import IO

from nivalis.deploy.errors import DeployError, RemoteError, SwitchError
from nivalis.deploy.ssh import NO_CONNECTION, Ssh
from nivalis.store.exports import export_paths
from nivalis.store.store import Store
from nivalis.system.target.data import System, TargetError
from nivalis.system.target.places import CURRENT

__all__ = ["RemoteMachine", "Running"]

_PROFILE = "/nix/var/nix/profiles/system"
_LOG = "/var/log/nixos-switch.log"
# What a switch leaves there until it has done all.
_NOTE = "/run/nixos/switch.json"
_CONFIGURATION = "/etc/nixos/configuration.nix"
_LOOK = f"readlink {CURRENT} && readlink -f {_PROFILE} && {{ test ! -e {_NOTE} || echo pending; }}"
_ATTEMPTS = 3

Progress = Callable[[int, int | None], object]


@dataclass(frozen=True, slots=True)
class Running:
    """What a machine is: the system it is switched to, the one it boots, and whether a switch has been interrupted."""

    toplevel: str
    boots: str
    is_pending: bool

    def is_just(self, toplevel: str) -> bool:
        """Whether it is this system, and nothing is left to do."""
        return (self.toplevel, self.boots, self.is_pending) == (toplevel, toplevel, False)


class RemoteMachine:
    """A server that answers on `ssh`."""

    def __init__(self, ssh: Ssh) -> None:
        self.ssh = ssh

    def look(self, timeout: float | None = None) -> Running:
        """Raises RemoteError of a server that does not answer, DeployError of one that is no NixOS."""
        done = self.ssh.run(_LOOK, timeout=timeout)
        lines = done.output.split()
        if done.status not in (0, 1):
            raise self.ssh.failed(_LOOK, done.status, done.errors)
        if done.status == 1 or len(lines) < 2:
            raise DeployError(f"server runs no system of this kind: it has no `{CURRENT}`", code="deploy-not-nixos", where=self.ssh.login)
        return Running(lines[0], lines[1], len(lines) > 2)

    def read_system(self) -> System | None:
        """The data of its system; None of a machine of another kind."""
        done = self.ssh.run(f"cat {CURRENT}/system.json")
        try:
            return System.parse(done.output) if done.status == 0 else None
        except TargetError:
            return None

    def find_missing(self, paths: Collection[str]) -> list[str]:
        """Which of these it does not have.  Raises RemoteError."""
        asked = "".join(f"{path}\n" for path in sorted(paths)).encode()
        return self.ssh.ask("xargs nix-store --check-validity --print-invalid", data=asked).split()

    def copy(self, store: Store, paths: Collection[str], on_progress: Progress = lambda done, size: None) -> int:
        """Have it have these paths, which are a closure; how many it lacked.  Raises RemoteError, StoreError."""
        copied = 0
        for attempt in range(1, _ATTEMPTS + 1):
            missing = self.find_missing(paths)
            if not missing:
                return copied
            copied = copied or len(missing)
            size = sum(info.nar_size for info in store.database.infos(missing).values())
            write = functools.partial(_export, store, missing, size, on_progress)
            try:
                self.ssh.feed("nix-store --import", write)
                return copied
            except RemoteError:
                # What has arrived is not sent again.
                if attempt == _ATTEMPTS or len(self.find_missing(missing)) == len(missing):
                    raise
        return copied

    def write_configuration(self, text: bytes) -> None:
        """Have this for its own definition; what was there stays beside it.  Raises RemoteError."""
        place = _CONFIGURATION
        script = (
            f"cat > {place}.new && {{ cmp -s {place} {place}.new || mv -f {place} {place}.old || true; }} 2>/dev/null && mv -f {place}.new {place}"
        )
        self.ssh.ask(script, data=text)

    def switch(self, toplevel: str, on_line: Callable[[str], object]) -> None:
        """Have it become a system that it has, and boot it from now on.  Raises SwitchError.

        Before anything is changed, the new system's own check says whether it can.
        """
        program, quoted = shlex.quote(f"{toplevel}/bin/switch-to-configuration"), shlex.quote(toplevel)
        script = f"{program} check && nix-env -p {_PROFILE} --set {quoted} && exec {program} switch"
        status = self.ssh.follow(script, on_line)
        if status == NO_CONNECTION and self._has_become(toplevel):
            return
        if status == NO_CONNECTION:
            hint = f"it goes on by itself, and `{_LOG}` there says how it ended; the same command again finds out, and does what is left"
            raise SwitchError("connection to the server broke off while it was switched", status=status, where=self.ssh.login, hint=hint)
        if status == 1:
            raise SwitchError("the server stays what it was", status=status, where=self.ssh.login)
        if status != 0:
            hint = f"`{_LOG}` there has all of it; `nixos-rebuild switch --rollback` there goes back"
            raise SwitchError(f"the server is switched, but not all went well (status {status})", status=status, where=self.ssh.login, hint=hint)

    def _has_become(self, toplevel: str) -> bool:
        try:
            return self.look(timeout=60).is_just(toplevel)
        except RemoteError:
            return False


def _export(store: Store, paths: Sequence[str], size: int, on_progress: Progress, pipe: IO[bytes]) -> None:
    export_paths(store, paths, _Counted(pipe, size, on_progress))


class _Counted:
    """A pipe that says how much went through."""

    def __init__(self, pipe: IO[bytes], size: int, on_progress: Progress) -> None:
        self._pipe = pipe
        self._size = size
        self._done = 0
        self._on_progress = on_progress

    def write(self, data: bytes, /) -> None:
        self._pipe.write(data)
        self._done += len(data)
        # Beside the content, the stream says what each path is.
        self._on_progress(min(self._done, self._size), self._size)
