"""What a deployment says while something takes long: on a terminal a line that is drawn anew, elsewhere lines that stay."""

from __future__ import annotations

import io

import pytest

from nivalis.cli import deploying
from nivalis.cli.deploying import ConsoleTalk, print_steps
from nivalis.deploy.plan import Step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_waiting_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with ConsoleTalk().waiting("server srv-1") as tell:
        tell("creating")
        tell("")
    assert terminal.getvalue() == "\r\x1b[K[0 s] waiting for server srv-1 (creating)\r\x1b[K[0 s] waiting for server srv-1\r\x1b[K"


def test_waiting_elsewhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(deploying.time, "monotonic", lambda: now[0])
    with ConsoleTalk().waiting("server srv-1") as tell:
        tell("creating")
        for state in ("creating", "creating", "starting"):
            now[0] += 3
            tell(state)
    assert capsys.readouterr().err == "waiting for server srv-1 (creating)\nwaiting for server srv-1 (starting)\n"


def test_steps_stand_in_columns() -> None:
    lines: list[str] = []
    print_steps([Step("create", "server", "web", "1gb.ssd"), Step("map", "cloud ip", "front"), Step("wait", "ssh", "web")], lines.append)
    assert lines == ["create  server    web    1gb.ssd", "map     cloud ip  front", "wait    ssh       web"]
