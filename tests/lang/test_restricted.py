"""`restrict-eval` and `allowed-uris`: what may be looked at and fetched, and that no symlink leads out of it; beside CppNix."""

from __future__ import annotations

from pathlib import Path

import pytest

import oracle
from nivalis.errors import EvalError
from nivalis.lang.evaluator import EvalSettings, Evaluator
from nivalis.lang.search_path import SearchEntry
from nivalis.store.layout import StoreLayout
from nivalis.store.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that may be seen, beside one that may not."""
    for name in ("open/below", "closed"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "open/file").write_text("open")
    (tmp_path / "open/value.nix").write_text("41 + 1")
    (tmp_path / "open/needs.nix").write_text("import ./value.nix")
    (tmp_path / "closed/file").write_text("secret")
    (tmp_path / "closed/value.nix").write_text("1")
    (tmp_path / "open/out").symlink_to("../closed")
    (tmp_path / "open/up").symlink_to("..")
    (tmp_path / "open/absolute").symlink_to(tmp_path / "closed/file")
    (tmp_path / "open/in").symlink_to("below/../file")
    (tmp_path / "open/needs-closed.nix").write_text("import ../closed/value.nix")
    (tmp_path / "open/loop").symlink_to("loop")
    return tmp_path


def evaluate(folder: Path, text: str, *uris: str, store: Store | None = None) -> str:
    settings = EvalSettings(system="x86_64-linux", search_path=(SearchEntry("open", f"{folder}/open"),), environment={"A": "1"}, allowed_uris=uris)
    with Evaluator(store, settings) as evaluator:
        value = evaluator.eval(text.replace("FOLDER", str(folder)))
        value.force(deep=True)
        return value.print(lazy=False)


ALLOWED = [
    "1 + 2",
    "import <open/value.nix>",
    "import FOLDER/open/needs.nix",
    "builtins.readFile FOLDER/open/file",
    "builtins.readFile FOLDER/open/in",
    "builtins.attrNames (builtins.readDir FOLDER)",
    "builtins.readDir FOLDER/open/up",
    "builtins.attrNames (builtins.readDir FOLDER/open)",
    "builtins.readFileType FOLDER/open/out",
    "builtins.pathExists FOLDER/open/file",
    "builtins.pathExists FOLDER/closed/file",
    "builtins.pathExists FOLDER/open/out/file",
    "builtins.pathExists FOLDER/closed/nothing",
    'builtins.getEnv "A"',
    'let __nixPath = [ { prefix = "x"; path = FOLDER/open; } ]; in builtins.readFile <x/file>',
]
FORBIDDEN = [
    "import FOLDER/closed/value.nix",
    "import FOLDER/open/needs-closed.nix",
    "builtins.readFile FOLDER/closed/file",
    "builtins.readFile FOLDER/closed/nothing",
    "builtins.readFile FOLDER/open/out/file",
    "builtins.readFile FOLDER/open/absolute",
    "builtins.readFile FOLDER/open/up/closed/file",
    "builtins.readDir FOLDER/closed",
    "builtins.readDir FOLDER/open/out",
    "builtins.readDir FOLDER/open/up/closed",
    "builtins.readFileType FOLDER/closed",
    "builtins.readFileType FOLDER/open/out/file",
    'builtins.hashFile "sha256" FOLDER/open/absolute',
    'builtins.path { path = FOLDER/closed; name = "x"; }',
    'builtins.path { path = FOLDER/closed/file; name = "x"; recursive = false; }',
    '"${FOLDER/closed/file}"',
    'let __nixPath = [ { prefix = "x"; path = FOLDER/closed; } ]; in builtins.readFile <x/file>',
    "builtins.fetchurl file://FOLDER/closed/file",
    "builtins.fetchTarball https://example.invalid/a.tar.gz",
    'builtins.fetchGit "FOLDER/closed"',
]


@pytest.mark.parametrize("text", ALLOWED)
def test_allowed(folder: Path, text: str) -> None:
    found = evaluate(folder, text)
    theirs, reason = oracle.cppnix226()
    if theirs is None:
        pytest.skip(reason)
    words = ["--eval", "--strict", "--restrict-eval", "-I", f"open={folder}/open", "-E", text.replace("FOLDER", str(folder))]
    answer = theirs.instantiate(words, env={"A": "1"})
    assert (answer.status, answer.stdout.strip()) == (0, found), answer.stderr


@pytest.mark.parametrize("text", FORBIDDEN)
def test_forbidden(folder: Path, text: str) -> None:
    with pytest.raises(EvalError) as raised:
        evaluate(folder, text)
    assert raised.value.code == "forbidden" and "secret" not in str(raised.value)
    theirs, reason = oracle.cppnix226()
    if theirs is None:
        pytest.skip(reason)
    words = ["--eval", "--strict", "--restrict-eval", "-I", f"open={folder}/open", "-E", text.replace("FOLDER", str(folder))]
    answer = theirs.instantiate(words)
    assert answer.status != 0 and "forbidden" in answer.stderr


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://a.example", True),
        ("https://a.example/d", True),
        ("https://a.example.org", False),
        ("https://a.example@evil.example", False),
        ("http://a.example", False),
        ("https://b.example/c/d", True),
        ("https://b.example/c", False),
        ("https://b.example/cd", False),
        ("git://e.example", True),
        ("gits://e.example", False),
        ("channel:nixos-unstable", False),
    ],
)
def test_addresses(folder: Path, address: str, allowed: bool) -> None:
    with pytest.raises(EvalError) as raised:
        evaluate(folder, f'builtins.fetchTarball "{address}"', "https://a.example", "https://b.example/c/", "git:", "")
    # What is allowed gets as far as the network, which this evaluation does not have.
    assert raised.value.code == ("fetch-failed" if allowed else "forbidden")


def test_a_tree_is_not_added_with_what_may_not_be_seen(folder: Path, tmp_path: Path) -> None:
    # The folder above may be listed, as far as it leads to what is open.
    with pytest.raises(EvalError, match="forbidden"):
        evaluate(folder, 'builtins.path { path = FOLDER; name = "x"; }')


def test_what_the_evaluation_added_may_be_read(folder: Path, tmp_path: Path) -> None:
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        assert evaluate(folder, 'builtins.readFile "${<open/below/../file>}"', store=store) == '"open"'
        assert evaluate(folder, 'builtins.readFile (builtins.toFile "x" "made")', store=store) == '"made"'
        other = store.add_path(folder / "closed")
        with pytest.raises(EvalError, match="forbidden"):
            evaluate(folder, f'builtins.readFile "{other}/file"', store=store)
        settings = EvalSettings(system="x", search_path=(SearchEntry("", other),), allowed_uris=())
        with Evaluator(store, settings) as evaluator:
            assert evaluator.eval(f'builtins.readFile "{other}/file"').to_python() == "secret"


def test_too_many_links(folder: Path) -> None:
    with pytest.raises(EvalError):
        evaluate(folder, "builtins.readFile FOLDER/open/loop")
