"""A server over ssh: OpenSSH's own client, so that the user's keys, agent and configuration are what they are elsewhere.

All commands share one connection, which is made when it is first needed (ControlMaster, ssh_config(5)): a handshake takes longer than most of
them.  A server's key is believed when it is first seen and kept in the user's known_hosts under the server's identifier, which no other server
ever has; its address may be another's tomorrow.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO

from nivalis.deploy.errors import DeployError, RemoteError

__all__ = ["NO_CONNECTION", "Done", "Ssh", "find_ssh"]

# What ssh itself ends with when there is no connection, or none any more.
NO_CONNECTION = 255
_CONNECT = 30
_SILENT = 15
# How much of what a failed command said is shown, in bytes.
_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Done:
    """A command's end."""

    status: int
    output: str
    errors: str


def find_ssh(program: str = "ssh") -> str:
    """Where the program is.  Raises DeployError."""
    found = shutil.which(program)
    if found is None:
        raise DeployError("there is no `ssh` on this machine", code="no-ssh", hint="Debian has it in the package openssh-client")
    return found


class Ssh:
    """The way to root of one server; a context, at whose end the connection is closed."""

    def __init__(self, host: str, port: int, identifier: str, options: Sequence[str] = (), *, program: str = "ssh") -> None:
        program = find_ssh(program)
        self.host = host
        self.port = port
        self._options = list(options)
        # Not below TMPDIR, which may be too long for a socket's path.
        self._folder = tempfile.mkdtemp(prefix="nivalis-ssh-", dir="/tmp")
        self._command = [
            program,
            *("-p", str(port), "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT}"),
            *("-o", f"ServerAliveInterval={_SILENT}", "-o", "ServerAliveCountMax=4"),
            *("-o", f"HostKeyAlias={identifier}", "-o", "StrictHostKeyChecking=accept-new"),
            *("-o", "ControlMaster=auto", "-o", f"ControlPath={self._folder}/%C", "-o", "ControlPersist=60"),
            *self._options,
            f"root@{host}",
        ]

    def __enter__(self) -> Ssh:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        command = [*self._command[:-1], "-O", "exit", self._command[-1]]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def login(self) -> str:
        """The command with which a person logs in."""
        port = ["-p", str(self.port)] if self.port != 22 else []
        return shlex.join(["ssh", *port, *self._options, f"root@{self.host}"])

    def show(self, script: str) -> str:
        """A command as it can be pasted."""
        return f"{self.login} {shlex.quote(script)}"

    def run(self, script: str, *, data: bytes = b"", timeout: float | None = None) -> Done:
        """A script's end, whatever it is; `data` is what it reads.  Without an end in time, that of a connection that broke off."""
        try:
            done = subprocess.run([*self._command, script], input=data, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return Done(NO_CONNECTION, "", f"no answer after {timeout:.0f} s")
        return Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def ask(self, script: str, *, data: bytes = b"") -> str:
        """What a script prints.  Raises RemoteError where it fails."""
        done = self.run(script, data=data)
        if done.status != 0:
            raise self.failed(script, done.status, done.errors)
        return done.output

    def feed(self, script: str, write: Callable[[IO[bytes]], object]) -> None:
        """Run a script that reads what `write` writes.  Raises RemoteError."""
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen([*self._command, script], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors) as process:
                assert process.stdin is not None
                try:
                    write(process.stdin)
                except BrokenPipeError:
                    # It has ended, and says why.
                    pass
                except BaseException:
                    process.kill()
                    raise
                finally:
                    # It need not have read to the end, and what the buffer still has is refused like what was written.
                    with suppress(BrokenPipeError):
                        process.stdin.close()
            errors.seek(0)
            if process.returncode != 0:
                raise self.failed(script, process.returncode, errors.read().decode(errors="replace"))

    def follow(self, script: str, on_line: Callable[[str], object]) -> int:
        """Run a script and hear what it says, line by line; its exit status."""
        command = [*self._command, script]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.decode(errors="replace").rstrip("\r\n"))
        return process.returncode

    def failed(self, script: str, status: int, errors: str) -> RemoteError:
        """An error about a script, to be raised."""
        what = "no connection to the server" if status == NO_CONNECTION else f"command on the server ended with status {status}"
        said = errors.strip()[-_SHOWN:]
        return RemoteError(f"{what}: {said}" if said else what, where=self.show(script if len(script) < 500 else f"{script[:500]}…"))
