"""The boot menu is chosen from by what is seen of it: a GRUB that draws as the real one does, on the other end of a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tour.server import Menu
from tour.stage import TourError

MAIN = ["NixOS", "NixOS - All configurations"]
ALL = [f"NixOS - Configuration {number} (2026-07-11 - 12.20260711, Linux 6.1)" for number in (3, 2, 1)]


class Grub:
    """It draws as GRUB 2.06 does on a serial line, and hears ^P, ^N and Enter; `booted` is what was chosen."""

    def __init__(self, line: socket.socket, deaf_for: int = 0) -> None:
        self.booted = ""
        self._line = line
        self._deaf_for = deaf_for

    def run(self) -> None:
        self._read(self._deaf_for)
        self.booted = self._choose(MAIN)
        if self.booted == MAIN[1]:
            self.booted = self._choose(ALL)
        self._line.sendall(b"\x1b[?25h\x1b[H\x1b[J\x1b[1;1H\x1b[H\x1b[J\x1b[1;1Hstage 1: mounting /dev/vda1 on /\r\n")

    def _choose(self, entries: list[str]) -> str:
        self._line.sendall(b"\x1b[?25l\x1b[m\x1b[H\x1b[J\x1b[1;1H\x1b[2;24HGNU GRUB  version 2.06\n\r")
        chosen = 0
        for place in range(len(entries)):
            self._draw(entries, place, chosen)
        while (key := self._line.recv(1)) not in (b"\r", b""):
            old, chosen = chosen, min(max(chosen + {b"\x10": -1, b"\x0e": 1}[key], 0), len(entries) - 1)
            if chosen != old:
                self._draw(entries, old, chosen)
                self._draw(entries, chosen, chosen)
        return entries[chosen]

    def _draw(self, entries: list[str], place: int, chosen: int) -> None:
        begin, mark = ("\x1b[7m", "*") if place == chosen else ("\x1b[m", " ")
        text = f"{begin}\x1b[{5 + place};3H{mark}{entries[place]:<76}"[:90]
        self._line.sendall(f"{text}\x1b[m\x1b[{5 + place};78H\x1b[m".encode())

    def _read(self, count: int) -> None:
        while count:
            count -= len(self._line.recv(count))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(("generation", "deaf_for"), [(1, 0), (2, 0), (3, 0), (1, 4)])
def test_a_generation_is_chosen(ends: tuple[socket.socket, socket.socket], generation: int, deaf_for: int) -> None:
    ours, theirs = ends
    grub = Grub(theirs, deaf_for)
    thread = threading.Thread(target=grub.run)
    thread.start()
    chosen = Menu(ours, Path("console.log")).choose(generation)
    thread.join()
    assert grub.booted == chosen == ALL[3 - generation]


def test_a_server_that_ends_is_an_error(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.close()
    with pytest.raises((TourError, BrokenPipeError)):
        Menu(ours, Path("console.log")).choose(1)
