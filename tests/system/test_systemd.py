"""What is known of units without a service manager: the files that packages bring, and whether a service's process has come to rest."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from nivalis.system.target import systemd


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_shipped_units_are_where_their_links_lead(tmp_path: Path) -> None:
    package = tmp_path / "package/usr/lib/systemd/system"
    package.mkdir(parents=True)
    for name in ("plain.service", "other.service"):
        (package / name).write_text("")
    (package / "alias.service").symlink_to("plain.service")
    (package / "masked.service").symlink_to("/dev/null")
    (package / "away.service").symlink_to("../system/../system/other.service")
    (package / "nowhere.service").symlink_to("missing.service")
    (package / "plain.service.d").mkdir()
    units = tmp_path / "farm/usr/lib/systemd/system"
    units.mkdir(parents=True)
    (tmp_path / "merged").symlink_to("package/usr/lib")
    for entry in package.iterdir():
        (units / entry.name).symlink_to(tmp_path / "merged/systemd/system" / entry.name)
    (units / "round.service").symlink_to("round.service")
    (units / "own.service").write_text("")
    found = dict(systemd.find_shipped(str(tmp_path / "farm")))
    assert found.pop("round.service")
    assert found == {entry.name: os.path.realpath(entry) for entry in units.iterdir() if entry.name not in ("plain.service.d", "round.service")}
    # A whole folder of one package's is one link.
    assert systemd.find_shipped(str(tmp_path / "package")) == {
        entry.name: os.path.realpath(entry) for entry in package.iterdir() if entry.suffix == ".service"
    }


def test_a_process_is_at_rest_when_it_waits_or_has_worked_for_long() -> None:
    for command in ("exec sleep 1000", "while :; do :; done"):
        process = subprocess.Popen(["/bin/sh", "-c", command])
        try:
            _wait_until(lambda process=process: systemd._is_at_rest(str(process.pid)))  # type: ignore[misc]
        finally:
            process.kill()
            process.wait()


def test_a_process_that_has_ended_is_the_managers_to_tell() -> None:
    process = subprocess.Popen(["/bin/true"])
    _wait_until(lambda: ") Z " in Path(f"/proc/{process.pid}/stat").read_text())
    assert not systemd._is_at_rest(str(process.pid))
    process.wait()
    # More than a kernel gives.
    assert not systemd._is_at_rest(str(1 << 30))
    # There is none.
    assert systemd._is_at_rest("0")
