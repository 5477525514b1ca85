"""`nivalis channel`: subscriptions to collections of packages.  The same files as nix-channel's, with words for verbs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.cli.nix_channel import ChannelDesk
    from nivalis.profile.channels import Channel

__all__ = ["command"]


@click.group("channel", short_help="Subscribe to collections of packages, and update them.")
def command() -> None:
    """Subscribe to collections of packages, and bring them up to date.

    A channel is an archive of expressions behind an address.  `<NAME>` leads to it; what an update replaces can be gone back to.
    """


def _work(store: str | None, do: Callable[[ChannelDesk], object]) -> None:
    """Do it with the channels of who is asking, and end."""

    def work() -> int:
        from nivalis.cli.building import BuildOptions
        from nivalis.cli.nix_channel import ChannelDesk

        options = BuildOptions()
        if store is not None:
            options.set("store", store)
        do(ChannelDesk(options, dict(os.environ)))
        return 0

    raise SystemExit(run(work))


def _print_json(desk: ChannelDesk, channels: Sequence[Channel]) -> None:
    import json

    rows = [{"name": channel.name, "address": channel.address, "path": desk.find_installed(channel)} for channel in channels]
    click.echo(json.dumps(rows, indent=2))


_store = click.option("--store", metavar="PLACE", help="Use the store there.")
_json = click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")


@command.command("add")
@click.argument("address")
@click.argument("name", required=False)
@_store
def _add(address: str, name: str | None, store: str | None) -> None:
    """Subscribe to the channel at ADDRESS.

    It is called NAME, or else as its address (https, http or file) ends.
    """

    def do(desk: ChannelDesk) -> None:
        channel = desk.add(address, name)
        click.echo(f"subscribed to `{channel.name}`; `nivalis channel update {channel.name}` fetches it", err=True)

    _work(store, do)


@command.command("remove")
@click.argument("name")
@_store
def _remove(name: str, store: str | None) -> None:
    """Unsubscribe from a channel."""
    _work(store, lambda desk: desk.remove(name))


@command.command("list")
@_json
@_store
def _list(as_json: bool, store: str | None) -> None:
    """Print the subscriptions, and what the last update fetched."""

    def do(desk: ChannelDesk) -> None:
        channels = desk.subscriptions()
        if as_json:
            _print_json(desk, channels)
            return
        for channel in channels:
            click.echo(f"{channel.name}  {channel.address}  {desk.find_installed(channel) or '(not fetched yet)'}")

    _work(store, do)


@command.command("update")
@click.argument("names", nargs=-1)
@_json
@_store
def _update(names: Sequence[str], as_json: bool, store: str | None) -> None:
    """Fetch what the channels NAMES, or all of them, have now."""

    def do(desk: ChannelDesk) -> None:
        channels = desk.update(names)
        if as_json:
            _print_json(desk, channels)

    _work(store, do)


@command.command("rollback")
@click.argument("generation", required=False)
@_store
def _rollback(generation: str | None, store: str | None) -> None:
    """Go back to what the last update replaced, or to that GENERATION."""
    _work(store, lambda desk: desk.roll_back(generation))
