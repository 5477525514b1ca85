"""`nix-shell`: a shell with the environment of a derivation, its dependencies built or fetched; also the interpreter of `#! nix-shell` scripts.

Flags, environment, exit status and the rules of scripts are CppNix's; where its versions differ, the newer's, as far as they are documented:
`shell.nix` is looked for in folders that are named too, and what a script names starts from the script.  The shell has a temporary folder of
its own, which is removed with it.  A store under another root is seen at its logical place.

Evaluation is answered from the cache where that is possible; when the shell's dependencies are all there too, the whole shell is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from nivalis.cli.arguments import Flags, UsageError
from nivalis.cli.building import BUILD_HELP, STORE_HELP, BuildOptions, open_building, report_failures
from nivalis.cli.common_options import open_store
from nivalis.cli.eval_cache import Request, show_messages
from nivalis.cli.evaluation import make_arguments, open_evaluator, resolve_file
from nivalis.cli.expressions import ExpressionOptions
from nivalis.cli.failures import run
from nivalis.cli.nix_build import derivation_in_store
from nivalis.cli.nix_shell_start import CommandLine, encode_answer, make_request, read_words, shell_environment
from nivalis.errors import EvalError, NivalisError
from nivalis.lang.auto_call import AutoArguments, find_along_path
from nivalis.lang.evaluator import Evaluator
from nivalis.lang.get_derivations import FoundDerivation, find_derivations
from nivalis.lang.value import AttrSet, Function, Value
from nivalis.profile.shell import Shell, ShellRun, make_shell, start
from nivalis.store.roots import follow
from nivalis.store.store import Store

__all__ = ["nix_shell", "run_program", "start_shell"]

_HELP = f"""\
Usage: nix-shell [FLAGS] [FILES...]
       nix-shell [FLAGS] -p PACKAGES...
       nix-shell SCRIPT [ARGUMENTS...]

Starts a shell with the environment in which a derivation would be built, after its dependencies were built or fetched.

What the shell is for:
  FILE                      a file, a folder with a shell.nix or default.nix, <name> from the search path, or a .drv file in the store
                            (without any: ./shell.nix, else ./default.nix)
  -p, --packages            the arguments are packages, or expressions for some, of <nixpkgs>
  -                         standard input
  -E, --expr                the arguments are expressions rather than files
  -A, --attr PATH           what this attribute path leads to
  --arg NAME EXPR           pass an expression to functions that take NAME
  --argstr NAME STRING      pass a string
  -I [NAME=]PATH            look here first for <NAME>
  --exclude REGEX           do not build dependencies whose derivation's path matches; may be repeated

The shell:
  --run COMMAND             run a command instead, and end with its exit status
  --command COMMAND         the same in an interactive shell; with `return` at its end the shell stays
  --pure                    keep little of the environment
  --keep NAME               but keep this variable; may be repeated
  --bare                    where a farm is /usr, show little of the machine's files: the working directory, and an empty home
  --plain                   change PATH and nothing else: the derivation's inputs come first
  -i INTERPRETER            in a script: what runs it

Scripts: after the first line `#! /usr/bin/env nix-shell` come lines such as `#! nix-shell -i python3 -p python3`.

{BUILD_HELP}  --dry-run                 only say what would be built

{STORE_HELP}
NIX_BUILD_SHELL names the Bash to start, instead of the farm's, or `bashInteractive` of <nixpkgs> or, without one, the `bash` of PATH.
"""

_NAMES = ("shell.nix", "default.nix")
_BASH = "(import <nixpkgs> { }).bashInteractive"


class Options(ExpressionOptions, BuildOptions):
    """The flags of this command."""

    def __init__(self, *, in_script: bool) -> None:
        super().__init__()
        self.run = ShellRun()
        self.packages = False
        self.excluded: list[str] = []
        self._in_script = in_script

    def flags(self) -> Flags:
        own: dict[str, tuple[int, object]] = {
            "--run": (1, self._set_run),
            "--command": (1, lambda text: setattr(self.run, "command", text)),
            "--pure": (0, lambda: setattr(self.run, "pure", True)),
            "--impure": (0, lambda: setattr(self.run, "pure", False)),
            "--keep": (1, self.run.keep.append),
            "--bare": (0, lambda: setattr(self.run, "bare", True)),
            "--plain": (0, lambda: setattr(self.run, "plain", True)),
            "--exclude": (1, self.excluded.append),
            "-p": (0, lambda: setattr(self, "packages", True)),
            "--packages": (0, lambda: setattr(self, "packages", True)),
        }
        if self._in_script:
            own["-i"] = (1, self._set_interpreter)
        # No links are made.
        own |= dict.fromkeys(("--no-out-link", "--no-link", "--run-env"), (0, lambda: None))
        own |= dict.fromkeys(("-o", "--out-link", "--add-root"), (1, lambda link: None))
        return {**super().flags(), **own}  # type: ignore[dict-item]

    def _set_run(self, text: str) -> None:
        self.run.command, self.run.interactive = text, False

    def _set_interpreter(self, text: str) -> None:
        self.run.interpreter, self.run.interactive = text, False

    def what(self) -> list[str]:
        """All that an evaluation depends on, without what is only for the shell."""
        given = [f"{name}={text}" for name, text in sorted(self.config.given().items())]
        arguments = [word for name, (text, is_expression) in sorted(self.arguments.items()) for word in (name, text, str(is_expression))]
        lists = (self.files, self.attributes, arguments, self.includes, given)
        flags = f"{self.from_arguments}{self.packages}"
        return [flags, *(word for words in lists for word in (str(len(words)), *words))]


def run_program() -> int:
    """The program; its exit status."""
    return run(lambda: nix_shell(sys.argv[1:]))


def nix_shell(words: Sequence[str]) -> int:
    """Do what the arguments say: the exit status, if no shell is started.  Raises NivalisError."""
    return start_shell(read_words(words))


def start_shell(line: CommandLine) -> int:
    """Do what a command line says that has been read.  Raises NivalisError."""
    words = line.words
    options = Options(in_script=bool(line.script))
    if not options.read("nix-shell", _HELP, words):
        return 0
    if options.packages and options.from_arguments:
        raise UsageError("flags '-p' and '-E' exclude each other", hint="after `-p` too, an argument may be an expression")
    return _Session(options, line).run()


class _Session:
    """One run of the command, from an expression to a shell."""

    def __init__(self, options: Options, line: CommandLine) -> None:
        self._options = options
        self._line = line
        self._environment = shell_environment(os.environ, pure=options.run.pure)
        self._folder = os.getcwd()
        self._script_folder = os.path.dirname(os.path.abspath(line.script[0])) if line.script else self._folder
        relative = options.config.switch("nix-shell-shebang-arguments-relative-to-script")
        # Where expressions start from, `-I` and `--arg` too.
        self._base = self._script_folder if relative else self._folder
        self._layout = options.layout(self._environment)
        self._asked: list[tuple[str, bool]] = []

    def run(self) -> int:
        """The exit status, if no shell is started.  Raises NivalisError."""
        options = self._options
        text = sys.stdin.buffer.read() if options.from_stdin else b""
        more: list[str | bytes] = ["derivations", self._base]
        if options.from_stdin:
            more += ["stdin", self._folder, text]
        request = Request("nix-shell", options.what(), self._script_folder, self._environment, more) if options.eval_cache else None
        with open_store(self._layout, options.config) as store:
            hit = request.find() if request is not None else None
            try:
                if hit is not None:
                    show_messages(hit)
                    found = list(hit.derivations)
                    store.protect(found)
                else:
                    found = self._evaluate(store, text, request)
            finally:
                if hit is not None:
                    hit.close()
            status, shell, paths = self._realise(store, found)
            if shell is None:
                return status
            if request is not None and not options.from_stdin and not options.json_events:
                answer = encode_answer(shell, options.run)
                whole = make_request(self._line, self._folder, self._environment)
                whole.keep_after(request, answer, links={}, paths=paths)
            # A collector does not always see the shell's environment: not from another user namespace.
            store.temp_roots.outlive()
        options.run.script = self._line.script or self._line.arguments
        start(shell, options.run, self._environment)

    # ---- evaluating ----

    def _evaluate(self, store: Store, text: bytes, request: Request | None) -> list[str]:
        """The derivation that the shell is for, and that of its Bash, if there is one."""
        options = self._options
        settings = options.settings(self._environment, self._base, store.layout)
        warned = len(options.warnings)
        with (
            open_building(options, store, self._environment) as building,
            open_evaluator(options, store, self._environment, settings, builder=building.builder(), record=request is not None) as evaluator,
        ):
            arguments = make_arguments(evaluator, options, self._base)
            named, roots = self._roots(store, evaluator, text)
            for root in roots:
                for path in options.attributes or [""]:
                    value = find_along_path(root, path, _for_shells(root, arguments, evaluator))
                    named += [found.drv_path() for found in find_derivations(value, _for_shells(value, arguments, evaluator))]
            if len(set(named)) != 1:
                raise UsageError(f"a shell is for one derivation, and these are {len(set(named))}", hint="name one with `-A`")
            found = named[:1]
            evaluator.flush()
            # A farm has a Bash of its own.
            if "usrFarm" not in store.read_derivation(found[0]).env:
                found += self._bash(evaluator)
                evaluator.flush()
            # A derivation that was named by its place is no evaluation's answer.
            if request is not None and roots:
                request.keep(
                    evaluator.recording(),
                    b"",
                    found,
                    state_dir=str(store.layout.state_dir),
                    is_written=True,
                    warnings=(options.warnings[:warned], options.warnings[warned:]),
                    exists=[*options.default_places(self._environment, store.layout, settings), *self._asked],
                )
            return found

    def _roots(self, store: Store, evaluator: Evaluator, text: bytes) -> tuple[list[str], list[Value]]:
        """The derivations that the arguments name by their places, and the values that they stand for."""
        options = self._options
        if options.from_stdin:
            return [], [evaluator.eval(text, base_dir=self._folder, origin="stdin")]
        if options.packages:
            packages = " ".join(f"({word})" for word in options.files)
            shell = (
                f'{{ ... }}@args: with import <nixpkgs> args; (pkgs.runCommandCC or pkgs.runCommand) "shell" {{ buildInputs = [ {packages} ]; }} ""'
            )
            return [], [evaluator.eval(os.fsencode(shell), base_dir=self._base)]
        if options.from_arguments:
            return [], [evaluator.eval(os.fsencode(word), base_dir=self._base) for word in options.files]
        if not options.files:
            return [], [evaluator.eval_file(self._file_in(store, self._script_folder, _NAMES))]
        named, roots = [], []
        for word in options.files:
            derivation = derivation_in_store(store, word, self._folder)
            if derivation is not None:
                named.append(derivation.partition("!")[0])
            else:
                place = resolve_file(evaluator, word, self._script_folder)
                names = _NAMES if options.config.switch("nix-shell-always-looks-for-shell-nix") else _NAMES[1:]
                roots.append(evaluator.eval_file(self._file_in(store, place, names)))
        return named, roots

    def _file_in(self, store: Store, place: str, names: Sequence[str]) -> str:
        """The first of `names` that a folder has; any other place is a file."""
        if not os.path.isdir(follow(store.layout, place)):
            return place
        for name in names:
            file = f"{place}/{name}"
            real = follow(store.layout, file)
            is_there = os.path.exists(real)
            self._asked.append((real, is_there))
            if is_there:
                return file
        wanted = " nor ".join(f"`{name}`" for name in names)
        raise NivalisError(
            f"{'neither ' if len(names) > 1 else 'no '}{wanted} in `{place}`", code="no-expression", hint="name a file, or use `-p` or `-E`"
        )

    def _bash(self, evaluator: Evaluator) -> list[str]:
        """The derivation of the Bash to start; nothing if there is another shell."""
        if "NIX_BUILD_SHELL" in self._environment:
            return []
        try:
            value = evaluator.eval(_BASH, base_dir=self._base)
            if not isinstance(value, AttrSet) or not value.is_derivation:
                raise EvalError(f"`{_BASH}` is not a derivation", code="type-error")
            return [FoundDerivation("", "", value).drv_path()]
        except EvalError as error:
            self._options.warn(f"the shell is the `bash` of PATH: {error.message}")
            return []

    # ---- building ----

    def _realise(self, store: Store, found: Sequence[str]) -> tuple[int, Shell | None, list[str]]:
        """The exit status, the shell if all that it needs is there, and the paths that it needs."""
        from nivalis.build.goals import Wanted

        options = self._options
        drv_path, *bash = found
        derivation = store.read_derivation(drv_path)
        excluded = [_regex(text) for text in options.excluded]
        wanted = [
            Wanted(path, tuple(sorted(names)))
            for path, names in sorted(derivation.input_drvs.items())
            if not any(regex.search(path) for regex in excluded)
        ]
        wanted += [Wanted(path) for path in sorted(derivation.input_srcs)]
        wanted += [Wanted(path, ("out",)) for path in bash]
        with open_building(options, store, self._environment) as building:
            if options.dry_run:
                building.show_plan(wanted)
                return 0, None, []
            result = building.realise(wanted)
        report_failures(result)
        if result.exit_status:
            return result.exit_status, None, []
        program = self._environment.get("NIX_BUILD_SHELL", "")
        if "usrFarm" in derivation.env:
            program = program or "/usr/bin/bash"
        elif bash:
            program = f"{store.read_derivation(bash[0]).outputs['out'].path}/bin/bash"
        return 0, make_shell(store, derivation, result.paths, building.settings, program), result.paths


def _for_shells(value: Value, arguments: AutoArguments, evaluator: Evaluator) -> AutoArguments:
    """The automatic arguments, for a function that asks for it with the one that says that it is for a shell."""
    formals = value.formals if isinstance(value, Function) else None
    return {"inNixShell": evaluator.from_python(True), **arguments} if formals is not None and "inNixShell" in formals else arguments


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"not a regular expression after '--exclude': `{text}`: {error}") from error
