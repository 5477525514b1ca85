"""Starting, stopping and asking the service of the cloud of this machine, from another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nivalis.cloud.api import Brightbox
from nivalis.cloud.auth import Authenticator, Credentials
from nivalis.cloud.config import ClientConfig
from nivalis.cloud.errors import LocalCloudError
from nivalis.cloud.http import HttpDoor
from nivalis.cloud.local.lock import is_held
from nivalis.cloud.local.places import Places
from nivalis.cloud.local.state import CLIENT

__all__ = ["ALIAS", "Running", "ask_status", "client_of", "find_port", "find_running", "open_cloud", "start_service", "stop_service"]

ALIAS = "local"
# A busy machine may take its time; the machines of a service that ends have theirs to shut down.
_STARTING, _STOPPING = 300.0, 300.0


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs: its process, and where it listens."""

    pid: int
    url: str
    library: str
    accelerator: str
    secret: str = field(repr=False)


def find_running(places: Places) -> Running | None:
    """The service of a folder, or None if there is none that runs."""
    try:
        found = json.loads(places.service.read_text())
        running = Running(found["pid"], found["url"], found["library"], found["accelerator"], found["secret"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (KeyError, ValueError) as error:
        raise LocalCloudError("what the service says of itself cannot be read", where=str(places.service)) from error
    return running if is_held(places) else None


def start_service(places: Places, options: Sequence[str] = ()) -> Running:
    """Start the service unless it runs.  Raises LocalCloudError."""
    running = find_running(places)
    if running is not None:
        return running
    places.make()
    command = [sys.executable, "-m", "nivalis.cloud.local.service", str(places.folder), *options]
    with open(places.log, "ab") as log:
        begin = log.tell()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    end = time.monotonic() + _STARTING
    while time.monotonic() < end:
        has_ended = process.poll() is not None
        running = find_running(places)
        if running is not None and (has_ended or running.pid == process.pid):
            return running
        # Of two that start at once, one gets the lock, and the other one waits for what that one says.
        if has_ended and not is_held(places):
            with open(places.log, "rb") as log:
                log.seek(begin)
                text = log.read().decode(errors="replace").strip()
            raise LocalCloudError(f"service does not start: {text}", where=str(places.log))
        time.sleep(0.1)
    process.terminate()
    raise LocalCloudError(f"service does not answer after {_STARTING:.0f} s", where=str(places.log))


def stop_service(places: Places) -> bool:
    """Stop the service, and wait until it has ended; whether there was one.  Raises LocalCloudError."""
    running = find_running(places)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    end = time.monotonic() + _STOPPING
    while is_held(places):
        if time.monotonic() > end:
            raise LocalCloudError(f"service does not end: process {running.pid}", where=str(places.log))
        time.sleep(0.1)
    return True


def client_of(running: Running) -> ClientConfig:
    """The client by which the service is used."""
    return ClientConfig(ALIAS, CLIENT, running.secret, running.url, running.url, f"{running.url}/v1")


def open_cloud(running: Running, door: HttpDoor) -> Brightbox:
    """Its API."""
    return Brightbox(door, Authenticator(door, running.url, Credentials(CLIENT, running.secret)), api_url=running.url)


def ask_status(running: Running, door: HttpDoor) -> dict[str, Any]:
    """What the service says that its API does not: ports and consoles.  Raises CloudError."""
    token = Authenticator(door, running.url, Credentials(CLIENT, running.secret)).token()
    answer = door.send("GET", f"{running.url}/local/status", secrets={"Authorization": f"Bearer {token}"})
    found = answer.json()
    return dict(found)


def find_port(running: Running, door: HttpDoor, server: str, port: int) -> tuple[str, int] | None:
    """Where a port of a server is on this machine, address and port; None where none of its Cloud IPs and firewalls opens it.  Raises CloudError."""
    for one in ask_status(running, door)["servers"]:
        for lead in one["ports"]:
            if one["id"] == server and lead["server_port"] == port:
                return str(lead["address"]), int(lead["port"])
    return None
