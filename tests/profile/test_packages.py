"""Finding derivations and reading what they say: in bulk by the kernel, and step by step, which has to be the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nivalis.errors import EvalError, NivalisError
from nivalis.lang import AttrSet, EvalSettings, Evaluator, find_derivations
from nivalis.lang import get_derivations as search
from nivalis.profile import Element, read_manifest
from nivalis.profile.manifest import print_manifest
from nivalis.profile.packages import Available, read_columns, read_elements
from nivalis.store import StoreLayout

PRELUDE = """let d = name: { type = "derivation"; inherit name; outPath = "/nix/store/${name}"; }; in """
SETS = [
    """{ a = d "a"; b = d "b"; c = 1; "not.a name" = d "x"; _u = d "u"; }""",
    """let one = d "one"; in { a = one; b = one; c = d "one"; l = [ one ]; }""",
    """{ n = { recurseForDerivations = true; x = d "x"; y.z = d "z"; m = { recurseForDerivations = true; w = d "w"; }; }; o.v = d "v"; }""",
    """{ a = throw "no"; b = assert false; 1; c = d (throw "no name"); e = { type = throw "no type"; }; ok = d "ok"; }""",
    """{ f = { recurseForDerivations = true; __functor = self: { }: { x = d "called"; }; }; g = { }: d "not called"; }""",
    """{ _combineChannels = [ ]; one = { }: { a = d "a"; }; two = { b = d "b"; three = [ (d "c") { d = d "d"; } ]; }; }""",
    """[ (d "a") { b = d "b"; } [ (d "c") ] ({ }: { e = d "e"; }) ]""",
    """d "single" """,
    """{ }""",
]
BAD = [
    """{ l = { recurseForDerivations = true; _combineChannels = [ ]; x = { }: d "x"; }; }""",
    """{ a = d "a"; b = abort "stop"; }""",
    """{ a = { recurseForDerivations = 1; }; }""",
    """{ a = { recurseForDerivations = throw "really"; }; }""",
    """{ a = { type = "derivation"; }; }""",
    """{ a = d 1; }""",
    """{ a = { recurseForDerivations = true; __functor = self: self.missing; }; }""",
    """{ _combineChannels = [ ]; a = 1; }""",
    "1",
]


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as opened:
        yield opened


def _search(evaluator: Evaluator, text: str, *, skips: bool) -> object:
    try:
        found = find_derivations(evaluator.eval(PRELUDE + text), {}, skip_failed_assertions=skips)
    except EvalError as error:
        return error.code, error.message, [frame.text for frame in error.trace]
    return [(one.path, one.name) for one in found]


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("text", [*SETS, *BAD])
def test_both_ways_of_searching(evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, text: str, skips: bool) -> None:
    quick = _search(evaluator, text, skips=skips)
    monkeypatch.setattr(search._Search, "_search", lambda self, owner, path: False)
    assert quick == _search(evaluator, text, skips=skips)
    assert isinstance(quick, list) == (text in SETS and (skips or "throw" not in text))


def test_a_set_is_searched_without_going_back_and_forth(evaluator: Evaluator) -> None:
    found = find_derivations(evaluator.eval(f'{PRELUDE} {{ recurse = {{ recurseForDerivations = true; a = d "a"; }}; }}'), {})
    assert [one.path for one in found] == ["recurse.a"]
    assert found[0].value.__nix_value__.is_forced


def _eval_set(evaluator: Evaluator, text: str) -> AttrSet:
    value = evaluator.eval(PRELUDE + text)
    assert isinstance(value, AttrSet)
    return value


def test_columns(evaluator: Evaluator) -> None:
    one = _eval_set(evaluator, """d "one" // { system = "s"; meta = { description = "x"; f = x: x; list = [ 1 { a = 2; } ]; }; }""")
    failing = _eval_set(evaluator, """d "two" // { system = throw "none"; }""")
    rows = read_columns([one, failing], ["system", "description", "meta", "outputs", "drv"], skip_failed_assertions=True)
    meta = {"description": {"value": "x"}, "f": None, "list": {"value": [1, {"a": 2}]}}
    assert rows == [{"system": "s", "description": "x", "meta": meta, "outputs": ["out"], "drv": None}, None]
    with pytest.raises(EvalError) as caught:
        read_columns([failing], ["system"])
    assert caught.value.message == "none" and caught.value.trace[-1].text == "while querying the derivation named 'two'"
    with pytest.raises(EvalError) as missing:
        read_columns([_eval_set(evaluator, """{ type = "derivation"; name = "three"; }""")], ["out"])
    # What fails is not the user's line, so none is shown.
    assert "outPath" in missing.value.message and missing.value.position is None


def test_available_evaluates_what_is_asked_for(evaluator: Evaluator) -> None:
    found = find_derivations(_eval_set(evaluator, """{ a = d "a-1" // { meta.priority = "7"; system = throw "not asked"; }; }"""), {})
    package = Available(found[0])
    assert (package.name, package.path, package.priority, package.out_path) == ("a-1", "a", 7, "/nix/store/a-1")
    with pytest.raises(EvalError, match="not asked"):
        package.element()


def test_manifest_there_and_back(evaluator: Evaluator, tmp_path: Path) -> None:
    folder = tmp_path
    layout = StoreLayout.under(folder)
    outputs = {"dev": "/nix/store/x-dev", "out": "/nix/store/x"}
    meta = {"a.b": "t\n${x}", "if": True, "num": 1.5, "list": [1, [], {"c": False}], "neg": -3, "outputsToInstall": ["out", "dev"]}
    elements = [Element("x-1", "/nix/store/x", outputs, "system", None, meta), Element("y", "/nix/store/y", {"out": "/nix/store/y"}, "unknown")]
    (folder / "manifest.nix").write_bytes(print_manifest(elements))
    assert read_manifest(evaluator, layout, str(folder)) == elements
    assert read_manifest(evaluator, layout, str(folder / "none")) == []
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(NivalisError, match="another kind") as caught:
        read_manifest(evaluator, layout, str(folder))
    assert caught.value.code == "manifest"


def test_bad_outputs(evaluator: Evaluator) -> None:
    with pytest.raises(EvalError, match=r"bad 'meta\.outputsToInstall'") as caught:
        read_elements([_eval_set(evaluator, """d "a" // { meta.outputsToInstall = [ "lib" ]; }""")])
    assert caught.value.hint == "it has to name outputs that there are: out"
