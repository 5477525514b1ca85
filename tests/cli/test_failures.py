"""What a command says when it fails: errors of the operating system, which have no class of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from nivalis.cli.failures import run


def _fill() -> int:
    Path("/dev/full").write_bytes(b"x")
    return 0


def _look() -> int:
    Path("/nowhere/at/all").read_bytes()
    return 0


def test_a_full_disk_says_what_makes_room(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(_fill) == 1
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith("error[disk-full]: No space left on device") and said[1].startswith("  hint: `nix-collect-garbage`")


def test_a_file_that_is_not_there_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(_look) == 1
    assert capfd.readouterr().err == "error[os-error]: No such file or directory: `/nowhere/at/all`\n"
