"""What can go wrong with a system as a whole.

MachineError      machine: a machine, or the configuration of one, cannot do what was asked; and with codes of their own:
    no-configuration      there is no configuration to evaluate
    no-system             what was evaluated is no system of this channel
    no-option             there is no such option
    moved-store           the store is not the machine's own
    boot-menu             the menu cannot be written without generations that were to go
    generation            there is no generation to go back to
    not-nixos, not-root, system-architecture, system-data, switch-busy, boot-full, boot-loader, boot-empty
                          as the programs on the machine say them
"""

from __future__ import annotations

from nivalis.errors import NivalisError
from nivalis.system.target.data import TargetError

__all__ = ["MachineError", "from_target"]


class MachineError(NivalisError):
    """A machine, or the configuration of one, cannot do what was asked."""

    default_code = "machine"


def from_target(error: TargetError) -> MachineError:
    """The host's error for one of the machine's, which knows no class of ours."""
    return MachineError(error.message, code=error.code, hint=error.hint)
