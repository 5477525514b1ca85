"""What is to be done so that a server is what a configuration says: a function of that, of what the account has, and of what the server runs.

A server is made once, from an image; after that it is changed in place, as `nixos-rebuild` does on the machine itself: what it has on its disk stays.
So an image is wanted only where there is no server yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from nivalis.cloud.models import Server
from nivalis.deploy.account import Found, image_name, leads_to
from nivalis.deploy.errors import DeployError
from nivalis.deploy.machine import Running
from nivalis.store.paths import base_name
from nivalis.system.configuration import Configuration

__all__ = ["DEFAULT_TYPE", "Plan", "Step", "Target", "make_plan"]

# As the field's own command has it.
DEFAULT_TYPE = "1gb.ssd"


class Step(NamedTuple):
    """Something that is done: the verb, to what kind of thing, which one, and more about it."""

    verb: str
    kind: str
    name: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted.

    `image` is the store path of its image and `image_derivation` makes it.  `server_type` and `zone` are handles or identifiers, empty for
    DEFAULT_TYPE and the cloud's own choice; `volume_size` is that of its disk in MiB where the type has none of its own, 0 for the cloud's own
    choice.  `cloud_ip` is empty for none, `new` for one of the server's name, or the identifier of one that there
    is.  `definition` is what the server keeps as its configuration.nix.
    """

    name: str
    configuration: Configuration
    image: str
    image_derivation: str
    server_type: str = ""
    volume_size: int = 0
    zone: str = ""
    groups: tuple[str, ...] = ()
    cloud_ip: str = ""
    definition: bytes = b""

    @property
    def toplevel(self) -> str:
        return self.configuration.toplevel

    @property
    def image_name(self) -> str:
        return image_name(self.name, self.image)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps in their order; `notes` are what differs and stays."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def has(self, verb: str, kind: str) -> bool:
        return any((step.verb, step.kind) == (verb, kind) for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        return {"steps": [step._asdict() for step in self.steps], "notes": list(self.notes)}


def make_plan(target: Target, found: Found, running: Running | None) -> Plan:
    """What to do.  `running` is what the server says of itself, None where there is none or it does not answer.  Raises DeployError."""
    steps: list[Step] = []
    notes: list[str] = []
    server = found.server
    if server is None:
        _plan_image(target, found, steps)
        where = ", ".join(text for text in (target.server_type or DEFAULT_TYPE, target.zone) if text)
        steps.append(Step("create", "server", target.name, where))
    else:
        _check_server(server)
        if server.status == "inactive":
            steps.append(Step("start", "server", target.name, server.id))
        notes += _find_notes(target, server)
        if target.groups and {one.id for one in server.server_groups} != set(target.groups):
            steps.append(Step("change", "groups", target.name, ", ".join(target.groups)))
    _plan_address(target, found, steps)
    if running is None:
        steps.append(Step("wait", "ssh", target.name))
    if server is not None and running is None:
        steps.append(Step("switch", "system", base_name(target.toplevel), "unless the server is that already"))
    elif running is not None and not running.is_just(target.toplevel):
        more = "a switch was interrupted" if running.toplevel == target.toplevel else f"from {base_name(running.toplevel)}"
        steps.append(Step("switch", "system", base_name(target.toplevel), more))
    return Plan(tuple(steps), tuple(notes))


def _plan_image(target: Target, found: Found, steps: list[Step]) -> None:
    name = target.image_name
    for one in found.images:
        if one.name == name and one.status in ("available", "deprecated"):
            return
        if one.name == name and one.status == "creating":
            steps.append(Step("wait", "image", name, f"{one.id} is being imported"))
            return
    steps += [Step("destroy", "image", one.name, f"{one.id} has {one.status}") for one in found.images if one.name == name]
    steps.append(Step("upload", "image", name, base_name(target.image)))


def _check_server(server: Server) -> None:
    if server.status in ("failed", "unavailable"):
        hint = f"`nivalis destroy {server.name}` takes it away"
        raise DeployError(f"server is {server.status}: `{server.id}`", code="deploy-server", hint=hint)


def _find_notes(target: Target, server: Server) -> list[str]:
    notes = []
    kind, zone = server.server_type, server.zone
    if target.server_type and kind is not None and target.server_type not in (kind.id, kind.handle):
        notes.append(f"the server stays of the type {kind.handle or kind.id}, which is chosen when it is made")
    if target.zone and zone is not None and target.zone not in (zone.id, zone.handle):
        notes.append(f"the server stays in the zone {zone.handle or zone.id}, which is chosen when it is made")
    return notes


def _plan_address(target: Target, found: Found, steps: list[Step]) -> None:
    if not target.cloud_ip:
        return
    mapped = [one for one in found.addresses if leads_to(one, found.server)]
    if target.cloud_ip != "new":
        if all(one.id != target.cloud_ip for one in mapped):
            steps.append(Step("map", "cloud ip", target.cloud_ip, f"to {target.name}"))
        return
    if mapped:
        return
    free = next((one for one in found.addresses if not one.destination), None)
    if free is None:
        steps.append(Step("create", "cloud ip", target.name))
    steps.append(Step("map", "cloud ip", free.public_ip if free else target.name, f"to {target.name}"))
