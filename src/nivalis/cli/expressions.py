"""What the programs share that evaluate what their command line names: `nix-instantiate` and `nix-build`.

Which expressions are meant (files, texts, standard input), which of their attributes, and how such a command line begins.
"""

from __future__ import annotations

from collections.abc import Sequence

from nivalis.cli.arguments import Flags, read_program
from nivalis.cli.evaluation import EvalOptions

__all__ = ["ExpressionOptions"]


class ExpressionOptions(EvalOptions):
    """The flags that say what to evaluate.  To be inherited first, before what else a program understands."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []
        self.attributes: list[str] = []
        self.from_stdin = False
        self.from_arguments = False

    def flags(self) -> Flags:
        own = {
            "-": (0, lambda: setattr(self, "from_stdin", True)),
            "-E": (0, lambda: setattr(self, "from_arguments", True)),
            "--expr": (0, lambda: setattr(self, "from_arguments", True)),
            "-A": (1, self.attributes.append),
            "--attr": (1, self.attributes.append),
            "--indirect": (0, lambda: None),
        }
        return {**super().flags(), **own}  # type: ignore[dict-item]

    def read(self, program: str, usage: str, words: Sequence[str]) -> bool:
        """Read a whole command line; whether there is anything to do after it.  Raises UsageError."""
        return read_program(program, usage, words, self.flags(), self.files.append)
