"""The program `brightbox`: the commands of `nivalis cloud` under the name that users of Brightbox know."""

from __future__ import annotations

import click

import nivalis
from nivalis.cli.cloud import NOUNS, Clouds, global_options
from nivalis.cli.cloud_desk import Desk

__all__ = ["main"]


@click.group("brightbox", cls=Clouds, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(nivalis.__version__, "-V", "--version", message="brightbox (nivalis %(version)s)")
@global_options
@click.pass_context
def _brightbox(context: click.Context, simple: bool, as_json: bool, client: str, account: str) -> None:
    """Use a Brightbox cloud."""
    context.obj = Desk(client, account, simple, as_json)


for _noun in NOUNS:
    _brightbox.add_command(_noun)


def main() -> None:
    """The program."""
    _brightbox()
