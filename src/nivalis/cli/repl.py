"""`nivalis repl`: a session in the Nix language, on a terminal or on a pipe.

On a terminal, lines are edited with `readline`, which Python brings along: it knows the user's own inputrc, costs nothing to
load, and can do what is needed here (a history, completion), so there is no reason for another dependency.  Where a Python was
built without it, lines are read plainly.  The history is a file under XDG_STATE_HOME, and is written as the session goes.

On a pipe there is no prompt and no banner; results go to stdout, talk and errors to stderr, and the session goes on after an
error as it does for a person.  The exit status says nothing about the lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

import nivalis
from nivalis.cli.arguments import UsageError
from nivalis.cli.common_options import open_store
from nivalis.cli.effects import LazyFetcher
from nivalis.cli.evaluation import EvalOptions, make_arguments, resolve_file
from nivalis.cli.failures import LibraryPlace, fold_trace, report, run
from nivalis.cli.talk import show_evaluation_warning, show_trace_message
from nivalis.errors import EvalError, NivalisError
from nivalis.lang.encoding import decode, encode
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.repl import IncompleteError, Session, SessionError, SessionTools
from nivalis.store.layout import StoreLayout

if TYPE_CHECKING:
    from nivalis.settings import Settings
    from nivalis.store.store import Store

__all__ = ["command"]

_PROMPT = "nivalis> "
_LONGEST_HISTORY = 10_000
# Where a word begins for readline.  Not at dots, quotes, slashes and dashes: attribute paths and file names are one word.
_WORD_BREAKS = " \t\n(){}[]<>;,=+*!&|?@$"


@click.command("repl", short_help="Evaluate expressions as you type them.")
@click.argument("files", nargs=-1)
@click.option("-E", "--expr", "expressions", multiple=True, help="Add the attributes of this expression's value to the scope.")
@click.option("--arg", "argument_texts", type=(str, str), multiple=True, metavar="NAME EXPR", help="Pass an expression to functions that take NAME.")
@click.option("--argstr", "strings", type=(str, str), multiple=True, metavar="NAME STRING", help="Pass a string.")
@click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>.")
@click.option("--store", metavar="PLACE", help="Evaluate against the store there.")
@click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set one of Nix's settings.")
@click.option("--show-trace", is_flag=True, help="Show all frames of an error's trace.")
def command(
    files: Sequence[str],
    expressions: Sequence[str],
    argument_texts: Sequence[tuple[str, str]],
    strings: Sequence[tuple[str, str]],
    includes: Sequence[str],
    store: str | None,
    settings: Sequence[tuple[str, str]],
    show_trace: bool,
) -> None:
    """Evaluate expressions as you type them.

    The attributes of FILES (files, folders with a default.nix, `<name>`) are variables of the session.  `:?` shows the commands.
    """
    options = EvalOptions()
    options.includes = list(includes)
    options.arguments = {name: (text, True) for name, text in argument_texts} | {name: (text, False) for name, text in strings}

    def work() -> int:
        options.set_given({"store": store, "show-trace": show_trace})
        for name, value in settings:
            options.set(name, value)
        return _run_session(options, list(files), list(expressions))

    raise SystemExit(run(work))


def _run_session(options: EvalOptions, files: list[str], expressions: list[str]) -> int:
    environment, folder = dict(os.environ), os.getcwd()
    # A daemon's store can be read, and only it writes there.
    options.read_only = options.store_address(environment) == "daemon"
    layout = options.layout(environment)
    settings = options.settings(environment, folder, layout)
    library = options.library(settings, folder, layout.store_dir)
    talk = _Talk()
    store = _StoreOnDemand(layout, options.config)
    fetcher = LazyFetcher(layout, environment, options.config)
    evaluator = Evaluator(
        layout if options.read_only else cast("Store", store),
        settings,
        on_trace=talk.when_heard(show_trace_message),
        on_warn=talk.when_heard(show_evaluation_warning),
        fetcher=fetcher,
    )

    def report_error(error: NivalisError) -> None:
        _report(error, library, session.show_traces)

    tools = SessionTools(
        write=_write,
        note=_note,
        report=report_error,
        resolve=lambda name: resolve_file(evaluator, os.path.expanduser(name), folder),
        edit=lambda file, line: _edit(environment, file, line),
    )
    try:
        session = Session(evaluator, tools, base_dir=folder, arguments=make_arguments(evaluator, options, folder))
        session.show_traces = options.show_trace
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            _note(f"nivalis {nivalis.__version__}; `:?` shows the commands")
        if files or expressions:
            try:
                session.start(files, expressions)
            except KeyboardInterrupt:
                if not is_terminal:
                    raise
                _note("\ninterrupted")
        with _line_editor(session, environment, talk) if is_terminal else _plain_lines() as read_line:
            _converse(session, read_line, report_error, is_terminal)
    finally:
        evaluator.close()
        fetcher.close()
        store.close()
    return 0


# ---- the conversation ----


def _converse(session: Session, read_line: Callable[[bool], str | None], report_error: Callable[[NivalisError], None], is_terminal: bool) -> None:
    """Line after line, until there is no more; `read_line` is told whether a text has begun already."""
    text = ""
    while not session.ended:
        is_reading = True
        try:
            line = read_line(bool(text))
            if line is None:
                _end_of_input(session, text, report_error, is_terminal)
                return
            is_reading = False
            text = f"{text}\n{line}" if text else line
            session.submit(text)
            text = ""
        except IncompleteError:
            continue
        except KeyboardInterrupt:
            if not is_terminal:
                raise
            # The terminal has shown `^C` where the line was.
            _note("" if is_reading else "\ninterrupted")
            text = ""
        except NivalisError as error:
            report_error(error)
            text = ""
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            report(error)
            text = ""


def _end_of_input(session: Session, text: str, report_error: Callable[[NivalisError], None], is_terminal: bool) -> None:
    if is_terminal:
        _note("")
    elif text:
        try:
            session.submit(text)
        except IncompleteError as error:
            cause = error.__cause__
            report_error(cause if isinstance(cause, NivalisError) else error)


def _report(error: NivalisError, library: Sequence[LibraryPlace], show_traces: bool) -> None:
    if isinstance(error, EvalError) and not show_traces:
        fold_trace(error, library)
    report(error)


def _write(text: str) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(encode(text) + b"\n")
    sys.stdout.buffer.flush()


def _note(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.buffer.write(encode(text) + b"\n")
    sys.stderr.flush()


# ---- where lines come from ----


@contextmanager
def _plain_lines() -> Iterator[Callable[[bool], str | None]]:
    def read(_: bool) -> str | None:
        line = sys.stdin.buffer.readline()
        return decode(line).rstrip("\n") if line else None

    yield read


@contextmanager
def _line_editor(session: Session, environment: dict[str, str], talk: _Talk) -> Iterator[Callable[[bool], str | None]]:
    """Lines of a terminal, edited; their history is kept."""
    readline = _load_readline()
    history = _history_file(environment)
    if readline is not None:
        _start_readline(readline, session, talk, history)

    def read(has_begun: bool) -> str | None:
        try:
            line = input(" " * len(_PROMPT) if has_begun else _PROMPT)
        except EOFError:
            return None
        if readline is not None and line.strip():
            _keep_history(readline, history)
        return line

    try:
        yield read
    finally:
        if readline is not None:
            readline.set_completer(None)


def _load_readline() -> Any:
    """The module, whose import makes `input` use it; None where Python was built without."""
    try:
        import readline
    except ImportError:
        return None
    return readline


def _start_readline(readline: Any, session: Session, talk: _Talk, history: Path) -> None:
    found: list[str] = []

    def complete(word: str, index: int) -> str | None:
        if index == 0:
            found.clear()
            try:
                with talk.unheard():
                    found.extend(_complete_word(session, readline.get_line_buffer()[: readline.get_endidx()], readline.get_begidx()))
            except (Exception, KeyboardInterrupt):
                # Nothing that goes wrong behind the Tab key is worth the line that is being typed.
                return None
        return found[index] if index < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(_WORD_BREAKS)
    is_editline = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_editline else "tab: complete")
    readline.set_history_length(_LONGEST_HISTORY)
    with suppress(OSError):  # there is none yet, or it is not ours to read
        readline.read_history_file(history)


def _complete_word(session: Session, line: str, begin: int) -> list[str]:
    """What can stand in place of the line from `begin` on, which is where readline sees the word begin."""
    start, texts = session.complete(line)
    if start >= begin:
        return [line[begin:start] + text for text in texts]
    return [text[begin - start :] for text in texts]


def _history_file(environment: dict[str, str]) -> Path:
    state = environment.get("XDG_STATE_HOME", "")
    folder = Path(state) if os.path.isabs(state) else Path(environment.get("HOME") or "/") / ".local" / "state"
    return folder / "nivalis" / "repl-history"


def _keep_history(readline: Any, file: Path) -> None:
    """Write the newest line behind those of all sessions: two of them at once do not lose each other's."""
    with suppress(OSError):  # a history is a comfort; the session does not need it
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
        readline.append_history_file(1, file)


class _Talk:
    """Whether what an evaluation says (`builtins.trace`, warnings) is shown: not while a completion evaluates."""

    def __init__(self) -> None:
        self._is_heard = True

    @contextmanager
    def unheard(self) -> Iterator[None]:
        self._is_heard = False
        try:
            yield
        finally:
            self._is_heard = True

    def when_heard(self, show: Callable[[str], None]) -> Callable[[str], None]:
        return lambda text: show(text) if self._is_heard else None


# ---- the world ----


class _StoreOnDemand:
    """A store that is opened, and made where there is none, only when the session comes to need it.

    It stands in for a `Store`: most sessions never need one, and opening it takes longer than all the rest of the start.
    """

    def __init__(self, layout: StoreLayout, config: Settings) -> None:
        self.layout = layout
        self._config = config
        self._opened: Store | None = None

    def __getattr__(self, name: str) -> Any:
        if self._opened is None:
            self._opened = open_store(self.layout, self._config)
        return getattr(self._opened, name)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def _edit(environment: dict[str, str], file: str, line: int) -> None:
    """Open the user's editor.  Raises UsageError, SessionError."""
    import shlex  # these load longer than a session without an editor takes to start
    import shutil
    import subprocess

    named = environment.get("VISUAL") or environment.get("EDITOR") or shutil.which("editor") or shutil.which("vi")
    if not named:
        raise UsageError("no editor is known", hint="name one in the environment variable VISUAL or EDITOR")
    words = shlex.split(named)
    words += _place_arguments(os.path.basename(words[0]), file, line)
    try:
        status = subprocess.run(words, check=False).returncode
    except OSError as error:
        raise SessionError(f"the editor cannot be started: {error.strerror}", where=shlex.join(words)) from error
    if status:
        raise SessionError(f"the editor failed with status {status}", where=shlex.join(words))


def _place_arguments(name: str, file: str, line: int) -> list[str]:
    """A file and a line as the editor wants them; `+line` is what most understand."""
    if name in ("code", "codium"):
        return ["--goto", f"{file}:{line}"]
    if name in ("hx", "helix", "subl", "zed"):
        return [f"{file}:{line}"]
    return [f"+{line}", file]
