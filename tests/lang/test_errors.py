"""Errors of the language: every code has an example that raises it, and an error says where, why and what to try.

What each code's message says beside CppNix's is the corpus's matter; here are the codes, places, carets, hints and traces.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from nivalis import _native
from nivalis.errors import EvalError
from nivalis.fetch.errors import NotThereError
from nivalis.lang import EvalSettings, Evaluator

DERIVATION = 'name = "n"; system = "s"; builder = "b";'

# A program for each code, evaluated in a folder that holds `file`, and the line and column that the error points at (None: none).
_EXAMPLES: dict[str, tuple[str, tuple[int, int] | None]] = {
    "syntax-error": ("{\n  a = ;\n}", (2, 7)),
    "undefined-variable": ("let\n  a = 1;\nin a + b", (3, 8)),
    "missing-attribute": ("let s = { a = 1; };\nin s.b", (2, 6)),
    "missing-argument": ("let f = { a }: a;\nin f { }", (2, 4)),
    "unexpected-argument": ("let f = { a }: a;\nin f { a = 1; b = 2; }", (2, 4)),
    "duplicate-attribute": ("{\n  a = 1;\n  a = 2;\n}", (3, 3)),
    "type-error": ("1 +\n  { }", (1, 3)),
    "not-a-function": ("let f = 1;\nin f 2", (2, 4)),
    "invalid-argument": ('builtins.hashString "md6" "a"', (1, 1)),
    "out-of-bounds": ("builtins.elemAt [ 1 ] 1", (1, 1)),
    "division-by-zero": ("1 / 0", (1, 3)),
    "integer-overflow": ("9223372036854775807 + 1", (1, 21)),
    "infinite-recursion": ("let x = x + 1; in x", (1, 9)),
    "stack-overflow": ("let f = x: f x; in f 1", (1, 12)),
    "out-of-memory": ("builtins.genList (x: x) 1000000000000", (1, 1)),
    "assertion-failed": ("assert\n  1 == 2;\n3", (1, 1)),
    "thrown": ('let a = throw "x";\nin a', (1, 9)),
    "aborted": ('1 + abort "x"', (1, 5)),
    "string-context": (f'builtins.getEnv "${{derivation {{ {DERIVATION} }}}}"', (1, 1)),
    "invalid-regex": ('builtins.match "(" "a"', (1, 1)),
    "invalid-json": ('builtins.fromJSON "{"', (1, 1)),
    "invalid-toml": ('builtins.fromTOML "a"', (1, 1)),
    "invalid-store-path": ('builtins.storePath "/etc/passwd"', (1, 1)),
    "invalid-derivation": (f"derivationStrict {{ {DERIVATION} outputs = [ ]; }}", (1, 61)),
    "hash-mismatch": ('"${builtins.path { path = ./file; sha256 = "0000000000000000000000000000000000000000000000000000"; }}"', (1, 4)),
    "file-not-found": ("builtins.readFile ./none", (1, 1)),
    "io-error": ("builtins.readFile ./.", (1, 1)),
    "search-path": ("<none>", (1, 1)),
    "not-built": (f"import (derivation {{ {DERIVATION} }})", None),
    "fetch-failed": ('builtins.fetchurl "http://localhost:1/none"', None),
    "unsupported": (f"(derivation {{ {DERIVATION} __impure = true; }}).outPath", None),
    "forbidden": ("1 |> (x: x)", (1, 3)),
    "world": ('builtins.trace "x" 1', (1, 1)),
    "interrupted": ("let f = x: y: if y > 9000 then 0 else f x (y + 1); in builtins.foldl' (a: x: f a 0) 0 (builtins.genList (x: x) 1000000)", None),
}
# No program can raise these.
_INTERNAL = {"internal-bug": "says that the evaluator contradicts itself"}


def _refuse(message: str) -> None:
    raise ValueError("the ear is full")


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as one:
        yield one


def raised(evaluator: Evaluator, text: str, base_dir: Path | str = "/") -> EvalError:
    with pytest.raises(EvalError) as caught:
        evaluator.eval(text, base_dir=base_dir).force(deep=True)
    return caught.value


def test_every_code_has_an_example() -> None:
    assert set(_EXAMPLES) | set(_INTERNAL) == set(_native.error_codes())
    assert not set(_EXAMPLES) & set(_INTERNAL)


@pytest.mark.parametrize("code", _EXAMPLES)
def test_example(code: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    text, place = _EXAMPLES[code]
    with Evaluator(None, EvalSettings(system="x86_64-linux"), on_trace=_refuse) as evaluator:
        if code == "interrupted":
            threading.Timer(0.2, evaluator.interrupt).start()
        error = raised(evaluator, text, tmp_path)
        assert error.code == code, error
        assert error.message
        assert not error.message.endswith("."), error.message
        shown = str(error)
        assert shown.startswith(f"error[{code}]: ")
        if place is not None:
            assert error.position is not None, shown
            assert (error.position.line, error.position.column) == place, shown
            assert error.position.file == "«string»"
            assert error.position.source == text.split("\n")[place[0] - 1]
            line = f"    {place[0]} | {error.position.source}"
            caret = "    " + " " * len(str(place[0])) + " | " + " " * (place[1] - 1) + "^"
            lines = shown.split("\n")
            assert lines[lines.index(line) + 1] == caret
        assert evaluator.eval("1 + 1").to_python() == 2


def test_what_fails_outside_has_its_own_code() -> None:
    class Fetcher:
        def fetch(self, kind: str, arguments: Mapping[str, str]) -> tuple[str, dict[str, str | int | bool]]:
            raise NotThereError("there is nothing", hint="look elsewhere")

        def search_entry(self, address: str) -> str | None:
            return None

    with Evaluator(None, EvalSettings(system="x86_64-linux"), fetcher=Fetcher()) as evaluator:
        error = raised(evaluator, 'builtins.fetchurl "http://localhost:1/none"')
    assert (error.code, error.message, error.hint) == ("not-found", "there is nothing", "look elsewhere")
    assert isinstance(error.__cause__, NotThereError)


def test_places_in_files(tmp_path: Path, evaluator: Evaluator) -> None:
    (tmp_path / "a.nix").write_text("{ x }:\n\tx.y.z\n")
    (tmp_path / "b.nix").write_text("let f = import ./a.nix; in\nrec {\n  bad = f { x = { y = { }; }; };\n  user = bad;\n}\n")
    with pytest.raises(EvalError) as caught:
        evaluator.eval_file(tmp_path / "b.nix").force(deep=True)
    error = caught.value
    assert (error.code, str(error.position)) == ("missing-attribute", f"{tmp_path}/a.nix:2:6")
    # The tab stays a tab, so that the caret is under its place.
    assert "    2 | \tx.y.z\n      | \t    ^" in str(error)
    frames = [(frame.text, str(frame.position)) for frame in error.trace]
    assert ("while calling an anonymous function", f"{tmp_path}/b.nix:3:9") in frames
    assert ("while evaluating the attribute 'bad'", f"{tmp_path}/b.nix:3:3") in frames


def test_the_caret_stands_under_what_is_meant(evaluator: Evaluator) -> None:
    error = raised(evaluator, 'let a = "größe"; in a + none')
    shown = str(error).split("\n")
    at = next(i for i, line in enumerate(shown) if line.startswith("    1 | "))
    assert shown[at].index("none") == shown[at + 1].index("^")


def test_a_line_that_is_too_long_is_not_shown(evaluator: Evaluator) -> None:
    error = raised(evaluator, "[ " + "1 " * 1000 + " none ]")
    assert error.position is not None
    assert error.position.source is None
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("let value = 1; in vlaue", "did you mean `value`?"),
        ("{ inherit (builtins) atrNames; }.atrNames", "did you mean `attrNames`?"),
        ("builtins.atrNames", "did you mean `attrNames`?"),
        ("{ hello = 1; }.helo", "did you mean `hello`?"),
        ("({ hello }: hello) { helo = 1; hello = 1; }", "did you mean `hello`?"),
        ("with { hello = 1; }; helo", "did you mean `hello`?"),
        ('builtins.getAttr "hallo" { hello = 1; hall = 2; }', "did you mean one of `hall` or `hello`?"),
        ("{ a = 1; }.completelyDifferent", None),
        ('"${1}"', "`toString` turns it into a string"),
        ('"${{ }}"', "a set needs an attribute `outPath` or `__toString` for that"),
        ("null + 1", None),
        ("if 1 = 1 then 2 else 3", "comparison is written `==`"),
        ("let\n  a = 1;\na + 1", "`let` of line 1 has no `in` yet"),
        ("{ a = 1, b = 2; }", "definitions end with `;`"),
        ("{ a = { b = 1; c = 2; }", "the definition of line 1 lacks its `;`, or a bracket in it is closed too late"),
        ("{ größe = 1; }", "names consist of ASCII letters, digits and `_'-`; an attribute's may stand in quotes"),
        ('import "file.nix"', "a path is written without quotes: `./file`"),
    ],
)
def test_hints(evaluator: Evaluator, text: str, hint: str | None) -> None:
    error = raised(evaluator, text)
    assert error.hint == hint
    assert (f"  hint: {hint}" in str(error)) == (hint is not None)


def test_foreign_texts_have_lines(evaluator: Evaluator) -> None:
    assert raised(evaluator, 'builtins.fromJSON "[\n  1,\n  ]"').message.endswith("at line 3, column 3 of the text")
    assert raised(evaluator, 'builtins.fromTOML "a = 1\nb = ?"').message.endswith("at line 2, column 5 of the text")


def test_nobody_s_own_lines_are_not_shown(evaluator: Evaluator) -> None:
    error = raised(evaluator, 'let d = derivation { name = "n"; builder = "b"; };\nin "${d}"')
    assert (error.code, str(error.position)) == ("invalid-derivation", "«string»:1:22")
    assert "derivation-internal" not in str(error)
    assert str(raised(evaluator, 'derivation { name = "n"; outputs = 1; }').position) == "«string»:1:1"


def test_a_place_is_shown_once_for_all_that_happens_there(evaluator: Evaluator) -> None:
    shown = str(raised(evaluator, "builtins.head [ ]"))
    assert shown.count("at «string»:1:1") == 1 and "while calling the 'head' builtin" in shown


def test_the_trace_tells_the_way(evaluator: Evaluator) -> None:
    error = raised(evaluator, 'let\n  inner = x: throw "no ${x}";\n  outer = x: inner x;\nin { a.b = outer "y"; }')
    assert error.message == "no y"
    assert [frame.text for frame in error.trace] == [
        "while calling 'inner'",
        "while calling 'outer'",
        "while evaluating the attribute 'b'",
        "while evaluating the attribute 'a'",
    ]
    assert [frame.position.line for frame in error.trace if frame.position is not None] == [3, 4, 4, 4]


def test_contexts_of_errors_are_in_the_trace(evaluator: Evaluator) -> None:
    error = raised(evaluator, 'builtins.addErrorContext "while trying ${toString 1}" (throw "x")')
    assert "while trying 1" in [frame.text for frame in error.trace]


def test_a_long_trace_keeps_both_ends(evaluator: Evaluator) -> None:
    error = raised(evaluator, 'let\n  first = n: f n;\n  f = n: if n == 0 then last n else f (n - 1);\n  last = n: throw "x";\nin first 3000')
    assert (error.trace[0].text, error.trace[-1].text) == ("while calling 'last'", "while calling 'first'")
    assert error.omitted > 1000
    assert len(error.trace) <= 512


def test_only_some_can_be_caught(evaluator: Evaluator) -> None:
    caught = [
        code
        for code, (text, _) in _EXAMPLES.items()
        if code not in ("interrupted", "syntax-error", "undefined-variable", "duplicate-attribute", "forbidden") and _is_caught(evaluator, text)
    ]
    assert sorted(caught) == ["assertion-failed", "search-path", "thrown"]


def _is_caught(evaluator: Evaluator, text: str) -> bool:
    try:
        return evaluator.eval(f"(builtins.tryEval (\n{text}\n)).success").to_python() is False
    except EvalError:
        return False


def test_what_was_caught_is_no_cause(evaluator: Evaluator) -> None:
    """The exception of a callback is the cause of the error that it led to, and of no later one."""
    with Evaluator(None, EvalSettings(system="s"), on_trace=_refuse) as other:
        assert isinstance(raised(other, 'builtins.trace "x" 1').__cause__, ValueError)
        assert raised(other, "1 / 0").__cause__ is None


def test_the_same_error_again(evaluator: Evaluator) -> None:
    """A failed thunk is evaluated again, with the same error."""
    value = evaluator.eval("let bad = 1 / 0; in { a = bad; b = bad; f = x: bad; }")
    seen = []
    for name in ("a", "b", "a"):
        with pytest.raises(EvalError) as caught:
            value[name]  # type: ignore[index]
        seen.append((caught.value.code, str(caught.value.position), caught.value.message))
    assert len(set(seen)) == 1
