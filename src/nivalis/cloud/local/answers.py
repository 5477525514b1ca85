"""The shapes of what the API answers: documents with what they refer to nested in them, and errors.

A resource is shown in full when it is asked for by itself, and shorter when it is nested or in a list; the fields of each are those of
recorded answers of the real API.
"""

from __future__ import annotations

from collections.abc import Callable

from nivalis.cloud.local.state import ACCOUNT, REGION, USER, Document, State

__all__ = ["Problem", "Shapes"]

_COLLECTIONS = {"server_type": "server_types", "firewall_policy": "firewall_policies", "cloud_ip": "cloud_ips"}
_SERVER = ("status", "locked", "hostname", "fqdn", "created_at", "started_at", "deleted_at")
_IMAGE = ("username", "status", "locked", "description", "source", "source_trigger", "arch", "created_at", "official", "public", "owner")
_IMAGE_MORE = ("source_type", "compatibility_mode", "virtual_size", "disk_size", "min_ram", "licence_name")
_RULE = ("source", "source_port", "destination", "destination_port", "protocol", "icmp_type_name", "description", "created_at")


class Problem(Exception):
    """An answer that is an error: HTTP's status, the API's word for it, and sentences."""

    def __init__(self, status: int, name: str, *words: str) -> None:
        super().__init__(name)
        self.status = status
        self.name = name
        self.words = words


class Shapes:
    """Shows documents; `base` is the address of the API."""

    def __init__(self, state: State, base: str, library: Callable[[], str]) -> None:
        self._state = state
        self._base = base
        self._library = library

    def url(self, document: Document) -> str:
        kind = document["resource_type"]
        return f"{self._base}/1.0/{_COLLECTIONS.get(kind, f'{kind}s')}/{document['id']}"

    def full(self, document: Document) -> Document:
        """A resource by itself."""
        return getattr(self, f"_{document['resource_type']}")(document)  # type: ignore[no-any-return]

    def listed(self, document: Document) -> Document:
        """A resource in a list."""
        shown = self.full(document)
        if document["resource_type"] == "server":
            for name in ("user_data", "console_url", "console_token", "console_token_expires"):
                del shown[name]
        return shown

    def _nest(self, identifier: str | None) -> Document | None:
        document = self._state.find(identifier) if identifier else None
        if document is None:
            return None
        names = {"server": _SERVER, "image": _IMAGE}.get(document["resource_type"], ())
        more = {name: document.get(name) for name in names}
        match document["resource_type"]:
            case "server_type":
                more = {name: document[name] for name in ("status", "cores", "ram", "disk_size", "handle", "storage_type")}
            case "zone":
                more = {"handle": document["handle"]}
            case "interface":
                more = {name: document[name] for name in ("mac_address", "ipv4_address", "ipv6_address")}
            case "cloud_ip":
                shown = self._cloud_ip_fields(document)
                more = {name: shown[name] for name in ("status", "public_ip", "public_ipv4", "public_ipv6", "fqdn", "reverse_dns", "mode")}
            case "server_group":
                more = {name: document[name] for name in ("description", "created_at", "default")} | {"fqdn": f"{document['id']}.{REGION}"}
            case "firewall_policy":
                more = {name: document[name] for name in ("default", "created_at", "description")}
            case "firewall_rule":
                more = {name: document.get(name) for name in _RULE}
            case "account":
                more = {"status": document["status"]}
        return {**self._head(document), **more}

    def _head(self, document: Document) -> Document:
        head = {"id": document["id"], "resource_type": document["resource_type"], "url": self.url(document)}
        return head | ({"name": document["name"]} if "name" in document else {})

    # ---- one function a kind, found by its name ----

    def _zone(self, document: Document) -> Document:
        return {**self._head(document), "handle": document["handle"]}

    def _server_type(self, document: Document) -> Document:
        return self._nest(document["id"]) or {}

    def _user(self, document: Document) -> Document:
        names = ("email_address", "ssh_key", "created_at")
        account = self._nest(ACCOUNT)
        more = {name: document[name] for name in names} | {"email_verified": True, "messaging_pref": True, "2fa": {"enabled": False}}
        return {**self._head(document), **more, "accounts": [account], "default_account": account}

    def _account(self, document: Document) -> Document:
        servers = [one for one in self._state.all("server") if one["status"] not in ("deleted", "failed")]
        used = sum(self._state.get(one["server_type"])["ram"] for one in servers if one["status"] != "inactive")
        addresses = self._state.all("cloud_ip")
        library = self._library()
        return {
            **self._head(document),
            "status": document["status"],
            "created_at": document["created_at"],
            "servers_used": len(servers),
            "ram_limit": document["ram_limit"],
            "ram_used": used,
            "cloud_ips_limit": 32,
            "cloud_ips_used": len(addresses),
            "load_balancers_limit": 0,
            "load_balancers_used": 0,
            "library_ftp_host": library or None,
            "library_ftp_user": ACCOUNT if library else None,
            "library_ftp_password": None,
            "users": [self._nest(USER)],
        }

    def _image(self, document: Document) -> Document:
        more = {name: document.get(name) for name in (*_IMAGE, *_IMAGE_MORE)}
        return {**self._head(document), **more, "ancestor": self._nest(document.get("ancestor"))}

    def _interface(self, document: Document) -> Document:
        return {**(self._nest(document["id"]) or {}), "server": self._nest(document["server"])}

    def _server(self, document: Document) -> Document:
        more = {name: document.get(name) for name in _SERVER}
        own = ("user_data", "compatibility_mode", "console_url", "console_token", "console_token_expires", "disk_encrypted")
        addresses = [one for one in self._state.all("cloud_ip") if one["interface"] == document["interface"]]
        return {
            **self._head(document),
            **more,
            **{name: document.get(name) for name in own},
            "snapshots_schedule": None,
            "snapshots_schedule_next_at": None,
            "snapshots_retention": None,
            "account": self._nest(ACCOUNT),
            "image": self._nest(document["image"]),
            "server_type": self._nest(document["server_type"]),
            "zone": self._nest(document["zone"]),
            "cloud_ips": [self._nest(one["id"]) for one in addresses],
            "interfaces": [self._nest(document["interface"])] if document["status"] != "deleted" else [],
            "snapshots": [self._nest(one["id"]) for one in self._state.all("image") if one.get("snapshot_of") == document["id"]],
            "server_groups": [self._nest(one) for one in document["server_groups"]],
            "volumes": [],
        }

    def _server_group(self, document: Document) -> Document:
        policies = [one for one in self._state.all("firewall_policy") if one["server_group"] == document["id"]]
        servers = [one for one in self._state.all("server") if document["id"] in one["server_groups"] and one["status"] != "deleted"]
        return {
            **(self._nest(document["id"]) or {}),
            "account": self._nest(ACCOUNT),
            "firewall_policy": self._nest(policies[0]["id"]) if policies else None,
            "servers": [self._nest(one["id"]) for one in servers],
        }

    def _firewall_policy(self, document: Document) -> Document:
        rules = [one for one in self._state.all("firewall_rule") if one["firewall_policy"] == document["id"]]
        return {
            **(self._nest(document["id"]) or {}),
            "server_group": self._nest(document["server_group"]),
            "rules": [self._nest(one["id"]) for one in rules],
        }

    def _firewall_rule(self, document: Document) -> Document:
        return {**(self._nest(document["id"]) or {}), "firewall_policy": self._nest(document["firewall_policy"])}

    def _cloud_ip_fields(self, document: Document) -> Document:
        address = document["address"]
        default = f"cip-{address.replace('.', '-')}.{REGION}"
        return {
            "status": "mapped" if document["interface"] else "unmapped",
            "public_ip": address,
            "public_ipv4": address,
            "public_ipv6": None,
            "fqdn": f"{document['id']}.{REGION}",
            "reverse_dns": document.get("reverse_dns") or default,
            "mode": document["mode"],
        }

    def _cloud_ip(self, document: Document) -> Document:
        interface = self._state.find(document["interface"]) if document["interface"] else None
        return {
            **self._head(document),
            **self._cloud_ip_fields(document),
            "port_translators": document["port_translators"],
            "account": self._nest(ACCOUNT),
            "interface": self._nest(document["interface"]),
            "server": self._nest(interface["server"]) if interface else None,
            "load_balancer": None,
            "server_group": None,
            "database_server": None,
        }
