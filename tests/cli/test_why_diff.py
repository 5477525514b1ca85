"""`nivalis why` and `nivalis diff` as they are called: words, what is printed, exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nivalis.store import Derivation, Output, Store, StoreLayout
from nivalis.store.paths import name_of

PROGRAM = (sys.executable, "-c", "from nivalis.cli import main; main()")
Nivalis = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with two generations of the profile `p`, to which the links `one` and `two` lead as well."""
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        for number, version in enumerate(("1.0", "2.0"), 1):
            library = store.add_text(f"library-{version}", b"")
            program = store.add_text("program", library.encode(), [library])
            extra = [store.add_text("more-1", b"")] if number == 2 else []
            top = store.add_text("top", "\n".join([program, *extra]).encode(), [program, *extra])
            store.add_root(tmp_path / ("one", "two")[number - 1], top)
            store.add_root(store.layout.profiles_dir / f"p-{number}-link", top, indirect=False)
        (store.layout.profiles_dir / "p").symlink_to("p-2-link")
        yield store


@pytest.fixture
def nivalis(tmp_path: Path) -> Nivalis:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "NIX_REMOTE": f"local?root={tmp_path / 'root'}"}
        return subprocess.run([*PROGRAM, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def _names(text: str) -> str:
    return re.sub(r"/nix/store/[0-9a-z]{32}-", "", text)


def test_why(store: Store, nivalis: Nivalis, tmp_path: Path) -> None:
    answer = nivalis("why", "./one", "library")
    assert (answer.returncode, _names(answer.stdout)) == (0, "top\n└───program\n    └───library-1.0\n"), answer.stderr
    (found,) = json.loads(nivalis("why", "--json", "--all", "--precise", "one", "library").stdout)
    top, program, library = found["chain"]
    assert (found["path"], found["dependency"]) == (top, library)
    assert found["references"] == {top: [program], program: [library]}
    assert [(place["path"], place["reference"], place["file"]) for place in found["files"]] == [(top, program, ""), (program, library, "")]
    # Real and logical paths are as good as links.
    assert nivalis("why", store.real_path(top), library).stdout == answer.stdout
    assert "in the file itself: …" in nivalis("why", "--precise", "one", "library").stdout


def test_why_not(store: Store, nivalis: Nivalis) -> None:
    for words, code in ((("one", "two"), "no-dependency"), (("one", "nothing"), "no-dependency"), (("one", "./nowhere"), "os-error")):
        answer = nivalis("why", *words)
        assert (answer.returncode, answer.stdout) == (1, "") and f"error[{code}]" in answer.stderr
    answer = nivalis("why", "one", "/nix/store/00000000000000000000000000000000-a")
    assert answer.returncode == 1 and "path-not-valid" in answer.stderr


def test_derivations_and_their_outputs(store: Store, nivalis: Nivalis) -> None:
    output = store.add_text("out", b"")
    builder = store.add_text("builder", b"")
    derivation = Derivation({"out": Output(output)}, "x", "/bin/sh", env={"out": output}, input_srcs=frozenset([builder]))
    drv_path = store.add_text("d.drv", derivation.unparse(), [builder])
    assert _names(nivalis("why", drv_path, builder).stdout) == "d.drv\n└───builder\n"
    assert _names(nivalis("why", f"{drv_path}!out", f"{drv_path}^out").stdout) == "out\n"
    answer = nivalis("why", f"{drv_path}!dev", builder)
    assert answer.returncode == 1 and "no output `dev`" in answer.stderr


def test_diff(store: Store, nivalis: Nivalis) -> None:
    answer = nivalis("diff", "./one", "./two")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [
        "changed  library  1.0 → 2.0     0 B",
        "added    more     1          +112 B",
        "2 packages only built again (`--all` shows them)",
        "3 → 4 paths, 448 B → 608 B (+160 B)",
    ]
    assert [line.split()[:2] for line in nivalis("diff", "--all", "one", "two").stdout.splitlines()[2:4]] == [
        ["rebuilt", "program"],
        ["rebuilt", "top"],
    ]
    found = json.loads(nivalis("diff", "--json", "one", "two").stdout)
    assert [(one["name"], one["change"]) for one in found["packages"]] == [
        *(("library", "changed"), ("more", "added"), ("program", "rebuilt"), ("top", "rebuilt")),
    ]
    assert sorted(map(name_of, found["paths_added"])) == ["library-2.0", "more-1", "program", "top"]


def test_generations(store: Store, nivalis: Nivalis) -> None:
    whole = nivalis("diff", "one", "two").stdout
    profile = str(store.layout.profiles_dir / "p")
    for words in (["-p", "p"], ["-p", profile], ["-p", "p", "1"], ["-p", "p", "1", "2"], [f"{profile}-1-link", f"{profile}-2-link"]):
        assert nivalis("diff", *words).stdout == whole
    assert nivalis("diff", "-p", "p", "2", "1").stdout != whole
    for words in (["-p", "p", "1", "3"], ["-p", "q"], ["-p", "/nowhere/p"]):
        answer = nivalis("diff", *words)
        assert answer.returncode == 1 and "no-generation" in answer.stderr
    assert nivalis("diff", "one").returncode == 2


def test_diff_on_a_terminal(store: Store, tmp_path: Path) -> None:
    outer, inner = pty.openpty()
    environment = {**os.environ, "NIX_REMOTE": f"local?root={tmp_path / 'root'}", "TERM": "xterm", "NO_COLOR": "1"}
    subprocess.run([*PROGRAM, "diff", "one", "two"], cwd=tmp_path, env=environment, stdout=inner, check=True)
    os.close(inner)
    text = os.read(outer, 1 << 16).decode()
    os.close(outer)
    assert "package" in text and "1.0 → 2.0" in text and "\x1b[3" not in text
