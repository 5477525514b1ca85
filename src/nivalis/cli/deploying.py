"""What `nivalis deploy` and `nivalis destroy` share: how they talk, and the tools that they work with."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nivalis.cli.cloud_desk import Desk
from nivalis.cli.downloading import DownloadProgress

if TYPE_CHECKING:
    from nivalis.cloud.local.control import Running
    from nivalis.cloud.models import Server
    from nivalis.deploy.apply import Address, Tools
    from nivalis.deploy.plan import Step
    from nivalis.store.store import Store

__all__ = ["ConsoleTalk", "client_options", "make_tools", "one_at_a_time", "print_steps"]

_SSH = 22
_CONSOLE = 64 << 10
# What takes less, in seconds, is not spoken of where what is written stays.
_MOMENT = 2.0


def client_options(function: Callable[..., None]) -> Callable[..., None]:
    """Whose cloud it is."""
    function = click.option("--account", default="", help="Ask for this account, as a user who has several.")(function)
    return click.option("-c", "--client", default="", help="Use this client of the configuration.")(function)


class ConsoleTalk:
    """Plain lines on stderr; on a terminal the last one is drawn anew while something takes long."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    line = say

    @contextmanager
    def progress(self, what: str) -> Iterator[DownloadProgress]:
        shown = DownloadProgress(what)
        try:
            yield shown
        finally:
            shown.close()

    @contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], object]]:
        started, is_terminal = time.monotonic(), sys.stderr.isatty()
        last = ""
        is_drawn = False

        def tell(state: str) -> None:
            nonlocal last, is_drawn
            text = f"waiting for {what}{f' ({state})' if state else ''}"
            if is_terminal:
                sys.stderr.write(f"\r\x1b[K[{time.monotonic() - started:.0f} s] {text}")
                sys.stderr.flush()
                is_drawn = True
            elif text != last and time.monotonic() - started >= _MOMENT:
                self.say(text)
                last = text

        try:
            yield tell
        finally:
            if is_drawn:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()


@contextmanager
def one_at_a_time(desk: Desk, name: str, talk: ConsoleTalk, *, is_needed: bool) -> Iterator[None]:
    """While nothing else that is done from here changes what belongs to a name, where that `is_needed`.  Raises CloudConfigError, OSError."""
    from nivalis.deploy.lock import hold, locks_folder

    def tell(process: str) -> None:
        talk.say(f"waiting for process {process}, which is deploying or destroying {name}")

    with hold(locks_folder(os.environ), desk.chosen().api_url, name, tell) if is_needed else nullcontext():
        yield


def make_tools(desk: Desk, talk: ConsoleTalk, store: Store, build: Callable[[str, str], Path], patience: float) -> Tools:
    """What a deployment works with, for the client that was chosen.  Raises CloudConfigError."""
    from nivalis.deploy.apply import Tools

    local = _find_local(desk)

    def locate(server: Server) -> Address | None:
        return _locate(server) if local is None else _locate_here(desk, local, server)

    def console(server: Server) -> str:
        return "" if local is None else _read_console(server)

    options = tuple(shlex.split(os.environ.get("NIX_SSHOPTS", "")))
    return Tools(
        cloud=desk.cloud(),
        orbit=desk.orbit,
        talk=talk,
        store=store,
        build=build,
        locate=locate,
        console=console,
        ssh_options=options,
        patience=patience,
    )


def _find_local(desk: Desk) -> Running | None:
    """The cloud of this machine, if it is that which was chosen."""
    from nivalis.cloud.local.control import find_running
    from nivalis.cloud.local.places import Places

    running = find_running(Places.of(os.environ))
    return running if running is not None and running.url == desk.chosen().api_url else None


def _locate(server: Server) -> Address | None:
    from nivalis.deploy.apply import Address

    for one in server.cloud_ips:
        if one.public_ipv4 or one.public_ip:
            return Address(one.public_ipv4 or one.public_ip, _SSH)
    return next((Address(one.ipv6_address, _SSH) for one in server.interfaces if one.ipv6_address), None)


def _locate_here(desk: Desk, local: Running, server: Server) -> Address | None:
    from nivalis.cloud.local.control import find_port
    from nivalis.deploy.apply import Address

    found = find_port(local, desk.door(), server.id, _SSH)
    return None if found is None else Address(*found)


def _read_console(server: Server) -> str:
    from nivalis.cloud.local.places import Places

    try:
        with open(Places.of(os.environ).console(server.id), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _CONSOLE))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def print_steps(steps: Sequence[Step], write: Callable[[str], object]) -> None:
    """One line a step."""
    widths = [max((len(step[column]) for step in steps), default=0) for column in range(3)]
    for step in steps:
        write("  ".join([*(f"{cell:<{width}}" for cell, width in zip(step[:3], widths, strict=True)), step.more]).rstrip())
