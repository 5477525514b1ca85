"""`nixos-generate-config`: a first configuration of this machine, from what it is made of."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nivalis.cli.arguments import Flags, UsageError, read_program
from nivalis.cli.failures import run

__all__ = ["main", "nixos_generate_config"]

_HELP = """\
Usage: nixos-generate-config [FLAGS]

Writes /etc/nixos/hardware-configuration.nix from what the machine is made of, and a configuration.nix beside it if there is none.

  --root DIR                for the system that is mounted there
  --dir DIR                 write the files there
  --force                   write configuration.nix though there is one
  --no-filesystems          leave file systems and swap out
  --show-hardware-config    only print what would be in hardware-configuration.nix
  -h, --help, --version
"""


class _Options:
    def __init__(self) -> None:
        self.root = "/"
        self.folder = "/etc/nixos"
        self.switches: set[str] = set()

    def flags(self) -> Flags:
        own: dict[str, tuple[int, Callable[..., object]]] = {
            "--root": (1, lambda text: setattr(self, "root", os.path.abspath(text))),
            "--dir": (1, lambda text: setattr(self, "folder", text)),
        }
        for name in ("force", "no-filesystems", "show-hardware-config"):
            own[f"--{name}"] = (0, lambda name=name: self.switches.add(name))
        return own


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nixos_generate_config(sys.argv[1:])))


def nixos_generate_config(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError, OSError."""
    from nivalis.settings.machine import host_system
    from nivalis.system.hardware import look_at_hardware, show_configuration, show_hardware

    options = _Options()
    if not read_program("nixos-generate-config", _HELP, words, options.flags(), _refuse_word):
        return 0
    found = look_at_hardware(host_system(), options.root)
    hardware = show_hardware(found, with_file_systems="no-filesystems" not in options.switches)
    if "show-hardware-config" in options.switches:
        print(hardware, end="")
        return 0
    # A folder of the system that is mounted there, unless it was given: then it is where it says.
    folder = Path(options.root.rstrip("/") + options.folder if options.folder == "/etc/nixos" else options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "hardware-configuration.nix", hardware)
    configuration = folder / "configuration.nix"
    if configuration.exists() and "force" not in options.switches:
        print(f"warning: not overwriting existing {configuration}", file=sys.stderr)
    else:
        _write(configuration, show_configuration(found, _release()))
    return 0


def _write(file: Path, text: str) -> None:
    print(f"writing {file}...", file=sys.stderr)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.rename(file)


def _release() -> str:
    """The release of the system that runs here, or Debian's present one."""
    try:
        return Path("/run/current-system/nixos-version").read_text(encoding="utf-8").partition(".")[0]
    except OSError:
        return "12"


def _refuse_word(word: str) -> None:
    raise UsageError(f"unexpected argument '{word}'")
