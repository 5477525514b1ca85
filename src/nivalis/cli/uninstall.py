"""`nivalis uninstall`: take away the installation that this command belongs to."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nivalis.cli.failures import run

__all__ = ["command"]


@click.command("uninstall", short_help="Remove nivalis from this machine.")
@click.option("--delete-store/--keep-store", "deletes_store", default=None, help="Delete the store and its profiles too, or keep them unasked.")
def command(deletes_store: bool | None) -> None:
    """Remove nivalis from this machine: what install.sh has put here, and nothing else.

    Whether the store goes too is asked; where nobody can be asked, it stays.
    """

    def work() -> int:
        from nivalis.install.program import run_remove

        # The environment is PREFIX/lib/nivalis/versions/<id>.
        run_remove(Path(sys.prefix, "../../../..").resolve(), deletes_store)
        return 0

    raise SystemExit(run(work))
