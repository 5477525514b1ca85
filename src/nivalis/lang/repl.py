"""A session in the Nix language: texts go in one after the other, and a scope grows.

`Session.submit` takes what a person typed: an expression, whose value is written; a binding (`x = 1`, `inherit (a) b`), which
joins the scope and is evaluated when it is used; or a command (`:t map`).  It is `nix repl` in what it understands.  A text that
ends too early raises `IncompleteError`; the caller then adds the next line to it and tries again.

The scope is one Nix set.  A binding is evaluated as a set in the scope so far, and merged over that; so a binding sees what was
there before it and not itself, as in `nix repl`.

A session knows no terminal: it is given `SessionTools` to write, to find files and to open an editor.  After an error, or
KeyboardInterrupt, it can go on.  Building is done by a builder that is handed in; without one, commands that need it say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nivalis.errors import EvalError, NivalisError, Position
from nivalis.lang.auto_call import AutoArguments, auto_call
from nivalis.lang.completion import Completer, Completions
from nivalis.lang.encoding import encode
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.get_derivations import FoundDerivation
from nivalis.lang.host import Builder, NotBuiltError
from nivalis.lang.printer import is_identifier, show_name, show_value
from nivalis.lang.value import AttrSet, Function, List, Path, String, Value, show_kind

__all__ = ["IncompleteError", "Session", "SessionError", "SessionTools"]

# How a binding begins.  No expression begins so; `==` is none.
_NAME = r"""(?:[A-Za-z_][A-Za-z0-9_'-]*|"[^"]*")"""
_BINDING = re.compile(rf"\s*(?:inherit\b|{_NAME}(?:\s*\.\s*{_NAME})*\s*=(?!=))", re.ASCII)
_NOTHING = re.compile(r"(?:\s|#[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_SELECTION = re.compile(r"""(?P<owner>.*)\.\s*(?P<name>[A-Za-z_][A-Za-z0-9_'-]*|"[^"$\\]*")""", re.ASCII | re.DOTALL)

# How many of the names that join the scope are shown.
_SHOWN_NAMES = 20
# What messages call the text of a session.
_SESSION_FILE = "«string»"


class SessionError(NivalisError):
    """A command of a session that cannot be done as it was given."""

    default_code = "repl-command"


class IncompleteError(SessionError):
    """The text ends too early; with another line it may be whole.  The cause is the parser's error."""

    default_code = "repl-incomplete"


@dataclass(frozen=True, slots=True)
class SessionTools:
    """What a session does to the world outside of the evaluator.

    `write` gets results and `note` talk, each without the end of the line; `resolve` makes a path of a file's name as typed;
    `edit` opens a file at a line and returns when the editor has ended.
    """

    write: Callable[[str], object]
    note: Callable[[str], object]
    report: Callable[[NivalisError], object]
    resolve: Callable[[str], str]
    edit: Callable[[str, int], object]
    builder: Builder | None = None


class _Command(NamedTuple):
    names: tuple[str, ...]
    argument: str
    help: str
    run: Callable[[Session, str], object]


class Session:
    """A scope, and what can be done in it.  `arguments` are given to files that are functions."""

    def __init__(self, evaluator: Evaluator, tools: SessionTools, *, base_dir: str, arguments: AutoArguments | None = None) -> None:
        self.show_traces = False
        self.ended = False
        self._evaluator = evaluator
        self._tools = tools
        self._base_dir = base_dir
        self._arguments: AutoArguments = arguments or {}
        self._files: list[str] = []
        self._expressions: list[str] = []
        self._merge = evaluator.eval("old: new: old // new")
        self._empty = _as_set(evaluator.from_python({}))
        self._scope = self._empty
        self._last_loaded: AttrSet | None = None
        self._completer = Completer(evaluator, base_dir, _COMMANDS)

    def submit(self, text: str) -> None:
        """Do what `text` says.

        Raises IncompleteError, NivalisError, OSError, KeyboardInterrupt; the session can go on after each of them.
        """
        if _NOTHING.fullmatch(text):
            return
        text = text.strip()
        if text.startswith(":"):
            name, *rest = text.split(None, 1)
            command = _COMMANDS.get(name)
            if command is None:
                import difflib  # only for an error

                near = difflib.get_close_matches(name, list(_COMMANDS), n=1)
                raise SessionError(f"unknown command: `{name}`", hint=f"did you mean `{near[0]}`?" if near else "`:?` shows the commands")
            command.run(self, rest[0] if rest else "")
        elif _BINDING.match(text):
            self._scope = self._merged(self._read_bindings(text))
        else:
            self._tools.write(show_value(self._evaluate(text)))

    def complete(self, line: str) -> Completions:
        """What the end of `line` can become.  Raises nothing."""
        return self._completer.complete(line, self._scope)

    def load_file(self, name: str) -> None:
        """Add the attributes of a file's value to the scope, now and at every reload.  Raises EvalError."""
        self._add(auto_call(self._evaluator.eval_file(self._tools.resolve(name)), self._arguments))
        self._files = [*(file for file in self._files if file != name), name]

    def load_expression(self, text: str) -> None:
        """Add the attributes of an expression's value to the scope, now and at every reload.  Raises EvalError."""
        self._add(auto_call(self._evaluator.eval(encode(text), base_dir=self._base_dir), self._arguments))
        if text not in self._expressions:
            self._expressions.append(text)

    def start(self, files: list[str], expressions: list[str]) -> None:
        """Load each; what fails is reported, and tried again at a reload."""
        self._files, self._expressions = list(files), list(expressions)
        self._load_again()

    # ---- the scope ----

    def _evaluate(self, text: str) -> Value:
        if _NOTHING.fullmatch(text):
            raise SessionError("an expression is missing")
        return self._read(text)

    def _read(self, text: str) -> Value:
        try:
            return self._evaluator.eval(encode(text), base_dir=self._base_dir, scope=self._scope)
        except EvalError as error:
            if _is_incomplete(error):
                raise IncompleteError("the expression ends too early") from error
            raise

    def _read_bindings(self, text: str) -> AttrSet:
        """Bindings as a set, whose values are not evaluated.  The last semicolon may be left out."""
        for end in ("; }", "}"):
            try:
                return _as_set(self._read(f"{{ {text}\n{end}"))
            except IncompleteError:
                pass
            except EvalError as error:
                if error.code != "syntax-error":
                    raise
        # Neither is whole: without a closing brace the parser comes to the end of the text or to what is wrong.
        self._read(f"{{ {text}")
        raise EvalError("syntax error, unexpected '}' after bindings", code="syntax-error")

    def _merged(self, new: AttrSet) -> AttrSet:
        assert isinstance(self._merge, Function)
        return _as_set(self._merge(self._scope, new))

    def _add(self, value: Value) -> None:
        if not isinstance(value, AttrSet):
            raise SessionError(f"only a set's attributes can be added to the scope; this is {show_kind(value)}")
        self._scope = self._merged(value)
        self._last_loaded = value
        count = len(value)
        self._tools.note(f"added {count} variable{'' if count == 1 else 's'}")
        names = [show_name(name) for name in list(value)[:_SHOWN_NAMES]]
        if names:
            self._tools.note(", ".join(names))
        if count > _SHOWN_NAMES:
            self._tools.note(f"... and {count - _SHOWN_NAMES} more; `:ll` shows them all")

    def _load_again(self) -> None:
        self._scope = self._empty
        self._evaluator.forget_files()
        for load, names in ((self.load_file, self._files), (self.load_expression, self._expressions)):
            for name in list(names):
                self._tools.note(f"loading {name} ...")
                try:
                    load(name)
                except NivalisError as error:
                    self._tools.report(error)

    # ---- commands ----

    def _run_add(self, argument: str) -> None:
        self._add(self._evaluate(argument))

    def _run_load(self, argument: str) -> None:
        if not argument:
            raise SessionError("which file is to be loaded is missing", hint="`:l <nixpkgs>`, `:l ./default.nix`")
        self._evaluator.forget_files()
        self.load_file(argument)

    def _run_load_flake(self, argument: str) -> None:
        raise SessionError(
            "flakes are not supported",
            code="no-flakes",
            hint="`:l <file or folder>` loads a file of the Nix language; for a flake with a default.nix, the folder",
        )

    def _run_last_loaded(self, _: str) -> None:
        if self._last_loaded is None:
            raise SessionError("nothing has been loaded yet")
        for name in self._last_loaded:
            self._tools.write(show_name(name))

    def _run_reload(self, _: str) -> None:
        self._load_again()

    def _run_type(self, argument: str) -> None:
        value = self._evaluate(argument)
        kind = show_kind(value)
        if isinstance(value, String) and value.context:
            kind = "a string with context"
        elif isinstance(value, Function) and (doc := value.__nix_value__.builtin_doc()):
            partly = value.print() != "<PRIMOP>"
            kind = f"the {'partially applied ' if partly else ''}built-in function '{doc[0]}'"
        self._tools.write(kind)

    def _run_print(self, argument: str) -> None:
        value = self._evaluate(argument)
        self._tools.write(str(value) if isinstance(value, String) else show_value(value, deep=True))

    def _run_build(self, argument: str) -> None:
        derivation = self._instantiate(argument)
        outputs = _output_names(derivation.value)
        path = derivation.drv_path()
        if self._tools.builder is None:
            raise NotBuiltError(
                f"the derivation is in the store, but nothing can build it yet: `{path}`",
                hint=f"another Nix on this store can: `nix-store --realise {path}`",
            )
        found = self._tools.builder.realise([(path, output) for output in outputs])
        for output, place in zip(outputs, found, strict=True):
            self._tools.write(f"{output} -> {place}")

    def _run_later(self, argument: str) -> None:
        raise NotBuiltError(
            "build logs, shells and installing come with building, which nivalis cannot do yet", hint="`:b` instantiates a derivation"
        )

    def _instantiate(self, argument: str) -> FoundDerivation:
        value = self._evaluate(argument)
        if not isinstance(value, AttrSet) or not value.is_derivation:
            raise SessionError(f"only a derivation can be built; this is {show_kind(value)}")
        derivation = FoundDerivation("", "", value)
        derivation.drv_path()
        self._evaluator.flush()
        return derivation

    def _run_doc(self, argument: str) -> None:
        value = self._evaluate(argument)
        doc = value.__nix_value__.builtin_doc() if isinstance(value, Function) else None
        if doc is not None:
            name, arguments, text = doc
            self._tools.write(" ".join([f"builtins.{name}", *arguments]))
            self._tools.write(f"\n{text.strip()}")
            return
        function = value["__functor"] if isinstance(value, AttrSet) and "__functor" in value else value
        position = self._place_of(function, argument)
        lines = []
        if isinstance(function, Function):
            lines.append(f"{function.print(pretty=True).strip('«»').split(' @ ')[0].replace('lambda', 'function', 1)}{_show_formals(function)}")
        if position is not None:
            lines.append(f"  at {position}")
        if not lines:
            raise SessionError(f"nothing is documented here: this is {show_kind(value)}", hint="`:doc` is for functions and for attributes of a file")
        for line in lines:
            self._tools.write(line)

    def _run_edit(self, argument: str) -> None:
        value = self._evaluate(argument)
        if isinstance(value, Path | String):
            file, line = value.to_text(), 1
        else:
            position = self._place_of(value, argument)
            if position is None or not position.file.startswith("/"):
                where = "" if position is None else f" but at `{position}`"
                raise SessionError(f"this is not in a file{where}", hint="`:e` is for paths, functions, derivations and attributes of a file")
            file, line = position.file, position.line
        self._tools.edit(file, line)
        self._load_again()

    def _place_of(self, value: Value, text: str) -> Position | None:
        """Where a function, a derivation or the attribute that `text` selects was written."""
        if isinstance(value, Function) and (position := value.position()):
            return position
        if isinstance(value, AttrSet) and (position := _package_position(value)):
            return position
        if selection := _SELECTION.fullmatch(text.strip()):
            name = selection["name"].strip('"')
            try:
                owner = self._evaluate(selection["owner"])
            except NivalisError:
                return None  # `text` was more than a selection: `f x.y`
            return owner.position_of(name) if isinstance(owner, AttrSet) and name in owner else None
        if is_identifier(text) and text in self._scope:
            return self._scope.position_of(text)
        return None

    def _run_trace_enable(self, argument: str) -> None:
        if argument not in ("", "true", "false"):
            raise SessionError(f"`:te` takes `true`, `false` or nothing: `{argument}`")
        self.show_traces = not self.show_traces if argument == "" else argument == "true"
        self._tools.write("showing all of an error's trace" if self.show_traces else "folding the libraries' part of an error's trace")

    def _run_environment(self, _: str) -> None:
        for name in self._scope:
            self._tools.write(show_name(name))

    def _run_help(self, _: str) -> None:
        rows = [("<expr>", "Evaluate and print an expression, not what is nested in it"), ("<name> = <expr>", "Bind a variable")]
        rows += [(" ".join(filter(None, [", ".join(command.names), command.argument])), command.help) for command in _TABLE]
        width = max(len(left) for left, _ in rows)
        for left, right in rows:
            self._tools.write(f"  {left:<{width}}  {right}")

    def _run_quit(self, _: str) -> None:
        self.ended = True


_TABLE = (
    _Command((":a", ":add"), "<expr>", "Add a set's attributes to the scope", Session._run_add),
    _Command((":b",), "<expr>", "Build a derivation (for now: instantiate it)", Session._run_build),
    _Command((":doc",), "<expr>", "Documentation of a builtin; a function's arguments and place", Session._run_doc),
    _Command((":e", ":edit"), "<expr>", "Open a path, function, package or attribute in the editor, then reload", Session._run_edit),
    _Command((":env",), "", "The variables of the scope", Session._run_environment),
    _Command((":i",), "<expr>", "Build a derivation (for now: instantiate it); installing it comes later", Session._run_build),
    _Command((":l", ":load"), "<file>", "Add the attributes of a file's value to the scope", Session._run_load),
    _Command((":lf", ":load-flake"), "<ref>", "Flakes are not supported", Session._run_load_flake),
    _Command((":ll", ":last-loaded"), "", "All names that were last added to the scope", Session._run_last_loaded),
    _Command((":log",), "<expr>", "Comes with building: a derivation's log", Session._run_later),
    _Command((":p", ":print"), "<expr>", "Evaluate and print all of a value; a string as it is", Session._run_print),
    _Command((":q", ":quit"), "", "End the session", Session._run_quit),
    _Command((":r", ":reload"), "", "Begin anew, with the files as they are now", Session._run_reload),
    _Command((":t",), "<expr>", "Describe a value's type", Session._run_type),
    _Command((":te", ":trace-enable"), "[true|false]", "Show all of an error's trace, or fold the libraries' part", Session._run_trace_enable),
    _Command((":u", ":sh"), "<expr>", "Comes with building: a shell with, or for building, a derivation", Session._run_later),
    _Command((":?", ":help"), "", "This table", Session._run_help),
)
_COMMANDS: Mapping[str, _Command] = {name: command for command in _TABLE for name in command.names}


def _as_set(value: Value) -> AttrSet:
    assert isinstance(value, AttrSet)
    return value


def _is_incomplete(error: EvalError) -> bool:
    """Whether the parser met the end of what was typed, not of a file that it imports."""
    position = error.position
    is_ours = position is not None and position.file == _SESSION_FILE
    return error.code == "syntax-error" and is_ours and "unexpected end of file" in error.message


def _output_names(derivation: AttrSet) -> list[str]:
    outputs = derivation.get("outputs")
    return [output.to_text() for output in outputs] if isinstance(outputs, List) else ["out"]


def _package_position(value: AttrSet) -> Position | None:
    """A package's own word about its place: `meta.position`, a file, a colon and a line."""
    meta = value.get("meta")
    place = meta.get("position") if isinstance(meta, AttrSet) else None
    if not isinstance(place, String):
        return None
    file, _, line = str(place).rpartition(":")
    return Position(file, int(line), 1) if line.isdecimal() else None


def _show_formals(function: Function) -> str:
    formals = function.formals
    if formals is None:
        return ""
    names = [f"{name} ? ..." if has_default else name for name, has_default in sorted(formals.items())]
    return f" {{ {', '.join([*names, *(['...'] if function.has_ellipsis else [])])} }}"
