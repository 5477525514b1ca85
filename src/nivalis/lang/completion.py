"""What can follow a line of a session so far: variables, builtins, attributes, files, commands.

An attribute path is looked up step by step in the values themselves, so `pkgs.he` evaluates `pkgs` to a set and nothing that
is in it.  Nothing here raises: where there is an error, or the evaluation takes longer than a person waits, nothing is offered.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from nivalis.errors import EvalError
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.printer import KEYWORDS, show_name
from nivalis.lang.value import AttrSet, Value

__all__ = ["Completer", "Completions"]

# Seconds that a person waits for the Tab key.
_PATIENCE = 3.0

_QUOTED = r'"(?:[^"\\$]|\\.)*"'
_STEP = rf"(?:[A-Za-z_][A-Za-z0-9_'-]*|{_QUOTED})"
_PATH = re.compile(rf"(?P<owner>(?:{_STEP}\.)*)(?P<start>\"[^\"]*|[A-Za-z_][A-Za-z0-9_'-]*|)$", re.ASCII)
_STEPS = re.compile(rf"({_STEP})\.", re.ASCII)
_FILE = re.compile(r"[^\s()\[\]{};,=\"<>]*/[^\s()\[\]{};,=\"<>]*$")
_SEARCHED = re.compile(r"<[^<>\s/]*$")


class Completions(NamedTuple):
    """Texts that can stand in place of the line's end from `start` on; each begins with what is there."""

    start: int
    texts: list[str]


class Completer:
    """Completes lines in the scope of a session."""

    def __init__(self, evaluator: Evaluator, base_dir: str, commands: Iterable[str]) -> None:
        self._evaluator = evaluator
        self._base_dir = base_dir
        self._commands = sorted(commands)
        self._globals: list[str] | None = None

    def complete(self, line: str, scope: AttrSet) -> Completions:
        """What the end of `line` can become."""
        begin = len(line) - len(line.lstrip())
        if line.startswith(":", begin):
            command, blank, _ = line[begin:].partition(" ")
            if not blank:
                return Completions(begin, _starting_with(command, self._commands))
            begin += len(command) + 1
            if command in (":l", ":load") and not line.startswith("<", begin):
                return Completions(begin, self._files(line[begin:]))
            if command in (":te", ":trace-enable"):
                return Completions(begin, _starting_with(line[begin:], ["false", "true"]))
        if found := _SEARCHED.search(line, begin):
            entries = [f"<{entry.prefix}>" for entry in self._evaluator.settings.search_path if entry.prefix]
            return Completions(found.start(), _starting_with(found[0], entries))
        if found := _FILE.search(line, begin):
            return Completions(found.start(), self._files(found[0]))
        found = _PATH.search(line, begin)
        if found is None or line[begin : found.start()].endswith("."):
            return Completions(len(line), [])
        with self._patience():
            try:
                return Completions(found.start(), self._names(found["owner"], found["start"], scope))
            except EvalError:
                return Completions(len(line), [])

    @contextmanager
    def _patience(self) -> Iterator[None]:
        timer = threading.Timer(_PATIENCE, self._evaluator.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _names(self, owner: str, start: str, scope: AttrSet) -> list[str]:
        steps = [_unquote(step) for step in _STEPS.findall(owner)]
        if not steps:
            return _starting_with(start, [*scope, *self._global_names(), *KEYWORDS]) if start else []
        value: Value | None = self._variable(steps[0], scope)
        for step in steps[1:]:
            value = value[step] if isinstance(value, AttrSet) and step in value else None
        if not isinstance(value, AttrSet):
            return []
        # A name that needs quotes is also found by what it begins with inside of them.
        plain = start.removeprefix('"')
        return [owner + show_name(name) for name in value if name.startswith(plain) and show_name(name).startswith(start or show_name(name)[:1])]

    def _variable(self, name: str, scope: AttrSet) -> Value | None:
        if name in scope:
            return scope[name]
        builtins = self._evaluator.builtins
        if name == "builtins":
            return builtins
        return builtins[name] if name in builtins and name in self._global_names() else None

    def _global_names(self) -> list[str]:
        """The builtins that are variables too, which the parser knows."""
        if self._globals is None:
            self._globals = [name for name in self._evaluator.builtins if self._is_variable(name)]
        return self._globals

    def _is_variable(self, name: str) -> bool:
        try:
            self._evaluator.parse(name)
        except EvalError:
            return False
        return True

    def _files(self, start: str) -> list[str]:
        folder, slash, name = start.rpartition("/")
        place = os.path.join(self._base_dir, os.path.expanduser(folder + slash))
        try:
            with os.scandir(place) as entries:
                found = [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if entry.name.startswith(name)]
        except OSError:
            return []
        return sorted(folder + slash + entry for entry in found if name or not entry.startswith("."))


def _starting_with(start: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(start)})


def _unquote(step: str) -> str:
    return re.sub(r"\\(.)", r"\1", step[1:-1]) if step.startswith('"') else step
