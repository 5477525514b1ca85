"""Taking a deployment away: the server, its images, the Cloud IP of its name, and what lies in Orbit.

A Cloud IP of another name that leads to the server is freed and stays, for it was given and not made by a deployment.  Run again after an
interruption, this finds what is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from nivalis.cloud.api import Collected
from nivalis.cloud.errors import MissingResourceError
from nivalis.cloud.models import CloudIp, Image, Resource, Server, Volume
from nivalis.cloud.orbit import Orbit
from nivalis.deploy.account import Found, find_objects, leads_to
from nivalis.deploy.apply import CloudTools, retry_conflict
from nivalis.deploy.plan import Step

__all__ = ["Destruction", "apply_destruction", "plan_destruction"]

R = TypeVar("R", bound=Resource)

_DEADLINE = 300.0


@dataclass(frozen=True, slots=True)
class Destruction:
    """What would be destroyed."""

    name: str
    server: Server | None
    addresses: tuple[CloudIp, ...]
    images: tuple[Image, ...]
    objects: tuple[tuple[str, str], ...]

    @property
    def volumes(self) -> Sequence[Volume]:
        """What it boots from, where its type has network storage; others that it has were given to it, and stay."""
        return [] if self.server is None else [one for one in self.server.volumes if one.boot]

    @property
    def steps(self) -> Sequence[Step]:
        """In words."""
        found = []
        if self.server is not None:
            kind = self.server.server_type
            found.append(Step("destroy", "server", self.name, f"{self.server.id}, {kind.handle if kind else ''}, {self.server.status}"))
        found += [Step("destroy", "volume", one.id, f"{one.size} MiB, which the server boots from") for one in self.volumes]
        found += [Step("destroy", "cloud ip", one.public_ip, one.id) for one in self.addresses]
        found += [Step("destroy", "image", one.name, f"{one.id}, {one.virtual_size} MiB, {one.status}") for one in self.images]
        found += [Step("destroy", "object", name, f"in {container}") for container, name in self.objects]
        return found


def plan_destruction(name: str, found: Found, orbit: Orbit) -> Destruction:
    """What belongs to a name.  Raises CloudError."""
    addresses = tuple(one for one in found.addresses if one.name == name and (not one.destination or leads_to(one, found.server)))
    return Destruction(name, found.server, addresses, found.images, tuple(find_objects(orbit, name)))


def apply_destruction(what: Destruction, tools: CloudTools) -> None:
    """Destroy it; what is gone already is no error.  Raises CloudError."""
    cloud, talk = tools.cloud, tools.talk
    if what.server is not None:
        talk.say(f"destroying server {what.server.id}")
        _destroy(tools, cloud.servers, what.server.id)
        with talk.waiting(f"server {what.server.id}") as tell:
            cloud.servers.wait(what.server.id, {"deleted"}, deadline=_DEADLINE, on_poll=lambda one: tell("being destroyed"))
    for volume in what.volumes:
        # It goes with its server, unless somebody has told it not to.
        _destroy(tools, cloud.volumes, volume.id)
    for address in what.addresses:
        # The server that is gone has freed it, if not in this very moment.
        talk.say(f"destroying Cloud IP {address.public_ip}")
        _destroy(tools, cloud.cloud_ips, address.id)
    for image in what.images:
        talk.say(f"destroying image {image.id}")
        _destroy(tools, cloud.images, image.id)
    if what.objects:
        talk.say(f"removing {len(what.objects)} object{'s' if len(what.objects) > 1 else ''} from Orbit")
        orbit = tools.orbit()
        for container, name in what.objects:
            orbit.delete(container, name)


def _destroy(tools: CloudTools, collection: Collected[R], identifier: str) -> None:
    def is_gone() -> bool:
        try:
            return collection.get(identifier).status in ("deleting", "deleted")
        except MissingResourceError:
            return True

    retry_conflict(tools, lambda: collection.destroy(identifier), is_gone)
