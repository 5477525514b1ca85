"""What is fed to a server that does not read it to the end."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from nivalis.deploy.errors import RemoteError
from nivalis.deploy.ssh import Ssh


def _ssh(folder: Path, script: str) -> Ssh:
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return Ssh("server.example", 22, "srv-12345", program=str(program))


def test_a_server_that_ends_before_it_has_read_all_says_why(tmp_path: Path) -> None:
    def write(pipe: IO[bytes]) -> None:
        # More than a pipe holds, in pieces of which its buffer keeps the last.
        for _ in range(5000):
            pipe.write(b"x" * 1000)

    with _ssh(tmp_path, "echo no room >&2; exit 1") as ssh, pytest.raises(RemoteError, match="no room"):
        ssh.feed("import", write)


def test_who_gives_up_is_heard(tmp_path: Path) -> None:
    def write(pipe: IO[bytes]) -> None:
        pipe.write(b"x")
        raise KeyboardInterrupt

    with _ssh(tmp_path, "exec cat >/dev/null") as ssh, pytest.raises(KeyboardInterrupt):
        ssh.feed("import", write)
