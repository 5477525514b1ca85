"""`nivalis config`: the options, what they are set to, and where that is said."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from nivalis.cli.failures import run

if TYPE_CHECKING:
    from nivalis.settings import Settings

__all__ = ["command"]


@click.command("config", short_help="Show the options, their values and where these come from.")
@click.argument("name", required=False)
@click.option("--set", "is_set", is_flag=True, help="Show only what is set, and no defaults.")
@click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set an option before.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with values, defaults, places and descriptions.")
def command(name: str | None, is_set: bool, settings: Sequence[tuple[str, str]], as_json: bool) -> None:
    """Show the option NAME, or all, as they are configured: by /etc/nix/nix.conf, the user's files, and NIX_CONFIG.

    With --set, the list is itself a configuration file.
    """
    raise SystemExit(run(lambda: _show(name, is_set, settings, as_json)))


def _show(name: str | None, is_set: bool, given: Sequence[tuple[str, str]], as_json: bool) -> int:
    from nivalis.cli.common_options import CommonOptions
    from nivalis.settings.table import OPTIONS

    options = CommonOptions()
    for option, text in given:
        options.set(option, text)
    config = options.config
    shown = [option for option in sorted(OPTIONS) if config.is_set(option) or not is_set] if name is None else [_find(name)]
    if as_json:
        rows = {option: _describe(config, option) for option in shown}
        print(json.dumps(rows if name is None else rows[shown[0]], indent=2))
    elif name is None:
        for option in shown:
            print(_line(config, option))
    else:
        _explain(config, shown[0])
    return 0


def _find(name: str) -> str:
    from nivalis.cli.arguments import UsageError
    from nivalis.settings.table import all_names, find_option

    found = find_option(name)
    if found is None:
        near = difflib.get_close_matches(name, [known for known, _, _ in all_names()], n=1)
        raise UsageError(f"there is no such option: `{name}`", hint=f"did you mean `{near[0]}`?" if near else "`nivalis config` lists all")
    return found[0].name


def _line(config: Settings, name: str) -> str:
    line = f"{name} = {config.text(name)}".rstrip()
    places = ", ".join(config.places(name))
    return f"{line}  # {places}" if places else line


def _explain(config: Settings, name: str) -> None:
    from nivalis.settings.table import OPTIONS

    option = OPTIONS[name]
    rows = [
        ("from", ", ".join(config.places(name)) or "the default"),
        ("default", option.default),
        ("also called", ", ".join(option.aliases)),
        ("without effect", option.ignored),
    ]
    print(f"{name} = {config.text(name)}".rstrip(), f"  {option.text}", *(f"  {title}: {text}" for title, text in rows if text), sep="\n")


def _describe(config: Settings, name: str) -> dict[str, object]:
    from nivalis.settings.settings import Settings
    from nivalis.settings.table import OPTIONS

    option = OPTIONS[name]
    return {
        "value": config.value(name),
        "default": None if option.is_machines else Settings({}).value(name),
        "places": list(config.places(name)),
        "description": option.text,
        "aliases": list(option.aliases),
        "ignored": option.ignored or None,
    }
