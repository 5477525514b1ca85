"""`nivalis cloud local`: a Brightbox on this machine; and `nivalis cloud console`, the serial consoles of its servers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nivalis.cli.cloud_desk import Desk, NounGroup, as_work, json_option
from nivalis.cli.cloud_tables import format_json

if TYPE_CHECKING:
    from nivalis.cloud.local.control import Running
    from nivalis.cloud.local.places import Places

__all__ = ["console", "local"]

_KEYS = ("id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub")
_LEAVE = b"\x1d"


@click.group("local", cls=NounGroup, usual="status")
def local() -> None:
    """A Brightbox on this machine.

    It has the API, Orbit, the FTP library, and servers that are QEMU machines.  NIVALIS_CLOUD names the folder where it keeps everything.
    """


def _places() -> Places:
    from nivalis.cloud.local.places import Places

    return Places.of(os.environ)


@local.command("start")
@click.option("--port", type=int, help="Where its API listens; else the port of last time, or any.")
@click.option("--library-port", type=int, help="Where its FTP library listens.")
@click.option("--no-library", is_flag=True, help="Have no FTP library, as Brightbox has none today.")
@click.option("--accelerator", type=click.Choice(["kvm", "tcg"]), help="How machines run; else KVM where it works.")
@click.option(
    "--ssh-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The public key that servers let in; else one of ~/.ssh."
)
@json_option
@as_work
def _start(desk: Desk, port: int | None, library_port: int | None, no_library: bool, accelerator: str | None, ssh_key: Path | None) -> None:
    """Start it, and configure it as the client `local`."""
    from nivalis.cloud.local.control import client_of, open_cloud, start_service

    given = {"--port": port, "--library-port": library_port, "--accelerator": accelerator}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    running = start_service(_places(), [*options, *(["--no-library"] if no_library else [])])
    file = desk.config()
    file.put(client_of(running))
    file.write()
    cloud = open_cloud(running, desk.door())
    user = cloud.users.list()[0]
    key = ssh_key or (None if user.ssh_key else next((one for one in (Path.home() / ".ssh" / name for name in _KEYS) if one.is_file()), None))
    if key is not None:
        cloud.users.update(user.id, {"ssh_key": key.read_text().strip()})
    elif not user.ssh_key:
        desk.say("no key in ~/.ssh; `nivalis cloud users update -f FILE usr-local` sets the one that servers let in")
    _show(desk, running)


@local.command("stop")
@as_work
def _stop(desk: Desk) -> None:
    """Stop it.  Its servers are shut down, and start again with it."""
    from nivalis.cloud.local.control import stop_service

    desk.say("cloud has ended" if stop_service(_places()) else "no cloud is running")


@local.command("status")
@json_option
@as_work
def _status(desk: Desk) -> None:
    """Show where it listens, and which ports lead to its servers."""
    from nivalis.cloud.errors import LocalCloudError
    from nivalis.cloud.local.control import find_running

    running = find_running(_places())
    if running is None:
        raise LocalCloudError("no cloud is running", where=str(_places().folder), hint="`nivalis cloud local start` starts one")
    _show(desk, running)


def _show(desk: Desk, running: Running) -> None:
    from nivalis.cloud.local.control import ask_status

    status = ask_status(running, desk.door())
    if desk.as_json:
        sys.stdout.write(format_json({**status, "pid": running.pid, "folder": str(_places().folder)}))
        return
    library = f"; FTP library at {status['library']}" if status["library"] else ""
    click.echo(f"cloud at {status['url']}{library}; machines run under {status['accelerator']}")
    for server in status["servers"]:
        click.echo(f"{server['id']}  {server['status']}  {server['name']}")
        for port in server["ports"]:
            moved = "" if port["port"] == port["wanted"] else f"  (its port {port['wanted']})"
            click.echo(f"  {port['address']}:{port['port']} leads to port {port['server_port']}{moved}")


@click.command("console")
@click.argument("server")
@click.option("-i", "--interactive", is_flag=True, help="Type, too; Ctrl-] leaves.")
@as_work
def console(desk: Desk, server: str, interactive: bool) -> None:
    """Show the serial console of SERVER, from its first boot on.

    It is one of this machine's cloud, which may be stopped.
    """
    from nivalis.cloud.errors import LocalCloudError
    from nivalis.cloud.local.control import ask_status, find_running

    running = find_running(_places())
    log = _places().console(server)
    if not interactive or running is None:
        if not log.is_file():
            raise LocalCloudError(f"server has no console here: `{server}`", where=str(log))
        sys.stdout.buffer.write(log.read_bytes())
        return
    found: dict[str, Any] = next((one for one in ask_status(running, desk.door())["servers"] if one["id"] == server), {})
    if not found.get("console_socket"):
        raise LocalCloudError(f"server is not running: `{server}`")
    _type_to(found["console_socket"])


def _type_to(path: str) -> None:
    import select
    import socket
    import termios
    import tty

    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        before = termios.tcgetattr(0) if sys.stdin.isatty() else None
        try:
            if before is not None:
                tty.setraw(0)
            while True:
                ready, _, _ = select.select([line.fileno(), 0], [], [])
                if line.fileno() in ready:
                    data = line.recv(4096)
                    if not data:
                        return
                    os.write(1, data)
                if 0 in ready:
                    data = os.read(0, 4096)
                    if not data or _LEAVE in data:
                        return
                    line.sendall(data)
        finally:
            if before is not None:
                termios.tcsetattr(0, termios.TCSADRAIN, before)
