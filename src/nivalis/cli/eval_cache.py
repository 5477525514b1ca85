"""A command line and the evaluation cache: which answer is whose, and how one is given again.

The request is the command line as it was typed, with the working directory, the variables that commands read and what is configured; so
it can be looked up before a single flag is understood and before anything is loaded that understands flags.  What else a command takes
into account (standard input, a root to be made) it adds itself, after it has understood them.

What a command reads other than through the evaluator does not become part of its answer unless it is handed to `keep`.
"""

from __future__ import annotations

import os
import sys

from nivalis.cli.talk import show_evaluation_warning, show_trace_message, show_warning
from nivalis.lang.cache import EvalCache, Hit, make_key
from nivalis.lang.encoding import decode
from nivalis.settings.files import read_configuration

TYPE_CHECKING = False  # `typing` itself is not for free
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

__all__ = ["Request", "answer", "cache_folder", "show_messages"]

_SHOW = {"trace": show_trace_message, "warn": show_evaluation_warning, "warning": show_warning}
# Variables that commands read; what expressions read is recorded one by one.
_PREFIXES = ("NIX_", "NIVALIS_", "XDG_")


def cache_folder(environment: Mapping[str, str]) -> str | None:
    """The user's folder for our caches; None if there is none."""
    base = environment.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        home = environment.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = f"{home}/.cache"
    return f"{base}/nivalis"


class Request:
    """What `command` was asked by `words` in `folder`; `more` tells requests apart whose words do not.  Raises ConfigurationError."""

    def __init__(self, command: str, words: Sequence[str], folder: str, environment: Mapping[str, str], more: Sequence[str | bytes] = ()) -> None:
        read = [f"{name}={text}" for name, text in sorted(environment.items()) if name.startswith(_PREFIXES) or name == "HOME"]
        configured = [f"{name}={text}" for name, text, _ in read_configuration(environment)]
        # Whether the machine has a store decides which one is meant when none is named.
        machine = str(os.path.exists("/nix/var/nix"))
        self._key = make_key([command, str(len(words)), *words, folder, str(len(read)), *read, str(len(configured)), *configured, machine, *more])
        self._environment = environment
        self._is_verbose = "-v" in words or "--verbose" in words

    def find(self) -> Hit | None:
        """The answer, if it is known.  To be closed."""
        cache = self._open()
        if cache is None:
            return None
        with cache:
            hit = cache.lookup(self._key, self._environment)
            self._explain(cache)
            return hit

    def keep(
        self,
        recording: Mapping[str, Any],
        output: bytes,
        derivations: Sequence[str],
        *,
        state_dir: str,
        is_written: bool,
        warnings: tuple[Sequence[str], Sequence[str]] = ((), ()),
        exists: Iterable[tuple[str, bool]] = (),
    ) -> None:
        """Keep an answer, as far as that is possible.

        `warnings` are the command's own, from before the evaluation and from after it; `exists` are paths whose existence the
        command asked for itself.
        """
        before, after = ([("warning", text.encode("utf-8", "surrogateescape")) for text in texts] for texts in warnings)
        whole = {
            **recording,
            "messages": [*before, *recording["messages"], *after],
            "seen": [*recording["seen"], *(("e", path, found) for path, found in exists)],
        }
        cache = self._open()
        if cache is None:
            return
        with cache:
            cache.store(self._key, whole, output, state_dir=state_dir, is_written=is_written, derivations=derivations, environment=self._environment)
            self._explain(cache)

    def keep_after(self, first: Request, output: bytes, *, links: Mapping[str, str], paths: Iterable[str]) -> None:
        """Keep an answer for as long as that to `first` holds, the symlinks `links` say the same, and the store paths are valid."""
        cache = self._open()
        if cache is None:
            return
        with cache:
            cache.extend(first._key, self._key, output, links=links, paths=paths)
            self._explain(cache)

    def _open(self) -> EvalCache | None:
        folder = cache_folder(self._environment)
        return None if folder is None else EvalCache.open(folder, say=show_warning if self._is_verbose else None)

    def _explain(self, cache: EvalCache) -> None:
        if self._is_verbose and cache.problem is not None:
            show_warning(cache.problem)


def show_messages(hit: Hit) -> None:
    """Say what was said when the answer was found."""
    for kind, text in hit.messages:
        _SHOW[kind](decode(text))


def answer(command: str) -> int | None:
    """Give the program's own command line its answer if the cache has one; the exit status."""
    words = sys.argv[1:]
    if "--no-eval-cache" in words:
        return None
    try:
        folder = os.getcwd()
    except OSError:
        return None
    try:
        hit = Request(command, words, folder, os.environ).find()
    except Exception as error:
        from nivalis.errors import NivalisError  # no answer needs it

        if isinstance(error, NivalisError):
            return None  # a broken configuration, which the command itself reports
        raise
    if hit is None:
        return None
    try:
        show_messages(hit)
        sys.stdout.buffer.write(hit.output)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever reads the output has seen enough.  Python's own attempt to flush at the end must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        hit.close()
    return 0
