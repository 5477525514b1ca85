"""`nivalis cloud accounts`, `users`, `types`, `zones`, `volumes`, `config`, `login` and `token`: who one is, and what there is to choose from."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from nivalis.cli.cloud_desk import Desk, Kind, NounGroup, add_verbs, as_work, json_option
from nivalis.cli.cloud_tables import Row

if TYPE_CHECKING:
    from nivalis.cloud.config import ClientConfig
    from nivalis.cloud.models import Account, ServerType, User, Volume, Zone

__all__ = ["accounts", "config", "login", "token", "types", "users", "volumes", "zones"]

_LIBRARY = ("id", "name", "library_ftp_host", "library_ftp_user", "library_ftp_password")


def _account_row(account: Account) -> Row:
    limits = {"cloud_ips_limit": account.cloud_ips_limit, "cloud_ip_limit": account.cloud_ips_limit, "lb_limit": account.load_balancers_limit}
    memory = {"ram_limit": account.ram_limit, "ram_used": account.ram_used, "ram_free": account.ram_limit - account.ram_used}
    library = {"library_ftp_host": account.library_ftp_host, "library_ftp_user": account.library_ftp_user}
    return {"id": account.id, "name": account.name, **limits, **memory, **library, "library_ftp_password": account.library_ftp_password}


_ACCOUNTS = Kind(
    "accounts",
    ("id", "name", "cloud_ips_limit", "lb_limit", "ram_limit", "ram_used", "ram_free"),
    _account_row,
    ("id", "name", "cloud_ip_limit", "ram_limit", "ram_used", "lb_limit", "ram_free", "library_ftp_host", "library_ftp_user"),
)


@click.group("accounts", cls=NounGroup)
def accounts() -> None:
    """Accounts, their limits, and the FTP library of old."""


add_verbs(accounts, _ACCOUNTS, "list", "show")


@accounts.command("default")
@click.argument("identifier")
@as_work
def _account_default(desk: Desk, identifier: str) -> None:
    """Have this account in mind from now on."""
    file = desk.config()
    client = file.find(desk.client or file.default)
    file.put(dataclasses.replace(client, default_account=identifier))
    file.write()


@accounts.command("reset_ftp_password")
@click.argument("ids", nargs=-1)
@json_option
@as_work
def _reset_ftp_password(desk: Desk, ids: Sequence[str]) -> None:
    """Set a new password of the FTP library, and show it."""
    cloud = desk.cloud()
    found = [cloud.accounts.reset_ftp_password(one) for one in ids or ("",)]
    rows = [{name: _account_row(one)[name] for name in _LIBRARY} for one in found]
    desk.show_details(_LIBRARY, rows)


def _type_row(kind: ServerType) -> Row:
    return {"id": kind.id, "name": kind.name, "handle": kind.handle, "ram": kind.ram, "disk": kind.disk_size, "cores": kind.cores}


@click.group("types", cls=NounGroup)
def types() -> None:
    """Types of servers: how large one can be."""


add_verbs(types, Kind("server_types", ("id", "name", "handle", "ram", "disk", "cores"), _type_row), "list", "show")


def _zone_row(zone: Zone) -> Row:
    return {"id": zone.id, "handle": zone.handle}


@click.group("zones", cls=NounGroup)
def zones() -> None:
    """Zones: where a server can be."""


add_verbs(zones, Kind("zones", ("id", "handle"), _zone_row), "list", "show")


def _volume_row(volume: Volume) -> Row:
    shown = {"id": volume.id, "type": volume.source_type, "size": volume.size, "status": volume.status}
    return {**shown, "server": volume.server.id if volume.server else "", "boot": volume.boot, "name": volume.name}


@click.group("volumes", cls=NounGroup)
def volumes() -> None:
    """Volumes, to be looked at."""


add_verbs(volumes, Kind("volumes", ("id", "type", "size", "status", "server", "boot", "name"), _volume_row), "list", "show")


def _user_row(user: User) -> Row:
    return {"id": user.id, "name": user.name, "email_address": user.email_address, "accounts": [one.id for one in user.accounts]}


def _user_detail(user: User) -> Row:
    return {**_user_row(user), "ssh_key": user.ssh_key}


_USERS = Kind("users", ("id", "name", "email_address", "accounts"), _user_row, ("id", "name", "email_address", "accounts", "ssh_key"), _user_detail)


@click.group("users", cls=NounGroup)
def users() -> None:
    """Users, whose keys new servers let in."""


add_verbs(users, _USERS, "list", "show")


@users.command("update")
@click.argument("identifier")
@click.option("-f", "--ssh-key", type=click.File("r"), help="The file of the key that new servers are to let in; - is the standard input.")
@click.option("-n", "--name", help="What the user is called.")
@json_option
@as_work
def _user_update(desk: Desk, identifier: str, ssh_key: Any, name: str | None) -> None:
    """Change one."""
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if ssh_key is not None:
        changes["ssh_key"] = ssh_key.read().strip()
    found = desk.cloud().users.update(identifier, changes)
    desk.show_list(_USERS.columns, [_user_row(found)], found)


# ---------------------------------------------------------------------------------------------------- clients and tokens


@click.group("config", cls=NounGroup, usual="client_list")
def config() -> None:
    """The clients in ~/.brightbox/config."""


@config.command("client_list")
@json_option
@as_work
def _client_list(desk: Desk) -> None:
    """List them; the default one has a star.  Secrets are not shown."""
    file = desk.config()
    rows = [
        {
            "alias": f"*{one.alias}" if one.alias == file.default and not (desk.simple or desk.as_json) else one.alias,
            "client_id": one.client_id,
            "secret": "***",
            "api_url": one.api_url,
            "auth_url": one.token_url,
        }
        for one in file.clients()
    ]
    desk.show_list(("alias", "client_id", "secret", "api_url", "auth_url"), rows)


@config.command("client_add")
@click.argument("client_id")
@click.argument("secret")
@click.argument("api_url", required=False)
@click.argument("auth_url", required=False)
@click.option("-a", "--alias", help="What it is called here.")
@as_work
def _client_add(desk: Desk, client_id: str, secret: str, api_url: str | None, auth_url: str | None, alias: str | None) -> None:
    """Add an API client (cli-xxxxx)."""
    _put(desk, _make(alias or client_id, client_id, secret, api_url, auth_url))


@config.command("user_add")
@click.argument("email")
@click.argument("app_id")
@click.argument("secret")
@click.argument("api_url", required=False)
@click.argument("auth_url", required=False)
@click.option("-a", "--alias", help="What it is called here.")
@click.option("-p", "--password", help="The user's password, which is asked for without; it is not kept.")
@as_work
def _user_add(
    desk: Desk, email: str, app_id: str, secret: str, api_url: str | None, auth_url: str | None, alias: str | None, password: str | None
) -> None:
    """Add a user, by way of an application, and log in."""
    client = dataclasses.replace(_make(alias or email, app_id, secret, api_url, auth_url), username=email, password=password or "")
    desk.authenticator(client).log_in()
    _put(desk, client)


@config.command("client_default")
@click.argument("alias")
@as_work
def _client_default(desk: Desk, alias: str) -> None:
    """Choose the client that is used when none is named."""
    file = desk.config()
    file.set_default(alias)
    file.write()


@config.command("client_remove")
@click.argument("alias")
@as_work
def _client_remove(desk: Desk, alias: str) -> None:
    """Remove a client, and its tokens."""
    file = desk.config()
    file.remove(alias)
    file.write()


def _make(alias: str, client_id: str, secret: str, api_url: str | None, auth_url: str | None) -> ClientConfig:
    from nivalis.cloud.api import API_URL
    from nivalis.cloud.config import ClientConfig

    return ClientConfig(alias, client_id, secret, api_url or API_URL, auth_url or api_url or API_URL)


def _put(desk: Desk, client: ClientConfig) -> None:
    file = desk.config()
    file.put(client)
    file.write()
    desk.say(f"`{client.alias}` is configured" + (", and used when none is named" if file.default == client.alias else ""))


@click.command("login")
@click.argument("email")
@click.option("-p", "--password", help="The password, which is asked for without; it is not kept.")
@click.option("--default-account", default="", help="The account to have in mind.")
@click.option("--application-id", required=True, help="The application by which one logs in.")
@click.option("--application-secret", required=True, help="Its secret.")
@click.option("--api-url", help="Where the API is.")
@click.option("--auth-url", help="Where its tokens are.")
@as_work
def login(
    desk: Desk,
    email: str,
    password: str | None,
    default_account: str,
    application_id: str,
    application_secret: str,
    api_url: str | None,
    auth_url: str | None,
) -> None:
    """Log in as a user."""
    client = _make(email, application_id, application_secret, api_url, auth_url)
    # EMAIL may have a suffix, by which one person has several configurations.
    client = dataclasses.replace(client, username=email.partition("/")[0], alias=email.replace("/", "_"), password=password or "")
    desk.authenticator(client).log_in()
    _put(desk, dataclasses.replace(client, default_account=default_account))


@click.group("token", cls=NounGroup, usual="show")
def token() -> None:
    """The token of the chosen client, for other programs."""


_FORMATS = click.option("--format", "form", type=click.Choice(["text", "token", "json", "curl"]), default="text", show_default=True)


@token.command("show")
@_FORMATS
@as_work
def _token_show(desk: Desk, form: str) -> None:
    """Show the one that is in use."""
    _print_token(desk.authenticator().token(), form)


@token.command("create")
@_FORMATS
@as_work
def _token_create(desk: Desk, form: str) -> None:
    """Get a new one."""
    _print_token(desk.authenticator().renew(), form)


def _print_token(access: str, form: str) -> None:
    match form:
        case "json":
            text = json.dumps({"access_token": access, "token_type": "Bearer"})
        case "curl":
            text = f'header = "Authorization: Bearer {access}"'
        case "token":
            text = access
        case _:
            text = f"access_token: {access}"
    sys.stdout.write(f"{text}\n")
