"""The evaluator: a world to evaluate in, and the ways to begin.

Each `Evaluator` has its own memory, its own files read so far and its own host; two of them in one process know nothing of each
other.  It evaluates on a thread of its own while the calling thread waits and hears Ctrl-C; one evaluation at a time.  `close`
gives the memory back, after which its values cannot be used.

What an evaluation adds to the store is gathered, and is there at the latest after `flush` (which `close` does not do: what was
not asked for is not written).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from nivalis import _native
from nivalis._types import StrPath
from nivalis.errors import EvalError
from nivalis.lang.encoding import decode
from nivalis.lang.host import Builder, Fetcher, Host
from nivalis.lang.search_path import SearchEntry
from nivalis.lang.value import AttrSet, Value, wrap
from nivalis.store.layout import DEFAULT_STORE_DIR, StoreLayout

if TYPE_CHECKING:
    from nivalis.store.store import Store

__all__ = ["EvalSettings", "Evaluator"]


class EvalSettings(NamedTuple):
    """What an evaluation may depend on, apart from files and the store.

    `environment` is what `getEnv` sees, `home` what `~/` stands for.  `pure` forbids what is not named by its content.
    `max_memory` is what the values may take, in bytes; without it, four fifths of what the machine has.
    `allowed_uris`, unless it is None, restricts it to reading what the search path names and to fetching from there (`restrict-eval`).
    `builds` lets an evaluation read the outputs of derivations, which are built for it.
    `features` are experimental features by their names in Nix (`pipe-operators`; others change nothing here).
    """

    system: str
    search_path: tuple[SearchEntry, ...] = ()
    environment: Mapping[str, str] = MappingProxyType({})
    home: str | None = None
    pure: bool = False
    allowed_uris: tuple[str, ...] | None = None
    builds: bool = True
    features: frozenset[str] = frozenset()
    trace_verbose: bool = False
    abort_on_warn: bool = False
    max_call_depth: int = 10000
    max_memory: int | None = None


class Evaluator:
    """Evaluates Nix expressions over `store`.

    With no store, or one opened for reading, nothing is written; a `StoreLayout` is opened for reading when it is needed.
    `on_trace` and `on_warn` get each message's text, `on_break` is called by `builtins.break`; without them nothing is said.
    `record` notes all that evaluation looks at (`recording`).
    """

    def __init__(
        self,
        store: Store | StoreLayout | None,
        settings: EvalSettings,
        *,
        on_trace: Callable[[str], None] | None = None,
        on_warn: Callable[[str], None] | None = None,
        on_break: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
        fetcher: Fetcher | None = None,
        builder: Builder | None = None,
        record: bool = False,
    ) -> None:
        layout = store if store is None or isinstance(store, StoreLayout) else store.layout
        self.settings = settings
        self._host = Host(
            store,
            clock=clock,
            on_trace=on_trace,
            on_warn=on_warn,
            on_break=on_break,
            fetcher=fetcher,
            builder=builder,
            builds=settings.builds,
        )
        self._native = _native.Evaluator(
            self._host,
            store_dir=DEFAULT_STORE_DIR if layout is None else layout.store_dir,
            real_store_dir=DEFAULT_STORE_DIR if layout is None else layout.real_store_dir,
            system=settings.system,
            search_path=[(entry.prefix, entry.place) for entry in settings.search_path],
            environment=dict(settings.environment),
            home=settings.home,
            pure=settings.pure,
            pipe_operators="pipe-operators" in settings.features,
            trace_verbose=settings.trace_verbose,
            abort_on_warn=settings.abort_on_warn,
            max_call_depth=settings.max_call_depth,
            record=record,
            max_memory=settings.max_memory,
            allowed_uris=settings.allowed_uris,
        )

    def close(self) -> None:
        """Give the memory back; values of this evaluator cannot be used any more."""
        self._native.close()
        self._host.close()

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ---- to begin ----

    def eval_file(self, path: StrPath) -> Value:
        """The value of a file, or of a folder's `default.nix`; the path is absolute.  Raises EvalError."""
        return wrap(self._native.eval_file(os.fspath(path)))

    def eval(
        self,
        text: str | bytes,
        *,
        base_dir: StrPath = "/",
        origin: Literal["string", "stdin"] = "string",
        scope: AttrSet | None = None,
    ) -> Value:
        """The value of an expression.  Raises EvalError.

        Relative paths in it start from `base_dir`; errors name `origin` as its source; the attributes of `scope` are in scope.
        """
        within = None if scope is None else scope.__nix_value__
        return wrap(self._native.eval_text(text, base_dir=os.fspath(base_dir), origin=origin, scope=within))

    def delay(self, text: str | bytes, *, base_dir: StrPath = "/") -> Value:
        """As `eval`, but evaluated when it is asked for; a plain `Value` that is fit to be an argument."""
        return Value(self._native.eval_text(text, base_dir=os.fspath(base_dir), lazy=True))

    def parse(self, text: str | bytes, *, base_dir: StrPath = "/", file: StrPath | None = None, origin: Literal["string", "stdin"] = "string") -> str:
        """The parsed expression as `nix-instantiate --parse` prints it.  Raises EvalError `syntax-error`."""
        named = None if file is None else os.fspath(file)
        return decode(self._native.show_parsed(text, base_dir=os.fspath(base_dir), origin=origin, file=named))

    def parse_each(self, sources: Iterable[tuple[bytes, str, str]], write: Callable[[bytes], object]) -> None:
        """Parse files (text, folder for relative paths, file), and hand what `parse` gives for each to `write`.

        Faster than `parse` for each; some are read ahead.  Neither `sources` nor `write` may use the evaluator.  Raises EvalError
        `syntax-error`, and what they raise, after all that comes before is written.
        """
        self._native.show_parsed_each(sources, write)

    def find_file(self, name: str) -> str:
        """The path that `<name>` stands for.  Raises EvalError `search-path`."""
        return self._native.find_file(name)

    @property
    def builtins(self) -> AttrSet:
        """`builtins`"""
        return AttrSet(self._native.builtins())

    def from_python(self, value: object) -> Value:
        """The Nix value of None, bool, int, float, str, bytes, a path object, a mapping, an iterable, or of a `Value` itself.

        Raises TypeError for anything else, and OverflowError for an integer of more than 64 bits.
        """
        return wrap(self._native.from_python(value))

    # ---- on the way ----

    def flush(self) -> None:
        """Have everything in the store that evaluation added.  Raises StoreError, OSError."""
        try:
            self._native.flush()
        except EvalError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise

    def forget_files(self) -> None:
        """Read files again that are evaluated from now on."""
        self._native.forget_files()

    def interrupt(self) -> None:
        """End a running evaluation; may be called from another thread."""
        self._native.interrupt()

    def recording(self) -> dict[str, Any]:
        """What evaluation looked at: `seen`, `variables`, `store_paths`, `messages`, `impure` (see the kernel's `recording.rs`)."""
        return self._native.recording()

    @property
    def allocated(self) -> int:
        """How many bytes of memory the values take."""
        return self._native.allocated()
