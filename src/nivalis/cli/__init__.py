"""The command line: `nivalis <command>`, and the faces of Nix's own commands (`nix-instantiate`) beside it.

One file per command, and only here are arguments read, the working directory looked at, output written and the process ended;
everything below takes values and raises `NivalisError`.  A command may import any package, and does so where it needs it:
`nivalis --help` is to start in under 100 ms, so it reads the table in `nivalis.cli.group` and imports no command.

A Nix face is a function `main()` in a module of its own, named in pyproject.toml; it does not go through the table, and
this package imports nothing before it is asked to, since Nix's own commands must start as fast as Nix's.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The program `nivalis`."""
    from nivalis.cli.group import nivalis_group

    nivalis_group()
