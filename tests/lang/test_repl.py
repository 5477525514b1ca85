"""A session without a terminal: a builder that is handed in, and what the Tab key would offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nivalis.errors import NivalisError
from nivalis.lang import EvalSettings, Evaluator
from nivalis.lang.repl import IncompleteError, Session, SessionTools


class Builder:
    def realise(self, wanted: Sequence[tuple[str, str]]) -> Sequence[str]:
        return [f"/built/{Path(path).name.split('-', 1)[1]}/{output}" for path, output in wanted]


@pytest.fixture
def written() -> list[str]:
    return []


@pytest.fixture
def session(tmp_path: Path, written: list[str]) -> Iterator[Session]:
    def fail(error: NivalisError) -> None:
        raise error

    tools = SessionTools(write=written.append, note=lambda _: None, report=fail, resolve=str, edit=lambda file, line: None, builder=Builder())
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as evaluator:
        yield Session(evaluator, tools, base_dir=str(tmp_path))


def test_build_shows_the_outputs(session: Session, written: list[str]) -> None:
    session.submit(':b derivation { name = "n"; system = "s"; builder = "b"; outputs = [ "out" "doc" ]; }')
    assert written == ["out -> /built/n.drv/out", "doc -> /built/n.drv/doc"]


def test_a_binding_is_not_evaluated_until_it_is_used(session: Session, written: list[str]) -> None:
    session.submit('x = throw "no"')
    session.submit("map = 3;")
    session.submit("map")
    assert written == ["3"]
    with pytest.raises(NivalisError, match="no"):
        session.submit("x")


@pytest.mark.parametrize(
    "text", ["(", "x =", "x = {", "x = { a = 1; ", 'x = "a', "x = ''a", "a.b = let c = 1; in", "inherit (", ":t [", "1 + /* a", "x: # y", "x = 1; y"]
)
def test_incomplete(session: Session, text: str) -> None:
    with pytest.raises(IncompleteError):
        session.submit(text)


@pytest.mark.parametrize("text", [")", "x = )", "x = 1; }", "let in in", "x = { a = 1 }"])
def test_wrong_is_not_incomplete(session: Session, text: str) -> None:
    with pytest.raises(NivalisError) as caught:
        session.submit(text)
    assert caught.value.code == "syntax-error"


@pytest.mark.parametrize(
    ("line", "start", "texts"),
    [
        ("a.b", 0, ["a.b", "a.b-c", "a.bad"]),
        ("1 + a.b.", 4, ["a.b.c"]),
        ("(a.bad", 1, ["a.bad"]),
        ('a."x y".', 0, ['a."x y".z']),
        ('a."x', 0, ['a."x y"']),
        ("a.bad.", 6, []),
        ("a.loop.", 7, []),
        ("nope.x", 0, []),
        ("f (a).b", 7, []),
        ("1.5", 3, []),
        ("builtins.concatL", 0, ["builtins.concatLists"]),
        ("toStr", 0, ["toString"]),
        ("inh", 0, ["inherit"]),
        (":do", 0, [":doc"]),
        (":t a.b.", 3, ["a.b.c"]),
        (":te f", 4, ["false"]),
        (":l s", 3, ["some folder/", "some.nix"]),
        ("import ./some.", 7, ["./some.nix"]),
        ("import ./nowhere/", 7, []),
        ("", 0, []),
    ],
)
def test_completion(session: Session, tmp_path: Path, line: str, start: int, texts: list[str]) -> None:
    (tmp_path / "some.nix").touch()
    (tmp_path / "some folder").mkdir()
    (tmp_path / ".hidden").touch()
    session.submit('a = { b.c = throw "no"; b-c = 1; bad = throw "no"; loop = let f = x: f (x + 1); in f 0; "x y".z = 1; }')
    found = session.complete(line)
    assert found.texts == texts
    if texts:
        assert found.start == start


def test_large_values_are_shown_with_their_errors(session: Session, written: list[str]) -> None:
    session.submit('builtins.genList (n: if n == 30 then throw "no" else if n == 40 then 1 + "a" else { inherit n; }) 50')
    lines = written[0].splitlines()
    assert len(lines) == 52
    assert [index for index, line in enumerate(lines) if line.startswith("  «error: ")] == [31, 41]


@pytest.mark.parametrize("text", ["1", "-1.5", "1.0e30", "true", "null", "/a/b", r'"a\"\\\n\t\r\${b} $c"', '"$${a}"', '"\u00e9"', "1.0"])
def test_plain_values_look_as_everywhere(session: Session, written: list[str], text: str) -> None:
    session.submit(text)
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as evaluator:
        assert written == [evaluator.eval(text).print()]
