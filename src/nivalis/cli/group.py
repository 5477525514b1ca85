"""`nivalis` itself: the commands' table, and the group that imports a command only to run it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import NamedTuple

import click

import nivalis

__all__ = ["COMMANDS", "LazyCommand", "nivalis_group"]


class LazyCommand(NamedTuple):
    """Where a command is, and the line that `--help` shows for it: `module` has it as its attribute `command`."""

    module: str
    summary: str


COMMANDS: Mapping[str, LazyCommand] = {
    "build": LazyCommand("nivalis.cli.build", "Build what an expression gives, and link to the result."),
    "cache": LazyCommand("nivalis.cli.cache", "Copy store paths into a binary cache, serve one; keys and signatures."),
    "channel": LazyCommand("nivalis.cli.channel", "Subscribe to collections of packages, and update them."),
    "cloud": LazyCommand("nivalis.cli.cloud", "Images, servers and addresses on Brightbox, or on a cloud of this machine."),
    "config": LazyCommand("nivalis.cli.config", "Show the options, their values and where these come from."),
    "deploy": LazyCommand("nivalis.cli.deploy", "Make a server of a cloud what a configuration says."),
    "destroy": LazyCommand("nivalis.cli.destroy", "Destroy a server that was deployed, and what belongs to it."),
    "diff": LazyCommand("nivalis.cli.diff", "Show what differs between two closures."),
    "enter": LazyCommand("nivalis.cli.enter", "Run a command where the store is seen at /nix/store."),
    "eval": LazyCommand("nivalis.cli.eval", "Evaluate an expression and print its value."),
    "image": LazyCommand("nivalis.cli.image", "Show what is in a disk image."),
    "log": LazyCommand("nivalis.cli.log", "Show what the builder of a derivation said."),
    "options": LazyCommand("nivalis.cli.options", "Find options of a system by words in their names and descriptions."),
    "plan": LazyCommand("nivalis.cli.plan", "Show what a switch of this machine would change."),
    "repl": LazyCommand("nivalis.cli.repl", "Evaluate expressions as you type them."),
    "run": LazyCommand("nivalis.cli.run", "Run a program of a package."),
    "search": LazyCommand("nivalis.cli.search", "Find packages by words in their names and descriptions."),
    "shell": LazyCommand("nivalis.cli.shell", "Start a shell with some packages."),
    "uninstall": LazyCommand("nivalis.cli.uninstall", "Remove nivalis from this machine."),
    "why": LazyCommand("nivalis.cli.why", "Show why one store path needs another."),
    "why-depends": LazyCommand("nivalis.cli.why_depends", "Explain which packages of Debian a package needs, and why these."),
}


class _Commands(click.Group):
    """Finds commands in `COMMANDS` and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = importlib.import_module(entry.module).command
        assert isinstance(command, click.Command), f"{entry.module}.command is no command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, COMMANDS[name].summary) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


@click.command("nivalis", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(nivalis.__version__, "-V", "--version", message="nivalis %(version)s")
def nivalis_group() -> None:
    """Build, ship and run declarative Linux systems."""
