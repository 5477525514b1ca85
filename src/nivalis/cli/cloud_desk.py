"""What the commands of clouds share: the chosen client, the form of output, nouns and verbs.

A command is a noun and a verb, both of which may be shortened as far as they are unique; a noun alone is its usual verb.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from nivalis.cli.cloud_tables import Row, format_details, format_json, format_list
from nivalis.cli.failures import report, run

if TYPE_CHECKING:
    from nivalis.cloud.api import Brightbox
    from nivalis.cloud.auth import Authenticator
    from nivalis.cloud.config import ClientConfig, ConfigFile
    from nivalis.cloud.http import HttpDoor
    from nivalis.cloud.orbit import Orbit
    from nivalis.fetch.network import Network

__all__ = ["CANNOT_AUTHENTICATE", "Desk", "Kind", "NounGroup", "Words", "add_verbs", "as_work", "ids", "json_option"]

# What the field's command says when the cloud does not know who is asking.
CANNOT_AUTHENTICATE = 111


@dataclass
class Desk:
    """What was said before the noun."""

    client: str = ""
    account: str = ""
    simple: bool = False
    as_json: bool = False

    def config(self) -> ConfigFile:
        """Raises CloudConfigError."""
        from nivalis.cloud.config import ConfigFile

        return ConfigFile.of(os.environ)

    def chosen(self) -> ClientConfig:
        """Raises CloudConfigError."""
        from nivalis.cloud.config import select_client

        return select_client(os.environ, self.config(), self.client)

    def network(self) -> Network:
        from nivalis.fetch.network import Network

        return Network(dict(os.environ))

    def door(self) -> HttpDoor:
        from nivalis.cloud.http import HttpDoor

        return HttpDoor(self.network())

    def authenticator(self, client: ClientConfig | None = None) -> Authenticator:
        """Raises CloudConfigError."""
        from nivalis.cloud.auth import Authenticator
        from nivalis.cloud.config import FileTokens

        client = client or self.chosen()
        return Authenticator(
            self.door(),
            client.token_url,
            client.credentials,
            FileTokens(self.config().folder, client.alias),
            ask_password=functools.partial(_ask, f"Password of {client.username}"),
            ask_otp=functools.partial(_ask, "One-time password"),
        )

    def cloud(self) -> Brightbox:
        """Raises CloudConfigError."""
        from nivalis.cloud.api import Brightbox

        client = self.chosen()
        account = self.account or client.default_account
        return Brightbox(self.door(), self.authenticator(client), api_url=client.api_url, account=account)

    def orbit(self) -> Orbit:
        """The object storage of the chosen client, which wants a user's password anew.  Raises CloudConfigError."""
        from nivalis.cloud.orbit import Orbit

        client = self.chosen()
        user = client.username or client.client_id
        key = client.secret if not client.username else client.password or _ask(f"Password of {user}")
        return Orbit(self.door(), client.orbit_url, user, key)

    def show_list(self, columns: Sequence[str], rows: Sequence[Row], values: object = None) -> None:
        self._write(format_json(rows if values is None else values) if self.as_json else format_list(columns, rows, simple=self.simple))

    def show_details(self, columns: Sequence[str], rows: Sequence[Row], values: object = None) -> None:
        self._write(format_json(rows if values is None else values) if self.as_json else format_details(columns, rows, simple=self.simple))

    @staticmethod
    def _write(text: str) -> None:
        from nivalis.lang.encoding import encode

        sys.stdout.buffer.write(encode(text))

    @staticmethod
    def say(text: str) -> None:
        click.echo(text, err=True)


def _ask(what: str) -> str:
    if not sys.stdin.isatty():
        return ""
    return str(click.prompt(what, hide_input=True, err=True))


def as_work(function: Callable[..., object]) -> Callable[..., None]:
    """A verb, whose first argument is the desk, as a command's function: errors are reported, and end it."""

    @click.pass_obj
    @functools.wraps(function)
    def command(desk: Desk, *args: Any, **options: Any) -> None:
        misused: list[click.ClickException] = []

        def work() -> int:
            from nivalis.cloud.errors import AuthenticationError

            if options.pop("as_json", False):
                desk.as_json = True
            try:
                function(desk, *args, **options)
            except AuthenticationError as error:
                report(error)
                return CANNOT_AUTHENTICATE
            except click.ClickException as error:
                # Said by click, with how the command is used.
                misused.append(error)
            return 0

        status = run(work)
        if misused:
            raise misused[0]
        raise SystemExit(status)

    return command


class Words(click.Group):
    """A group whose commands may be shortened; `aliases` are other words for them."""

    aliases: Mapping[str, str] = {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self.aliases.get(cmd_name, cmd_name)
        found = super().get_command(ctx, name)
        if found is None:
            names = [one for one in self.list_commands(ctx) if one.startswith(name)]
            found = super().get_command(ctx, names[0]) if len(names) == 1 else None
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        _, found, rest = super().resolve_command(ctx, args)
        return (found.name if found else None), found, rest


class NounGroup(Words):
    """The verbs of a noun; without one, `usual` is meant."""

    def __init__(self, *args: Any, usual: str = "list", **options: Any) -> None:
        super().__init__(*args, **options)
        self.usual = usual
        self.no_args_is_help = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if first not in ctx.help_option_names and (not first or first.startswith("-") or self.get_command(ctx, first) is None):
            # What is no verb is an argument of the usual one, unless it can only be a verb that was mistyped.
            if first and not first.startswith("-") and not any(character in first for character in "-./@"):
                return super().parse_args(ctx, args)
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


class Kind(NamedTuple):
    """How resources of a kind are shown: the attribute of `Brightbox`, columns of a list and of one, and the row of each."""

    collection: str
    columns: Sequence[str]
    row: Callable[[Any], Row]
    details: Sequence[str] = ()
    detail: Callable[[Any], Row] | None = None


json_option = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
ids = click.argument("ids", nargs=-1, required=True)


def add_verbs(group: click.Group, kind: Kind, *verbs: str) -> None:
    """Those of the verbs that each kind has in the same way: list, show, destroy, lock, unlock."""

    def list_(desk: Desk, ids: Sequence[str]) -> None:
        collection = getattr(desk.cloud(), kind.collection)
        found = [collection.get(one) for one in ids] if ids else collection.list()
        desk.show_list(kind.columns, [kind.row(one) for one in found], found)

    def show(desk: Desk, ids: Sequence[str]) -> None:
        collection = getattr(desk.cloud(), kind.collection)
        found = [collection.get(one) for one in ids]
        desk.show_details(kind.details or kind.columns, [(kind.detail or kind.row)(one) for one in found], found)

    def destroy(desk: Desk, ids: Sequence[str]) -> None:
        collection = getattr(desk.cloud(), kind.collection)
        for one in ids:
            desk.say(f"Destroying {one}")
            collection.destroy(one)

    def lock(desk: Desk, ids: Sequence[str]) -> None:
        collection = getattr(desk.cloud(), kind.collection)
        for one in ids:
            desk.say(f"Locking {one}")
            collection.lock(one)

    def unlock(desk: Desk, ids: Sequence[str]) -> None:
        collection = getattr(desk.cloud(), kind.collection)
        for one in ids:
            desk.say(f"Unlocking {one}")
            collection.unlock(one)

    if "list" in verbs:
        group.command("list", help="List them.")(click.argument("ids", nargs=-1)(json_option(as_work(list_))))
    if "show" in verbs:
        group.command("show", help="Show them in full.")(ids(json_option(as_work(show))))
    if "destroy" in verbs:
        group.command("destroy", help="Destroy them.")(ids(as_work(destroy)))
    if "lock" in verbs:
        group.command("lock", help="Lock them, so that they cannot be destroyed.")(ids(as_work(lock)))
    if "unlock" in verbs:
        group.command("unlock", help="Unlock them.")(ids(as_work(unlock)))
