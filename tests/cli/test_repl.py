"""`nivalis repl`, driven as its users drive it: over a pipe, and over a terminal of its own for line editing and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

PROGRAM = [sys.executable, "-c", "from nivalis.cli import main; main()", "repl"]
PROMPT = "nivalis> "
# Two processors that many tests share: long enough, and only waited for by a test that fails.
PATIENCE = 30.0


class Answer(NamedTuple):
    stdout: str
    stderr: str


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **{name: text for name, text in os.environ.items() if name not in ("NIX_PATH", "NIX_REMOTE", "VISUAL", "EDITOR")},
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "INPUTRC": "/dev/null",
        "TERM": "dumb",
    }


class Repl:
    """Sessions over a pipe, in a folder of their own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment

    def __call__(self, *lines: str, arguments: tuple[str, ...] = ()) -> Answer:
        text = "".join(f"{line}\n" for line in lines)
        answer = subprocess.run(
            [*PROGRAM, *arguments], cwd=self.folder, env=self.environment, input=text, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return Answer(answer.stdout, answer.stderr)


@pytest.fixture
def repl(tmp_path: Path, environment: dict[str, str]) -> Repl:
    return Repl(tmp_path, environment)


# ---- on a pipe ----


def test_expressions_and_bindings(repl: Repl) -> None:
    assert repl("1 + 2", "x = 5", "x = x + 1", "x", "# nothing", "", 'a.b = 1; "c d" = 2', "a.b", "inherit (a) b", "b") == ("3\n6\n1\n1\n", "")


def test_a_value_is_shown_one_level_deep(repl: Repl) -> None:
    answer = repl('{ a = { b = 1; }; e = { }; f = throw "no"; l = [ 1 ]; }', "[ [ 1 ] { } ]", "{ a = 1; }")
    assert answer == ("{\n  a = { ... };\n  e = { };\n  f = «error: no»;\n  l = [ ... ];\n}\n[\n  [ ... ]\n  { }\n]\n{ a = 1; }\n", "")


def test_print_shows_all_of_it(repl: Repl) -> None:
    answer = repl(
        ":p { a = { b = [ 1 2 ]; }; }",
        r':p "one\ntwo"',
        ":p rec { a = { inherit a; }; }",
        'd = derivation { name = "n"; system = "s"; builder = "b"; }',
        "d",
    )
    assert answer.stdout.startswith(
        "{\n  a = {\n    b = [\n      1\n      2\n    ];\n  };\n}\none\ntwo\n{\n  a = {\n    a = «repeated»;\n  };\n}\n«derivation /nix/store/"
    )


def test_lines_are_read_until_the_expression_is_whole(repl: Repl) -> None:
    assert repl("{", "  a = 1;", "}.a", "x = [", "  1", "", "]", "builtins.length x", ":t (1", ")").stdout == "1\n1\nan integer\n"
    answer = repl("1", "(2 +")
    assert answer.stdout == "1\n"
    assert "error[syntax-error]: syntax error, unexpected end of file" in answer.stderr


def test_an_incomplete_file_is_no_incomplete_line(repl: Repl) -> None:
    (repl.folder / "broken.nix").write_text("{ a = ")
    answer = repl("import ./broken.nix", "1")
    assert answer.stdout == "1\n"
    assert "broken.nix:1:" in answer.stderr


def test_a_session_goes_on_after_errors(repl: Repl) -> None:
    answer = repl('throw "no"', "nope", "1 + )", "x = = 1", ":nope", ":t", ":l ./nowhere.nix", ":a 1", ":te maybe", ":b 1", ":ll", "2")
    assert answer.stdout == "2\n"
    codes = [line.split("]")[0] for line in answer.stderr.splitlines() if line.startswith("error[")]
    syntax = ["error[syntax-error"] * 2
    commands = ["error[repl-command"] * 2
    assert codes == ["error[thrown", "error[undefined-variable", *syntax, *commands, "error[file-not-found", *["error[repl-command"] * 4]


def test_types(repl: Repl) -> None:
    answer = repl(":t { }", ":t map", ":t map (x: x)", ":t x: x", ':t "a"', ':t "${builtins.toFile "a" "b"}"', ":t ./.")
    assert answer.stdout.splitlines() == [
        "a set",
        "the built-in function 'map'",
        "the partially applied built-in function 'map'",
        "a function",
        "a string",
        "a string with context",
        "a path",
    ]


def test_documentation(repl: Repl) -> None:
    (repl.folder / "f.nix").write_text("{\n  f = { a, b ? 1, ... }: a;\n  x = 1;\n}\n")
    answer = repl(":doc map", ":l ./f.nix", ":doc f", ":doc x", ":doc 1")
    assert answer.stdout.startswith("builtins.map f list\n\n")
    assert f"function f {{ a, b ? ..., ... }}\n  at {repl.folder}/f.nix:2:7\n  at {repl.folder}/f.nix:3:3\n" in answer.stdout
    assert "error[repl-command]: nothing is documented here" in answer.stderr


def test_files_are_loaded_called_and_loaded_again(repl: Repl) -> None:
    (repl.folder / "default.nix").write_text('{ name ? "nobody", n ? 0 }: { inherit n; greeting = "hello ${name}"; }')
    (repl.folder / "more.nix").write_text("{ a = 1; b = 2; }")
    answer = repl("greeting", "n", "z = 1", ":r", "z", ":l more.nix", "a", ":ll", arguments=(".", "--argstr", "name", "you", "--arg", "n", "1 + 1"))
    assert answer.stdout == '"hello you"\n2\n1\na\nb\n'
    assert "added 2 variables\ngreeting, n\n" in answer.stderr
    assert "undefined variable 'z'" in answer.stderr
    assert repl(":a { q = 1; }", "q", "p", ":env", arguments=("-E", "{ p = 3; }")).stdout == "1\n3\np\nq\n"


def test_a_file_that_cannot_be_loaded_is_tried_again(repl: Repl) -> None:
    answer = repl('builtins.toFile "a" "b" != ""', ":r", arguments=("./nowhere.nix",))
    assert answer.stdout == "true\n"
    assert answer.stderr.count("error[file-not-found]") == 2


def test_the_search_path(repl: Repl) -> None:
    (repl.folder / "default.nix").write_text("{ a = 1; }")
    assert repl(":l <here>", "a", "<here>", arguments=("-I", "here=.")).stdout == f"1\n{repl.folder}\n"


def test_build_instantiates_and_says_what_is_missing(repl: Repl) -> None:
    answer = repl(
        ':b derivation { name = "n"; system = "s"; builder = "b"; }',
        ":log 1",
        ":u 1",
        ":lf nixpkgs",
        arguments=("--store", str(repl.folder / "store")),
    )
    path = answer.stderr.split("`")[1]
    assert path.startswith("/nix/store/") and path.endswith("-n.drv")
    assert (repl.folder / "store" / path[1:]).exists()
    assert [line.split(":")[0] for line in answer.stderr.splitlines() if line.startswith("error")] == [*["error[not-built]"] * 3, "error[no-flakes]"]


def test_no_store_is_made_before_it_is_needed(repl: Repl) -> None:
    repl("1", 'derivation { name = "n"; system = "s"; builder = "b"; }', arguments=("--store", str(repl.folder / "store")))
    assert not (repl.folder / "store").exists()


def test_edit_opens_the_place_and_loads_again(repl: Repl) -> None:
    editor = repl.folder / "an-editor"
    editor.write_text('#!/bin/sh\necho "$@" >>edited\nsed -i s/1/2/ f.nix\n')
    editor.chmod(0o755)
    repl.environment["EDITOR"] = f"{editor} --quietly"
    file = repl.folder / "f.nix"
    file.write_text("{\n  x = 1;\n  f =\n    a: a;\n}\n")
    answer = repl("x", ":e f", "x", ":e x", f":e {file}", ':e { meta.position = "/a/b.nix:7"; }', ":e 1", arguments=("f.nix",))
    assert answer.stdout == "1\n2\n"
    assert (repl.folder / "edited").read_text().splitlines() == [
        f"--quietly +4 {file}",
        f"--quietly +2 {file}",
        f"--quietly +1 {file}",
        "--quietly +7 /a/b.nix",
    ]
    assert "error[repl-command]: this is not in a file" in answer.stderr
    repl.environment["EDITOR"] = "false"
    assert f"error[repl-command]: the editor failed with status 1\n  at false +1 {file}\n" in repl(f":e {file}").stderr


def test_traces_are_folded_until_they_are_wanted(repl: Repl) -> None:
    (repl.folder / "lib").mkdir()
    (repl.folder / "lib" / "default.nix").write_text('let g = x: throw "no"; in { f = x: g (x + 1) + 1; }')
    (repl.folder / "here").mkdir()
    arguments = ("-I", "lib=../lib", "<lib>")
    repl.folder /= "here"
    folded = repl("f 1", arguments=arguments).stderr
    shown = repl(":te", "f 1", ":te false", arguments=arguments)
    assert "of <lib> hidden" in folded and "of <lib> hidden" not in shown.stderr
    assert shown.stdout.count("trace\n") == 2


def test_help_names_every_command(repl: Repl) -> None:
    answer = repl(":?", ":q", "1")
    assert answer.stderr == ""
    for name in (":l", ":t", ":b", ":doc", ":e", ":p", ":r", ":te", ":env", ":log", ":u", ":q", ":?"):
        assert f"  {name}" in answer.stdout
    assert not answer.stdout.endswith("1\n")


# ---- on a terminal ----


class Terminal:
    """A session on a terminal: what is typed, and what is to be seen then."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pending = ""

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def interrupt(self, text: str) -> str:
        """Press Ctrl-C until `text` is to be seen: Python misses a signal that comes just before it waits for a key."""
        for _ in range(10):
            self.type("\x03")
            if self._wait_for(text, PATIENCE / 10):
                break
        return self.see(text)

    def see(self, text: str) -> str:
        """All that was written up to and with `text`, which is waited for."""
        assert self._wait_for(text, PATIENCE), f"no {text!r} after {self._pending!r}"
        seen, _, self._pending = self._pending.partition(text)
        return seen + text

    def _wait_for(self, text: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while text not in self._pending:
            ready, _, _ = select.select([self._descriptor], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            try:
                self._pending += os.read(self._descriptor, 65536).decode(errors="replace").replace("\r", "")
            except OSError:  # the other side has hung up
                pytest.fail(f"ended without {text!r}: {self._pending!r}")
        return True

    def do(self, line: str) -> str:
        """Type a line at the prompt; what is to be seen until the next prompt."""
        self.type(f"{line}\n")
        return self.see(f"\n{PROMPT}")


@contextmanager
def terminal(folder: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    # Ctrl-C reaches the program only if this is its session's own terminal.
    process = subprocess.Popen(["setsid", "--ctty", *PROGRAM], cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        screen = Terminal(ours)
        screen.see(PROMPT)
        yield screen
        # A Ctrl-D that comes before the prompt does is the terminal's own and lost, so it is pressed until it is heard.
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            screen.type("\x04")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_completion(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "some-file.nix").write_text("{ loaded = 1; }")
    with terminal(tmp_path, environment) as screen:
        screen.do('pkgs = { hello = 40 + 2; helium = throw "evaluated"; "a b".c = 43; }')
        assert "42\n" in screen.do("pkgs.hell\t")
        screen.type("pkgs.he\t\t\t")
        offered = screen.see("pkgs.hello")
        assert "pkgs.helium" in offered and "evaluated" not in offered
        screen.see(f"{PROMPT}pkgs.hel")
        screen.type("\x15")
        assert "43\n" in screen.do('pkgs."a b".\t')
        assert "[ 1 ]\n" in screen.do("buil\t.conc\tLis\t [ [ 1 ] ]")
        assert "loaded\n" in screen.do(":l some\t")


def test_completion_neither_fails_nor_talks(tmp_path: Path, environment: dict[str, str]) -> None:
    with terminal(tmp_path, environment) as screen:
        screen.do('t = builtins.trace ("sa" + "id") { one = 40 + 2; }')
        screen.do('bad = throw ("wro" + "ng")')
        seen = screen.do("t.o\t")
        assert "42\n" in seen and "said" not in seen
        screen.type("bad.\t\t")
        screen.type("\x15")
        assert "wrong" not in screen.do("1 + 1")


def test_history_lasts(tmp_path: Path, environment: dict[str, str]) -> None:
    with terminal(tmp_path, environment) as screen:
        screen.do("40 + 2")
    file = tmp_path / "state" / "nivalis" / "repl-history"
    assert file.read_text() == "40 + 2\n"
    assert file.stat().st_mode & 0o777 == 0o600
    with terminal(tmp_path, environment) as screen:
        assert "42\n" in screen.do("\x10")


def test_interrupts(tmp_path: Path, environment: dict[str, str]) -> None:
    with terminal(tmp_path, environment) as screen:
        screen.type("nope nope")
        screen.see("nope nope")
        assert "error" not in screen.interrupt(f"\n{PROMPT}")
        screen.type("(1 +\n")
        screen.see(" " * len(PROMPT))
        screen.interrupt(PROMPT)
        screen.type(
            'builtins.trace ("be" + "gun") (builtins.genericClosure { startSet = [ { key = 0; } ]; operator = x: [ { key = x.key + 1; } ]; })\n'
        )
        screen.see("trace: begun")
        screen.interrupt("interrupted\n")
        screen.type("40 + 2\n")
        screen.see("42\n")
