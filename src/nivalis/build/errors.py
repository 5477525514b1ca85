"""What can go wrong with a build; below each class its codes, beside that of the class above.

BuildError                    build-failed: the builder failed; the parent of all others
├── BuildTimeoutError         build-timed-out, build-silent, build-log-too-long
├── HashMismatchError         hash-mismatch
├── OutputError               output-missing, output-invalid, output-cycle, output-reference, output-size
├── NotDeterministicError     not-deterministic
├── SandboxError              sandbox-unavailable
├── CannotBuildError          cannot-build: another system, a missing feature, no builder of that name
├── DependencyError           dependency-failed
└── BuildStoppedError         build-stopped: given up because something else failed or the user asked for it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nivalis.errors import NivalisError

if TYPE_CHECKING:
    from nivalis.build.outputs import Produced

__all__ = [
    "BuildError",
    "BuildStoppedError",
    "BuildTimeoutError",
    "CannotBuildError",
    "DependencyError",
    "HashMismatchError",
    "NotDeterministicError",
    "OutputError",
    "SandboxError",
]


class BuildError(NivalisError):
    """A derivation could not be built."""

    default_code = "build-failed"
    # What the exit status says of it, as CppNix counts: 4 for what will fail again, nothing for what may not or is refused afterwards.
    status_bits: int = 4
    # The last lines of the builder's output.
    tail: tuple[str, ...] = ()

    def _place_lines(self) -> list[str]:
        shown = [f"  > {line}" for line in self.tail]
        if shown:
            shown.insert(0, f"  the last {len(shown)} lines of its log:" if len(shown) > 1 else "  the last line of its log:")
        return shown + super()._place_lines()


class BuildTimeoutError(BuildError):
    """A build took too long, was silent for too long or said too much."""

    default_code = "build-timed-out"
    status_bits = 5


class HashMismatchError(BuildError):
    """A fixed output is not what its derivation says.  `actual` is it, as it would have been right."""

    default_code = "hash-mismatch"
    status_bits = 6
    actual: Produced | None = None


class OutputError(BuildError):
    """What a builder left is not what it may leave."""

    default_code = "output-invalid"
    status_bits = 0


class NotDeterministicError(BuildError):
    """A second build gave something else than the first."""

    default_code = "not-deterministic"
    status_bits = 8


class SandboxError(BuildError):
    """There can be no sandbox."""

    default_code = "sandbox-unavailable"
    status_bits = 0


class CannotBuildError(BuildError):
    """This machine, or this program, is not the one to build it."""

    default_code = "cannot-build"


class DependencyError(BuildError):
    """Something that it needs could not be built."""

    default_code = "dependency-failed"
    status_bits = 0


class BuildStoppedError(BuildError):
    """Given up before its end."""

    default_code = "build-stopped"
    status_bits = 0
