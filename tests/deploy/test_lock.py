"""One at a time: whoever comes second waits, and is told for whom; and a process that is killed leaves no lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from nivalis.deploy.lock import hold, locks_folder

URL = "https://api.example"
_HOLD = """import sys
from pathlib import Path
from nivalis.deploy.lock import hold
with hold(Path(sys.argv[1]), sys.argv[2], "web", print):
    print("held", flush=True)
    sys.stdin.read()
"""


def _hold_elsewhere(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", _HOLD, str(folder), URL]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    told: list[str] = []
    has_told = threading.Event()
    order: list[str] = []

    def tell(process: str) -> None:
        told.append(process)
        has_told.set()

    def come_second() -> None:
        with hold(tmp_path, URL, "web", tell):
            order.append("second")

    with hold(tmp_path, URL, "web", tell):
        thread = threading.Thread(target=come_second)
        thread.start()
        has_told.wait()
        # Others are not in the way.
        with hold(tmp_path, URL, "web-2", tell), hold(tmp_path, "https://other.example", "web", tell):
            order.append("first")
    thread.join()
    assert order == ["first", "second"] and told == [str(os.getpid())]


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path) -> None:
    told: list[str] = []

    def kill(process: str) -> None:
        told.append(process)
        os.kill(int(process), signal.SIGKILL)

    with _hold_elsewhere(tmp_path) as process, hold(tmp_path, URL, "web", kill):
        assert told == [str(process.pid)] and process.wait() == -signal.SIGKILL


def test_where_locks_are() -> None:
    assert locks_folder({"HOME": "/home/me"}) == Path("/home/me/.local/state/nivalis/deploy")
    assert locks_folder({"HOME": "/home/me", "XDG_STATE_HOME": "/state"}) == Path("/state/nivalis/deploy")
