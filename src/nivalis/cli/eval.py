"""`nivalis eval`: evaluate an expression and show its value, laid out for people unless another form is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from nivalis.cli.evaluation import EvalOptions, make_arguments, open_evaluator, resolve_file
from nivalis.cli.failures import run
from nivalis.lang.auto_call import auto_call, find_along_path
from nivalis.lang.encoding import encode
from nivalis.lang.printer import show_value
from nivalis.lang.value import Value

__all__ = ["command"]


@click.command("eval", short_help="Evaluate an expression and print its value.")
@click.argument("file", required=False)
@click.option("-E", "--expr", help="Evaluate this expression rather than a file.")
@click.option("-A", "--attr", "attribute", default="", help="Only what this attribute path leads to.")
@click.option("--arg", "expressions", type=(str, str), multiple=True, metavar="NAME EXPR", help="Pass an expression to functions that take NAME.")
@click.option("--argstr", "strings", type=(str, str), multiple=True, metavar="NAME STRING", help="Pass a string.")
@click.option("-I", "--include", "includes", multiple=True, metavar="[NAME=]PATH", help="Look here first for <NAME>.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--xml", "form", flag_value="xml", help="Print XML.")
@click.option("--raw", "form", flag_value="raw", help="Print just the string that the value is.")
@click.option("--strict", is_flag=True, help="Evaluate all that is inside of the value.")
@click.option("--store", metavar="PLACE", help="Evaluate against the store there.")
@click.option("--option", "settings", type=(str, str), multiple=True, metavar="NAME VALUE", help="Set one of Nix's settings.")
@click.option("--show-trace", is_flag=True, help="Show all frames of an error's trace.")
def command(
    file: str | None,
    expr: str | None,
    attribute: str,
    expressions: Sequence[tuple[str, str]],
    strings: Sequence[tuple[str, str]],
    includes: Sequence[str],
    form: str | None,
    strict: bool,
    store: str | None,
    settings: Sequence[tuple[str, str]],
    show_trace: bool,
) -> None:
    """Evaluate FILE (a file, a folder with a default.nix, `<name>`, or `-` for standard input) and print its value.

    A function of named arguments is called with those of `--arg` and `--argstr`.  Without a FILE and an expression it is
    ./default.nix.  Nothing is written to the store.
    """
    if file is not None and expr is not None:
        raise click.UsageError("give either a file or an expression")
    options = EvalOptions()
    options.read_only = True
    options.includes = list(includes)
    options.arguments = {name: (text, True) for name, text in expressions} | {name: (text, False) for name, text in strings}

    def work() -> int:
        options.set_given({"store": store, "show-trace": show_trace})
        for name, value in settings:
            options.set(name, value)
        return _evaluate(options, file, expr, attribute, form or "pretty", strict)

    raise SystemExit(run(work))


def _evaluate(options: EvalOptions, file: str | None, expr: str | None, attribute: str, form: str, strict: bool) -> int:
    environment, folder = dict(os.environ), os.getcwd()
    layout = options.layout(environment)
    settings = options.settings(environment, folder, layout)
    with open_evaluator(options, layout, environment, settings) as evaluator:
        if expr is not None:
            root = evaluator.eval(os.fsencode(expr), base_dir=folder)
        elif file == "-":
            root = evaluator.eval(sys.stdin.buffer.read(), base_dir=folder, origin="stdin")
        else:
            root = evaluator.eval_file(resolve_file(evaluator, file or "default.nix", folder))
        arguments = make_arguments(evaluator, options, folder)
        value = auto_call(find_along_path(root, attribute, arguments), arguments)
        _print(value, form, strict)
    return 0


def _print(value: Value, form: str, strict: bool) -> None:
    if strict:
        value.force(deep=True)
    if form == "json":
        text = value.to_json() + "\n"
    elif form == "xml":
        text = value.to_xml(strict=strict)
    elif form == "raw":
        text = value.interpolated()
    else:
        text = show_value(value, deep=strict) + "\n"
    sys.stdout.buffer.write(encode(text))
    sys.stdout.buffer.flush()
