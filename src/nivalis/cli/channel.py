"""`nivalis channel`: subscriptions to collections of packages.  The same files as nix-channel's, with words for verbs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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

    A channel is an archive of expressions behind an address, or a suite of Debian (`debian:bookworm`).  `<NAME>` leads to it; what an update
    replaces can be gone back to.
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
@click.option("--mirror", "mirrors", multiple=True, metavar="URL", help="Take the suite's packages from there, and not from apt's sources.")
@click.option("--component", "components", multiple=True, metavar="C", help="Have this part of the suite (main, contrib, ...); main alone without.")
@click.option("--arch", metavar="A", help="Have the suite's packages for this architecture (amd64, arm64, ...), and not for this machine's.")
@_store
def _add(address: str, name: str | None, mirrors: Sequence[str], components: Sequence[str], arch: str | None, store: str | None) -> None:
    """Subscribe to the channel at ADDRESS.

    It is called NAME, or else as its address (https, http or file) ends.  ADDRESS may be a suite of Debian: `debian:bookworm`; its updates and
    security updates are joined by themselves.  The two words may stand in either order.
    """

    def do(desk: ChannelDesk) -> None:
        from dataclasses import replace

        from nivalis.debian.address import PREFIX, DebianAddress

        where, called = (name, address) if name is not None and ":" in name and ":" not in address else (address, name)
        if components or arch:
            if not where.startswith(PREFIX):
                raise click.UsageError("--component and --arch are for a suite of Debian: `debian:SUITE`")
            parsed = DebianAddress.parse(where)
            where = str(replace(parsed, components=tuple(components) or parsed.components, architecture=arch or parsed.architecture))
        channel = desk.add(where, called, mirrors=mirrors)
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


_relaxations = (
    click.option("--allow-expired", is_flag=True, help="Take a Release of Debian's that is past its time."),
    click.option("--allow-future", is_flag=True, help="Take one that is ahead of this machine's clock."),
    click.option("--allow-downgrade", is_flag=True, help="Take one that is older than the last."),
)


def _relaxing(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_relaxations):
        function = option(function)
    return function


def _relaxed(flags: Mapping[str, bool]) -> list[str]:
    return [name.removeprefix("allow_") for name, is_set in flags.items() if is_set]


@command.command("update")
@click.argument("names", nargs=-1)
@_relaxing
@_json
@_store
def _update(names: Sequence[str], as_json: bool, store: str | None, **flags: bool) -> None:
    """Fetch what the channels NAMES, or all of them, have now."""

    def do(desk: ChannelDesk) -> None:
        channels = desk.update(names, _relaxed(flags))
        if as_json:
            _print_json(desk, channels)

    _work(store, do)


@command.command("diff")
@click.argument("old", required=False)
@click.argument("new", required=False)
@_relaxing
@_json
@_store
def _diff(old: str | None, new: str | None, as_json: bool, store: str | None, **flags: bool) -> None:
    """Show what an update of the Debian suites would change, or what differs between OLD and NEW.

    Either is a generation of the channels, or a snapshot in the store; without NEW, OLD is compared with what there is now.
    """

    def do(desk: ChannelDesk) -> None:
        import json

        found = desk.compare(old, new, _relaxed(flags))
        if as_json:
            rows = [
                {"channel": name or None, "package": one.package, "old": one.old, "new": one.new, "security": one.is_security}
                for name, differences in found
                for one in differences
            ]
            click.echo(json.dumps(rows, indent=2))
            return
        for name, differences in found:
            for one in differences:
                line = f"{one.package}: {one.old or '(none)'} -> {one.new or '(none)'}{'  [security]' if one.is_security else ''}"
                click.echo(f"{name}  {line}" if len(found) > 1 else line)

    _work(store, do)


@command.command("rollback")
@click.argument("generation", required=False)
@_store
def _rollback(generation: str | None, store: str | None) -> None:
    """Go back to what the last update replaced, or to that GENERATION."""
    _work(store, lambda desk: desk.roll_back(generation))
