"""`nivalis run`: one program of a package, without installing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from nivalis.cli.package_shells import nix_string, shell_options, shell_words, start

__all__ = ["command"]

# In Bash: become the program; where there is none, all that the package has can be seen.
_RUN = """
if ! found=$(type -P -- "$mainProgram"); then
  echo "error[no-program]: the package has no program of that name: \\`$mainProgram\\`" >&2
  programs=$(shopt -s nullglob; cd "$mainFolder" 2> /dev/null && echo *)
  echo "  hint: \\`--program NAME\\` runs another; it has ${programs:-none}" >&2
  exit 127
fi
exec -a "$mainProgram" "$found" "$@"
"""


@click.command("run", short_help="Run a program of a package.")
@click.argument("package")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--program", metavar="NAME", help="The program, where it is not called like its package.")
@shell_options
def command(package: str, arguments: Sequence[str], program: str | None, **options: Any) -> None:
    """Run the main program of PACKAGE (a name or an attribute path in the channel) with ARGUMENTS, which come after `--`.

    Of Debian's packages, all that the package needs is /usr then.
    """
    name = nix_string(program) if program is not None else "found.meta.mainProgram or found.pname or (builtins.parseDrvName found.name).name"
    body = f'let found = find {nix_string(package)}; in make {{ packages = [ found ]; mainProgram = {name}; mainFolder = "${{found}}/bin"; }}'
    raise SystemExit(start([*shell_words(body, **options), "--run", _RUN], arguments))
