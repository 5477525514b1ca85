"""The server, seen from this machine: ssh, the page that it serves, and the boot menu on its serial line."""

from __future__ import annotations

import http.client
import json
import re
import select
import shlex
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tour.stage import Background, Stage, TourError, wait_until

__all__ = ["Menu", "Port", "Server", "open_page"]

# Emulated on a busy machine, a server takes its time.
_BOOT, _MENU = 1500.0, 600.0
_UP, _DOWN, _ENTER = b"\x10", b"\x0e", b"\r"
# How long a key may take to show what it does, and how often one is pressed blindly.
_PATIENCE, _OFTEN = 60.0, 0.3
_HIGHLIGHTED = re.compile(r"\x1b\[7m(?:\x1b\[\d+;\d+H)?\*([^\x1b]*)\x1b")
_MOVE = re.compile(r"\x1b\[\d+;\d+H")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Port:
    """Where a port of the server is on this machine."""

    address: str
    number: int


@dataclass(slots=True)
class Server:
    """A server of the local cloud; it can be asked once `connect` has been called."""

    stage: Stage
    id: str
    ports: dict[int, Port] = field(default_factory=dict)

    @property
    def console(self) -> Path:
        """What it has said on its serial line."""
        return self.stage.cloud / "servers" / self.id / "console.log"

    @property
    def address(self) -> str:
        """Its page's."""
        port = self.ports[80]
        return f"http://{port.address}" + ("" if port.number == 80 else f":{port.number}")

    @property
    def ssh_command(self) -> str:
        """What leads there from anywhere on this machine."""
        return f"ssh -F {shlex.quote(str(self.stage.home / 'ssh_config'))} root@{self.ports[22].address}"

    def find_ports(self) -> None:
        """Learn where its ports are, as soon as they are.  Raises TourError."""

        def are_there() -> bool:
            self.ports = {port["server_port"]: Port(port["address"], port["port"]) for port in self._status().get("ports", ())}
            return {22, 80} <= self.ports.keys()

        if not wait_until(are_there, _MENU):
            raise TourError("no port leads to the server", where=str(self.stage.cloud / "log"))
        (self.stage.home / "ssh_config").write_text(
            f"Host *\n  Port {self.ports[22].number}\n  IdentityFile {self.stage.home}/.ssh/id_ed25519\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.stage.home}/.ssh/known_hosts\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n"
            "  BatchMode yes\n  ConnectTimeout 60\n  ServerAliveInterval 30\n  ServerAliveCountMax 20\n"
        )

    def _status(self) -> dict[str, Any]:
        status = json.loads(self.stage.run("nivalis", "cloud", "local", "status", "--json", shown="").output)
        found: dict[str, Any] = next((one for one in status["servers"] if one["id"] == self.id), {})
        return found

    # ---- ssh ----

    def run(
        self, script: str, shown: str | None = None, *, is_good: Callable[[int], bool] = lambda status: status == 0, deadline: float = 1800.0
    ) -> Background:
        """Run a script there by root's Bash; `shown` as for `Stage.run`.  Raises TourError."""
        text = script if shown is None else shown
        if text:
            text = "\n".join(f"ssh root@{self.ports[22].address} {line}" for line in text.splitlines())
        try:
            return self.stage.run(*self._words(), "bash -l", script=f"{script}\n", shown=text, is_good=is_good, deadline=deadline)
        except TourError as error:
            error.hint = f"the console: {self.console}"
            raise

    def _words(self) -> tuple[str, ...]:
        return ("ssh", "-F", str(self.stage.home / "ssh_config"), f"root@{self.ports[22].address}")

    def wait(self, is_right: Callable[[str], bool] = lambda boot: True) -> str:
        """Wait until root is let in and the boot is `is_right`, given its identifier; that.  Raises TourError."""
        found = ""

        def answers() -> bool:
            nonlocal found
            if not self._status():
                raise TourError("the server has ended", where=str(self.console))
            last = self._last_lines(1)
            if "end Kernel panic" in last:
                raise TourError(f"the server's kernel has given up: {last}", where=str(self.console))
            self.stage.show.progress(f"waiting for ssh; the console: {last}")
            ask = self.stage.begin(*self._words(), "cat /proc/sys/kernel/random/boot_id")
            try:
                ask.wait(120, lambda status: True)
            except TourError:
                return False
            found = ask.output.strip()
            return bool(found) and is_right(found)

        with self.stage.show.waiting("waiting for ssh"):
            if not wait_until(answers, _BOOT, 2.0):
                said = f"the server lets nobody in after {_BOOT:.0f} s; its console ends with\n{self._last_lines(12)}"
                raise TourError(said, where=str(self.console))
        return found

    def _last_lines(self, count: int) -> str:
        """The end of what it has said on its serial line."""
        said = self.console.read_text(errors="replace")[-8000:] if self.console.exists() else ""
        # What is drawn elsewhere is another line.
        lines = _ESCAPE.sub("", _MOVE.sub("\n", said)).splitlines()
        return "\n".join([line.strip() for line in lines if line.strip()][-count:])

    # ---- the boot menu ----

    def choose(self, generation: int) -> str:
        """Boot again, and choose a generation in the menu; what the menu has said of it.  Raises TourError."""
        path = self._status()["console_socket"]
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(path)
            self.run("systemctl reboot", is_good=lambda status: True)
            with self.stage.show.waiting("waiting for the boot menu"):
                return Menu(line, self.console).choose(generation)


class Menu:
    """GRUB on a serial line: keys go in, and what it draws comes out.  `console` is the place to look when it does not."""

    def __init__(self, line: socket.socket, console: Path) -> None:
        self.said = ""
        self._line = line
        self._console = console

    def choose(self, generation: int) -> str:
        """Choose a generation among all of the system's; what the menu says of it.  Raises TourError."""
        # Nobody knows when the menu is there; a key that moves nothing stops its clock whenever that is.
        self.press_until(_UP, lambda said: bool(_highlighted(said)), _OFTEN)
        self.press_until(_DOWN, lambda said: _highlighted(said).startswith("NixOS - All"))
        self.press(_ENTER)
        self.press_until(b"", lambda said: _highlighted(said).startswith("NixOS - Configuration"))
        self.press_until(_DOWN, lambda said: _highlighted(said).startswith(f"NixOS - Configuration {generation} ("))
        found, drawn = _highlighted(self.said), len(self.said)
        self.press(_ENTER)
        # GRUB says no more than that it clears the screen; the first line is the kernel's, or that of its initrd.
        self.press_until(b"", lambda said: "\n" in said[drawn:])
        return found

    def press(self, key: bytes) -> None:
        self._line.sendall(key)

    def press_until(self, key: bytes, is_there: Callable[[str], bool], patience: float = _PATIENCE) -> None:
        """Press a key, again and again, until that can be seen.  Raises TourError.

        What it does is waited for before it is pressed again, but not for ever: the menu may not have been there yet.
        """
        end = time.monotonic() + _MENU
        while not is_there(self.said):
            if time.monotonic() > end:
                raise TourError("the boot menu is not what it should be", where=str(self._console))
            if key:
                self.press(key)
            before, until = _highlighted(self.said), time.monotonic() + patience
            while not is_there(self.said) and _highlighted(self.said) == before and (left := until - time.monotonic()) > 0:
                self._read(left)

    def _read(self, patience: float) -> None:
        if select.select([self._line], [], [], patience)[0]:
            piece = self._line.recv(4096)
            if not piece:
                raise TourError("the server has ended", where=str(self._console))
            self.said += piece.decode(errors="replace")


def _highlighted(said: str) -> str:
    """The entry that is highlighted, as far as the menu is wide; empty if there is none."""
    found = _HIGHLIGHTED.findall(said)
    return found[-1].strip() if found else ""


def open_page(address: str, patience: float) -> str | None:
    """What a page says; None if nobody answers within so many seconds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=patience) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP {error.code}"
    except (OSError, http.client.HTTPException):
        return None
