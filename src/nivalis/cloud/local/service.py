"""The process of the cloud of this machine: `python -m nivalis.cloud.local.service FOLDER`, which `control` starts.

It holds the lock of its folder as long as it lives, listens on loopback ports (those of last time, if they are free), says in
`service.json` where, and ends with SIGTERM: machines are asked to shut down, and those that ran are started again by the next one.  Killed,
it takes its machines along.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nivalis.cloud.errors import CloudError
from nivalis.cloud.local.api import Api, make_app
from nivalis.cloud.local.core import LocalCloud
from nivalis.cloud.local.library import Library
from nivalis.cloud.local.lock import hold
from nivalis.cloud.local.machines import QemuMachines, find_qemu, has_kvm
from nivalis.cloud.local.oauth import check_token
from nivalis.cloud.local.places import Places
from nivalis.cloud.local.state import CLIENT, State
from nivalis.fetch.network import Network

__all__ = ["main", "run_service"]

_HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that leaves signals alone; its own way is to raise them again when it has ended."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run_service(places: Places, *, port: int, library_port: int | None, accelerator: str) -> None:
    """Be the cloud until SIGTERM.  Raises CloudError, OSError."""
    state = State(places.database)
    listener = _listen(port or int(state.recall("port") or 0))
    port = int(state.remember("port", str(listener.getsockname()[1])))
    base = f"http://{_HOST}:{port}"
    cloud = LocalCloud(places, state, base, say=_say)
    network = Network({**os.environ, "no_proxy": f"{os.environ.get('no_proxy', '')},{_HOST}"})
    api = Api(cloud, network)
    qemu = find_qemu()
    if not accelerator:
        accelerator = "kvm" if await asyncio.to_thread(has_kvm, qemu) else "tcg"
    _say(f"machines run under {accelerator}")
    machines = QemuMachines(cloud, accelerator=accelerator)
    machines.ended = api.servers.ended
    cloud.machines = machines
    library = Library(cloud)
    if library_port is not None:
        try:
            cloud.library = await library.start(_HOST, library_port or int(state.recall("library-port") or 0))
        except OSError:
            cloud.library = await library.start(_HOST, 0)
        state.remember("library-port", cloud.library.rpartition(":")[2])
    app = make_app(api)
    app.router.routes.append(_status_route(cloud, machines, accelerator))
    config = uvicorn.Config(app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False, server_header=False)
    config.timeout_graceful_shutdown = 5
    server = _Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    api.resume()
    _announce(places, {"pid": os.getpid(), "url": base, "library": cloud.library, "accelerator": accelerator, "secret": state.secret(CLIENT)})
    _say(f"cloud is at {base}, its library at {cloud.library or '(none)'}")
    try:
        await server.serve(sockets=[listener])
    finally:
        places.service.unlink(missing_ok=True)
        await cloud.close()
        if library_port is not None:
            await library.close()
        state.close()
        _say("cloud has ended")


def _status_route(cloud: LocalCloud, machines: QemuMachines, accelerator: str) -> Route:
    """What the real API does not say: which ports of this machine lead to servers, and where their consoles are."""

    async def status(request: Request) -> Response:
        refused = check_token(request, cloud.state)
        if refused is not None:
            return refused
        servers = [
            {
                "id": one["id"],
                "name": one["name"],
                "status": one["status"],
                "console_log": str(cloud.places.console(one["id"])),
                "console_socket": machines.console(one["id"]),
                "ports": [
                    {"protocol": lead.protocol, "address": lead.address, "port": port, "wanted": lead.wanted, "server_port": lead.outgoing}
                    for lead, port in machines.forwards(one["id"])
                ],
            }
            for one in cloud.state.all("server")
            if one["status"] != "deleted"
        ]
        return JSONResponse({"url": cloud.base, "library": cloud.library, "accelerator": accelerator, "servers": servers})

    return Route("/local/status", status, methods=["GET"])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError:
        return socket.create_server((_HOST, 0))


def _announce(places: Places, text: dict[str, object]) -> None:
    part = places.service.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as stream:
        json.dump(text, stream)
    os.replace(part, places.service)


def _say(text: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The process.  Its standard error is the log."""
    parser = argparse.ArgumentParser("nivalis.cloud.local.service")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--library-port", type=int, default=0)
    parser.add_argument("--no-library", action="store_true")
    parser.add_argument("--accelerator", choices=["", "kvm", "tcg"], default="")
    given = parser.parse_args(arguments)
    places = Places(given.folder)
    places.make()
    try:
        with hold(places):
            library_port = None if given.no_library else given.library_port
            asyncio.run(run_service(places, port=given.port, library_port=library_port, accelerator=given.accelerator))
    except (CloudError, OSError) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
