"""What requests do with images, Cloud IPs, groups, firewalls, accounts and users.  Servers are in `servers`.

Each kind has functions `create`, `update`, `destroy` and one for each action; what they give is the document before anything is done later.
A field of the wrong kind is 422, a wrong state 409, as in the real cloud.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Any

from nivalis.cloud.local.answers import Problem
from nivalis.cloud.local.core import LocalCloud
from nivalis.cloud.local.firewall import check_rule
from nivalis.cloud.local.imports import import_image, remove_unused_images
from nivalis.cloud.local.state import ACCOUNT, Document, now
from nivalis.fetch.network import Network

__all__ = ["Accounts", "CloudIps", "FirewallPolicies", "FirewallRules", "Groups", "Images", "Kind", "Users"]

_LIBRARY_NAME = re.compile(r"[A-Za-z0-9\-_+.~^]+")
_MOST_ADDRESSES = 32


class Kind:
    """Resources of one kind, and what is done with them; with a `name` of documents alone, they can only be looked at."""

    # The name of documents, the prefix of identifiers, and the statuses with which requests are answered.
    name = ""
    prefix = ""
    created = 201
    updated = 200
    destroyed = 202
    actions: Sequence[str] = ()

    def __init__(self, cloud: LocalCloud, name: str = "") -> None:
        self.cloud = cloud
        self.state = cloud.state
        self.name = name or self.name

    def list(self) -> list[Document]:
        return self.state.all(self.name)

    def create(self, fields: Document) -> Document:
        raise Problem(404, "missing_resource", "Resource not found")

    def update(self, document: Document, fields: Document) -> Document:
        raise Problem(404, "missing_resource", "Resource not found")

    def destroy(self, document: Document) -> Document:
        raise Problem(404, "missing_resource", "Resource not found")

    def lock(self, document: Document, locked: bool) -> Document:
        return self.state.change(document["id"], locked=locked)

    def check_unlocked(self, document: Document) -> None:
        if document.get("locked"):
            raise Problem(409, "resource_conflict", f"{document['id']} is locked")

    def need(self, identifier: object, kind: str) -> Document:
        found = self.state.find(str(identifier))
        if found is None or found["resource_type"] != kind:
            raise Problem(422, "unprocessable_entity", f"{kind.replace('_', ' ').capitalize()} is invalid: {identifier}")
        return found

    def refresh(self) -> None:
        self.cloud.later(self.cloud.machines.refresh(), "refreshing the network")


class Images(Kind):
    name, prefix = "image", "img"

    def __init__(self, cloud: LocalCloud, network: Network) -> None:
        super().__init__(cloud)
        self._network = network

    def list(self) -> list[Document]:
        return [one for one in self.state.all(self.name) if one["status"] != "deleted"]

    def create(self, fields: Document) -> Document:
        origins = [name for name in ("http_url", "source", "server", "volume") if fields.get(name)]
        if len(origins) != 1 or origins[0] in ("server", "volume"):
            raise Problem(422, "unprocessable_entity", "One of http_url and source is required")
        origin = str(fields[origins[0]])
        if origins[0] == "source":
            self._check_source(origin)
        elif not re.match(r"https?://", origin):
            raise Problem(422, "unprocessable_entity", "Http url is invalid")
        if fields.get("arch") not in ("x86_64", "i686"):
            raise Problem(422, "unprocessable_entity", "Arch is not included in the list")
        source = origin.partition("?")[0].rpartition("/")[2]
        document = self.state.add(
            self.name,
            self.prefix,
            {
                "name": fields.get("name") or f"{source} {now()}",
                "status": "creating",
                "locked": False,
                "username": fields.get("username"),
                "description": fields.get("description"),
                "source": source,
                "source_type": "upload",
                "source_trigger": "manual",
                "arch": fields["arch"],
                "created_at": now(),
                "official": False,
                "public": bool(fields.get("public")),
                "compatibility_mode": bool(fields.get("compatibility_mode")),
                "owner": ACCOUNT,
                "virtual_size": 0,
                "disk_size": 0,
                "min_ram": int(fields.get("min_ram") or 0),
                "licence_name": None,
                "ancestor": None,
                # Not shown: with it one could fetch the image.
                "http_url": origin if origins[0] == "http_url" else None,
            },
        )
        self.begin_import(document)
        return document

    def begin_import(self, document: Document) -> None:
        self.cloud.later(import_image(self.cloud, document, self._network), f"import of {document['id']}")

    def _check_source(self, name: str) -> None:
        if not self.cloud.library:
            raise Problem(410, "gone", "The FTP image library has been retired. Use http_url instead.")
        if not _LIBRARY_NAME.fullmatch(name) or name.startswith(".") or not (self.cloud.places.incoming / name).is_file():
            raise Problem(422, "unprocessable_entity", f"Source is not in the image library: {name}")

    def update(self, document: Document, fields: Document) -> Document:
        allowed = ("name", "username", "arch", "public", "compatibility_mode", "description", "min_ram")
        changes = {name: fields[name] for name in allowed if name in fields}
        status = fields.get("status")
        if status is not None:
            if status not in ("available", "deprecated"):
                raise Problem(422, "unprocessable_entity", "Status is not included in the list")
            if document["status"] not in ("available", "deprecated"):
                raise Problem(409, "resource_conflict", f"{document['id']} is {document['status']}")
            changes["status"] = status
        return self.state.change(document["id"], **changes)

    def destroy(self, document: Document) -> Document:
        self.check_unlocked(document)
        if document["status"] in ("deleting", "deleted"):
            raise Problem(409, "resource_conflict", f"{document['id']} is {document['status']}")
        document = self.cloud.change(document, "deleting")
        self.cloud.later(self.finish_destroying(document), f"destroying {document['id']}")
        return document

    async def finish_destroying(self, document: Document) -> None:
        self.cloud.change(document, "deleted")
        await asyncio.to_thread(remove_unused_images, self.cloud)


class CloudIps(Kind):
    name, prefix, destroyed = "cloud_ip", "cip", 200
    actions = ("map", "unmap")

    def create(self, fields: Document) -> Document:
        if len(self.list()) >= _MOST_ADDRESSES:
            raise Problem(403, "account_limit_reached", "The account limit for Cloud IPs has been reached")
        document = {"name": fields.get("name"), "mode": fields.get("mode") or "nat", "interface": None, "address": self._choose_address()}
        translators = self._translators(fields.get("port_translators") or [])
        return self.state.add(self.name, self.prefix, {**document, "reverse_dns": fields.get("reverse_dns"), "port_translators": translators})

    def _choose_address(self) -> str:
        # The loopback network is one machine's own, and has room; .0 and .255 look odd.
        taken = {one["address"] for one in self.list()}
        while True:
            address = f"127.109.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}"
            if address not in taken:
                return address

    def _translators(self, given: Any) -> list[Document]:
        try:
            found = [{"incoming": int(one["incoming"]), "outgoing": int(one["outgoing"]), "protocol": one["protocol"]} for one in given]
        except (KeyError, TypeError, ValueError):
            found = [{"incoming": 0}]
        for one in found:
            if not (0 < one["incoming"] < 65536 and 0 < one["outgoing"] < 65536 and one["protocol"] in ("tcp", "udp")):
                raise Problem(422, "unprocessable_entity", "Port translators is invalid")
        return found

    def update(self, document: Document, fields: Document) -> Document:
        changes: Document = {name: fields[name] for name in ("name", "reverse_dns", "mode") if name in fields}
        if "port_translators" in fields:
            changes["port_translators"] = self._translators(fields["port_translators"] or [])
        self.refresh()
        return self.state.change(document["id"], **changes)

    def destroy(self, document: Document) -> Document:
        if document["interface"]:
            raise Problem(409, "resource_conflict", f"{document['id']} is mapped")
        self.state.remove(document["id"])
        return document

    def map(self, document: Document, fields: Document) -> Document:
        destination = self.state.find(str(fields.get("destination")))
        kind = destination["resource_type"] if destination else ""
        if destination is None or kind not in ("server", "interface"):
            raise Problem(422, "unprocessable_entity", f"Destination is invalid: {fields.get('destination')}")
        server = destination if kind == "server" else self.state.get(destination["server"])
        if server["status"] in ("deleting", "deleted", "failed") or document["interface"]:
            raise Problem(409, "resource_conflict", f"{document['id']} cannot be mapped to {server['id']}")
        self.cloud.later(self._finish(document["id"], server["interface"]), f"mapping {document['id']}")
        return document

    def unmap(self, document: Document, fields: Document) -> Document:
        if not document["interface"]:
            raise Problem(409, "resource_conflict", f"{document['id']} is not mapped")
        self.cloud.later(self._finish(document["id"], None), f"unmapping {document['id']}")
        return document

    async def _finish(self, identifier: str, interface: str | None) -> None:
        if self.state.find(identifier) is not None:
            self.state.change(identifier, interface=interface)
            await self.cloud.machines.refresh()


class Groups(Kind):
    name, prefix = "server_group", "grp"
    created = updated = 202
    actions = ("add_servers", "remove_servers", "move_servers")

    def create(self, fields: Document) -> Document:
        document = {"name": fields.get("name") or "", "description": fields.get("description"), "default": False, "created_at": now()}
        return self.state.add(self.name, self.prefix, document)

    def update(self, document: Document, fields: Document) -> Document:
        return self.state.change(document["id"], **{name: fields[name] for name in ("name", "description") if name in fields})

    def destroy(self, document: Document) -> Document:
        if document["default"] or any(document["id"] in one["server_groups"] and one["status"] != "deleted" for one in self.state.all("server")):
            raise Problem(409, "resource_conflict", f"{document['id']} is not empty, or is the default group")
        for policy in self.state.all("firewall_policy"):
            if policy["server_group"] == document["id"]:
                self.state.change(policy["id"], server_group=None)
        self.state.remove(document["id"])
        return document

    def add_servers(self, document: Document, fields: Document) -> Document:
        return self._change(document, fields, add=[document["id"]])

    def remove_servers(self, document: Document, fields: Document) -> Document:
        return self._change(document, fields, remove=[document["id"]])

    def move_servers(self, document: Document, fields: Document) -> Document:
        destination = self.need(fields.get("destination"), "server_group")
        return self._change(document, fields, add=[destination["id"]], remove=[document["id"]])

    def _change(self, document: Document, fields: Document, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Document:
        named = fields.get("servers")
        if not isinstance(named, list):
            raise Problem(422, "unprocessable_entity", "Servers is invalid")
        servers = [self.need(one.get("server") if isinstance(one, dict) else one, "server") for one in named]
        for server in servers:
            groups = [one for one in server["server_groups"] if one not in remove]
            self.state.change(server["id"], server_groups=groups + [one for one in add if one not in groups])
        self.refresh()
        return document


class FirewallPolicies(Kind):
    name, prefix = "firewall_policy", "fwp"
    actions = ("apply_to", "remove")

    def create(self, fields: Document) -> Document:
        group = fields.get("server_group")
        document = {"name": fields.get("name"), "description": fields.get("description"), "default": False, "created_at": now()}
        if group:
            self._check_free(self.need(group, "server_group")["id"])
        self.refresh()
        return self.state.add(self.name, self.prefix, {**document, "server_group": group or None})

    def update(self, document: Document, fields: Document) -> Document:
        if document["default"] and "name" in fields and fields["name"] != document["name"]:
            raise Problem(422, "unprocessable_entity", "Name cannot be changed on a default policy")
        return self.state.change(document["id"], **{name: fields[name] for name in ("name", "description") if name in fields})

    def destroy(self, document: Document) -> Document:
        if document["server_group"] or document["default"]:
            raise Problem(409, "resource_conflict", f"{document['id']} is applied to a group, or is the default policy")
        for rule in self.state.all("firewall_rule"):
            if rule["firewall_policy"] == document["id"]:
                self.state.remove(rule["id"])
        self.state.remove(document["id"])
        return document

    def apply_to(self, document: Document, fields: Document) -> Document:
        group = self.need(fields.get("server_group"), "server_group")
        if document["server_group"]:
            raise Problem(409, "resource_conflict", f"{document['id']} is applied already")
        self._check_free(group["id"])
        self.refresh()
        return self.state.change(document["id"], server_group=group["id"])

    def remove(self, document: Document, fields: Document) -> Document:
        if document["server_group"] != fields.get("server_group"):
            raise Problem(409, "resource_conflict", f"{document['id']} is not applied to {fields.get('server_group')}")
        self.refresh()
        return self.state.change(document["id"], server_group=None)

    def _check_free(self, group: str) -> None:
        if any(one["server_group"] == group for one in self.list()):
            raise Problem(409, "resource_conflict", f"{group} has a firewall policy")


class FirewallRules(Kind):
    name, prefix = "firewall_rule", "fwr"
    created = updated = 202
    _fields = ("source", "source_port", "destination", "destination_port", "protocol", "icmp_type_name", "description")

    def create(self, fields: Document) -> Document:
        policy = self.need(fields.get("firewall_policy"), "firewall_policy")
        document = {name: fields.get(name) or None for name in self._fields}
        self._check(document)
        self.refresh()
        return self.state.add(self.name, self.prefix, {**document, "firewall_policy": policy["id"], "created_at": now()})

    def update(self, document: Document, fields: Document) -> Document:
        changed = {**document, **{name: fields[name] or None for name in self._fields if name in fields}}
        self._check(changed)
        self.refresh()
        return self.state.change(document["id"], **changed)

    def destroy(self, document: Document) -> Document:
        self.state.remove(document["id"])
        self.refresh()
        return document

    @staticmethod
    def _check(document: Document) -> None:
        wrong = check_rule(document)
        if wrong:
            raise Problem(422, "unprocessable_entity", wrong)


class Accounts(Kind):
    name, prefix = "account", "acc"
    actions = ("reset_ftp_password",)

    def update(self, document: Document, fields: Document) -> Document:
        return self.state.change(document["id"], **{name: fields[name] for name in ("name",) if name in fields})

    def reset_ftp_password(self, document: Document, fields: Document) -> Document:
        if not self.cloud.library:
            raise Problem(410, "gone", "The FTP image library has been retired")
        return document


class Users(Kind):
    name, prefix = "user", "usr"

    def update(self, document: Document, fields: Document) -> Document:
        return self.state.change(document["id"], **{name: fields[name] for name in ("name", "email_address", "ssh_key") if name in fields})
