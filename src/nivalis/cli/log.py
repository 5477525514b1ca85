"""`nivalis log`: show what a builder said."""

from __future__ import annotations

import os
import sys

import click

from nivalis.cli.failures import run

__all__ = ["command"]


@click.command("log", short_help="Show what the builder of a derivation said.")
@click.argument("path")
@click.option("--store", metavar="PLACE", help="Use the store there.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with PATH, the log's file and its text.")
def command(path: str, store: str | None, as_json: bool) -> None:
    """Show the log of the last build of PATH: a derivation, a store path that was built, or a link to one (`./result`)."""
    raise SystemExit(run(lambda: _show(path, store, as_json)))


def _show(path: str, place: str | None, as_json: bool) -> int:
    from nivalis.cli.store_options import StoreOptions, store_path_of
    from nivalis.store.logs import find_log_of, read_log

    options = StoreOptions()
    options.store = place
    with options.open(os.environ) as store:
        wanted = store_path_of(store.layout, path, os.getcwd())
        file = find_log_of(store, wanted)
    if as_json:
        import json

        print(json.dumps({"path": wanted, "file": str(file), "log": b"".join(read_log(file)).decode("utf-8", "replace")}))
    else:
        for piece in read_log(file):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0
