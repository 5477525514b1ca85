"""`nix-instantiate`: evaluate Nix expressions, print what they are, or write the derivations that they give.

Flags, output and exit status are CppNix's, byte by byte on stdout; errors on stderr are nivalis's own.  What one file gives is
printed before the next is looked at; only `--parse` reads a few ahead.

It starts often (editors, scripts, every build), so nothing is imported here that a plain evaluation does not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from nivalis.cli.arguments import Flags, UsageError
from nivalis.cli.common_options import open_store_meanwhile
from nivalis.cli.evaluation import make_arguments, open_evaluator, resolve_file
from nivalis.cli.expressions import ExpressionOptions
from nivalis.cli.failures import run
from nivalis.lang.auto_call import AutoArguments, auto_call, find_along_path
from nivalis.lang.encoding import encode
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.get_derivations import find_derivations
from nivalis.lang.search_path import is_address
from nivalis.lang.value import Value
from nivalis.store.layout import StoreLayout

if TYPE_CHECKING:
    from nivalis.cli.eval_cache import Request
    from nivalis.store.store import Store

__all__ = ["run_program"]

_HELP = """\
Usage: nix-instantiate [FLAGS] [FILES...]

Evaluates Nix expressions in files (./default.nix if there are none), and writes the derivations that they give to the store.

What to evaluate:
  FILE                      a file, a folder with a default.nix, or <name> from the search path
  -                         standard input
  -E, --expr                the arguments are expressions rather than files
  -A, --attr PATH           only what this attribute path leads to; may be repeated
  --arg NAME EXPR           pass an expression to functions that take NAME
  --argstr NAME STRING      pass a string
  -I [NAME=]PATH            look here first for <NAME>

What to do with it:
  --eval                    print the value; no derivation is written
  --strict                  evaluate all that is inside of it
  --json, --xml, --raw      print it as JSON (with --strict), as XML, or just as the string that it is
  --no-location             leave source locations out of XML
  --parse                   print the parsed expression
  --find-file               print the files that names in the search path lead to
  --read-write-mode         with --eval: write to the store what evaluation adds to it
  --readonly-mode, --dry-run
                            write nothing

The store:
  --store PLACE             use the store there: a folder, or local?root=...
  --add-root LINK           make LINK a garbage-collector root of what is printed (LINK-2 and so on of more)

Other:
  --show-trace              show all frames of an error's trace
  --option NAME VALUE       set one of Nix's settings
  --extra-experimental-features NAMES
                            allow features such as pipe-operators
  --pure-eval, --impure     whether only what is named by its content may be read
  --no-eval-cache           do not answer from the cache of evaluations
  -h, --help, --version
"""


class Options(ExpressionOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.action = "instantiate"
        self.output = "plain"
        self.strict = False
        self.locations = True
        self.read_write = False
        self.root: str | None = None

    def flags(self) -> Flags:
        def put(name: str, value: object) -> tuple[int, object]:
            return 0, lambda: setattr(self, name, value)

        own = {
            "--eval": put("action", "eval"),
            "--eval-only": put("action", "eval"),
            "--parse": put("action", "parse"),
            "--parse-only": put("action", "parse"),
            "--find-file": put("action", "find-file"),
            "--strict": put("strict", True),
            "--raw": put("output", "raw"),
            "--xml": put("output", "xml"),
            "--json": put("output", "json"),
            "--no-location": put("locations", False),
            "--read-write-mode": put("read_write", True),
            "--dry-run": put("read_only", True),
            "--add-root": (1, lambda link: setattr(self, "root", link)),
        }
        return {**super().flags(), **own}  # type: ignore[dict-item]


def run_program() -> int:
    """The program; its exit status."""
    return run(lambda: nix_instantiate(sys.argv[1:]))


def nix_instantiate(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    options = Options()
    if not options.read("nix-instantiate", _HELP, words):
        return 0
    if options.action in ("eval", "parse", "find-file") and not options.read_write:
        options.read_only = True
    environment = dict(os.environ)
    folder = os.getcwd()
    layout = options.layout(environment)
    settings = options.settings(environment, folder, layout)
    text = sys.stdin.buffer.read() if options.from_stdin and options.action != "find-file" else b""
    request = _make_request(options, words, folder, environment, text)
    store = layout if options.read_only else open_store_meanwhile(layout, options.config)
    try:
        roots = _Roots(options, store, folder)
        # Without these two, it was asked before anything was loaded.
        hit = request.find() if request is not None and (options.from_stdin or options.root is not None) else None
        if hit is not None:
            from nivalis.cli.eval_cache import show_messages

            show_messages(hit)
            is_as_it_was = options.root is None or options.action == "eval"
            _write(hit.output if is_as_it_was else b"".join(encode(roots.add(line)) + b"\n" for line in hit.derivations))
            hit.close()
            return 0
        with open_evaluator(options, store, environment, settings, record=request is not None) as evaluator:
            evaluation = _Run(options, evaluator, roots, folder, text)
            warned = len(options.warnings)
            evaluation.run()
            if request is not None:
                request.keep(
                    evaluator.recording(),
                    bytes(evaluation.output),
                    evaluation.derivations,
                    state_dir=str(layout.state_dir),
                    is_written=not options.read_only,
                    warnings=(options.warnings[:warned], options.warnings[warned:]),
                    exists=options.default_places(environment, layout, settings),
                )
            return 0
    finally:
        # The process ends: its memory need not be given back piece by piece.
        if not isinstance(store, StoreLayout):
            store.close()


def _make_request(options: Options, words: Sequence[str], folder: str, environment: Mapping[str, str], text: bytes) -> Request | None:
    """What the cache is asked; None if it is not to be."""
    if not options.eval_cache or options.action not in ("eval", "instantiate"):
        return None
    from nivalis.cli.eval_cache import Request

    more = [b"stdin", text] if options.from_stdin else []
    return Request("nix-instantiate", words, folder, environment, [*more, b"root"] if options.root is not None else more)


class _Roots:
    """Makes derivations roots, if that is wished."""

    def __init__(self, options: Options, store: Store | StoreLayout, folder: str) -> None:
        self._options = options
        self._store = store
        self._folder = folder
        self._count = 0
        self._has_warned = False

    def add(self, derivation: str) -> str:
        """What to print for a derivation, which may be followed by `!output`."""
        options = self._options
        path, mark, output = derivation.partition("!")
        if options.root is None:
            if options.gc_warning and not self._has_warned:
                options.warn("you did not specify '--add-root'; the result might be removed by the garbage collector")
                self._has_warned = True
            return derivation
        self._count += 1
        link = options.root if self._count == 1 else f"{options.root}-{self._count}"
        if isinstance(self._store, StoreLayout):
            raise UsageError("flag '--add-root' needs a store that may be written")
        return f"{self._store.add_root(os.path.join(self._folder, link), path)}{mark}{output}"


class _Run:
    """One evaluation.  `output` is all that it wrote to stdout, `derivations` what it instantiated."""

    def __init__(self, options: Options, evaluator: Evaluator, roots: _Roots, folder: str, text: bytes) -> None:
        self._options = options
        self._evaluator = evaluator
        self._roots = roots
        self._folder = folder
        self._text = text
        self._arguments: AutoArguments = {}
        self.output = bytearray()
        self.derivations: list[str] = []

    def run(self) -> None:
        options = self._options
        self._arguments = make_arguments(self._evaluator, options, self._folder)
        if options.action == "find-file":
            for name in options.files:
                self._write_line(self._evaluator.find_file(name))
            return
        if options.from_stdin:
            self._show_text(self._text, "stdin")
        elif not options.files and not options.from_arguments:
            options.files.append("./default.nix")
        if options.from_arguments:
            for word in options.files:
                self._show_text(os.fsencode(word), "string")
        elif options.action == "parse":
            for is_looked_up, words in groupby(options.files, _is_looked_up):
                files = (resolve_file(self._evaluator, word, self._folder) for word in words)
                if is_looked_up:
                    for file in files:
                        self._parse([file])
                else:
                    self._parse(files)
        else:
            for word in options.files:
                self._show(self._evaluator.eval_file(resolve_file(self._evaluator, word, self._folder)))

    def _show_text(self, text: bytes, origin: Literal["stdin", "string"]) -> None:
        if self._options.action == "parse":
            self._write_line(self._evaluator.parse(text, base_dir=self._folder, origin=origin))
        else:
            self._show(self._evaluator.eval(text, base_dir=self._folder, origin=origin))

    def _parse(self, files: Iterable[str]) -> None:
        self._evaluator.parse_each(map(_read_source, files), lambda shown: _write(shown + b"\n"))

    def _show(self, root: Value) -> None:
        for path in self._options.attributes or [""]:
            value = find_along_path(root, path, self._arguments)
            if self._options.action == "eval":
                self._print(auto_call(value, self._arguments) if self._arguments else value)
            else:
                self._instantiate(value)

    def _print(self, value: Value) -> None:
        options = self._options
        if options.output == "raw":
            self._write(encode(value.interpolated()))
        elif options.output == "xml":
            self._write(encode(value.to_xml(strict=options.strict, positions=options.locations)))
        elif options.output == "json":
            self._write_line(value.to_json(strict=options.strict))
        else:
            if options.strict:
                value.force(deep=True)
            self._write_line(value.print(lazy=not options.strict))
        if not options.read_only:
            self._evaluator.flush()

    def _instantiate(self, value: Value) -> None:
        lines: list[str] = []
        try:
            for found in find_derivations(value, self._arguments):
                output = found.output_name()
                lines.append(found.drv_path() + ("" if output == "out" else f"!{output}"))
        finally:
            # What comes before a failure is written, in one batch, and printed.
            self._evaluator.flush()
            for line in lines:
                self._write_line(self._roots.add(line))
            self.derivations += lines

    def _write_line(self, text: str) -> None:
        self._write(encode(text) + b"\n")

    def _write(self, data: bytes) -> None:
        self.output += data
        _write(data)


def _is_looked_up(word: str) -> bool:
    """Whether the evaluator is asked where the file is, which it cannot be while it parses another."""
    return word.startswith("<") or is_address(word)


def _read_source(file: str) -> tuple[bytes, str, str]:
    """The text of a file or of a folder's `default.nix`, the folder that it is in, and its name."""
    while os.path.islink(file):
        file = os.path.normpath(os.path.join(os.path.dirname(file), os.readlink(file)))
    if os.path.isdir(file):
        file = os.path.join(file, "default.nix")
    with open(file, "rb") as stream:
        return stream.read(), os.path.dirname(file), file


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
