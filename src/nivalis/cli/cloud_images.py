"""`nivalis cloud images`: the images of a cloud, and new ones from files and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nivalis.cli.cloud_desk import Desk, Kind, NounGroup, add_verbs, as_work, json_option
from nivalis.cli.cloud_tables import Row

if TYPE_CHECKING:
    from nivalis.cloud.api import Brightbox
    from nivalis.cloud.models import Image

__all__ = ["KIND", "images"]

_MODES = click.Choice(["virtio", "compatibility"])
_TRUTH = click.Choice(["true", "false"])


def _type(image: Image) -> str:
    return "official" if image.official else image.source_type


def _status(image: Image) -> str:
    if image.status == "available" or (image.status == "deprecated" and not image.public):
        return "public" if image.public else "private"
    return image.status


def _row(image: Image) -> Row:
    owner = "brightbox" if image.official else image.owner
    shown = {"id": image.id, "owner": owner, "type": _type(image), "created_on": image.created_at[:10], "status": _status(image)}
    return {**shown, "size": image.virtual_size, "arch": image.arch, "name": image.name}


def _detail(image: Image) -> Row:
    names = ("locked", "description", "username", "virtual_size", "disk_size", "public", "compatibility_mode", "official", "licence_name", "min_ram")
    more = {name: getattr(image, name) for name in names}
    return {**_row(image), **more, "created_at": image.created_at, "ancestor_id": image.ancestor.id if image.ancestor else ""}


KIND = Kind(
    "images",
    ("id", "owner", "type", "created_on", "status", "size", "arch", "name"),
    _row,
    (
        *("id", "type", "owner", "created_at", "status", "locked", "arch", "name", "description", "username", "virtual_size", "disk_size"),
        *("public", "compatibility_mode", "official", "ancestor_id", "licence_name", "min_ram"),
    ),
    _detail,
)


@click.group("images", cls=NounGroup)
def images() -> None:
    """Images, from which servers are made."""


add_verbs(images, KIND, "show", "destroy", "lock", "unlock")


@images.command("list")
@click.argument("ids", nargs=-1)
@click.option("-a", "--show-all", is_flag=True, help="Other accounts' images too.")
@click.option("-t", "--type", "kind", help="Only official ones, uploads or snapshots.")
@click.option("-s", "--status", help="Only those with this status.")
@click.option("-l", "--account", "owner", help="Only those of this account.")
@json_option
@as_work
def _list(desk: Desk, ids: Sequence[str], show_all: bool, kind: str | None, status: str | None, owner: str | None) -> None:
    """List them."""
    cloud = desk.cloud()
    found = [cloud.images.get(one) for one in ids] if ids else cloud.images.list()
    if not (show_all or ids or owner):
        mine = cloud.accounts.mine().id
        found = [one for one in found if one.official or one.owner == mine]
    found = [
        one
        for one in found
        if (kind is None or _type(one) == kind) and (status is None or status in (one.status, _status(one))) and owner in (None, one.owner)
    ]
    desk.show_list(KIND.columns, [_row(one) for one in found], found)


@images.command("register")
@click.option("-n", "--name", help="What it is called.")
@click.option("-d", "--description", help="What it is.")
@click.option("-u", "--username", help="As whom one logs in.")
@click.option("-a", "--arch", required=True, help="x86_64 or i686.")
@click.option("--url", help="Have the cloud fetch it from this address.")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Upload this file to Orbit first; waits for the import.")
@click.option("-s", "--source", help="Take this file of the FTP library.")
@click.option("--server", help="Take the disk of this server.")
@click.option("--volume", help="Take this volume.")
@click.option("-m", "--mode", type=_MODES, default="virtio", show_default=True, help="What devices it knows.")
@click.option("-p", "--public", type=_TRUTH, default="false", show_default=True, help="Whether others may use it.")
@click.option("--min-ram", type=int, default=0, help="The least memory a server needs, in MB.")
@click.option("--wait", is_flag=True, help="Wait until it is imported.")
@json_option
@as_work
def _register(
    desk: Desk,
    url: str | None,
    file: Path | None,
    source: str | None,
    server: str | None,
    volume: str | None,
    mode: str,
    public: str,
    wait: bool,
    **fields: Any,
) -> None:
    """Have the cloud import an image."""
    origins = {"http_url": url, "source": source, "server": server, "volume": volume}
    given: dict[str, Any] = {name: value for name, value in origins.items() if value}
    if len(given) + (file is not None) != 1:
        raise click.UsageError("one of --file, --url, --source, --server and --volume says where the image is")
    cloud = desk.cloud()
    fields |= {"public": public == "true", "compatibility_mode": mode == "compatibility"}
    if file is not None:
        image = _upload(desk, cloud, file, fields)
    else:
        image = cloud.images.register(**given, **fields)
        if wait:
            from nivalis.cloud.imports import IMPORT_DEADLINE

            image = cloud.images.wait(image.id, {"available"}, deadline=IMPORT_DEADLINE)
    desk.show_list(KIND.columns, [_row(image)], image)


def _upload(desk: Desk, cloud: Brightbox, file: Path, fields: dict[str, Any]) -> Image:
    from nivalis.cli.downloading import DownloadProgress
    from nivalis.cloud.imports import import_file

    progress = DownloadProgress(file.name)

    def say_import(image: Image) -> None:
        progress.close()
        desk.say(f"Importing {image.id}")

    desk.say(f"Uploading {file}")
    try:
        return import_file(cloud, desk.orbit(), file, on_progress=progress.advance, on_retry=progress.retry, on_import=say_import, **fields)
    finally:
        progress.close()


@images.command("update")
@click.argument("identifier")
@click.option("-n", "--name", help="What it is called.")
@click.option("-d", "--description", help="What it is.")
@click.option("-u", "--username", help="As whom one logs in.")
@click.option("-a", "--arch", help="x86_64 or i686.")
@click.option("-m", "--mode", type=_MODES, help="What devices it knows.")
@click.option("-p", "--public", type=_TRUTH, help="Whether others may use it.")
@click.option("--min-ram", type=int, help="The least memory a server needs, in MB.")
@click.option("--deprecated", type=_TRUTH, help="Whether it is shown to others no more.")
@json_option
@as_work
def _update(desk: Desk, identifier: str, mode: str | None, public: str | None, deprecated: str | None, **fields: Any) -> None:
    """Change one."""
    changes = {name: value for name, value in fields.items() if value is not None}
    if mode is not None:
        changes["compatibility_mode"] = mode == "compatibility"
    if public is not None:
        changes["public"] = public == "true"
    if deprecated is not None:
        changes["status"] = "deprecated" if deprecated == "true" else "available"
    image = desk.cloud().images.update(identifier, changes)
    desk.show_list(KIND.columns, [_row(image)], image)
