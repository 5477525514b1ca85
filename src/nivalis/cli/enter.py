"""`nivalis enter`: a command, or a shell, that sees the store at its logical place."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from nivalis.cli.failures import run

__all__ = ["command"]


@click.command("enter", short_help="Run a command where the store is seen at /nix/store.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND [ARGUMENT]...]")
@click.option("--store", metavar="PLACE", help="The store there, rather than one's own.")
def command(words: Sequence[str], store: str | None) -> None:
    """Run COMMAND, or else your shell, where a store that lies elsewhere is seen at /nix/store, and the commands of your profile come first.

    All else is the machine's own.  For a store that is in /nix anyway there is nothing to see, and the command is just run.
    """

    def work() -> int:
        from nivalis.cli.building import BuildOptions
        from nivalis.cli.nix_env import user_name
        from nivalis.profile.namespace import View, enter, find_places
        from nivalis.profile.profiles import find_default_profile
        from nivalis.profile.shell import become

        options = BuildOptions()
        if store is not None:
            options.set("store", store)
        variables = dict(os.environ)
        layout = options.layout(variables)
        profile = find_default_profile(layout, variables, user_name())
        view = View(find_places(layout))
        place = str(profile)
        if view.places:
            variables["NIX_REMOTE"] = layout.address
            place = place.replace(str(layout.state_dir), "/nix/var/nix", 1)
        variables["PATH"] = f"{place}/bin:{variables.get('PATH', os.defpath)}"
        argv = ["sh", "-c", 'exec "$@"', "sh", *(words or [variables.get("SHELL", "/bin/sh")])]
        if view.is_here:
            become("/bin/sh", argv, variables)
        enter(view, "/bin/sh", argv, variables)

    raise SystemExit(run(work))
