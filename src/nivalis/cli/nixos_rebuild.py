"""`nixos-rebuild`: make this machine what its configuration says, or what it was before.

Words and flags are NixOS's.  `build`, `dry-build` and `dry-activate` change nothing, and need not be root.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nivalis.cli.arguments import Flags, UsageError, read_program
from nivalis.cli.building import BuildOptions
from nivalis.cli.failures import run
from nivalis.cli.systems import SystemDesk
from nivalis.cli.talk import show_warning

if TYPE_CHECKING:
    from nivalis.store.store import Store
    from nivalis.system.machine import Machine

__all__ = ["main", "nixos_rebuild"]

_HELP = """\
Usage: nixos-rebuild ACTION [FLAGS]

  switch                    build the configuration, make it the system that boots, and make the running machine it
  boot                      build it, and make it the system that boots
  test                      build it, and make the running machine it until the next boot
  build                     build it, and make ./result a link to it
  dry-build                 say what would be built and fetched
  dry-activate              build it, and say what a switch would do (`nivalis plan` says more, before building)
  list-generations          print the generations (also --list-generations)

  --rollback                with switch, boot, test, build: the generation before the current one instead of the configuration
  --upgrade                 first bring the channels `nixos` and `nixpkgs` up to date
  --upgrade-all             first bring all channels up to date
  -p, --profile-name NAME   keep the generations under this name, apart from the others; the boot menu shows them too
  -I [NAME=]PATH            look here first for <NAME>; `-I nixos-config=FILE` is another configuration
  -f, --file FILE           what is evaluated in place of <nixpkgs/nixos>
  --arg NAME EXPR, --argstr NAME STRING
                            arguments for it
  --json                    with list-generations: as JSON
  --show-trace              show all frames of an error's trace
  --option NAME VALUE       set one of Nix's settings
  -h, --help, --version
"""

_ACTIONS = ("switch", "boot", "test", "build", "dry-build", "dry-activate", "list-generations")


class Options(BuildOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[str] = []
        self.rolls_back = False
        self.upgrades: str | None = None
        self.profile = ""
        self.file: str | None = None
        self.json = False

    def flags(self) -> Flags:
        own: dict[str, tuple[int, Callable[..., object]]] = {
            "--rollback": (0, lambda: setattr(self, "rolls_back", True)),
            "--upgrade": (0, lambda: setattr(self, "upgrades", "some")),
            "--upgrade-all": (0, lambda: setattr(self, "upgrades", "all")),
            "--list-generations": (0, lambda: self.actions.append("list-generations")),
            "--json": (0, lambda: setattr(self, "json", True)),
            # The profile of a machine, not one of the store's as elsewhere.
            "-p": (1, self.set_profile),
            "--profile-name": (1, self.set_profile),
            "-f": (1, lambda file: setattr(self, "file", file)),
            "--file": (1, lambda file: setattr(self, "file", file)),
            # nivalis is what runs already, and the menu needs no loader to be installed again.
            **dict.fromkeys(("--fast", "--no-build-nix", "--no-reexec", "--install-bootloader", "-L", "--print-build-logs"), (0, lambda: None)),
        }
        return {**super().flags(), **own}

    def set_profile(self, name: str) -> None:
        if not name or "/" in name or name.startswith("."):
            raise UsageError(f"not the name of a profile: '{name}'")
        self.profile = "" if name == "system" else name


def main() -> None:
    """The program."""
    raise SystemExit(run(lambda: nixos_rebuild(sys.argv[1:])))


def nixos_rebuild(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    options = Options()
    if not read_program("nixos-rebuild", _HELP, words, options.flags(), options.actions.append):
        return 0
    if len(options.actions) != 1 or options.actions[0] not in _ACTIONS:
        raise UsageError("say what to do: one of " + ", ".join(_ACTIONS), hint="`nixos-rebuild --help` explains them")
    return _Rebuild(options, dict(os.environ)).run(options.actions[0])


class _Rebuild:
    def __init__(self, options: Options, environment: dict[str, str]) -> None:
        from nivalis.system.machine import Machine

        self._options = options
        self._environment = environment
        self._desk = SystemDesk(options, environment, options.file)
        self._machine: Machine = Machine(self._desk.layout, options.profile)

    def run(self, action: str) -> int:
        if action == "list-generations":
            _print_generations(self._machine, as_json=self._options.json)
            return 0
        if action in ("switch", "boot", "test"):
            _check_root()
        if self._options.upgrades is not None:
            self._upgrade()
        with self._desk.open() as store:
            if self._options.rolls_back:
                return self._roll_back(store, action)
            return self._rebuild(store, action)

    def _upgrade(self) -> None:
        from nivalis.cli.nix_channel import ChannelDesk

        desk = ChannelDesk(self._options, self._environment)
        names = [channel.name for channel in desk.subscriptions()]
        wanted = names if self._options.upgrades == "all" else [name for name in names if name in ("nixos", "nixpkgs")]
        if wanted:
            desk.update(wanted)
        else:
            show_warning("there is no channel `nixos` or `nixpkgs` to bring up to date")

    def _rebuild(self, store: Store, action: str) -> int:
        print("building the system configuration...", file=sys.stderr)
        configuration = self._desk.evaluate(store)
        if action == "dry-build":
            self._desk.show_build_plan(store, configuration.derivation)
            return 0
        status = self._desk.build(store, configuration.derivation)
        if status:
            return status
        return self._use(store, configuration.toplevel, action)

    def _use(self, store: Store, toplevel: str, action: str) -> int:
        if action == "build":
            store.add_root(os.path.abspath("result"), toplevel)
            print(toplevel)
            return 0
        if action == "dry-activate":
            return self._machine.run(toplevel, [action])
        return _warn_of(self._machine.switch(store, toplevel, action))

    def _roll_back(self, store: Store, action: str) -> int:
        if action not in ("switch", "boot"):
            return self._use(store, self._machine.previous(), action)
        return _warn_of(self._machine.roll_back(action, _tell_switch))


def _check_root() -> None:
    from nivalis.system.errors import MachineError

    if os.geteuid() != 0:
        raise MachineError("only root can switch a machine to another system", code="not-root", hint="use sudo")


def _warn_of(status: int) -> int:
    if status > 1:
        show_warning("error(s) occurred while switching to the new configuration")
    return status


def _tell_switch(old: int, new: int) -> None:
    print(f"switching from generation {old} to {new}", file=sys.stderr)


def _print_generations(machine: Machine, *, as_json: bool) -> None:
    rows = []
    for one in reversed(machine.generations()):
        date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created))
        rows.append({"generation": one.number, "date": date, "nixosVersion": one.label, "kernelVersion": one.kernel, "current": one.is_current})
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    header = ("Generation", "Build-date", "NixOS version", "Kernel", "Current")
    table = [header, *((*map(str, list(row.values())[:4]), "True" if row["current"] else "False") for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
