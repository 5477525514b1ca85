"""The Python face of the language: lazy values of the right shape, what goes in and what comes out, and several evaluators at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from nivalis.errors import EvalError, StoreReadOnlyError
from nivalis.lang import (
    AttrSet,
    EvalSettings,
    Evaluator,
    Function,
    List,
    SearchEntry,
    String,
    find_along_path,
    find_derivations,
    parse_attribute_path,
    parse_nix_path,
)
from nivalis.store import Store, StoreLayout

SETTINGS = EvalSettings(system="x86_64-linux", environment={"GIVEN": "yes"})


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(None, SETTINGS) as made:
        yield made


def _set(evaluator: Evaluator, text: str) -> AttrSet:
    value = evaluator.eval(text)
    assert isinstance(value, AttrSet)
    return value


# ---------------------------------------------------------------------------------------------------- values


def test_a_set_is_a_lazy_mapping(evaluator: Evaluator) -> None:
    value = _set(evaluator, '{ b = throw "never"; a = 1; }')
    assert isinstance(value, Mapping)
    assert (list(value), len(value), "a" in value, "c" in value, value.get("c")) == (["a", "b"], 2, True, False, None)
    assert value["a"].to_python() == 1
    with pytest.raises(KeyError):
        value["c"]
    with pytest.raises(EvalError) as caught:
        value["b"]
    assert caught.value.code == "thrown"
    assert value.position_of("a") is not None


def test_a_list_is_a_lazy_sequence(evaluator: Evaluator) -> None:
    value = evaluator.eval('[ 1 (throw "never") "x" ]')
    assert isinstance(value, List) and isinstance(value, Sequence)
    assert (len(value), value[0].to_python(), value[-1].to_python()) == (3, 1, "x")
    assert [item.to_python() for item in value[::2]] == [1, "x"]
    with pytest.raises(IndexError):
        value[3]


def test_functions_take_both_worlds_values(evaluator: Evaluator) -> None:
    named, curried = evaluator.eval("{ a, b ? 2 }: a + b"), evaluator.eval("x: y: [ x y ]")
    assert isinstance(named, Function) and isinstance(curried, Function)
    assert named.formals == {"a": False, "b": True}
    assert named(a=evaluator.eval("40")).to_python() == 42
    assert curried(1, [named(a=1), {"k": None}]).to_python() == [1, [3, {"k": None}]]
    functor = _set(evaluator, "{ n = 1; __functor = self: x: x + self.n; }")
    assert functor(1).to_python() == 2


@pytest.mark.parametrize("plain", [None, True, -(2**63), 1.5, "é\n", "\udcff", [], [1, ["x"]], {}, {"a b": {"c": [None]}}])
def test_plain_objects_go_in_and_out(evaluator: Evaluator, plain: object) -> None:
    assert evaluator.from_python(plain).to_python() == plain


def test_what_has_no_nix_value_is_refused(evaluator: Evaluator) -> None:
    endless: list[object] = []
    endless.append(endless)
    for wrong in (object(), endless):
        with pytest.raises(TypeError):
            evaluator.from_python(wrong)
    with pytest.raises(OverflowError):
        evaluator.from_python(2**63)


def test_a_derivation_comes_out_as_its_path(evaluator: Evaluator) -> None:
    value = _set(
        evaluator, 'let d = derivation { name = "n"; system = "s"; builder = "b"; }; in { inherit d; bad = d // { meta = throw "never"; }; }'
    )
    path = value["d"].to_python()
    assert path.endswith("-n") and value.to_python() == {"d": path, "bad": path}
    name = value["d"]["outPath"] if isinstance(value["d"], AttrSet) else None
    assert isinstance(name, String) and len(name.context) == 1


def test_what_contains_itself_is_an_error_and_no_crash(evaluator: Evaluator) -> None:
    with pytest.raises(EvalError) as caught:
        evaluator.eval("let x = { y = x; }; in x").to_python()
    assert caught.value.code == "stack-overflow"


def test_forms(evaluator: Evaluator) -> None:
    value = evaluator.eval("{ a = 1 + 1; b = [ ]; }")
    assert value.print(lazy=True) == "{ a = <CODE>; b = [ ]; }"
    assert value.to_json() == '{"a":2,"b":[]}'
    assert value.print() == "{ a = 2; b = [ ]; }"
    assert "<int value=" in value.to_xml()
    assert evaluator.parse("x: x") == "(x: x)"


# ---------------------------------------------------------------------------------------------------- evaluators


def test_two_evaluators_do_not_know_each_other() -> None:
    with Evaluator(None, SETTINGS) as one, Evaluator(None, EvalSettings(system="other")) as two:
        assert [e.eval("builtins.currentSystem").to_python() for e in (one, two)] == ["x86_64-linux", "other"]
        with pytest.raises(TypeError):
            one.from_python(two.eval("{ }"))


def test_a_closed_evaluator_says_so() -> None:
    evaluator = Evaluator(None, SETTINGS)
    value = evaluator.eval("{ a = 1 + 1; }")
    evaluator.close()
    for use in (lambda: evaluator.eval("1"), value.to_python):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_interrupt_from_another_thread(evaluator: Evaluator) -> None:
    threading.Timer(0.3, evaluator.interrupt).start()
    begin = time.monotonic()
    with pytest.raises(EvalError) as caught:
        evaluator.eval("builtins.foldl' (a: n: a + n) 0 (builtins.genList (n: builtins.length (builtins.genList (x: x) 10000)) 100000000)")
    assert caught.value.code == "interrupted"
    assert time.monotonic() - begin < 3


def test_parsing_file_after_file(evaluator: Evaluator) -> None:
    shown: list[bytes] = []

    def sources(count: int) -> Iterator[tuple[bytes, str, str]]:
        for number in range(count):
            yield b"x: ./a + %d" % number, f"/{number}", f"/{number}/default.nix"

    evaluator.parse_each(sources(100), shown.append)
    assert shown == [b"(x: (/%d/a + %d))" % (number, number) for number in range(100)]

    def failing() -> Iterator[tuple[bytes, str, str]]:
        yield from sources(3)
        raise FileNotFoundError("gone")

    shown.clear()
    with pytest.raises(FileNotFoundError, match="gone"):
        evaluator.parse_each(failing(), shown.append)
    assert len(shown) == 3

    def interrupted() -> Iterator[tuple[bytes, str, str]]:
        yield from sources(3)
        raise KeyboardInterrupt

    # Whoever reads what is written may have stopped to.
    shown.clear()
    with pytest.raises(KeyboardInterrupt):
        evaluator.parse_each(interrupted(), shown.append)
    assert shown == []
    shown.clear()
    with pytest.raises(EvalError, match="syntax error") as caught:
        evaluator.parse_each([*sources(2), (b"1 +", "/", "/wrong.nix"), *sources(1)], shown.append)
    assert (caught.value.code, len(shown)) == ("syntax-error", 2)
    with pytest.raises(RuntimeError, match="busy"):
        evaluator.parse_each(sources(1), lambda text: evaluator.parse("1"))
    with pytest.raises(ZeroDivisionError):
        evaluator.parse_each(sources(1000), lambda text: 1 // 0)
    with pytest.raises(EvalError) as caught:
        evaluator.parse_each(sources(1000), lambda text: evaluator.interrupt())
    assert caught.value.code == "interrupted"
    assert evaluator.eval("1").to_python() == 1


def test_the_world_is_what_was_handed_in(evaluator: Evaluator) -> None:
    said: list[str] = []
    with Evaluator(None, SETTINGS, on_trace=said.append, on_warn=said.append, clock=lambda: 7.9) as other:
        assert other.eval('[ (builtins.getEnv "GIVEN") (builtins.getEnv "HOME") builtins.currentTime ]').to_python() == ["yes", "", 7]
        other.eval('builtins.trace "t" (builtins.warn "w" 1)')
    assert said == ["t", "w"]


def test_without_builder_and_fetcher_it_says_what_is_missing(evaluator: Evaluator) -> None:
    for text, code in (
        ('builtins.readFile (derivation { name = "n"; system = "s"; builder = "b"; })', "not-built"),
        ('builtins.fetchurl "http://localhost/x"', "fetch-failed"),
    ):
        with pytest.raises(EvalError) as caught:
            evaluator.eval(text)
        assert caught.value.code == code
        assert caught.value.__cause__ is not None


# ---------------------------------------------------------------------------------------------------- the store


def test_what_evaluation_adds_is_there_after_flush(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/kept").write_text("kept")
    (tmp_path / "src/left").write_text("left")
    text = """
      derivation {
        name = "n"; system = "s"; builder = builtins.toFile "b" "text";
        src = builtins.filterSource (path: type: baseNameOf path == "kept") ./src;
      }
    """
    with Store.open(StoreLayout.under(tmp_path / "root")) as store, Evaluator(store, SETTINGS) as evaluator:
        value = evaluator.eval(text, base_dir=tmp_path)
        assert isinstance(value, AttrSet)
        drv = value["drvPath"].to_python()
        evaluator.flush()
        references = store.path_info(drv).references
        assert sorted(path[44:] for path in references) == ["b", "src"]
        source = next(path for path in references if path.endswith("-src"))
        assert [file.name for file in Path(store.real_path(source)).iterdir()] == ["kept"]
        assert evaluator.eval("builtins.readFile (builtins.toFile ''b'' ''text'')").to_python() == "text"


def test_a_store_for_reading_is_not_written(tmp_path: Path) -> None:
    with Evaluator(StoreLayout.under(tmp_path / "root"), SETTINGS) as evaluator:
        assert evaluator.eval('builtins.toFile "a" "b"').to_python().endswith("-a")
        evaluator.flush()
    assert not (tmp_path / "root").exists()
    assert StoreReadOnlyError.default_code == "store-read-only"


# ---------------------------------------------------------------------------------------------------- what commands do


def test_attribute_paths(evaluator: Evaluator) -> None:
    assert parse_attribute_path('a."b.c".0') == ["a", "b.c", "0"]
    assert parse_attribute_path("") == []
    value = evaluator.eval('{ n ? 1 }: { a."b.c" = [ n ]; }')
    assert find_along_path(value, 'a."b.c".0', {"n": evaluator.delay("2 + 3")}).to_python() == 5
    with pytest.raises(EvalError) as caught:
        find_along_path(value, "aa", {})
    assert caught.value.code == "missing-attribute"
    assert caught.value.hint == "did you mean `a`?"


def test_an_assertion_that_fails_can_be_skipped(evaluator: Evaluator) -> None:
    text = 'let d = name: derivation { inherit name; system = "s"; builder = "b"; }; in { a = assert false; d "a"; b = d "b"; c = d "b"; }'
    value = evaluator.eval(text)
    assert [found.path for found in find_derivations(value, {}, skip_failed_assertions=True)] == ["b", "c"]
    with pytest.raises(EvalError) as caught:
        find_derivations(value, {})
    assert caught.value.code == "assertion-failed"
    assert caught.value.trace[-1].text == "while evaluating the attribute 'a'"


def test_search_paths() -> None:
    assert parse_nix_path("nixpkgs=https://h:80/x.tar:a:b=/c=d:channel:nixos:/e") == [
        SearchEntry("nixpkgs", "https://h"),
        SearchEntry("", "80/x.tar"),
        SearchEntry("", "a"),
        SearchEntry("b", "/c=d"),
        SearchEntry("", "channel:nixos"),
        SearchEntry("", "/e"),
    ]
    assert SearchEntry("", "x/../y").resolved("/f").place == "/f/y"


def test_pure_evaluation_sees_neither_files_nor_variables(tmp_path: Path) -> None:
    file = tmp_path / "file.nix"
    file.write_text("1")
    with Evaluator(None, SETTINGS._replace(pure=True)) as pure:
        assert pure.eval('builtins.getEnv "GIVEN"').to_python() == ""
        assert pure.eval(f"builtins.pathExists {file}").to_python() is False
        assert pure.eval("builtins ? currentTime || builtins ? currentSystem").to_python() is False
        with pytest.raises(EvalError) as caught:
            pure.eval(f"import {file}")
        assert caught.value.code == "forbidden"
        assert caught.value.hint is not None and "--impure" in caught.value.hint
