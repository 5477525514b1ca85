"""`nivalis shell`: a shell in which some packages are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from nivalis.cli.package_shells import nix_string, shell_options, shell_words, start

__all__ = ["command"]


@click.command("shell", short_help="Start a shell with some packages.")
@click.argument("packages", nargs=-1, required=True, metavar="PACKAGE...")
@click.option("-c", "--command", "what", metavar="COMMAND", help="Run this in the shell, and end with its exit status.")
@shell_options
def command(packages: Sequence[str], what: str | None, **options: Any) -> None:
    """Start a shell with the commands of PACKAGEs: names (`git`) or paths of attributes (`python3Packages.requests`) in the channel.

    Debian's packages, and all that they need, are /usr in it.  Your own files are there as ever, but for `--pure`.
    """
    found = " ".join(f"(find {nix_string(package)})" for package in packages)
    words = shell_words(f"make {{ packages = [ {found} ]; }}", **options)
    raise SystemExit(start([*words, "--run", what] if what is not None else words))
