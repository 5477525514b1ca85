"""What requests do with servers: documents here, machines behind `LocalCloud.machines`.

A server's address follows the plan of the real cloud, as its recorded servers show it: of 24 bits, the MAC address is 02:24:19 and these, the IPv4
address 10 and these, in a network of four addresses of which the server has the third; the IPv6 network follows from them too.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import secrets
import shutil
from typing import Any

from nivalis.cloud.errors import CloudError
from nivalis.cloud.local.answers import Problem
from nivalis.cloud.local.core import MachineSpec
from nivalis.cloud.local.imports import finish_import, probe_image, remove_unused_images
from nivalis.cloud.local.resources import CloudIps, Kind
from nivalis.cloud.local.state import ACCOUNT, REGION, Document, now

__all__ = ["Servers"]

_DEFAULT_TYPE = "typ-w0hf9"
# Of a server of network storage that is made from an image, in MB.
_BOOT_VOLUME = 40960
# The first part of a zone's IPv6 networks.
_ZONE_NETWORK = 0x110


class Servers(Kind):
    name, prefix = "server", "srv"
    created = 202
    actions = ("start", "stop", "shutdown", "reboot", "reset", "activate_console", "snapshot")

    def create(self, fields: Document) -> Document:
        image = self._find_image(fields)
        kind = self.need(fields.get("server_type") or _DEFAULT_TYPE, "server_type")
        zone = self.need(fields["zone"], "zone") if fields.get("zone") else self.state.all("zone")[0]
        groups = [self.need(one, "server_group")["id"] for one in fields.get("server_groups") or []]
        groups = groups or [one["id"] for one in self.state.all("server_group") if one["default"]]
        address = fields.get("cloud_ip")
        if address and str(address).lower() != "true":
            self.need(address, "cloud_ip")
        disk = kind["disk_size"] or self._volume_size(fields)
        if image["virtual_size"] > disk or image["min_ram"] > kind["ram"]:
            raise Problem(422, "unprocessable_entity", f"Image is too large for the server type {kind['handle']}")
        self._check_limit(kind)
        document = self.state.add(
            self.name,
            self.prefix,
            {
                "name": fields.get("name") or "",
                "status": "creating",
                "locked": False,
                "created_at": now(),
                "started_at": None,
                "deleted_at": None,
                "user_data": self._user_data(fields.get("user_data")),
                "image": image["id"],
                "server_type": kind["id"],
                "disk_size": disk,
                "zone": zone["id"],
                "server_groups": groups,
                "compatibility_mode": bool(fields.get("compatibility_mode", image.get("compatibility_mode"))),
                "disk_encrypted": bool(fields.get("disk_encrypted")),
                "interface": None,
                # As they are now: a later change does not reach a server.
                "ssh_keys": [one["ssh_key"] for one in self.state.all("user") if one.get("ssh_key")],
            },
        )
        identifier = document["id"]
        interface = self.state.add("interface", "int", {**self._make_address(), "server": identifier})
        names = {"hostname": identifier, "fqdn": f"{identifier}.{REGION}"}
        document = self.state.change(identifier, interface=interface["id"], **names)
        self.cloud.later(self.build(document, address), f"building {identifier}")
        return document

    def _find_image(self, fields: Document) -> Document:
        volumes = fields.get("volumes") or []
        identifier = fields.get("image") or (volumes[0].get("image") if volumes and isinstance(volumes[0], dict) else None)
        image = self.need(identifier, "image")
        if image["status"] not in ("available", "deprecated"):
            raise Problem(409, "resource_conflict", f"{image['id']} is {image['status']}")
        return image

    @staticmethod
    def _volume_size(fields: Document) -> int:
        """How large the volume is that a server of network storage boots from, here no more than its disk."""
        volumes = fields.get("volumes") or [{}]
        size = volumes[0].get("size") or _BOOT_VOLUME
        if not isinstance(size, int) or size < 1:
            raise Problem(422, "unprocessable_entity", "Size is invalid")
        return size

    def _user_data(self, given: Any) -> str | None:
        if not given:
            return None
        text = "".join(str(given).split())
        if len(text) > self.cloud.most_user_data:
            raise Problem(422, "unprocessable_entity", "User data is too long")
        try:
            base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise Problem(422, "unprocessable_entity", "User data is not base64") from error
        return text

    def _check_limit(self, kind: Document) -> None:
        account = self.cloud.shapes.full(self.state.get(ACCOUNT))
        if account["ram_used"] + kind["ram"] > account["ram_limit"]:
            raise Problem(403, "account_limit_reached", "The account limit for RAM has been reached")

    def _make_address(self) -> Document:
        taken = {one["ipv4_address"] for one in self.state.all("interface")}
        while True:
            number = (secrets.randbelow(0xFE0000) + 0x010000) & ~3 | 2
            one, two, three = number >> 16, number >> 8 & 255, number & 255
            ipv4 = f"10.{one}.{two}.{three}"
            if ipv4 not in taken:
                break
        network = f"2a02:1348:{_ZONE_NETWORK + (number >> 18):x}:{number >> 2 & 0xFFFF:x}"
        # As it is written usually: it is compared with what packets have.
        ipv6 = str(ipaddress.ip_address(f"{network}:24:19ff:fe{one:02x}:{two:02x}{three:02x}"))
        return {"mac_address": f"02:24:19:{one:02x}:{two:02x}:{three:02x}", "ipv4_address": ipv4, "ipv6_address": ipv6}

    def update(self, document: Document, fields: Document) -> Document:
        changes: Document = {name: fields[name] for name in ("name", "compatibility_mode") if name in fields}
        if "user_data" in fields:
            changes["user_data"] = self._user_data(fields["user_data"])
        if "server_groups" in fields:
            changes["server_groups"] = [self.need(one, "server_group")["id"] for one in fields["server_groups"]]
            self.refresh()
        return self.state.change(document["id"], **changes)

    def destroy(self, document: Document) -> Document:
        self.check_unlocked(document)
        if document["status"] in ("deleting", "deleted"):
            raise Problem(409, "resource_conflict", f"{document['id']} is {document['status']}")
        document = self.cloud.change(document, "deleting")
        self.cloud.later(self.finish_destroying(document), f"destroying {document['id']}")
        return document

    # ---- actions ----

    def start(self, document: Document, fields: Document) -> Document:
        self._check(document, "inactive")
        self.cloud.later(self.power_on(document), f"starting {document['id']}")
        return document

    def stop(self, document: Document, fields: Document) -> Document:
        self._check(document, "active")
        self.cloud.later(self.cloud.machines.stop(document["id"]), f"stopping {document['id']}")
        return document

    def shutdown(self, document: Document, fields: Document) -> Document:
        return self._press(document, "power")

    def reboot(self, document: Document, fields: Document) -> Document:
        return self._press(document, "keys")

    def reset(self, document: Document, fields: Document) -> Document:
        return self._press(document, "reset")

    def activate_console(self, document: Document, fields: Document) -> Document:
        raise Problem(422, "unprocessable_entity", "There is no graphical console here; `nivalis cloud console` shows the serial one")

    def snapshot(self, document: Document, fields: Document) -> Document:
        if document["status"] not in ("active", "inactive"):
            raise Problem(409, "resource_conflict", f"{document['id']} is {document['status']}")
        ancestor = self.state.get(document["image"])
        kept = {name: ancestor[name] for name in ("arch", "username", "compatibility_mode", "min_ram", "licence_name")}
        own = {"official": False, "public": False, "locked": False, "owner": ACCOUNT, "virtual_size": 0, "disk_size": 0}
        image = self.state.add(
            "image",
            "img",
            {
                **kept,
                **own,
                "name": fields.get("name") or f"Snapshot of {document['id']} {now()}",
                "description": fields.get("description"),
                "status": "creating",
                "source": document["id"],
                "source_type": "snapshot",
                "source_trigger": "manual",
                "created_at": now(),
                "ancestor": ancestor["id"],
                "snapshot_of": document["id"],
            },
        )
        self.cloud.later(self._take_snapshot(document, image), f"snapshot of {document['id']}")
        return document

    def _press(self, document: Document, button: str) -> Document:
        self._check(document, "active")
        self.cloud.later(self.cloud.machines.press(document["id"], button), f"{button} of {document['id']}")
        return document

    @staticmethod
    def _check(document: Document, status: str) -> None:
        if document["status"] != status:
            raise Problem(409, "resource_conflict", f"{document['id']} is {document['status']}")

    # ---- what is done later ----

    def spec(self, document: Document) -> MachineSpec:
        """What the machine of a server is made of."""
        kind, interface = self.state.get(document["server_type"]), self.state.get(document["interface"])
        return MachineSpec(
            id=document["id"],
            fqdn=document["fqdn"],
            cores=kind["cores"],
            ram=kind["ram"],
            # Of a server that was made before there was a choice, its type says it.
            disk=document.get("disk_size") or kind["disk_size"],
            image=document["image"],
            mac=interface["mac_address"],
            ipv4=interface["ipv4_address"],
            ipv6=interface["ipv6_address"],
            compatibility_mode=document["compatibility_mode"],
        )

    async def build(self, document: Document, address: Any = None) -> None:
        """Make the disk of a server that is `creating`, start it, and map its address."""
        try:
            await self.cloud.machines.create(self.spec(document))
        except (CloudError, OSError) as error:
            self.cloud.say(f"building {document['id']}: {error}")
            self.cloud.settle(document, "failed", of="creating")
            return
        if address:
            identifier = CloudIps(self.cloud).create({})["id"] if str(address).lower() == "true" else str(address)
            self.state.change(identifier, interface=document["interface"])
        await self.power_on(document)

    async def power_on(self, document: Document) -> None:
        """Start the machine of a server that is there still."""
        before = self.state.get(document["id"])["status"]
        if before not in ("creating", "inactive", "active"):
            return
        try:
            await self.cloud.machines.start(self.spec(document))
        except (CloudError, OSError) as error:
            self.cloud.say(f"starting {document['id']}: {error}")
            self.cloud.settle(document, "failed" if before == "creating" else "inactive", of=before)
            return
        if not self.cloud.settle(document, "active", of=before, started_at=now()):
            await self.cloud.machines.stop(document["id"])
        elif not self.cloud.machines.is_running(document["id"]):
            # It was over before it was known to have begun.
            self.ended(document["id"])

    def ended(self, identifier: str) -> None:
        """Its machine has ended, by itself or not."""
        document = self.state.get(identifier)
        if document["status"] == "active":
            self.cloud.change(document, "inactive", started_at=None)

    async def finish_destroying(self, document: Document) -> None:
        await self.cloud.machines.stop(document["id"])
        for address in self.state.all("cloud_ip"):
            if address["interface"] == document["interface"]:
                self.state.change(address["id"], interface=None)
        self.cloud.change(document, "deleted", deleted_at=now())
        await asyncio.to_thread(shutil.rmtree, self.cloud.places.server(document["id"]), True)
        await asyncio.to_thread(remove_unused_images, self.cloud)
        await self.cloud.machines.refresh()

    async def _take_snapshot(self, document: Document, image: Document) -> None:
        target = self.cloud.places.images / image["id"]
        try:
            await self.cloud.machines.snapshot(document["id"], str(target))
            probed = await asyncio.to_thread(probe_image, target)
        except (CloudError, OSError) as error:
            target.unlink(missing_ok=True)
            self.cloud.say(f"snapshot of {document['id']}: {error}")
            self.cloud.settle(image, "failed", of="creating")
            return
        finish_import(self.cloud, image, target, probed)
