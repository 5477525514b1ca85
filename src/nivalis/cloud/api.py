"""The client of Brightbox's API 1.0.

`Brightbox` has a collection for each kind of resource; a collection lists, gets, creates, updates and destroys, and has the actions of
its kind.  The cloud works asynchronously: an action's answer shows the state before it, and `wait` polls until the resource is what is
wanted, has failed, or the time is over.

A request is repeated when that cannot do something twice: a GET after any failure that may pass; anything else only when it surely did not
arrive, or when it was refused for nothing but the token, which is then renewed.

It does not know configuration, nor how an image's file comes to where the cloud fetches it (see `orbit`).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

from nivalis.cloud import models
from nivalis.cloud.answers import is_stale_token, make_error
from nivalis.cloud.auth import Authenticator
from nivalis.cloud.errors import AnswerError, DeadlineError, FailedResourceError, InvalidRequestError, UnreachableError
from nivalis.cloud.http import Answer, HttpDoor

__all__ = ["API_URL", "ORBIT_URL", "Brightbox", "Collected", "encode_user_data"]

API_URL = "https://api.gb1.brightbox.com"
ORBIT_URL = "https://orbit.brightbox.com/v1"

_PASSING = frozenset({429, 500, 502, 503, 504})
# Pauses before it is tried again, in seconds.
_PAUSES = (0.5, 1.0, 2.0, 4.0)
# How much user data may be, in bytes of base64.
_LONGEST_USER_DATA = 64 << 10

R = TypeVar("R", bound=models.Resource)
Json = Mapping[str, Any]


class Brightbox:
    """A cloud, as one client or user sees it.  `account` scopes what a user asks; an API client has but its own."""

    def __init__(
        self,
        door: HttpDoor,
        authenticator: Authenticator,
        *,
        api_url: str = API_URL,
        account: str = "",
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door = door
        self._authenticator = authenticator
        self._base = api_url.rstrip("/") + "/1.0/"
        self._account = account
        self.sleep = sleep
        self.clock = clock
        self.accounts = Accounts(self, "accounts", models.Account)
        self.cloud_ips = CloudIps(self, "cloud_ips", models.CloudIp)
        self.firewall_policies = FirewallPolicies(self, "firewall_policies", models.FirewallPolicy)
        self.firewall_rules = Collected(self, "firewall_rules", models.FirewallRule)
        self.images = Images(self, "images", models.Image)
        self.interfaces = Collected(self, "interfaces", models.Interface)
        self.server_groups = ServerGroups(self, "server_groups", models.ServerGroup)
        self.server_types = Collected(self, "server_types", models.ServerType)
        self.servers = Servers(self, "servers", models.Server)
        self.users = Collected(self, "users", models.User)
        self.volumes = Collected(self, "volumes", models.Volume)
        self.zones = Collected(self, "zones", models.Zone)

    def __repr__(self) -> str:
        return f"Brightbox({self._base!r}, {self._authenticator.credentials.client_id!r})"

    def ask(self, method: str, path: str, body: Json | None = None, params: Mapping[str, str] | None = None) -> Answer:
        """One request below `/1.0/`, and its answer.  Raises CloudError."""
        query = dict(params or {}) | ({"account_id": self._account} if self._account else {})
        url = self._base + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        pauses = iter(_PAUSES)
        is_renewed = False
        while True:
            token = self._authenticator.token()
            try:
                answer = self._door.send(method, url, headers=headers, secrets={"Authorization": f"Bearer {token}"}, body=data)
            except UnreachableError as error:
                pause = next(pauses, None)
                if pause is None or not (method == "GET" or error.never_sent):
                    raise
                self.sleep(pause)
                continue
            if is_stale_token(answer) and not is_renewed:
                # Refused before anything was done.
                self._authenticator.renew()
                is_renewed = True
                continue
            if method == "GET" and answer.status in _PASSING and (pause := next(pauses, None)) is not None:
                self.sleep(pause)
                continue
            if answer.status >= 400:
                raise make_error(answer)
            return answer


class Collected(Generic[R]):
    """The resources of one kind."""

    def __init__(self, cloud: Brightbox, path: str, kind: type[R]) -> None:
        self.cloud = cloud
        self.kind = kind
        self._path = path

    def list(self) -> list[R]:
        """All that the account has or sees.  Raises CloudError."""
        found = self.cloud.ask("GET", self._path).json()
        if not isinstance(found, list):
            raise AnswerError(f"answer is no list: `{self._path}`")
        return [models.decode(self.kind, one) for one in found]

    def get(self, identifier: str) -> R:
        """Raises CloudError, and MissingResourceError if there is none."""
        return self._decode(self.cloud.ask("GET", self._place(identifier)))

    def create(self, fields: Json) -> R:
        """Make one of the API's `fields`.  It may not be ready yet.  Raises CloudError."""
        return self._decode(self.cloud.ask("POST", self._path, fields))

    def update(self, identifier: str, fields: Json) -> R:
        """Change `fields` of one.  Raises CloudError."""
        return self._decode(self.cloud.ask("PUT", self._place(identifier), fields))

    def destroy(self, identifier: str) -> None:
        """Raises CloudError."""
        self.cloud.ask("DELETE", self._place(identifier))

    def act(self, identifier: str, action: str, fields: Json | None = None, *, method: str = "POST") -> R:
        """Do `action` with one; what comes back is the state before it.  Raises CloudError."""
        return self._decode(self.cloud.ask(method, f"{self._place(identifier)}/{action}", fields))

    def lock(self, identifier: str) -> R:
        return self.act(identifier, "lock_resource", method="PUT")

    def unlock(self, identifier: str) -> R:
        return self.act(identifier, "unlock_resource", method="PUT")

    def wait(
        self,
        identifier: str,
        wanted: Collection[str],
        *,
        deadline: float,
        failed: Collection[str] = ("failed",),
        interval: float = 1.0,
        on_poll: Callable[[R], object] | None = None,
    ) -> R:
        """Poll until its status is one of `wanted`, for at most `deadline` seconds.

        Raises FailedResourceError for a status of `failed`, DeadlineError, CloudError.
        """
        end = self.cloud.clock() + deadline
        while True:
            found = self.get(identifier)
            if on_poll is not None:
                on_poll(found)
            if found.status in wanted:
                return found
            if found.status in failed:
                raise FailedResourceError(f"{self.kind.__name__.lower()} has failed: `{identifier}` is {found.status}")
            if self.cloud.clock() >= end:
                raise DeadlineError(
                    f"{self.kind.__name__.lower()} is not {' or '.join(wanted)} after {deadline:.0f} s: `{identifier}` is {found.status}"
                )
            self.cloud.sleep(interval)

    def _place(self, identifier: str) -> str:
        return f"{self._path}/{quote(identifier, safe='')}"

    def _decode(self, answer: Answer) -> R:
        return models.decode(self.kind, answer.json())


class Accounts(Collected[models.Account]):
    def list(self) -> list[models.Account]:
        # Nested, this is the slowest question of all.
        return [models.decode(self.kind, one) for one in self.cloud.ask("GET", self._path, params={"nested": "false"}).json()]

    def mine(self) -> models.Account:
        """The account that requests are scoped to.  Raises CloudError."""
        return self._decode(self.cloud.ask("GET", "account"))

    def reset_ftp_password(self, identifier: str = "") -> models.Account:
        """A new password of the FTP library, in `library_ftp_password`.  Raises GoneError where the library is no more, CloudError."""
        place = self._place(identifier) if identifier else "account"
        return self._decode(self.cloud.ask("POST", f"{place}/reset_ftp_password"))


class Images(Collected[models.Image]):
    def register(
        self,
        *,
        http_url: str = "",
        source: str = "",
        server: str = "",
        volume: str = "",
        name: str | None = None,
        arch: str = "x86_64",
        username: str | None = None,
        description: str | None = None,
        public: bool = False,
        compatibility_mode: bool = False,
        min_ram: int = 0,
    ) -> models.Image:
        """Have the cloud import an image from one of: an address, a file of the FTP library, a server, a volume.  Raises CloudError."""
        origin = {key: value for key, value in {"http_url": http_url, "source": source, "server": server, "volume": volume}.items() if value}
        if len(origin) != 1:
            raise ValueError("an image comes from one of: http_url, source, server, volume")
        fields = {"name": name, "username": username, "description": description, "min_ram": min_ram}
        return self.create({**origin, **fields, "arch": arch, "public": public, "compatibility_mode": compatibility_mode})


class Servers(Collected[models.Server]):
    def launch(
        self,
        image: str,
        *,
        name: str = "",
        server_type: str = "",
        zone: str = "",
        groups: Iterable[str] = (),
        user_data: bytes = b"",
        cloud_ip: str | bool = False,
        disk_encrypted: bool = False,
        volume_size: int = 0,
    ) -> models.Server:
        """Create a server from an image; `volume_size` in MiB for a type of network storage.  Raises CloudError."""
        fields: dict[str, Any] = {"name": name}
        if volume_size:
            fields["volumes"] = [{"image": image, "size": volume_size}]
        else:
            fields["image"] = image
        given = {"server_type": server_type, "zone": zone, "server_groups": list(groups), "cloud_ip": cloud_ip, "disk_encrypted": disk_encrypted}
        fields |= {key: value for key, value in given.items() if value}
        if user_data:
            fields["user_data"] = encode_user_data(user_data)
        return self.create(fields)

    def snapshot(self, identifier: str) -> str:
        """Begin a snapshot; the identifier of the image that it will be.  Raises CloudError."""
        answer = self.cloud.ask("POST", f"{self._place(identifier)}/snapshot")
        link = answer.headers.get("link", "")
        if "rel=snapshot" not in link.replace('"', ""):
            raise AnswerError(f"answer does not name the snapshot: `{answer.request}`")
        return link.partition(">")[0].rpartition("/")[2]


class CloudIps(Collected[models.CloudIp]):
    def map(self, identifier: str, destination: str) -> models.CloudIp:
        return self.act(identifier, "map", {"destination": destination})

    def unmap(self, identifier: str) -> models.CloudIp:
        return self.act(identifier, "unmap")


class ServerGroups(Collected[models.ServerGroup]):
    def change_servers(self, identifier: str, action: str, servers: Iterable[str], destination: str = "") -> models.ServerGroup:
        """`action` is add_servers, remove_servers, or move_servers to the group `destination`.  Raises CloudError."""
        fields: dict[str, Any] = {"servers": [{"server": server} for server in servers]}
        return self.act(identifier, action, fields | ({"destination": destination} if destination else {}))


class FirewallPolicies(Collected[models.FirewallPolicy]):
    def apply(self, identifier: str, group: str) -> models.FirewallPolicy:
        return self.act(identifier, "apply_to", {"server_group": group})

    def remove(self, identifier: str, group: str) -> models.FirewallPolicy:
        return self.act(identifier, "remove", {"server_group": group})


def encode_user_data(data: bytes) -> str:
    """User data as the API wants it.  Raises InvalidRequestError if it is too long."""
    text = base64.b64encode(data).decode()
    if len(text) > _LONGEST_USER_DATA:
        raise InvalidRequestError(f"user data is too long: {len(text)} bytes of base64, and {_LONGEST_USER_DATA} are the most")
    return text
