"""Programs that are too deep, too large or too long end in an error with a code, in bounded memory, and the evaluator lives on.

Each case runs in a process of its own, which says how the evaluation ended, whether the same evaluator still evaluates, and the
most memory that it ever had.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

# What one evaluation may take, Python included.  The deepest stack that is allowed is a third of it.
MOST_MEMORY = 600 << 20
LONGEST = 60

DEEP = 1_000_000

_PROGRAM = """
import json, re, sys
from nivalis.errors import EvalError
from nivalis.lang import EvalSettings, Evaluator
text, use = json.load(sys.stdin)
evaluator = Evaluator(None, EvalSettings(system="x86_64-linux", max_call_depth=10000, max_memory=400 << 20))
def run(text, use):
    try:
        if use == "parse":
            return ["value", len(evaluator.parse(text))]
        value = evaluator.eval(text)
        if use == "deep":
            value.force(deep=True)
        elif use == "print":
            value.force(deep=True)
            return ["value", len(value.print())]
        elif use == "pretty":
            value.force(deep=True)
            return ["value", len(value.print(pretty=True))]
        elif use == "lazy print":
            return ["value", len(value.print())]
        elif use == "json":
            return ["value", len(value.to_json())]
        elif use == "xml":
            return ["value", len(value.to_xml())]
        elif use == "text":
            return ["value", len(value.to_text())]
        elif use == "python":
            value.to_python()
            return ["value", 0]
        return ["value", value.to_python() if value.kind in ("int", "bool", "null", "float") else value.kind]
    except EvalError as error:
        assert str(error)
        return ["error", error.code]
first = run(text, use)
again = run(text, use)
assert first == again, (first, again)
assert evaluator.eval("let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 1000").to_python() == 1000
# The peak of this program alone: getrusage's begins with that of whoever started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
print(json.dumps([*first, peak]))
"""


@dataclass(frozen=True)
class Outcome:
    kind: str
    answer: object
    memory: int


def outcome(text: str, use: str = "") -> Outcome:
    """How the evaluation of `text` ends, its value used as `use` says."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=json.dumps([text, use]), capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}"
    return Outcome(*json.loads(done.stdout))


# Each ends in an error with this code.
_ERRORS = {
    "nested calls": ("let f = n: if n == 0 then 0 else 1 + f (n - 1); in f 1000000", "", "stack-overflow"),
    "tail calls": ("let f = n: if n == 0 then 0 else f (n - 1); in f 1000000", "", "stack-overflow"),
    "mutual recursion": ("let even = n: n == 0 || odd (n - 1); odd = n: n != 0 && even (n - 1); in even 1000000", "", "stack-overflow"),
    "recursion without an end": ("let f = x: f x; in f 1", "", "stack-overflow"),
    "recursion through formals": ("let f = { n ? 0 }: f { n = n + 1; }; in f { }", "", "stack-overflow"),
    "recursion through a functor": ("let s = { __functor = self: n: self (n + 1); }; in s 1", "", "stack-overflow"),
    "recursion of functors": ("let s = { __functor = s; }; in s 1", "", "stack-overflow"),
    "recursion through __toString": ('let s = { __toString = self: "${self}"; }; in "${s}"', "", "stack-overflow"),
    "__toString that gives itself": ('let s = { __toString = self: self; }; in "${s}"', "", "stack-overflow"),
    "outPath that is itself": ('let s = { outPath = s; }; in "${s}"', "", "stack-overflow"),
    "recursion through map": ("let f = n: builtins.head (map f [ n ]); in f 1", "", "stack-overflow"),
    "recursion through filter": ("let f = n: builtins.filter f [ n ]; in f 1", "", "stack-overflow"),
    "recursion through sort": ("let f = a: b: builtins.sort f [ 2 1 ]; in f 1 2", "", "stack-overflow"),
    "recursion through foldl'": ("let f = a: b: builtins.foldl' f 0 [ 1 ]; in f 1 2", "", "stack-overflow"),
    "recursion through genericClosure": (
        "let f = n: builtins.genericClosure { startSet = [ { key = n; } ]; operator = x: f (n + 1); }; in f 1",
        "",
        "stack-overflow",
    ),
    "recursion through replaceStrings": ('let f = n: builtins.replaceStrings [ "a" ] [ (f n) ] "a"; in f 1', "", "stack-overflow"),
    "recursion through concatStringsSep": ('let f = n: builtins.concatStringsSep "" [ (f n) ]; in f 1', "", "stack-overflow"),
    "recursion through tryEval": ("let f = n: (builtins.tryEval (f (n + 1))).value; in f 1", "", "stack-overflow"),
    "recursion through addErrorContext": ('let f = n: builtins.addErrorContext "n" (f (n + 1)); in f 1', "", "stack-overflow"),
    "recursion through a context of errors": (
        'let f = n: builtins.addErrorContext (f (n + 1)) (throw "x"); in f 1',
        "",
        "thrown",
    ),
    "recursion through seq": ("let f = n: builtins.seq (f (n + 1)) 1; in f 1", "", "stack-overflow"),
    "recursion through deepSeq": ("let f = n: builtins.deepSeq [ (f (n + 1)) ] 1; in f 1", "", "stack-overflow"),
    "recursion through toJSON": ("let f = n: builtins.toJSON [ (f (n + 1)) ]; in f 1", "", "stack-overflow"),
    "recursion through toXML": ("let f = n: builtins.toXML [ (f (n + 1)) ]; in f 1", "", "stack-overflow"),
    "recursion through ==": ("let f = n: [ (f (n + 1)) ] == [ 1 ]; in f 1", "", "stack-overflow"),
    "recursion through <": ("let f = n: [ (f (n + 1)) ] < [ 1 ]; in f 1", "", "stack-overflow"),
    "recursion through with": ("let f = n: with { x = f (n + 1); }; x; in f 1", "", "stack-overflow"),
    "recursion through mapAttrs": ("let f = n: v: (builtins.mapAttrs f { a = v; }).a; in f 1 2", "", "stack-overflow"),
    "recursion through zipAttrsWith": ("let f = n: v: (builtins.zipAttrsWith f [ { a = v; } ]).a; in f 1 2", "", "stack-overflow"),
    "recursion through derivation": (
        'let f = n: derivation { name = "x"; system = "s"; builder = (f (n + 1)).outPath; }; in (f 1).outPath',
        "",
        "stack-overflow",
    ),
    "recursion through dynamic names": ("let f = n: { ${f (n + 1)} = 1; }; in f 1", "", "stack-overflow"),
    "recursion through formals' defaults": ("let f = { a ? f { } }: a; in f { }", "", "stack-overflow"),
    "a chain of thunks": ("builtins.foldl' (acc: x: { v = acc.v + x; }) { v = 0; } (builtins.genList (x: x) 1000000)", "deep", "stack-overflow"),
    "a chain of calls": ("(builtins.foldl' (f: x: y: f (y + x)) (y: y) (builtins.genList (x: x) 1000000)) 0", "", "stack-overflow"),
    "a chain of interpolations": (
        'builtins.stringLength (builtins.foldl\' (s: x: { v = "${s.v}"; }) { v = "a"; } (builtins.genList (x: x) 1000000)).v',
        "",
        "stack-overflow",
    ),
    "a chain of withs": ("(builtins.foldl' (s: x: { v = with s; v; }) { v = 1; } (builtins.genList (x: x) 1000000)).v", "", "stack-overflow"),
    "a chain of updates": (
        "builtins.attrNames (builtins.foldl' (s: x: { v = s.v // { a = 1; }; }) { v = { }; } (builtins.genList (x: x) 1000000)).v",
        "",
        "stack-overflow",
    ),
    "let x = x": ("let x = x; in x", "", "infinite-recursion"),
    "two that need each other": ("rec { a = b; b = a; }.a", "", "infinite-recursion"),
    "an attribute of itself": ("let x = { y = x.y; }; in x.y", "", "infinite-recursion"),
    "a function of itself": ("let f = x: x + 1; x = f x; in x", "", "infinite-recursion"),
    "an element of itself": ("let x = builtins.head [ x ]; in x", "", "infinite-recursion"),
    "a list of itself, joined": ("let x = x ++ [ 1 ]; in x", "", "infinite-recursion"),
    "a set of itself, updated": ("let x = x // { a = 1; }; in x", "", "infinite-recursion"),
    "fix": ("let fix = f: let x = f x; in x; in fix (self: self + 1)", "", "infinite-recursion"),
    "fix with attributes": ("let fix = f: let x = f x; in x; in (fix (self: { a = self.b; b = self.a; })).a", "", "infinite-recursion"),
    "with itself": ("let x = with x; { a = b; }; in x.a", "", "undefined-variable"),
    "with what it defines": ("let x = with x; { a = a; }; in x.a", "", "infinite-recursion"),
    "rec with dynamic names of itself": ('let x = { ${x.name} = 1; name = "a"; }; in x', "", "infinite-recursion"),
    "a default that is itself": ("({ a ? a }: a) { }", "", "infinite-recursion"),
    "defaults in a circle": ("({ a ? b, b ? a }: a) { }", "", "infinite-recursion"),
    "inherit from itself": ("let x = { inherit (x) a; }; in x.a", "", "infinite-recursion"),
    "itself through a caught error": ("let x = (builtins.tryEval x).value; in x", "", "infinite-recursion"),
    "itself in mapAttrs": ("let x = builtins.mapAttrs (n: v: v) x; in x", "", "infinite-recursion"),
    "parentheses": ("(" * DEEP + "1" + ")" * DEEP, "", "stack-overflow"),
    "parentheses left open": ("(" * DEEP, "", "stack-overflow"),
    "lists": ("[" * DEEP + "]" * DEEP, "", "stack-overflow"),
    "sets": ("{a=" * DEEP + "1" + ";}" * DEEP, "", "stack-overflow"),
    "recursive sets": ("rec{a=" * DEEP + "1" + ";}" * DEEP, "", "stack-overflow"),
    "lets": ("let a=" * DEEP + "1" + ";in a" * DEEP, "", "stack-overflow"),
    "strings in strings": ('"${' * DEEP + "1" + '}"' * DEEP, "", "stack-overflow"),
    "indented strings in each other": ("''${" * DEEP + "1" + "}''" * DEEP, "", "stack-overflow"),
    "if in conditions": ("if " * DEEP + "true" + " then true else true" * DEEP, "", "stack-overflow"),
    "asserts in conditions": ("assert " * DEEP + "true" + "; true" * DEEP, "", "stack-overflow"),
    "formals in defaults": ("{a?" * DEEP + "1" + "}:1" * DEEP, "", "stack-overflow"),
    "a long attribute path": ("{ " + ".".join(["a"] * DEEP) + " = 1; }", "", "stack-overflow"),
    "minus": ("-" * DEEP + "1", "deep", "stack-overflow"),
    "not": ("!" * DEEP + "true", "deep", "stack-overflow"),
    "plus": ("1" + "+1" * DEEP, "", "stack-overflow"),
    "appended lists": ("[]" + "++[]" * DEEP, "", "stack-overflow"),
    "a huge integer": ("9" * DEEP, "", "syntax-error"),
    "an integer one too large": ("9223372036854775808", "", "syntax-error"),
    "a list that would not fit": ("builtins.genList (x: x) 1000000000000", "", "out-of-memory"),
    "a list of a thousand million": ("builtins.genList (x: x) 1000000000", "", "out-of-memory"),
    "a list of the largest size": ("builtins.genList (x: x) 9223372036854775807", "", "out-of-memory"),
    "a list of negative size": ("builtins.genList (x: x) (-1)", "", "invalid-argument"),
    "a string doubled": ('builtins.foldl\' (s: x: s + s) "a" (builtins.genList (x: x) 64)', "", "out-of-memory"),
    "a string doubled by interpolation": ('builtins.foldl\' (s: x: "${s}${s}") "a" (builtins.genList (x: x) 64)', "", "out-of-memory"),
    "a string of strings": (
        'builtins.foldl\' (s: x: builtins.concatStringsSep s [ s s s s s s s s ]) "a" (builtins.genList (x: x) 40)',
        "",
        "out-of-memory",
    ),
    "a string replaced by itself": (
        'builtins.foldl\' (s: x: builtins.replaceStrings [ "a" ] [ s ] s) "aa" (builtins.genList (x: x) 40)',
        "",
        "out-of-memory",
    ),
    "a string of a list": ('builtins.foldl\' (s: x: toString [ s s s s ]) "a" (builtins.genList (x: x) 40)', "", "out-of-memory"),
    "a string in JSON": ('builtins.foldl\' (s: x: builtins.toJSON [ s s ]) "a" (builtins.genList (x: x) 64)', "", "out-of-memory"),
    "a list doubled": ("builtins.length (builtins.foldl' (s: x: s ++ s) [ 1 ] (builtins.genList (x: x) 64))", "", "out-of-memory"),
    "lists joined": (
        "builtins.length (builtins.foldl' (s: x: builtins.concatLists [ s s ]) [ 1 ] (builtins.genList (x: x) 64))",
        "",
        "out-of-memory",
    ),
    "lists joined by a function": (
        "builtins.length (builtins.foldl' (s: x: builtins.concatMap (y: s) s) [ 1 1 ] (builtins.genList (x: x) 64))",
        "",
        "out-of-memory",
    ),
    "a start below zero": ('builtins.substring (-1) 1 "abc"', "", "invalid-argument"),
    "a regular expression of many states": ('builtins.match "(((((((((a{99}){99}){99}){99}){99}){99}){99}){99}){99})" "a"', "", "invalid-regex"),
    "an order of functions": ("builtins.sort builtins.lessThan [ (x: x) (y: y) ]", "", "type-error"),
    "an order of a list of itself": ("let x = [ x ]; y = [ y ]; in x < y", "", "stack-overflow"),
    "equality of lists of themselves": ("let x = [ x ]; y = [ y ]; in x == y", "", "stack-overflow"),
    "equality of sets of themselves": ("let x = { a = x; }; y = { a = y; }; in x == y", "", "stack-overflow"),
    "a set that contains itself as JSON": ("let x = { a = x; }; in builtins.toJSON x", "", "stack-overflow"),
    "a list that contains itself as text": ("let x = [ x ]; in toString x", "", "stack-overflow"),
    "a set that contains itself as XML": ("let x = { a = x; }; in builtins.toXML x", "", "stack-overflow"),
    "a set that contains itself in Python": ("let x = { a = x; }; in x", "python", "stack-overflow"),
}

# A list in a list in a list …, of a million levels, made without recursion: there is either an error or the right answer.
_NESTED_LISTS = "builtins.foldl' (acc: x: [ acc ]) [ ] (builtins.genList (x: x) 1000000)"
_NESTED_SETS = "builtins.foldl' (acc: x: { a = acc; }) { } (builtins.genList (x: x) 1000000)"
_NESTED: dict[str, tuple[str, str, object]] = {}
for _name, _text, _length in (("lists", _NESTED_LISTS, 4 * DEEP + 3), ("sets", _NESTED_SETS, 9 * DEEP + 3)):
    _NESTED |= {
        f"{_name}: forced": (_text, "deep", _name.removesuffix("s")),
        f"{_name}: printed": (_text, "print", _length),
        f"{_name}: printed for people": (_text, "pretty", None),
        f"{_name}: printed, unevaluated": (_text, "lazy print", None),
        f"{_name}: JSON": (_text, "json", None),
        f"{_name}: XML": (_text, "xml", "an error"),
        f"{_name}: Python": (_text, "python", "an error"),
        f"{_name}: deepSeq": (f"builtins.deepSeq ({_text}) 1", "", 1),
        f"{_name}: toJSON": (f"builtins.stringLength (builtins.toJSON ({_text}))", "", None),
        f"{_name}: toXML": (f"builtins.toXML ({_text})", "", "an error"),
        f"{_name}: ==": (f"({_text}) == ({_text})", "", True),
        f"{_name}: trace": (f"builtins.trace ({_text}) 1", "", 1),
    }
_NESTED["lists: toString"] = (f"builtins.stringLength (toString ({_NESTED_LISTS}))", "", 0)
_NESTED["lists: <"] = (f"({_NESTED_LISTS}) < ({_NESTED_LISTS})", "", False)
for _name, _text in (("lists", _NESTED_LISTS), ("sets", _NESTED_SETS)):
    _ERRORS[f"a million nested {_name} in a message"] = (f"1 + ({_text})", "", "type-error")


@pytest.mark.parametrize("name", _NESTED)
def test_values_in_values(name: str) -> None:
    text, use, value = _NESTED[name]
    found = outcome(text, use)
    if found.kind == "error":
        assert found.answer == "stack-overflow"
    else:
        assert value is None or found.answer == value
    assert found.memory < MOST_MEMORY, f"{found.memory >> 20} MiB"


@pytest.mark.parametrize("name", _ERRORS)
def test_too_much_is_an_error(name: str) -> None:
    text, use, code = _ERRORS[name]
    found = outcome(text, use)
    assert (found.kind, found.answer) == ("error", code)
    assert found.memory < MOST_MEMORY, f"{found.memory >> 20} MiB"


# Each gives this value.
_VALUES: dict[str, tuple[str, str, object]] = {
    "a long chain of functions": ("x: " * 30_000 + "1", "", "lambda"),
    "a long chain of else": ("if false then 1 else " * DEEP + "2", "", 2),
    "a long chain of attributes": ("{ }" + ".a" * DEEP + " or 3", "", 3),
    "a long chain of lets": ("let a = 1; in " * 30_000 + "a", "", 1),
    "a long list": ("builtins.length [ " + "1 " * DEEP + "]", "", DEEP),
    "a large set": ("builtins.length (builtins.attrNames { " + "".join(f"a{i} = {i}; " for i in range(200_000)) + "})", "", 200_000),
    "a long string": ('builtins.stringLength "' + "a" * 10_000_000 + '"', "", 10_000_000),
    "many comments": ("# x\n" * 100_000 + "/* */ " * 100_000 + "1", "", 1),
    "a float of many digits": ("0." + "3" * 100_000 + " < 0.34", "", True),
    "a million sums": ("builtins.foldl' (acc: x: acc + x) 0 (builtins.genList (x: x) 1000000)", "", 499_999_500_000),
    "a million sums, unevaluated in between": (
        "builtins.foldl' (acc: x: builtins.seq x acc + x) 0 (builtins.genList (x: x) 1000000)",
        "",
        499_999_500_000,
    ),
    "a fold that does not use its result": ("builtins.foldl' (acc: x: x) 0 (builtins.genList (x: x) 1000000)", "", 999_999),
    "a closure of many": (
        "builtins.length (builtins.genericClosure { startSet = [ { key = 0; } ]; operator = x: "
        "if x.key < 300000 then [ { key = x.key + 1; } { key = x.key + 1; } ] else [ ]; })",
        "",
        300_001,
    ),
    "a sort that contradicts itself": ("builtins.length (builtins.sort (a: b: true) (builtins.genList (x: x) 100000))", "", 100_000),
    "a sort by chance": (
        "builtins.length (builtins.sort (a: b: builtins.bitAnd (a * 7919 + b * 104729) 1 == 1) (builtins.genList (x: x) 100000))",
        "",
        100_000,
    ),
    "a regular expression that backtracks": ('builtins.match "(a*)*b" "' + "a" * 5000 + '"', "", None),
    "another": ('builtins.match "(a|aa)+(x|y)" "' + "a" * 5000 + '"', "", None),
    "a split of much": ('builtins.length (builtins.split "" "' + "a" * 100_000 + '")', "", 200_003),
    "the empty pattern": ('builtins.stringLength (builtins.replaceStrings [ "" ] [ "xy" ] "' + "a" * 100_000 + '")', "", 300_002),
    "two empty patterns": ('builtins.replaceStrings [ "" "" ] [ "x" "y" ] "ab" == "xaxbx"', "", True),
    "far beyond the end": ('builtins.substring 9223372036854775807 9223372036854775807 "abc" == ""', "", True),
    "a length without end": ('builtins.substring 1 9223372036854775807 "abc" == "bc"', "", True),
    "a negative length": ('builtins.substring 1 (-9223372036854775807) "abc" == "bc"', "", True),
    "the smallest integer": ("(-9223372036854775807 - 1) < 0", "", True),
    "a deep set that is looked into": (
        "let s = builtins.foldl' (acc: x: { a = acc; }) { } (builtins.genList (x: x) 1000000); in s.a.a ? a",
        "",
        True,
    ),
    "layers over layers": (
        'let base = builtins.listToAttrs (builtins.genList (i: { name = "n${toString i}"; value = i; }) 100); '
        'in builtins.length (builtins.attrNames (builtins.foldl\' (s: i: s // { "x${toString i}" = i; }) base (builtins.genList (i: i) 3000)))',
        "",
        3100,
    ),
    "a set that contains itself, printed": ("let x = { a = x; }; in x", "print", None),
    "a set that contains itself, forced": ("builtins.deepSeq (let x = { a = x; b = [ x ]; }; in x) 1", "", 1),
    "a hundred thousand parts of a string": ('builtins.stringLength "' + "${a}".replace("a", "toString 1") * 100_000 + '"', "", 100_000),
    "variables of many withs": ("with { a = 1; }; " * 4_000 + "a", "", 1),
    "many arguments": ("builtins.length [ (" + "a: " * 300 + "1) ]", "", 1),
}


@pytest.mark.parametrize("name", _VALUES)
def test_much_is_no_error(name: str) -> None:
    text, use, value = _VALUES[name]
    found = outcome(text, use)
    assert found.kind == "value", found
    assert value is None or found.answer == value
    assert found.memory < MOST_MEMORY, f"{found.memory >> 20} MiB"
