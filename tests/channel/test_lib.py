"""The library of the channel: every example in its comments, the cases of tests/channel/lib, and its errors.

A case file is a function of the library that gives a set, `{ name = [ value expected ]; }`.  All are evaluated here, and by
CppNix 2.8 and 2.26 in one go each, which must find them true as well.  `like_2016.nix` gives values only: they are compared with what the
library of a real nixpkgs (that of July 2016, NIVALIS_NIXPKGS) gives for the same expressions.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import oracle
from nivalis.errors import EvalError
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

LIBRARY = Path(__file__).resolve().parents[2] / "channel/lib"
CASES = Path(__file__).resolve().parent / "lib"
FILES = sorted(path for path in CASES.glob("*.nix") if path.name not in ("like_2016.nix", "errors.nix"))

# Names that are plain data, or older names of what is explained beside them.
UNDOCUMENTED = {
    "lists": {"fold"},
    "trivial": {"release", "versionSuffix", "codeName", "isInOldestRelease", "copyFunctionArgs"},
    "strings": {"lowerChars", "upperChars"},
    "attrsets": {"cartesianProductOfSets"},
    "modules": {"defaultOrderPriority", "defaultOverridePriority", "mkAliasOptionModuleMD"},
    "options": {"literalExample"},
}


@dataclass(frozen=True)
class Example:
    """`text => expected` in the comment above `name`; `expected` is `throws` where it must fail."""

    file: str
    name: str
    text: str
    expected: str

    @property
    def test(self) -> str:
        """An expression that is true."""
        if self.expected == "throws":
            return f"!(builtins.tryEval (let v = ({self.text}); in builtins.deepSeq v v)).success"
        return f"({self.text}) == ({self.expected})"


@functools.cache
def find_examples() -> list[Example]:
    found = []
    for path in sorted(LIBRARY.rglob("*.nix")):
        for comment, name in re.findall(r'/\*\*(.*?)\*/\s*("?[\w\']+"?) =', path.read_text(), re.DOTALL):
            for line in comment.splitlines():
                text, arrow, expected = line.strip().partition(" => ")
                if arrow and not text.startswith("e.g. "):
                    found.append(Example(path.relative_to(LIBRARY).as_posix(), name, text, expected))
    return found


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(None, EvalSettings(system="x86_64-linux")) as made:
        yield made


def in_library(text: str) -> str:
    return f"let lib = import {LIBRARY}; in with lib; {text}"


@pytest.mark.parametrize("example", find_examples(), ids=lambda example: f"{example.file}:{example.name}")
def test_example(example: Example, evaluator: Evaluator) -> None:
    shown = '"no error"' if example.expected == "throws" else example.text
    text = in_library(f"if {example.test} then null else generators.toPretty {{ }} ({shown})")
    assert evaluator.eval(text, base_dir=LIBRARY).to_python() is None


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_case_file(path: Path, evaluator: Evaluator) -> None:
    text = f"""
      let
        lib = import {LIBRARY};
        show = lib.generators.toPretty {{ }};
        failed = lib.filterAttrs (_: case: builtins.elemAt case 0 != builtins.elemAt case 1) (import {path} lib);
      in lib.mapAttrs (_: case: "${{show (builtins.elemAt case 0)}} instead of ${{show (builtins.elemAt case 1)}}") failed
    """
    assert evaluator.eval(text).to_python() == {}


@pytest.mark.parametrize("get", [oracle.cppnix28, oracle.cppnix226], ids=["2.8", "2.26"])
def test_cppnix_finds_the_same(get: Callable[[], tuple[oracle.Oracle | None, str]]) -> None:
    nix, reason = get()
    if nix is None:
        pytest.skip(reason)
    examples = "\n".join(f"{{ name = {json.dumps(f'{example.file}:{example.name}')}; ok = {example.test}; }}" for example in find_examples())
    files = "\n".join(f"(of {json.dumps(path.stem)} (import {path} lib))" for path in FILES)
    text = in_library(f"""
      let of = file: mapAttrsToList (name: case: {{ name = "${{file}}:${{name}}"; ok = builtins.elemAt case 0 == builtins.elemAt case 1; }});
      in map (case: case.name) (filter (case: !case.ok) ([ {examples} ] ++ concatLists [ {files} ]))
    """)
    answer = nix.instantiate(["--eval", "--strict", "--json", "-E", text], cwd=LIBRARY)
    assert answer.status == 0, answer.stderr
    assert json.loads(answer.stdout) == []


def test_every_public_name_is_explained(evaluator: Evaluator) -> None:
    for path in sorted(LIBRARY.glob("*.nix")):
        part = re.sub(r"-(\w)", lambda match: match[1].upper(), path.stem)
        if part in ("default", "licenses", "sourceTypes", "stringsWithDeps"):
            continue
        source = path.read_text()
        assert source.startswith("/**"), f"{path.name} says not what it is"
        # A type of options carries its own description.
        listed = f"let lib = import {LIBRARY}; in builtins.filter (name: !lib.isOptionType lib.{part}.${{name}}) (builtins.attrNames lib.{part})"
        names = set(evaluator.eval(listed).to_python())
        explained = set(re.findall(r'\*/\s*"?([\w\']+)"? =', source))
        inherited = {name for names in re.findall(r"^  inherit(?: \([\w.]+\))?([^;]*);", source, re.MULTILINE) for name in names.split()}
        assert names - explained - inherited - UNDOCUMENTED.get(part, set()) == set(), path.name


def test_what_the_top_lists_is_there(evaluator: Evaluator) -> None:
    text = f"""
      let lib = import {LIBRARY};
      in builtins.filter (name: !(builtins.tryEval (builtins.seq lib.${{name}} true)).success) (builtins.attrNames lib)
    """
    assert evaluator.eval(text).to_python() == []


def test_one_name_reads_few_files() -> None:
    with Evaluator(None, EvalSettings(system="x86_64-linux"), record=True) as evaluator:
        assert evaluator.eval(f"(import {LIBRARY}).id 1").to_python() == 1
        read = {Path(name).name for name in re.findall(r"[\w./-]+\.nix", repr(evaluator.recording()))}
    assert read <= {"default.nix", "fixed-points.nix", "trivial.nix"}


# ---------------------------------------------------------------------------------------------------- folders


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as people have them: sources, results, editors' files, a repository whose commit is packed, packages."""
    files = {
        "src/main.c": "int main;",
        "src/main.o": "",
        "src/deep/notes~": "",
        "README": "",
        ".git/HEAD": "ref: refs/heads/main\n",
        ".git/packed-refs": "# pack-refs with: peeled\n" + "1" * 40 + " refs/heads/other\n" + "2" * 40 + " refs/heads/main\n",
        "tree/.git": f"gitdir: {tmp_path}/.git/worktrees/tree\n",
        ".git/worktrees/tree/HEAD": "ref: refs/heads/topic\n",
        ".git/worktrees/tree/commondir": "../..\n",
        ".git/refs/heads/topic": "3" * 40 + "\n",
        "packages/one.nix": "{ base }: { v = base; }",
        "packages/two/package.nix": "{ base, one ? null }: { v = base + (if one == null then 0 else one.v); }",
        "packages/set/three.nix": "{ base }: { v = base * 3; }",
        "packages/notes.txt": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "result").symlink_to("/nowhere")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cleanSource FOLDER", ["README", "packages", "src", "src/deep", "src/main.c", "tree"]),
        ('sourceByRegex FOLDER [ "src" "src/main.*" ]', ["src", "src/main.c", "src/main.o"]),
        ('sourceByRegex (cleanSource FOLDER) [ "src" "src/main.*" ]', ["src", "src/main.c"]),
        ('sourceFilesBySuffices (FOLDER + "/src") [ ".c" ]', ["deep", "main.c"]),
        (
            'fileset.toSource { root = FOLDER; fileset = fileset.union (FOLDER + "/src/main.c") (FOLDER + "/README"); }',
            ["README", "src", "src/main.c"],
        ),
    ],
)
def test_sources_hold_what_they_should(text: str, names: list[str], project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    expression = in_library(f'"${{{text.replace("FOLDER", str(project))}}}"')
    layout = StoreLayout.under(tmp_path_factory.mktemp("store"))
    with Store.open(layout, build_users_group="") as store, Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
        path = str(evaluator.eval(expression).to_python())
        evaluator.flush()
    here = Path(layout.real_path(path))
    found = {file.relative_to(here).as_posix() for file in here.rglob("*")}
    assert {name for name in found if not name.startswith(("packages/", "tree/"))} == set(names)
    nix, _ = oracle.cppnix28()
    if nix is not None:
        assert json.loads(nix.instantiate(["--eval", "--json", "-E", expression]).stdout) == path


def test_commits_are_found(project: Path, evaluator: Evaluator) -> None:
    text = f"map commitIdFromGitRepo [ {project}/.git {project}/tree/.git ] ++ map pathIsGitRepo [ {project}/.git {project}/src ]"
    assert evaluator.eval(in_library(text)).to_python() == ["2" * 40, "3" * 40, True, False]


def test_packages_from_a_folder(project: Path, evaluator: Evaluator) -> None:
    plain = f"packagesFromDirectoryRecursive {{ callPackage = callPackageWith {{ base = 1; }}; directory = {project}/packages; }}"
    assert evaluator.eval(in_library(f"let p = {plain}; in [ p.one.v p.two.v p.set.three.v (attrNames p) ]")).to_python() == [
        1,
        1,
        3,
        ["one", "set", "two"],
    ]
    scoped = plain.replace("{ callPackage", "rec { newScope = extra: callPackageWith ({ base = 1; } // extra); callPackage", 1)
    assert evaluator.eval(in_library(f"let p = {scoped}; in [ p.one.v p.two.v p.set.three.v ]")).to_python() == [1, 2, 3]


# ---------------------------------------------------------------------------------------------------- errors


def find_errors() -> list[tuple[str, str]]:
    """(expression, part of the message) from errors.nix: pairs of lines, the message as a comment below its expression."""
    lines = [line.strip() for line in (CASES / "errors.nix").read_text().splitlines() if line.startswith("  ")]
    return [(text.removeprefix("(").removesuffix(")"), comment.removeprefix("# ")) for text, comment in zip(lines[::2], lines[1::2], strict=True)]


@pytest.mark.parametrize(("text", "message"), find_errors(), ids=lambda value: value[:50])
def test_error(text: str, message: str, evaluator: Evaluator) -> None:
    with pytest.raises(EvalError) as caught:
        evaluator.eval(in_library(f"let v = ({text}); in builtins.deepSeq v v"), base_dir=CASES)
    assert caught.value.code == "thrown"
    assert message in str(caught.value)


# ---------------------------------------------------------------------------------------------------- the real library


@pytest.fixture(scope="module")
def library_of_2016() -> Path:
    named = os.environ.get("NIVALIS_NIXPKGS")
    if not named or not (Path(named) / "lib/default.nix").exists():
        pytest.skip("NIVALIS_NIXPKGS does not name a folder with nixpkgs")
    return Path(named).resolve() / "lib"


def test_values_are_those_of_nixpkgs(library_of_2016: Path, evaluator: Evaluator) -> None:
    text = f"""
      let
        ours = import {CASES}/like_2016.nix (import {LIBRARY});
        theirs = import {CASES}/like_2016.nix (import {library_of_2016});
        show = (import {LIBRARY}).generators.toPretty {{ }};
        differ = builtins.filter (name: ours.${{name}} != theirs.${{name}}) (builtins.attrNames ours);
      in builtins.listToAttrs (map (name: {{ inherit name; value = "${{show ours.${{name}}}} instead of ${{show theirs.${{name}}}}"; }}) differ)
    """
    assert evaluator.eval(text).to_python() == {}


# Of a case's two values: what the library of 2016 has another one for.
DECIDED_LATER = {
    "noModuleArgs": "the names in a configuration are those of the options, without `_module`",
    "showOptions": "names that are no identifiers are shown in quotes",
}


def test_cases_of_modules_hold_in_nixpkgs(library_of_2016: Path, evaluator: Evaluator) -> None:
    cases = f"import {CASES}/modules.nix (lib // {{ types = {{ port = lib.types.int; }} // lib.types; }})"
    kinds: dict[str, list[str]] = {"same": [], "other": [], "cannot": []}
    for name in evaluator.eval(f"builtins.attrNames (import {CASES}/modules.nix (import {LIBRARY}))").to_python():
        text = f"""
          let
            lib = import {library_of_2016};
            case = ({cases}).${{"{name}"}};
            # In 2016 every configuration still held `_module`.
            plain = value: if builtins.isAttrs value then builtins.removeAttrs value [ "_module" ] else value;
          in plain (builtins.elemAt case 0) == builtins.elemAt case 1
        """
        try:
            kinds["same" if evaluator.eval(text).to_python() else "other"].append(name)
        except EvalError:
            # Functions, types and attributes that it does not have, for the most part.
            kinds["cannot"].append(name)
    assert set(kinds["other"]) == DECIDED_LATER.keys() and len(kinds["same"]) > len(kinds["cannot"])
