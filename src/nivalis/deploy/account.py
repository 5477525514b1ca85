"""What an account has of a deployment, by names: the server, its images, its Cloud IPs, and what lies in Orbit on its way to be an image.

    server      NAME
    image       NAME-<the 32 digits of the image's store path>
    Cloud IP    NAME, or whichever is mapped to the server
    object      NAME/<the 32 digits>.qcow2 in the container `nivalis`

An image is known by the store path that it was uploaded from, so whether it is there can be said before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from nivalis.cloud.api import Brightbox
from nivalis.cloud.errors import ApiError
from nivalis.cloud.imports import CONTAINER
from nivalis.cloud.models import CloudIp, Image, Server
from nivalis.cloud.orbit import Orbit
from nivalis.deploy.errors import DeployError
from nivalis.store.paths import hash_part

__all__ = ["Found", "check_key", "check_name", "find_address", "find_image", "find_objects", "find_server", "image_name", "look_up", "object_name"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_DIGITS = "[0-9abcdfghijklmnpqrsvwxyz]{32}"
_GONE = ("deleting", "deleted")


@dataclass(frozen=True, slots=True)
class Found:
    """What there is; `images` of all versions, those too that have failed, and `addresses` that are called so or lead to the server."""

    server: Server | None
    images: tuple[Image, ...]
    addresses: tuple[CloudIp, ...]


def check_name(name: str) -> str:
    """`name` itself, if a server can be called so.  Raises DeployError."""
    if not _NAME.fullmatch(name):
        raise DeployError(f"not the name of a server: `{name}`", code="deploy-name", hint="letters, digits, dots and dashes, at most 63")
    return name


def image_name(name: str, path: str) -> str:
    """What the image of a store path is called."""
    return f"{name}-{hash_part(path)}"


def object_name(name: str, path: str) -> str:
    """What its file is called in Orbit."""
    return f"{name}/{hash_part(path)}.qcow2"


def look_up(cloud: Brightbox, name: str, *, dying: bool = False) -> Found:
    """What the account has under a name; with `dying`, a server too that is being destroyed.  Raises CloudError, DeployError."""
    server = find_server(cloud, name, gone=_GONE[1:] if dying else _GONE)
    pattern = re.compile(f"{re.escape(name)}-{_DIGITS}")
    images = tuple(one for one in cloud.images.list() if pattern.fullmatch(one.name) and one.status not in _GONE)
    addresses = tuple(one for one in cloud.cloud_ips.list() if one.name == name or leads_to(one, server))
    return Found(server, images, addresses)


def find_server(cloud: Brightbox, name: str, gone: Collection[str] = _GONE) -> Server | None:
    """The one server of a name, in full.  Raises CloudError, DeployError."""
    found = [one for one in cloud.servers.list() if one.name == name and one.status not in gone]
    if len(found) > 1:
        ids = ", ".join(f"`{one.id}`" for one in found)
        hint = "`nivalis cloud servers update -n NAME ID` gives one of them another name"
        raise DeployError(f"{len(found)} servers have this name: {ids}", code="deploy-ambiguous", hint=hint)
    return cloud.servers.get(found[0].id) if found else None


def find_image(cloud: Brightbox, name: str) -> Image | None:
    """The image of exactly this name that is or will be available.  Raises CloudError."""
    return next((one for one in cloud.images.list() if one.name == name and one.status in ("creating", "available", "deprecated")), None)


def find_address(cloud: Brightbox, name: str, server: Server) -> CloudIp | None:
    """A Cloud IP that leads to the server, else one of that name that leads nowhere.  Raises CloudError."""
    found = cloud.cloud_ips.list()
    mapped = next((one for one in found if leads_to(one, server)), None)
    return mapped or next((one for one in found if one.name == name and not one.destination), None)


def check_key(cloud: Brightbox) -> None:
    """Raises DeployError if a new server would let nobody in, as far as one may ask; CloudError."""
    try:
        users = cloud.users.list()
    except ApiError:
        return
    if users and not any(one.ssh_key for one in users):
        ids = " or ".join(f"`{one.id}`" for one in users)
        hint = f"`nivalis cloud users update -f ~/.ssh/id_ed25519.pub ID` gives {ids} a key"
        raise DeployError("no user of the account has a key of ssh, so a server would let nobody in", code="deploy-no-key", hint=hint)


def leads_to(address: CloudIp, server: Server | None) -> bool:
    """Whether it is mapped to the server, or to its interface."""
    return server is not None and address.destination in (server.id, *(one.id for one in server.interfaces))


def find_objects(orbit: Orbit, name: str) -> list[tuple[str, str]]:
    """(container, object): files of images that were not taken away, and segments of such as were not uploaded whole.  Raises CloudError."""
    return [(container, one) for container in (CONTAINER, f"{CONTAINER}_segments") for one in orbit.list(container, f"{name}/")]
