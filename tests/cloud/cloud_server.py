"""A cloud on loopback, in this process, for the tests of this folder; and faults that are put into what it answers.

It is the real local cloud, its HTTP server too; only its machines are QEMU's where a test wants them, and otherwise none at all.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from nivalis.cloud.api import Brightbox
from nivalis.cloud.auth import Authenticator, Credentials, MemoryTokens
from nivalis.cloud.http import HttpDoor
from nivalis.cloud.local.api import Api, make_app
from nivalis.cloud.local.core import LocalCloud, MachineSpec
from nivalis.cloud.local.library import Library
from nivalis.cloud.local.oauth import APPLICATION
from nivalis.cloud.local.places import Places
from nivalis.cloud.local.state import CLIENT, USER, State
from nivalis.cloud.orbit import Orbit
from nivalis.fetch.network import Network

# What a test waits for comes for sure, if not soon on a machine that is busy; in seconds.
PATIENCE = 900.0
NETWORK = Network({}, timeout=PATIENCE)


class NoMachines:
    """Servers that are in the books only; `ended` is told of the end of one."""

    def __init__(self) -> None:
        self.ended: Callable[[str], object] = lambda identifier: None
        self.running: set[str] = set()

    async def create(self, spec: MachineSpec) -> None:
        return

    async def start(self, spec: MachineSpec) -> None:
        self.running.add(spec.id)

    async def stop(self, identifier: str) -> None:
        self.running.discard(identifier)
        self.ended(identifier)

    async def press(self, identifier: str, button: str) -> None:
        if button == "power":
            await self.stop(identifier)

    async def snapshot(self, identifier: str, target: str) -> None:
        Path(target).write_bytes(bytes(1 << 20))

    def is_running(self, identifier: str) -> bool:
        return identifier in self.running

    async def refresh(self) -> None:
        return

    async def close(self) -> None:
        return


@dataclass
class Fault:
    """What happens to the next request that `matches` (method and path): a status and body, or an end after so many bytes of its body."""

    method: str
    path: str
    status: int = 0
    body: bytes = b"{}"
    cut_after: int | None = None


@dataclass
class RunningCloud:
    """The cloud, what it was asked, and the faults that are still to come."""

    cloud: LocalCloud
    base: str
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        return self.cloud.state

    def client(self, *, as_user: bool = False, password: str | None = None, **options: Any) -> Brightbox:
        state = self.state
        if as_user:
            given = state.secret(USER) if password is None else password
            credentials = Credentials(APPLICATION, state.secret(APPLICATION), "you@localhost", given)
        else:
            credentials = Credentials(CLIENT, state.secret(CLIENT))
        door = HttpDoor(NETWORK)
        store = options.pop("store", MemoryTokens())
        authenticator = Authenticator(door, self.base, credentials, store, sleep=lambda seconds: None)
        return Brightbox(door, authenticator, api_url=self.base, sleep=options.pop("sleep", lambda seconds: time.sleep(0.02)), **options)

    def orbit(self) -> Orbit:
        return Orbit(HttpDoor(NETWORK), f"{self.base}/v1", CLIENT, self.state.secret(CLIENT), sleep=lambda seconds: None)

    def asked(self, method: str, path: str) -> int:
        """How often this was asked."""
        return sum(1 for one in self.requests if one == (method, path))


def _with_faults(app: Any, running: RunningCloud) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        method, path = scope["method"], scope["path"]
        running.requests.append((method, path))
        fault = next((one for one in running.faults if one.method == method and path.startswith(one.path)), None)
        if fault is None:
            await app(scope, receive, send)
            return
        running.faults.remove(fault)
        if fault.cut_after is None:
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": fault.status, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": fault.body})
            return
        seen = 0
        while seen < fault.cut_after:
            event = await receive()
            seen += len(event.get("body", b""))
            if not event.get("more_body"):
                break
        # uvicorn closes the connection of an application that ends without an answer having been completed.
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})

    return wrapped


@contextmanager
def run_cloud(folder: Path, *, machines: Any = None, library: bool = True) -> Iterator[RunningCloud]:
    """A running cloud whose files are in `folder`."""
    places = Places(folder)
    places.make()
    listener = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    log: list[str] = []
    cloud = LocalCloud(places, State(places.database), base, say=log.append, delay=0.05)
    api = Api(cloud, NETWORK)
    made = machines(cloud, api) if machines else NoMachines()
    cloud.machines = made
    made.ended = api.servers.ended
    running = RunningCloud(cloud, base, log=log)
    app = make_app(api)
    server = uvicorn.Server(uvicorn.Config(_with_faults(app, running), loop="asyncio", http="h11", lifespan="off", log_config=None))
    ready = threading.Event()

    async def main() -> None:
        ftp = Library(cloud)
        if library:
            cloud.library = await ftp.start("127.0.0.1", 0)
        api.resume()
        ready.set()
        await server.serve(sockets=[listener])
        await cloud.close()
        if library:
            await ftp.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="cloud")
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield running
    finally:
        server.should_exit = True
        # What it still does, it does with the state.
        thread.join(PATIENCE)
        assert not thread.is_alive()
        cloud.state.close()
        if os.environ.get("NIVALIS_CLOUD_LOG"):
            print(*log, sep="\n")
