"""Texts that are nearly programs: the corpus's own files, mutated, are parsed and evaluated within a time, and end in a value or an
error of the language.  NIVALIS_FUZZ_SECONDS looks for longer, NIVALIS_FUZZ_SEEDS names another folder of .nix files to start from.

What was found once is in `FOUND` and is tried every time.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from random import Random

import pytest

import lang_corpus
from nivalis.errors import EvalError, InternalError
from nivalis.lang import EvalSettings, Evaluator, Function

SETTINGS = EvalSettings(system="x86_64-linux", max_memory=1 << 30)

# How long one text may take until it is interrupted, and how long that may take.
LONGEST, PATIENCE = 1.0, 1.0

TOKENS = [
    *b"""{ } ( ) [ ] \" '' ${ ; = : @ ? ... . , // ++ + - -> && || ! < >= == rec let in with inherit if then else assert or /* */ # ./x <x> ~/ """
    b"""1 0x 1. .5 1e9 9223372036854775807 null true builtins. __overrides __functor __toString outPath \\ $$ ''\\ ''' ''$ \xff \xc3 |> <| """
    b"""https://x.y/z __curPos derivation import scopedImport""".split(b" "),
    b"\x00",
    b"\n",
    b"\r\n",
    b"\t",
]

# Each once hung, crashed or gave a wrong answer: (text, what it is, or the code of the error).
FOUND: list[tuple[bytes, str]] = [
    # Sets that stand for themselves or one another, without needing stack.
    (b'let s = { outPath = s; }; in "${s}"', "stack-overflow"),
    (b"let s = { outPath = s; }; in builtins.toJSON s", "stack-overflow"),
    (b'let s = { type = "derivation"; outPath = s; }; t = { type = "derivation"; outPath = t; }; in s == t', "stack-overflow"),
    (b"let x = [ x ]; y = [ y ]; in x < y", "stack-overflow"),
    # A size that nothing can have.
    (b"builtins.genList (x: x) 1000000000000", "out-of-memory"),
    (b'builtins.foldl\' (s: x: s + s) "a" (builtins.genList (x: x) 64)', "out-of-memory"),
    # Another set than its argument, to who prints both.
    (b'let s = { a = 1; }; in [ s (removeAttrs s [ "b" ]) ]', "[ { a = 1; } { a = 1; } ]"),
    # A set equals itself, unless there is an error in it.
    (b'let s = { a = throw "x"; }; in s == s', "thrown"),
    (b'let s = [ (throw "x") ]; in s == s', "thrown"),
    (b'let s = { f = x: x; l = [ (throw "x") ]; }; in s == s', "true"),
    # It looks at what it sorts out; its kin do not.
    (b'builtins.length (builtins.partition (x: true) [ (throw "x") ]).right', "thrown"),
    (b'builtins.length (builtins.filter (x: true) [ (throw "x") ])', "1"),
    (b"let \xc3\xa4 = 1; in 1", "syntax-error"),
    (b"", "syntax-error"),
    (b"\xff\xfe", "syntax-error"),
    (b"{ a = ''${''\\", "syntax-error"),
]


def _mutate(random: Random, texts: list[bytes]) -> bytes:
    text = bytearray(random.choice(texts))
    for _ in range(random.choice([1, 1, 2, 3, 8, 30])):
        at = random.randrange(len(text) + 1)
        shape = random.randrange(6)
        if shape == 0:
            text[at:at] = random.choice(TOKENS)
        elif shape == 1:
            del text[at : at + random.choice([1, 1, 3, 20, 100])]
        elif shape == 2 and text:
            text[at - 1] = random.randrange(256)
        elif shape == 3:
            start = random.randrange(len(text) + 1)
            text[at:at] = text[start : start + random.randrange(200)]
        elif shape == 4:
            other = random.choice(texts)
            start = random.randrange(len(other) + 1)
            text[at:at] = other[start : start + random.randrange(120)]
        else:
            text[at : at + 2] = random.choice(TOKENS)
    return bytes(text)


def _answer(evaluator: Evaluator, text: bytes) -> str:
    """What the text prints as, or the code of its error; fails where neither comes in time."""
    timer = threading.Timer(LONGEST, evaluator.interrupt)
    timer.start()
    began = time.monotonic()
    try:
        value = evaluator.eval(text, base_dir="/no/such/folder")
        if isinstance(value, Function):
            value = value({"a": 1, "lib": {}, "pkgs": {}})
        value.force(deep=True)
        return value.print()
    except InternalError as error:
        raise AssertionError(text) from error
    except EvalError as error:
        assert str(error)
        return error.code
    finally:
        timer.cancel()
        assert time.monotonic() - began < LONGEST + PATIENCE, text


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_found(number: int) -> None:
    text, answer = FOUND[number]
    with Evaluator(None, SETTINGS) as evaluator:
        assert _answer(evaluator, text) == answer
        assert _answer(evaluator, text) == answer
        assert evaluator.eval("1 + 1").to_python() == 2


def test_mutated_files() -> None:
    seeds = Path(os.environ.get("NIVALIS_FUZZ_SEEDS", lang_corpus.FOLDER))
    texts = [file.read_bytes() for file in sorted(seeds.rglob("*.nix")) if file.stat().st_size < 20_000]
    seed = int(os.environ.get("NIVALIS_RANDOM_SEED", "1"))
    random = Random(seed)
    end = time.monotonic() + float(os.environ.get("NIVALIS_FUZZ_SECONDS", "5"))
    while time.monotonic() < end:
        with Evaluator(None, SETTINGS) as evaluator:
            for _ in range(200):
                _answer(evaluator, _mutate(random, texts))
            assert evaluator.eval("1 + 1").to_python() == 2
