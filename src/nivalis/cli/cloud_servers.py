"""`nivalis cloud servers`: servers, from their making to their end."""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nivalis.cli.cloud_desk import Desk, Kind, NounGroup, add_verbs, as_work, ids, json_option
from nivalis.cli.cloud_tables import Row

if TYPE_CHECKING:
    from nivalis.cloud.api import Collected
    from nivalis.cloud.models import Server, ServerType, Zone

__all__ = ["KIND", "find_by_handle", "servers"]

_START = 600.0


def _row(server: Server) -> Row:
    return {
        "id": server.id,
        "status": server.status,
        "type": server.server_type.handle if server.server_type else "",
        "zone": server.zone.handle if server.zone else "",
        "created_on": server.created_at[:10],
        "image_id": server.image.id if server.image else "",
        "cloud_ip_ids": [one.id for one in server.cloud_ips],
        "name": server.name,
    }


def _detail(server: Server) -> Row:
    kind, image = server.server_type, server.image
    mapped = bool(server.cloud_ips)
    return {
        **_row(server),
        **{
            name: getattr(server, name) for name in ("locked", "created_at", "deleted_at", "disk_encrypted", "compatibility_mode", "hostname", "fqdn")
        },
        "type": kind.id if kind else "",
        "type_name": kind.name if kind else "",
        "type_handle": kind.handle if kind else "",
        "ram": kind.ram if kind else "",
        "cores": kind.cores if kind else "",
        "disk": kind.disk_size if kind else "",
        "image": image.id if image else "",
        "image_name": image.name if image else "",
        "image_username": image.username if image else "",
        "arch": image.arch if image else "",
        "private_ips": [one.ipv4_address for one in server.interfaces],
        "ipv6_address": [one.ipv6_address for one in server.interfaces],
        "public_hostname": f"public.{server.fqdn}" if mapped else "",
        "ipv6_hostname": f"ipv6.{server.fqdn}",
        "cloud_ipv4s": [one.public_ipv4 or one.public_ip for one in server.cloud_ips],
        "cloud_ipv6s": [one.public_ipv6 for one in server.cloud_ips if one.public_ipv6],
        "snapshots": [one.id for one in server.snapshots],
        "server_groups": [one.id for one in server.server_groups],
        "volumes": [f"*{one.id}*" if one.boot else one.id for one in server.volumes],
    }


KIND = Kind(
    "servers",
    ("id", "status", "type", "zone", "created_on", "image_id", "cloud_ip_ids", "name"),
    _row,
    (
        *("id", "status", "locked", "name", "created_at", "deleted_at", "zone", "type", "type_name", "type_handle", "ram", "cores", "disk"),
        *("disk_encrypted", "compatibility_mode", "image", "image_name", "image_username", "arch", "private_ips", "ipv6_address", "hostname"),
        *("fqdn", "public_hostname", "ipv6_hostname", "cloud_ip_ids", "cloud_ipv4s", "cloud_ipv6s", "snapshots", "server_groups", "volumes"),
    ),
    _detail,
)


@click.group("servers", cls=NounGroup)
def servers() -> None:
    """Servers."""


add_verbs(servers, KIND, "show", "destroy", "lock", "unlock")


@servers.command("list")
@click.argument("ids", nargs=-1)
@click.option("-g", "--group", help="Only those in this group.")
@json_option
@as_work
def _list(desk: Desk, ids: Sequence[str], group: str | None) -> None:
    """List them."""
    cloud = desk.cloud()
    found = [cloud.servers.get(one) for one in ids] if ids else cloud.servers.list()
    if group is not None:
        found = [one for one in found if group in (two.id for two in one.server_groups)]
    desk.show_list(KIND.columns, [_row(one) for one in found], found)


def find_by_handle(collection: Collected[Zone] | Collected[ServerType], handle: str) -> str:
    """The identifier of a zone or a type.  Raises CloudError."""
    if handle.startswith(("typ-", "zon-")):
        return handle
    found = collection.list()
    for one in found:
        if one.handle == handle:
            return one.id
    raise click.UsageError(f"there is no `{handle}`, but {', '.join(f'`{one.handle}`' for one in found if one.handle)}")


_user_data = (
    click.option("-m", "--user-data", help="User data."),
    click.option("-f", "--user-data-file", type=click.File("rb"), help="User data from a file; - is the standard input."),
    click.option("-e", "--base64/--no-base64", "encodes", default=True, help="Whether user data is still to be encoded."),
)


def _with_user_data(function: Any) -> Any:
    for option in reversed(_user_data):
        function = option(function)
    return function


def _read_user_data(user_data: str | None, user_data_file: Any, encodes: bool) -> bytes:
    if user_data is not None and user_data_file is not None:
        raise click.UsageError("user data is given twice")
    data = user_data.encode() if user_data is not None else user_data_file.read() if user_data_file is not None else b""
    # The client encodes by itself.
    try:
        return bytes(data if encodes else base64.b64decode(b"".join(data.split()), validate=True))
    except binascii.Error as error:
        raise click.UsageError("user data is no base64") from error


@servers.command("create")
@click.argument("image")
@click.option("-n", "--name", default="", help="What it is called.")
@click.option("-i", "--server-count", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("-z", "--zone", help="Where, by its handle.")
@click.option("-t", "--type", "kind", default="1gb.ssd", show_default=True, help="How large, by its handle or identifier.")
@_with_user_data
@click.option("--disk-encrypted", is_flag=True, help="Encrypt what it writes to its disk.")
@click.option("-g", "--server-groups", default="", help="Groups, with commas between; else the default one.")
@click.option("--cloud-ip", default="", help="Map an address: `true` for a new one, or its identifier.")
@click.option("--volume-size", type=int, default=0, help="Size of its volume in MiB, for a type with network storage.")
@click.option("--wait", is_flag=True, help="Wait until it is active.")
@json_option
@as_work
def _create(
    desk: Desk,
    image: str,
    name: str,
    server_count: int,
    zone: str | None,
    kind: str,
    user_data: str | None,
    user_data_file: Any,
    encodes: bool,
    disk_encrypted: bool,
    server_groups: str,
    cloud_ip: str,
    volume_size: int,
    wait: bool,
) -> None:
    """Create servers from IMAGE."""
    cloud = desk.cloud()
    data = _read_user_data(user_data, user_data_file, encodes)
    options: dict[str, Any] = {
        "server_type": find_by_handle(cloud.server_types, kind),
        "zone": find_by_handle(cloud.zones, zone) if zone else "",
        "groups": [one for one in server_groups.split(",") if one],
        "cloud_ip": cloud_ip == "true" or cloud_ip,
        "disk_encrypted": disk_encrypted,
        "volume_size": volume_size,
    }
    desk.say(f"Creating {server_count} {kind} server{'s' if server_count > 1 else ''} with image {image}")
    made = [cloud.servers.launch(image, name=name, user_data=data, **options) for _ in range(server_count)]
    if wait:
        made = [cloud.servers.wait(one.id, {"active"}, deadline=_START) for one in made]
    desk.show_list(KIND.columns, [_row(one) for one in made], made)


@servers.command("update")
@click.argument("identifier")
@click.option("-n", "--name", help="What it is called.")
@_with_user_data
@click.option("--compatibility-mode/--no-compatibility-mode", default=None, help="Whether it has emulated devices; from its next start on.")
@click.option("-g", "--server-groups", help="All groups that it is to be in, with commas between.")
@json_option
@as_work
def _update(
    desk: Desk,
    identifier: str,
    name: str | None,
    user_data: str | None,
    user_data_file: Any,
    encodes: bool,
    compatibility_mode: bool | None,
    server_groups: str | None,
) -> None:
    """Change one."""
    from nivalis.cloud.api import encode_user_data

    changes: dict[str, Any] = {"name": name, "compatibility_mode": compatibility_mode}
    changes = {key: value for key, value in changes.items() if value is not None}
    if server_groups is not None:
        changes["server_groups"] = [one for one in server_groups.split(",") if one]
    if user_data is not None or user_data_file is not None:
        changes["user_data"] = encode_user_data(_read_user_data(user_data, user_data_file, encodes))
    server = desk.cloud().servers.update(identifier, changes)
    desk.show_list(KIND.columns, [_row(server)], server)


def _add_action(verb: str, text: str, help_text: str) -> None:
    def act(desk: Desk, ids: Sequence[str]) -> None:
        cloud = desk.cloud()
        for one in ids:
            desk.say(f"{text} {one}")
            cloud.servers.act(one, verb)

    servers.command(verb, help=help_text)(ids(as_work(act)))


_add_action("start", "Starting", "Start them.")
_add_action("stop", "Stopping", "Cut their power.")
_add_action("shutdown", "Shutting down", "Press their power buttons.")
_add_action("reboot", "Rebooting", "Ask them to boot again.")
_add_action("reset", "Resetting", "Press their reset buttons.")


@servers.command("snapshot")
@ids
@as_work
def _snapshot(desk: Desk, ids: Sequence[str]) -> None:
    """Make images of their disks."""
    cloud = desk.cloud()
    for one in ids:
        desk.say(f"Taking a snapshot of {one}")
        sys.stdout.write(f"{cloud.servers.snapshot(one)}\n")


@servers.command("activate_console")
@ids
@json_option
@as_work
def _activate_console(desk: Desk, ids: Sequence[str]) -> None:
    """Show where their graphical consoles can be reached for the next minutes."""
    cloud = desk.cloud()
    found = [cloud.servers.act(one, "activate_console") for one in ids]
    rows = [
        {"url": f"{one.console_url}?password={one.console_token}", "token": one.console_token, "expires": one.console_token_expires} for one in found
    ]
    desk.show_list(("url", "token", "expires"), rows)
