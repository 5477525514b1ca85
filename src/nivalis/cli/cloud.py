"""`nivalis cloud`: Brightbox, and the cloud of this machine.

Nouns, verbs, options and tables are those of the field's `brightbox` command, which `nivalis.cli.brightbox` is by name too.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from nivalis.cli.cloud_account import accounts, config, login, token, types, users, volumes, zones
from nivalis.cli.cloud_desk import Desk, Words
from nivalis.cli.cloud_images import images
from nivalis.cli.cloud_local import console, local
from nivalis.cli.cloud_network import cloudips, firewall_policies, firewall_rules, groups
from nivalis.cli.cloud_servers import servers

__all__ = ["Clouds", "command", "global_options"]

NOUNS = (accounts, cloudips, config, firewall_policies, firewall_rules, groups, images, login, servers, token, types, users, volumes, zones)


class Clouds(Words):
    """The nouns."""

    aliases = {"firewall-policy": "firewall-policies"}  # noqa: RUF012


def global_options(function: Callable[..., None]) -> Callable[..., None]:
    """What may stand before a noun."""
    options = (
        click.option("-s", "--simple", is_flag=True, help="Print tables with tabs and without a header."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("-c", "--client", default="", help="Use this client of the configuration."),
        click.option("--account", default="", help="Ask for this account, as a user who has several."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group("cloud", cls=Clouds, short_help="Images, servers and addresses on Brightbox, or on a cloud of this machine.")
@global_options
@click.pass_context
def command(context: click.Context, simple: bool, as_json: bool, client: str, account: str) -> None:
    """Use a cloud: Brightbox, or one on this machine (`nivalis cloud local start`).

    Nouns and verbs may be shortened; a noun alone lists.
    """
    context.obj = Desk(client, account, simple, as_json)


for _noun in (*NOUNS, console, local):
    command.add_command(_noun)
