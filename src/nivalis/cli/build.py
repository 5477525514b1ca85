"""`nivalis build`: evaluate an expression, build what it gives, and link to the result."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nivalis.cli.failures import run

__all__ = ["command"]


@click.command("build", short_help="Build what an expression gives, and link to the result.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option("-E", "--expr", "expressions", multiple=True, help="Build what this expression gives, rather than a file.")
@click.option("-A", "--attr", "attributes", multiple=True, help="Only what this attribute path leads to.")
@click.option("--arg", "arguments", type=(str, str), multiple=True, metavar="NAME EXPR", help="Pass an expression to functions that take NAME.")
@click.option("--argstr", "strings", type=(str, str), multiple=True, metavar="NAME STRING", help="Pass a string.")
@click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>.")
@click.option("-o", "--out-link", "link", default="result", show_default=True, help="The name of the link to the result.")
@click.option("--no-link", "--no-out-link", "no_link", is_flag=True, help="Make no link.")
@click.option("--dry-run", is_flag=True, help="Only say what would be built.")
@click.option("--rebuild", "--check", "rebuild", is_flag=True, help="Build again what is built, and compare.")
@click.option("--repair", is_flag=True, help="Mend what is built and damaged, and what it refers to.")
@click.option("-k", "--keep-going", is_flag=True, help="After a failure, build what does not need what failed.")
@click.option("-K", "--keep-failed", is_flag=True, help="Keep the folders of failed builds.")
@click.option("-j", "--max-jobs", metavar="N", help="So many builds at once.")
@click.option("--cores", metavar="N", help="Each told to use so many processors (0: all).")
@click.option("--timeout", metavar="SECONDS", help="End a build that takes so long.")
@click.option("--max-silent-time", metavar="SECONDS", help="End a build that says nothing for so long.")
@click.option("--fallback/--no-fallback", default=None, help="Build what could not be fetched, or fail.  [default: as configured]")
@click.option("-Q", "--no-build-output", is_flag=True, help="Do not show what builders say.")
@click.option("--json", "as_json", is_flag=True, help="Print the derivations and their outputs as JSON.")
@click.option("--json-events", is_flag=True, help="Show what happens as one JSON object a line, on stderr.")
@click.option("--store", metavar="PLACE", help="Build in the store there.")
@click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set one of Nix's settings.")
@click.option("--show-trace", is_flag=True, help="Show all frames of an error's trace.")
def command(
    files: Sequence[str],
    expressions: Sequence[str],
    attributes: Sequence[str],
    arguments: Sequence[tuple[str, str]],
    strings: Sequence[tuple[str, str]],
    includes: Sequence[str],
    link: str,
    no_link: bool,
    dry_run: bool,
    rebuild: bool,
    repair: bool,
    keep_going: bool,
    keep_failed: bool,
    max_jobs: str | None,
    cores: str | None,
    timeout: str | None,
    max_silent_time: str | None,
    fallback: bool | None,
    no_build_output: bool,
    as_json: bool,
    json_events: bool,
    store: str | None,
    settings: Sequence[tuple[str, str]],
    show_trace: bool,
) -> None:
    """Build the derivations that FILEs give (files, folders with a default.nix, `<name>`, derivations in the store; ./default.nix).

    The paths of the outputs are printed, and ./result leads to them.
    """
    if files and expressions:
        raise click.UsageError("give either files or expressions")

    def work() -> int:
        from nivalis.cli.nix_build import Options, build_found

        options = Options()
        options.files = [*files, *expressions]
        options.from_arguments = bool(expressions)
        options.attributes = list(attributes)
        options.arguments = {name: (text, True) for name, text in arguments} | {name: (text, False) for name, text in strings}
        options.includes = list(includes)
        options.link = None if no_link else link
        options.dry_run, options.json, options.json_events = dry_run, as_json, json_events
        options.mode = "check" if rebuild else "normal"
        options.repairs, options.shows_output = repair, not no_build_output
        options.set_given({"store": store, "show-trace": show_trace, "keep-going": keep_going, "keep-failed": keep_failed})
        options.set_given({"max-jobs": max_jobs, "cores": cores, "timeout": timeout, "max-silent-time": max_silent_time})
        options.set_given({"fallback": None if fallback is None else str(fallback).lower()})
        for name, value in settings:
            options.set(name, value)
        # What the evaluation depends on: its answer is kept under this.
        words = [repr((files, expressions, attributes, arguments, strings, includes, settings, store))]
        return build_found(options, words, "nivalis build")

    raise SystemExit(run(work))
