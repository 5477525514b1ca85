"""The errors of nivalis: one tree, so that a caller can catch as much or as little as it wants.

Every error has a stable `code` (a word for scripts and searches), a `message` (one sentence without a full stop, of the form
`what failed: value`), `where` it happened (a place in a file, a store path, or the command to paste) and, where one is known,
a `hint` (what to do about it).  `str(error)` is all of it, readable without colour.

    NivalisError
    ├── FormatError               bytes or text from elsewhere that are not what they should be
    │   ├── HashError             invalid-hash
    │   ├── Base32Error           invalid-base32
    │   ├── StorePathError        invalid-store-path
    │   ├── DerivationError       invalid-derivation
    │   ├── NarError              invalid-nar
    │   ├── NarInfoError          invalid-narinfo
    │   └── ElfError              invalid-elf
    ├── StoreError                the store on disk
    │   ├── InvalidPathError      path-not-valid
    │   ├── StorePlaceError       store-place
    │   ├── StoreReadOnlyError    store-read-only
    │   ├── StoreContentError     store-content
    │   ├── RootError             gc-root
    │   └── DatabaseError         database-error, disk-full
    │       ├── DatabaseBusyError     database-busy
    │       ├── DatabaseSchemaError   database-schema
    │       └── DatabaseCorruptError  database-corrupt
    ├── EvalError                 the Nix language; the code is the kernel's own, or that of what failed outside
    └── InternalError             internal-bug: ours, never the user's

An operating-system error of a file that the user named stays an `OSError`: Python's own says it best.  Errors that belong to a
higher package (builds, fetching, clouds) are subclasses defined there.

This module imports nothing of nivalis and draws no colours: that is for the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

__all__ = [
    "Base32Error",
    "DatabaseBusyError",
    "DatabaseCorruptError",
    "DatabaseError",
    "DatabaseSchemaError",
    "DerivationError",
    "ElfError",
    "EvalError",
    "FormatError",
    "Frame",
    "HashError",
    "InternalError",
    "InvalidPathError",
    "NarError",
    "NarInfoError",
    "NivalisError",
    "Position",
    "RootError",
    "StoreContentError",
    "StoreError",
    "StorePathError",
    "StorePlaceError",
    "StoreReadOnlyError",
]


# Named tuples and no dataclasses: every command loads this module, and loading `dataclasses` takes longer than an evaluation.
class Position(NamedTuple):
    """A place in a source text.  `line` and `column` count from 1; `source` is the line itself, where it could be read."""

    file: str
    line: int
    column: int
    source: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Frame(NamedTuple):
    """One step of the way to an error: what was being done, and where."""

    text: str
    position: Position | None = None


class NivalisError(Exception):
    """The top of the tree.  `code` is the class's own unless one is given."""

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error[{self.code}]: {self.message}", *self._place_lines()]
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def _place_lines(self) -> list[str]:
        return [] if self.where is None else [f"  at {self.where}"]

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders by pickle, whose default calls the class with `args` alone.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(kind: type[NivalisError], args: tuple[object, ...], state: dict[str, object]) -> NivalisError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class FormatError(NivalisError):
    """Foreign bytes or text that are not what they claim to be."""

    default_code = "invalid-format"


class HashError(FormatError):
    default_code = "invalid-hash"


class Base32Error(FormatError):
    default_code = "invalid-base32"


class StorePathError(FormatError):
    default_code = "invalid-store-path"


class DerivationError(FormatError):
    default_code = "invalid-derivation"


class NarError(FormatError):
    default_code = "invalid-nar"


class NarInfoError(FormatError):
    default_code = "invalid-narinfo"


class ElfError(FormatError):
    default_code = "invalid-elf"


class StoreError(NivalisError):
    """The store on disk cannot do what was asked."""

    default_code = "store-error"


class InvalidPathError(StoreError):
    """A path that had to be valid (registered in the store's database) is not."""

    default_code = "path-not-valid"


class StorePlaceError(StoreError):
    """The place of a store is not usable: a symlink on the way, no permission, an address that is not a local store's."""

    default_code = "store-place"


class StoreReadOnlyError(StoreError):
    """Something had to be written to a store that was opened for reading."""

    default_code = "store-read-only"


class StoreContentError(StoreError):
    """What was to be added is not what it had to be: another hash than its path says, a file type that a store cannot hold."""

    default_code = "store-content"


class RootError(StoreError):
    """A garbage-collector root cannot be made there."""

    default_code = "gc-root"


class DatabaseError(StoreError):
    """The store's SQLite database refuses."""

    default_code = "database-error"


class DatabaseBusyError(DatabaseError):
    """Another process has kept the database locked for too long."""

    default_code = "database-busy"


class DatabaseSchemaError(DatabaseError):
    """The database has a schema that this program does not know."""

    default_code = "database-schema"


class DatabaseCorruptError(DatabaseError):
    """The database is damaged, or a part of it is missing."""

    default_code = "database-corrupt"


class EvalError(NivalisError):
    """An error of the Nix language.

    `position` is the place it points at, `trace` the way to it, innermost first, and `omitted` the number of frames left out of
    the trace.
    """

    default_code = "evaluation-error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        position: Position | None = None,
        trace: Sequence[Frame] = (),
        omitted: int = 0,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, code=code, where=None if position is None else str(position), hint=hint)
        self.position = position
        self.trace = tuple(trace)
        self.omitted = omitted

    def _place_lines(self) -> list[str]:
        lines = [] if self.position is None else _show_position(self.position)
        above = self.position
        for frame in self.trace:
            lines.append(f"  … {frame.text}")
            # A place is shown once for all that happens there.
            if frame.position is not None and frame.position != above:
                lines += _show_position(frame.position)
            above = frame.position
        if self.omitted:
            lines.append(f"  … {self.omitted} more left out")
        return lines


def _show_position(position: Position) -> list[str]:
    lines = [f"  at {position}"]
    if position.source is not None:
        number = str(position.line)
        # A tab before the column stays one under it, so that the caret stands right whatever the terminal's tab stops.
        # Columns count bytes, the caret counts characters.
        before = position.source.encode(errors="surrogatepass")[: position.column - 1].decode(errors="ignore")
        blank = "".join("\t" if character == "\t" else " " for character in before)
        lines += [f"    {number} | {position.source}", f"    {' ' * len(number)} | {blank}^"]
    return lines


class InternalError(NivalisError):
    """A bug of nivalis."""

    default_code = "internal-bug"

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, code=code, where=where, hint=hint or "this is a bug of nivalis; please report it with the command that led here")
