"""Doing what a plan says, step by step.

Each step looks first at what is there, so one that was done already (by a run that was interrupted, or by a request whose answer got lost) is
not done twice.  A request that makes something is repeated only after a look for what it may have made.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from nivalis.cloud.api import Brightbox
from nivalis.cloud.errors import ConflictError, DeadlineError, FailedResourceError, MissingResourceError, UnavailableError, UnreachableError
from nivalis.cloud.imports import CONTAINER, IMPORT_DEADLINE
from nivalis.cloud.models import CloudIp, Image, Resource, Server
from nivalis.cloud.orbit import Orbit
from nivalis.deploy.account import Found, check_key, find_address, find_image, find_server, leads_to, object_name
from nivalis.deploy.errors import DeployError, RemoteError, SilentServerError
from nivalis.deploy.machine import RemoteMachine, Running
from nivalis.deploy.plan import DEFAULT_TYPE, Plan, Target
from nivalis.deploy.ssh import Ssh, find_ssh
from nivalis.store.store import Store
from nivalis.system.target import plan as target_plan
from nivalis.system.target.plan import Plan as SystemPlan

__all__ = ["Address", "CloudTools", "Deployment", "Progress", "Talk", "Tools", "connect", "create_once", "retry_conflict"]

R = TypeVar("R", bound=Resource)

# How long a server may take to be made, and an address to be mapped, in seconds.
_CREATION, _MAPPING = 600.0, 120.0
# How often something that may pass is tried, and the pause between, in seconds.
_ATTEMPTS, _PAUSE = 5, 2.0
# One look at a server, in seconds: a handshake with an emulated one takes its time.
_LOOK, _SHORTEST_LOOK = 90.0, 10.0
# How long a server that should be up is waited for before the plan is made without it.
_GLANCE = 60.0
# Of the console: that many lines.
_CONSOLE = 15
_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[A-Z=>78])")
_STATUS_CHECK = 10.0


class Progress(Protocol):
    """Shows how far one thing is."""

    def advance(self, done: int, size: int | None) -> None: ...
    def retry(self, text: str) -> None: ...


class Talk(Protocol):
    """Who is told what happens."""

    def say(self, text: str) -> None:
        """A step begins, or something is worth knowing."""

    def line(self, text: str) -> None:
        """What a program on the server says."""

    def progress(self, what: str) -> AbstractContextManager[Progress]: ...

    def waiting(self, what: str) -> AbstractContextManager[Callable[[str], object]]:
        """Something takes long; what comes back is told its state."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server's ssh is."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudTools:
    """A cloud, who is told what is done there, and a clock."""

    cloud: Brightbox
    orbit: Callable[[], Orbit]
    talk: Talk
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools(CloudTools):
    """What a deployment works with.

    `build` makes a derivation's output and says where it is on this machine; `locate` says where a server's port 22 is reached, None for nowhere;
    `console` gives what a server has said, where this can be known; `patience` is how long it may take to let us in, in seconds.
    """

    store: Store
    build: Callable[[str, str], Path]
    locate: Callable[[Server], Address | None]
    console: Callable[[Server], str]
    ssh_options: tuple[str, ...] = ()
    ssh_program: str = "ssh"
    patience: float = 600.0


class Deployment:
    """One deployment under way, as a context that ends with the connection to the server.  `server` and `image` are what it has come to."""

    def __init__(self, target: Target, tools: Tools) -> None:
        self._target = target
        self._tools = tools
        self._cloud = tools.cloud
        self._talk = tools.talk
        self._stack = contextlib.ExitStack()
        self._machine: RemoteMachine | None = None
        self.server: Server | None = None
        self.image: Image | None = None

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def look(self, found: Found, patience: float = _GLANCE) -> Running | None:
        """What the server says of itself; None where there is none that answers within `patience` seconds.  Raises DeployError, CloudError."""
        self.server = found.server
        if found.server is None or found.server.status != "active":
            return None
        try:
            self._connect(found.server, patience)
            return self._machine.look() if self._machine is not None else None
        except (SilentServerError, RemoteError):
            return None

    def apply(self, plan: Plan) -> None:
        """Do it.  Raises DeployError, CloudError, StoreError, OSError."""
        # What would be found missing only when all is made.
        find_ssh(self._tools.ssh_program)
        if plan.has("create", "server"):
            check_key(self._cloud)
            self._choose()
            self.image = self.ensure_image()
        self.server = self.ensure_server()
        if self._target.cloud_ip:
            self.ensure_address(self.server)
            self.server = self._cloud.servers.get(self.server.id)
        if self._machine is None:
            self._connect(self.server, self._tools.patience)
        assert self._machine is not None
        self.ensure_system(self._machine)

    def foresee(self) -> SystemPlan | None:
        """What a switch will change on the server; None where it does not say what it is.  Raises RemoteError."""
        old = None if self._machine is None else self._machine.read_system()
        return None if old is None else target_plan.make_plan(old, self._target.configuration.system)

    @property
    def ssh(self) -> Ssh | None:
        """The way to the server, once it has answered."""
        return None if self._machine is None else self._machine.ssh

    def _connect(self, server: Server, patience: float) -> None:
        self._machine = self._stack.enter_context(connect(server, self._tools, patience))

    # ---- the image ----

    def ensure_image(self) -> Image:
        """The available image of the target.  Raises DeployError, CloudError."""
        target, images = self._target, self._cloud.images
        for one in images.list():
            if one.name == target.image_name and one.status == "failed":
                images.destroy(one.id)
        found = find_image(self._cloud, target.image_name)
        orbit = self._tools.orbit()
        if found is None:
            file = self._build_image()
            self._talk.say(f"uploading {file.name} ({file.stat().st_size >> 20} MiB)")
            with self._talk.progress(file.name) as progress:
                orbit.upload(CONTAINER, self._object, file, on_progress=progress.advance, on_retry=progress.retry)
            found = self._register(orbit)
        if found.status == "creating":
            found = self._wait_for_import(found)
        orbit.delete(CONTAINER, self._object)
        return found

    @property
    def _object(self) -> str:
        return object_name(self._target.name, self._target.image)

    def _build_image(self) -> Path:
        folder = self._tools.build(self._target.image_derivation, self._target.image)
        files = [one for one in folder.iterdir() if one.suffix in (".qcow2", ".raw")]
        if len(files) != 1:
            raise DeployError(f"the image's derivation makes no disk: `{folder}`", code="deploy-image")
        return files[0]

    def _register(self, orbit: Orbit) -> Image:
        target = self._target
        # It may begin late, and must not end before it has.
        url = orbit.temp_url(CONTAINER, self._object, lasts=2 * IMPORT_DEADLINE)

        def register() -> Image:
            arch = target.configuration.system.system.partition("-")[0]
            return self._cloud.images.register(http_url=url, name=target.image_name, arch=arch, username="root", description=target.toplevel)

        return create_once(self._tools, register, lambda: find_image(self._cloud, target.image_name))

    def _wait_for_import(self, image: Image) -> Image:
        try:
            with self._talk.waiting(f"image {image.id}") as tell:
                return self._cloud.images.wait(image.id, {"available"}, deadline=IMPORT_DEADLINE, on_poll=lambda one: tell("being imported"))
        except FailedResourceError as error:
            # What was uploaded stays, so that it need not be sent again.
            raise DeployError(
                f"the cloud could not import the image: `{image.id}`",
                code="deploy-import",
                hint="the same command again registers it anew, and sends nothing that is there",
            ) from error

    # ---- the server ----

    def ensure_server(self) -> Server:
        """The active server.  Raises DeployError, CloudError."""
        target, servers = self._target, self._cloud.servers
        server = find_server(self._cloud, target.name)
        if server is None:
            server = self._create_server()
            self._talk.say(f"server {server.id} is being made")
        if target.groups and {one.id for one in server.server_groups} != set(target.groups):
            self._talk.say(f"changing the groups of {server.id}")
            servers.update(server.id, {"server_groups": list(target.groups)})
        if server.status == "inactive":
            self._talk.say(f"starting {server.id}")
            retry_conflict(self._tools, lambda: servers.act(server.id, "start"), lambda: servers.get(server.id).status == "active")
        if server.status == "active":
            return servers.get(server.id)
        try:
            with self._talk.waiting(f"server {server.id}") as tell:
                return servers.wait(server.id, {"active"}, deadline=_CREATION, on_poll=lambda one: one.status == "active" or tell(one.status))
        except FailedResourceError as error:
            hint = f"`nivalis destroy {target.name}` takes it away; then try again, or with another `--zone` or `--type`"
            raise DeployError(f"the cloud could not make the server: `{server.id}`", code="deploy-server", hint=hint) from error

    def _create_server(self) -> Server:
        target = self._target
        image = self.image or self.ensure_image()
        kind, zone = self._choose()
        size = target.volume_size

        def launch() -> Server:
            return self._cloud.servers.launch(image.id, name=target.name, server_type=kind, zone=zone, groups=target.groups, volume_size=size)

        return create_once(self._tools, launch, lambda: find_server(self._cloud, target.name))

    def _choose(self) -> tuple[str, str]:
        """The identifiers of the type and the zone, the latter empty for the cloud's own choice.  Raises DeployError, CloudError."""
        target = self._target
        kinds = self._cloud.server_types.list()
        kind = _find_by_handle(kinds, target.server_type or DEFAULT_TYPE, "type")
        networked = [one for one in kinds if one.storage_type == "network"]
        if target.volume_size and kind not in (one.id for one in networked):
            names = ", ".join(f"`{one.handle}`" for one in networked) or "of which there are none here"
            hint = f"a size is for types with network storage: {names}"
            raise DeployError(f"type has a disk of its own: `{target.server_type or DEFAULT_TYPE}`", code="deploy-choice", hint=hint)
        zone = _find_by_handle(self._cloud.zones.list(), target.zone, "zone") if target.zone else ""
        return kind, zone

    # ---- its address ----

    def ensure_address(self, server: Server) -> CloudIp:
        """The Cloud IP that leads to the server.  Raises DeployError, CloudError."""
        target, addresses = self._target, self._cloud.cloud_ips
        if target.cloud_ip == "new":
            address = find_address(self._cloud, target.name, server) or create_once(
                self._tools, lambda: addresses.create({"name": target.name}), lambda: find_address(self._cloud, target.name, server)
            )
        else:
            address = addresses.get(target.cloud_ip)
        if leads_to(address, server):
            return address
        if address.destination:
            hint = f"`nivalis cloud cloudips unmap {address.id}` frees it"
            raise DeployError(f"Cloud IP leads elsewhere: `{address.id}` to `{address.destination}`", code="deploy-address", hint=hint)
        self._talk.say(f"mapping {address.public_ip} to {server.id}")
        destination = server.interfaces[0].id if server.interfaces else server.id
        retry_conflict(self._tools, lambda: addresses.map(address.id, destination), lambda: leads_to(addresses.get(address.id), server))
        end = self._tools.clock() + _MAPPING
        while not leads_to(address := addresses.get(address.id), server):
            if self._tools.clock() > end:
                raise DeadlineError(f"Cloud IP is not mapped after {_MAPPING:.0f} s: `{address.id}`")
            self._tools.sleep(1)
        return address

    # ---- what it runs ----

    def ensure_system(self, machine: RemoteMachine) -> None:
        """Have the server run the target's system.  Raises DeployError, StoreError."""
        target, store = self._target, self._tools.store
        if machine.look().is_just(target.toplevel):
            return
        self._tools.build(target.configuration.derivation, target.toplevel)
        closure = store.database.closure([target.toplevel])
        with self._talk.progress("to the server") as progress:
            copied = machine.copy(store, closure, progress.advance)
        if copied:
            self._talk.say(f"{copied} store paths copied")
        machine.switch(target.toplevel, self._talk.line)
        if target.definition:
            machine.write_configuration(target.definition)


@contextlib.contextmanager
def connect(server: Server, tools: Tools, patience: float) -> Iterator[RemoteMachine]:
    """A server that answers; waits for it for `patience` seconds.  Raises SilentServerError, DeployError, CloudError."""
    with contextlib.ExitStack() as stack:
        with tools.talk.waiting(f"ssh of {server.id}") as tell:
            machine = _wait_for_machine(server, tools, patience, stack, tell)
        yield machine


def _wait_for_machine(server: Server, tools: Tools, patience: float, stack: contextlib.ExitStack, tell: Callable[[str], object]) -> RemoteMachine:
    end = tools.clock() + patience
    next_check = tools.clock() + _STATUS_CHECK
    machine: RemoteMachine | None = None
    why = "none of its ports leads here"
    while True:
        address = tools.locate(server)
        if address is None and not server.cloud_ips:
            hint = "`--cloud-ip` gives it one"
            raise SilentServerError(f"server has no address that this machine can reach: `{server.id}`", hint=hint)
        if address is not None and (machine is None or (machine.ssh.host, machine.ssh.port) != (address.host, address.port)):
            machine = RemoteMachine(stack.enter_context(Ssh(address.host, address.port, server.id, tools.ssh_options, program=tools.ssh_program)))
        if machine is not None:
            tell(f"{machine.ssh.host} port {machine.ssh.port}")
            try:
                machine.look(timeout=max(min(_LOOK, end - tools.clock()), _SHORTEST_LOOK))
                return machine
            except RemoteError as error:
                why = error.message
                # That does not pass, and is not to be passed over.
                if "HOST IDENTIFICATION HAS CHANGED" in why:
                    raise
        if tools.clock() >= end:
            raise _silent(server, tools, f"server has not let us in after {patience:.0f} s: `{server.id}`: {why}", machine)
        if tools.clock() >= next_check:
            next_check = tools.clock() + _STATUS_CHECK
            server = tools.cloud.servers.get(server.id)
            if server.status not in ("creating", "active"):
                raise _silent(server, tools, f"server is {server.status} before it has let us in: `{server.id}`", machine)
        tools.sleep(_PAUSE)


def _silent(server: Server, tools: Tools, message: str, machine: RemoteMachine | None) -> SilentServerError:
    text = _CONTROL.sub("", tools.console(server)).replace("\r", "\n")
    said = [line.rstrip() for line in text.splitlines() if line.strip()]
    hint = "the same command again waits on"
    if not said:
        hint = f"`nivalis cloud servers activate_console {server.id}` shows its screen; {hint}"
    where = None if machine is None else machine.ssh.login
    return SilentServerError(message, where=where, hint=hint, console="\n".join(said[-_CONSOLE:]))


def create_once(tools: CloudTools, create: Callable[[], R], find: Callable[[], R | None]) -> R:
    """What `create` makes.  Where that may have been done although it failed, `find` is asked before it is tried again."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return create()
        except (UnavailableError, UnreachableError) as error:
            if attempt == _ATTEMPTS:
                raise
            tools.talk.say(f"{error.message}; going on")
            tools.sleep(_PAUSE)
            found = find()
            if found is not None:
                return found
    raise AssertionError("unreachable")


def retry_conflict(tools: CloudTools, act: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Do something that a resource may not be ready for yet; a failure is none where `is_done` says so.  Raises CloudError."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            act()
            return
        except (ConflictError, MissingResourceError, UnavailableError, UnreachableError) as error:
            if is_done():
                return
            if attempt == _ATTEMPTS or isinstance(error, MissingResourceError):
                raise
            tools.sleep(_PAUSE)


def _find_by_handle(found: list[R], handle: str, what: str) -> str:
    known = {getattr(one, "handle", ""): one.id for one in found}
    if handle in known:
        return known[handle]
    if handle in known.values():
        return handle
    names = ", ".join(f"`{name}`" for name in known if name)
    raise DeployError(f"there is no such {what}: `{handle}`", code="deploy-choice", hint=f"there are {names}")
