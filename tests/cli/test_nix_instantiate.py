"""`nix-instantiate` beside CppNix's own: the same bytes on stdout and the same exit status, for every flag; and what is ours alone.

CppNix 2.26 is the judge.  Each command line runs in one folder of small files, into a store that is empty for each of the two.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import lang_corpus
import oracle

FILES = {
    "default.nix": """
        { system ? "x86_64-linux", n ? "x" }:
        let
          d = name: derivation { inherit name system; builder = "/bin/sh"; args = [ "-c" "echo ${n}" ]; };
          m = derivation { name = "multi"; inherit system; builder = "/bin/sh"; outputs = [ "out" "dev" ]; };
        in {
          a = d "a"; b = d "b"; m = m.dev; dup = d "a"; "x.y" = d "quoted";
          s = { recurseForDerivations = true; c = d "c"; bad = 1; };
          t = { x = d "hidden"; };
          l = [ (d "l0") [ (d "l1") ] ];
          f = { y }: d y;
        }
    """,
    "bad.nix": """{ a = derivation { name = "a"; system = "x"; builder = "b"; }; b = throw "bad"; }""",
    "fun.nix": """{ a, b ? 2, ... }@args: { sum = a + b; inherit args; functor = { __functor = self: { c ? 3 }: c; }; }""",
}

# Words as a shell would split them; with a pair, the second is standard input.
CASES: list[str | tuple[str, str]] = [
    "-A a",
    "-A m",
    "-A a -A b -A m",
    "-A s",
    "-A l",
    "-A l.0",
    "-A l.1.0",
    "-A l.7",
    "-A '\"x.y\"'",
    "-A f --argstr y foo",
    "-A f",
    "-A a --argstr n z",
    "-A a --arg n '\"w\"'",
    "-A t",
    "-A t.x",
    "-A nope",
    "",
    "./.",
    "bad.nix",
    "bad.nix -A a",
    "-A a bad.nix default.nix",
    "-A a default.nix bad.nix",
    "--eval -E '1 + 1' '{ }' '[ 1 2 ]'",
    "-E --eval 'throw \"x\"' '1'",
    "--eval -E '1' 'throw \"x\"' '2'",
    "--eval --strict fun.nix --arg a 1",
    "--eval --strict fun.nix --arg a 1 -A sum",
    "--eval --strict fun.nix --arg a 1 -A args",
    "--eval --strict fun.nix --arg a 1 --arg z 'throw \"lazy\"' -A sum",
    "--eval --strict fun.nix --arg a 1 -A functor",
    "--eval --strict fun.nix --arg a 1 -A functor.x",
    "--eval --strict fun.nix -A sum",
    "--eval fun.nix",
    '--eval -E \'{ a = x: x; b = builtins.map; c = builtins.map 1; d = ./x; e = "a\\n${"$"}{"; f = 1.0; }\' --strict',
    '--eval --json -E \'{ a = 1; b = [ null true 1.5 ]; c = "x\\"y"; }\' --strict',
    "--eval --json -E '1'",
    "--eval --xml -E '{ a = 1; f = {x, y ? 1}: x; g = a: a; }' --strict",
    "--eval --xml -E '{ a = 1 + 1; f = {x, y ? 1}: x; }'",
    "--eval --xml --no-location -E '{ f = {x, y ? 1, ...}@z: x; }' --strict",
    "--eval --raw -E '\"abc\"'",
    "--eval --raw -E '1'",
    "--eval --raw -E './bad.nix'",
    "--parse -E '{ a, b ? 1 }: let x = 1; in a + x'",
    "--parse bad.nix",
    "--parse default.nix fun.nix ./. bad.nix",
    "--parse fun.nix nonexistent.nix bad.nix",
    "--parse -I foo=. '<foo>' bad.nix '<foo/fun.nix>' '<nope>' fun.nix",
    "--parse fun.nix flake:x",
    "--parse -E '1 +'",
    ("--eval -", "1 + 2\n"),
    ("--eval - -A x", "{ x = 1; }\n"),
    ("--parse -", "x:\n"),
    "--find-file foo",
    "-I foo=bad.nix --find-file foo",
    "-I foo=bad.nix --find-file foo foo nope",
    "-I . --find-file bad.nix",
    "-I foo=. '<foo>' -A a",
    '--eval -E \'builtins.readFile (builtins.toFile "x" "hello")\'',
    '--eval --read-write-mode -E \'builtins.readFile (builtins.toFile "x" "hello")\'',
    "--eval -E '(import ./default.nix {}).a.drvPath'",
    "--add-root link -A a",
    "--add-root link --indirect -A a -A b",
    "--add-root link -A m",
    "--dry-run -A a",
    "--foo",
    "-A",
    "--eval -E '[ (x: x) {} [] (1+1) ]'",
    "--eval -vv -E 1",
    "--eval -E '1' --option show-trace true",
    "--eval -E 'a: 1' --arg a 1",
    "--eval -E '{a}: a' --arg a '[ 1 (1+1) ]'",
    "--eval -E '{a}: a' --arg a '1 +'",
    "--eval -A 'a.\"b.c\".0' -E '{ a.\"b.c\" = [ 7 ]; }'",
    "--eval -A 'a.\"b' -E '{ a.\"b.c\" = [ 7 ]; }'",
    "--eval -A 'a..b' -E '{ a.b = 1; }'",
    "--eval -A 'a.' -E '{ a = 1; }'",
    "--eval -A 'a.0' -E '{ a = {}; }'",
    "--eval --strict -E 'let x = { y = x; }; in x'",
    "--eval nonexistent.nix",
    "-E '1'",
    "-E '[ ]'",
    '-E \'{ type = "derivation"; name = "x"; }\'',
    '-E \'{ type = "derivation"; name = "x"; drvPath = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x.drv"; }\'',
    "-E '{ type = \"derivation\"; }'",
    "--eval --pure-eval -E 'builtins.getEnv \"HOME\"'",
    "--eval -E 'builtins.currentSystem' --system foo",
    "--eval --extra-experimental-features pipe-operators -E '1 |> (x: x + 1)'",
    "--eval -j4 -E 1",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not lang_corpus.COMMAND.exists():
        pytest.skip(f"no command {lang_corpus.COMMAND}")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def _environment(folder: Path) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("NIX_")}
    own = {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache"), "NIX_PATH": "", "NIX_REMOTE": f"local?root={folder / 'root'}"}
    return clean | own


def _run(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [lang_corpus.COMMAND, *words], cwd=folder, env=_environment(folder), input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case if isinstance(case, str) else case[0])
def test_as_cppnix(case: str | tuple[str, str], folder: Path) -> None:
    cppnix, reason = oracle.cppnix226()
    if cppnix is None:
        pytest.skip(reason)
    line, stdin = (case, "") if isinstance(case, str) else case
    words = shlex.split(line)
    expected = cppnix.instantiate(words, store=folder / "root", cwd=folder, stdin=stdin)
    shutil.rmtree(folder / "root", ignore_errors=True)
    for link in ("link", "link-2"):
        (folder / link).unlink(missing_ok=True)
    found = _run(folder, *words, stdin=stdin)
    assert (found.returncode, found.stdout) == (expected.status, expected.stdout), found.stderr


def test_what_comes_before_a_failure_is_printed(folder: Path) -> None:
    done = _run(folder, "--eval", "-E", "1", 'throw "x"', "2")
    assert (done.returncode, done.stdout) == (1, "1\n")
    assert "error[thrown]: x" in done.stderr


def test_what_is_parsed_before_a_failure_is_printed(folder: Path) -> None:
    (folder / "wrong.nix").write_text("1 +")
    done = _run(folder, "--parse", "fun.nix", "wrong.nix", "bad.nix")
    assert (done.returncode, done.stdout.count("\n"), "functor" in done.stdout) == (1, 1, True)
    assert "error[syntax-error]" in done.stderr and "wrong.nix:1:4" in done.stderr


def test_the_library_s_frames_are_folded_and_the_user_s_are_not(folder: Path) -> None:
    library = folder / "library"
    library.mkdir()
    (library / "default.nix").write_text("{ call = f: let g = n: if n == 0 then f null else 1 + g (n - 1); in g 5; }")
    (folder / "work").mkdir()
    (folder / "work/mine.nix").write_text('let fail = x: throw "no"; in (import <library>).call fail')
    words = ["-I", f"library={library}", "--eval", str(folder / "work/mine.nix")]
    environment = _environment(folder)

    def run(*more: str) -> str:
        done = subprocess.run([lang_corpus.COMMAND, *words, *more], cwd=folder / "work", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    folded, whole = run(), run("--show-trace")
    assert "frames of <library> hidden, `--show-trace` shows them" in folded
    assert "mine.nix" in folded and "library/default.nix" not in folded
    assert "hidden" not in whole and "library/default.nix" in whole


def test_a_function_that_calls_itself_does_not_fill_the_screen(folder: Path) -> None:
    words = [lang_corpus.COMMAND, "--eval", "-E", "let f = n: 1 + f (n + 1); in f 0"]
    done = subprocess.run(words, env=_environment(folder), capture_output=True, text=True, check=False)
    assert "frames like those above hidden, `--show-trace` shows them" in done.stderr
    assert len(done.stderr.splitlines()) < 20


@pytest.mark.parametrize("way", ["eval", "parse"])
def test_ctrl_c_ends_it_quietly_and_at_once(way: str, folder: Path) -> None:
    text = "let f = n: if n == 0 then 0 else f (n - 1); in builtins.foldl' (a: n: f 5000) 0 (builtins.genList (n: n) 10000000)"
    words = ["--eval", "-E", f'builtins.trace "begun" ({text})'] if way == "eval" else ["--parse", *["./fun.nix"] * 5000]
    program = subprocess.Popen(
        [lang_corpus.COMMAND, *words],
        env=_environment(folder),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test run in the background ignores the signal, and what it starts would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert program.stdout is not None and program.stderr is not None
    # What is parsed is more than a pipe holds: it is interrupted while it writes.
    assert program.stderr.readline() == b"trace: begun\n" if way == "eval" else program.stdout.read(1) == b"("
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)
    begin = time.monotonic()
    program.wait(timeout=30)
    assert time.monotonic() - begin < 2
    assert (program.returncode, program.communicate()[1]) == (130, b"")


def test_nothing_is_written_without_permission_and_evaluation_works(folder: Path) -> None:
    done = _run(folder, "--store", "/proc/nowhere", "--eval", "-E", '(import ./default.nix { }).a.drvPath + "!"')
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith('-a.drv!"\n')
