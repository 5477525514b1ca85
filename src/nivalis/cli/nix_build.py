"""`nix-build`: evaluate Nix expressions, build the derivations that they give, and link to the results.

Flags, output and exit status are CppNix's: stdout has the output paths and nothing else.  Arguments may also be derivations in the
store.  Evaluation is answered from the cache where that is possible; the results of builds are in the store and need none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nivalis.cli.arguments import Flags
from nivalis.cli.building import BUILD_HELP, STORE_HELP, BuildOptions, make_links, open_building, report_failures
from nivalis.cli.common_options import open_store
from nivalis.cli.eval_cache import Request, show_messages
from nivalis.cli.evaluation import make_arguments, open_evaluator, resolve_file
from nivalis.cli.expressions import ExpressionOptions
from nivalis.cli.failures import run
from nivalis.lang.auto_call import find_along_path
from nivalis.lang.encoding import encode
from nivalis.lang.get_derivations import find_derivations
from nivalis.store.layout import StoreLayout
from nivalis.store.store import Store

__all__ = ["derivation_in_store", "nix_build", "run_program"]

_HELP = f"""\
Usage: nix-build [FLAGS] [FILES...]

Builds the derivations that Nix expressions in files give (./default.nix if there are none), and makes ./result a link to the result.

What to build:
  FILE                      a file, a folder with a default.nix, <name> from the search path, or a .drv file in the store
  -                         standard input
  -E, --expr                the arguments are expressions rather than files
  -A, --attr PATH           only what this attribute path leads to; may be repeated
  --arg NAME EXPR           pass an expression to functions that take NAME
  --argstr NAME STRING      pass a string
  -I [NAME=]PATH            look here first for <NAME>

The result:
  -o, --out-link LINK       the name of the link, instead of `result`
  --no-out-link             make none
  --dry-run                 only say what would be built

{BUILD_HELP}  --check, --rebuild        build again what is built, and compare
  --repair                  mend what is built and damaged, and what it refers to, by fetching or building it again

{STORE_HELP}"""


class Options(ExpressionOptions, BuildOptions):
    """The flags of this command."""

    def __init__(self) -> None:
        super().__init__()
        self.link: str | None = "result"
        self.json = False
        self.repairs = False

    def flags(self) -> Flags:
        own: dict[str, tuple[int, object]] = {
            "--no-out-link": (0, lambda: setattr(self, "link", None)),
            "--no-link": (0, lambda: setattr(self, "link", None)),
            "--repair": (0, lambda: setattr(self, "repairs", True)),
        }
        for name in ("-o", "--out-link", "--add-root"):
            own[name] = (1, lambda link: setattr(self, "link", link))
        return {**super().flags(), **own}  # type: ignore[dict-item]


def run_program() -> int:
    """The program; its exit status."""
    return run(lambda: nix_build(sys.argv[1:]))


def nix_build(words: Sequence[str]) -> int:
    """Do what the arguments say; the exit status.  Raises NivalisError."""
    options = Options()
    if not options.read("nix-build", _HELP, words):
        return 0
    return build_found(options, words, "nix-build")


def build_found(options: Options, words: Sequence[str], command: str) -> int:
    """Evaluate, build and link; the exit status.  Raises NivalisError."""
    environment = dict(os.environ)
    folder = os.getcwd()
    layout = options.layout(environment)
    text = sys.stdin.buffer.read() if options.from_stdin else b""
    more = [b"stdin", text] if options.from_stdin else []
    request = Request(command, words, folder, environment, [b"derivations", *more]) if options.eval_cache else None
    with open_store(layout, options.config) as store:
        hit = request.find() if request is not None else None
        try:
            if hit is not None:
                show_messages(hit)
                wanted = list(hit.derivations)
                store.protect(word.partition("!")[0] for word in wanted)
            else:
                wanted = _evaluate(options, store, folder, environment, text, request)
        finally:
            if hit is not None:
                hit.close()
        status, built = _realise(options, store, wanted, environment)
        if built is None:
            return status
        sys.stdout.buffer.write(built.output)
        is_plain = options.mode == "normal" and not options.repairs and not options.from_stdin and not options.json_events
        if request is not None and command == "nix-build" and is_plain:
            # For `start`, which knows the words alone: not what stdin says, and no events.
            whole = Request(command, words, folder, environment)
            whole.keep_after(request, built.output, links=_read_roots(layout, built.links), paths=built.paths)
        return 0


def _evaluate(options: Options, store: Store, folder: str, environment: dict[str, str], text: bytes, request: Request | None) -> list[str]:
    """What to build: `derivation!output` each."""
    settings = options.settings(environment, folder, store.layout)
    warned = len(options.warnings)
    wanted: list[str] = []
    with (
        open_building(options, store, environment) as building,
        open_evaluator(options, store, environment, settings, builder=building.builder(), record=request is not None) as evaluator,
    ):
        arguments = make_arguments(evaluator, options, folder)
        roots = []
        if options.from_stdin:
            roots.append(evaluator.eval(text, base_dir=folder, origin="stdin"))
        elif not options.files and not options.from_arguments:
            options.files.append("./default.nix")
        for word in options.files:
            if options.from_arguments:
                roots.append(evaluator.eval(os.fsencode(word), base_dir=folder))
            elif (derivation := derivation_in_store(store, word, folder)) is not None:
                wanted.append(derivation)
            else:
                roots.append(evaluator.eval_file(resolve_file(evaluator, word, folder)))
        for root in roots:
            for path in options.attributes or [""]:
                for found in find_derivations(find_along_path(root, path, arguments), arguments):
                    wanted.append(f"{found.drv_path()}!{found.output_name()}")
        evaluator.flush()
        if request is not None:
            request.keep(
                evaluator.recording(),
                b"",
                wanted,
                state_dir=str(store.layout.state_dir),
                is_written=True,
                warnings=(options.warnings[:warned], options.warnings[warned:]),
                exists=options.default_places(environment, store.layout, settings),
            )
        return wanted


def derivation_in_store(store: Store, word: str, folder: str) -> str | None:
    """The derivation that an argument names by its place in the store, or by a link to it."""
    from nivalis.store.roots import linked_path, store_path_in

    name, mark, outputs = word.partition("!")
    place = os.path.normpath(os.path.join(folder, name))
    path = store_path_in(store.layout, place) or linked_path(store.layout, place)
    return f"{path}{mark}{outputs}" if path is not None and path.endswith(".drv") else None


class _Built(NamedTuple):
    """What was built, and what is said of it on stdout."""

    output: bytes
    paths: list[str]
    links: list[Path]


def _realise(options: Options, store: Store, wanted: Sequence[str], environment: dict[str, str]) -> tuple[int, _Built | None]:
    """The exit status, and what was built if all of it was."""
    from nivalis.build.goals import parse_wanted

    goals = [parse_wanted(word, store) for word in wanted]
    with open_building(options, store, environment) as building:
        if options.dry_run:
            building.show_plan(goals, as_json=options.json)
            return 0, None
        if options.repairs:
            from nivalis.cli.nix_store_realise import repair_damaged

            repair_damaged(store, goals, building.settings, building.substituter)
        result = building.realise(goals)
    report_failures(result)
    if result.exit_status:
        return result.exit_status, None
    outputs = []
    for goal in goals:
        derivation = store.read_derivation(goal.path)
        names = goal.outputs if goal.outputs is not None else tuple(sorted(derivation.outputs))
        outputs += [(goal.path, name, str(derivation.outputs[name].path)) for name in names]
    links = make_links(store, options.link, outputs) if options.link is not None else []
    paths = [path for _, _, path in outputs]
    if options.json:
        import json

        text = json.dumps([{"derivation": derivation, "output": name, "path": path} for derivation, name, path in outputs], indent=2)
    else:
        text = "\n".join(paths)
    return 0, _Built(encode(text + "\n") if text else b"", paths, links)


def _read_roots(layout: StoreLayout, links: Sequence[Path]) -> dict[str, str]:
    """The links to results and those that make them roots, and what each says."""
    from nivalis.store.roots import auto_name, companions_dir

    places = list(links)
    for link in links:
        name = auto_name(link)
        places += [layout.roots_dir / "auto" / name, *companions_dir(layout).glob(f"{name}*")]
    return {str(place): os.readlink(place) for place in places if place.is_symlink()}
