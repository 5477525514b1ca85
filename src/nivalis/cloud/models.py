"""The API's objects as frozen dataclasses, with the API's own field names.

Fields follow the JSON of the API 1.0 (as its published clients and recorded answers show it).  Every field but the identifier has a
default, for a nested object has fewer of them, lists leave some out, and the API may drop one; what is not known here is passed over.
Sizes are in MB (MiB), times are ISO 8601 as sent, and an object that another one is nested in is decoded by the same class.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from nivalis.cloud.errors import AnswerError

__all__ = [
    "Account",
    "CloudIp",
    "FirewallPolicy",
    "FirewallRule",
    "Image",
    "Interface",
    "PortTranslator",
    "Resource",
    "Server",
    "ServerGroup",
    "ServerType",
    "User",
    "Volume",
    "Zone",
    "decode",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What every object has."""

    id: str
    name: str = ""
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone(Resource):
    handle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerType(Resource):
    handle: str = ""
    cores: int = 0
    ram: int = 0
    disk_size: int = 0
    storage_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Resource):
    ram_limit: int = 0
    ram_used: int = 0
    cloud_ips_limit: int = 0
    cloud_ips_used: int = 0
    load_balancers_limit: int = 0
    servers_used: int = 0
    library_ftp_host: str = ""
    library_ftp_user: str = ""
    # Sent once, in the answer that sets it.
    library_ftp_password: str = ""

    def __repr__(self) -> str:
        return f"Account(id={self.id!r}, name={self.name!r}, status={self.status!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Resource):
    email_address: str = ""
    ssh_key: str = ""
    created_at: str = ""
    accounts: tuple[Account, ...] = ()
    default_account: Account | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image(Resource):
    owner: str = ""
    locked: bool = False
    username: str = ""
    description: str = ""
    source: str = ""
    source_type: str = ""
    source_trigger: str = ""
    arch: str = ""
    created_at: str = ""
    official: bool = False
    public: bool = False
    compatibility_mode: bool = False
    disk_size: int = 0
    virtual_size: int = 0
    min_ram: int = 0
    licence_name: str = ""
    ancestor: Image | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface(Resource):
    mac_address: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""
    server: Server | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortTranslator:
    incoming: int = 0
    outgoing: int = 0
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallRule(Resource):
    protocol: str | None = None
    source: str | None = None
    source_port: str | None = None
    destination: str | None = None
    destination_port: str | None = None
    icmp_type_name: str | None = None
    description: str | None = None
    created_at: str = ""
    firewall_policy: FirewallPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirewallPolicy(Resource):
    default: bool = False
    description: str = ""
    created_at: str = ""
    server_group: ServerGroup | None = None
    rules: tuple[FirewallRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup(Resource):
    description: str = ""
    created_at: str = ""
    default: bool = False
    fqdn: str = ""
    firewall_policy: FirewallPolicy | None = None
    servers: tuple[Server, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Resource):
    description: str = ""
    serial: str = ""
    size: int = 0
    boot: bool = False
    encrypted: bool = False
    source_type: str = ""
    storage_type: str = ""
    filesystem_type: str = ""
    server: Server | None = None
    image: Image | None = None
    zone: Zone | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudIp(Resource):
    public_ip: str = ""
    public_ipv4: str = ""
    public_ipv6: str = ""
    fqdn: str = ""
    reverse_dns: str = ""
    mode: str = ""
    port_translators: tuple[PortTranslator, ...] = ()
    interface: Interface | None = None
    server: Server | None = None
    load_balancer: Resource | None = None
    server_group: ServerGroup | None = None
    database_server: Resource | None = None

    @property
    def destination(self) -> str:
        """The identifier of what it is mapped to, or an empty string."""
        for found in (self.server, self.load_balancer, self.server_group, self.database_server, self.interface):
            if found is not None:
                return found.id
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server(Resource):
    locked: bool = False
    hostname: str = ""
    fqdn: str = ""
    created_at: str = ""
    started_at: str = ""
    deleted_at: str = ""
    user_data: str = ""
    compatibility_mode: bool = False
    disk_encrypted: bool = False
    console_url: str = ""
    console_token_expires: str = ""
    # A password: it must not be in a traceback.
    console_token: str = ""
    image: Image | None = None
    server_type: ServerType | None = None
    zone: Zone | None = None
    cloud_ips: tuple[CloudIp, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    snapshots: tuple[Image, ...] = ()
    server_groups: tuple[ServerGroup, ...] = ()
    volumes: tuple[Volume, ...] = ()

    def __repr__(self) -> str:
        # User data and the console's token are secrets.
        return f"Server(id={self.id!r}, name={self.name!r}, status={self.status!r})"


R = TypeVar("R")


def decode(kind: type[R], value: object) -> R:
    """An object of the API's JSON.  Raises AnswerError for a value of another type."""
    if not isinstance(value, Mapping):
        raise AnswerError(f"answer is no {kind.__name__}: `{type(value).__name__}`")
    known = {}
    for name, wanted in _fields_of(cast("Any", kind)).items():
        found = value.get(name)
        if name == "id" and found in (None, ""):
            raise AnswerError(f"answer is no {kind.__name__}: it has no `id`")
        # Where there is a default, an absent and a null value are the same.
        if found is None:
            continue
        known[name] = _convert(wanted, found, f"{kind.__name__}.{name}")
    return kind(**known)


@functools.cache
def _fields_of(kind: Any) -> dict[str, Any]:
    """What each field of a class is; where that or None, that."""
    found = typing.get_type_hints(kind)
    return {name: typing.get_args(hint)[0] if isinstance(hint, types.UnionType) else hint for name, hint in found.items()}


def _convert(wanted: Any, found: object, place: str) -> object:
    if typing.get_origin(wanted) is tuple:
        if not isinstance(found, list):
            raise AnswerError(f"answer has no list: `{place}`")
        return tuple(decode(typing.get_args(wanted)[0], one) for one in found)
    if wanted is str:
        # Some numbers come as either.
        return found if isinstance(found, str) else str(found)
    if wanted is bool:
        return bool(found)
    if wanted is int:
        try:
            return int(found)  # type: ignore[call-overload]
        except (TypeError, ValueError) as error:
            raise AnswerError(f"answer has no number: `{place}`") from error
    # An account or an image may be nested by its identifier alone.
    return decode(wanted, {"id": found} if isinstance(found, str) else found)
