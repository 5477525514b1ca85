"""The same derivations, built by this program and by CppNix: the same outputs, references and registrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_prelude import PRELUDE
from nivalis.cache import SecretKey
from nivalis.store import Store
from oracle import Result

CASES = {
    "environment": """
        shWith "environment" { b = "two\\nlines"; passAsFile = [ "long" ]; long = "text"; }
          "env | sort > $out; cat $longPath >> $out"
    """,
    "view": """
        sh "view" "
          exec > $out; ls / /bin /build /etc /nix/store; pwd
          cat /etc/passwd /etc/group /etc/hosts; id; hostname; umask
        "
    """,
    "kinds": """
        sh "kinds" "
          mkdir -p $out/a/b; echo x > $out/a/x; chmod 755 $out/a/x; chmod 4755 $out/a/x || chmod 2755 $out/a || touch -d 2001-01-01 $out/old
          ln -s a/x $out/link; ln $out/a/x $out/hard; echo $out > $out/self; chmod 7 $out/self
        "
    """,
    "outputs": """
        shWith "outputs" { outputs = [ "out" "dev" "doc" ]; } "echo d > $doc; echo $doc > $dev; echo $dev $doc > $out"
    """,
    "graph": """
        sh "top" "cat ${sh "one" "echo ${sh "two" "echo two > $out"} > $out"} > $out; echo ${sh "three" "mkdir $out"} >> $out"
    """,
    "links": """
        let link = sh "link" "ln -s ${sh "target" "echo x > $out"} $out"; in sh "links" "echo ${link} > $out; cat ${link} >> $out"
    """,
    "fixed": """
        shWith "fixed" { outputHash = builtins.hashString "sha256" "x\\n"; outputHashAlgo = "sha256"; outputHashMode = "flat"; }
          "echo x > $out"
    """,
    "fixed-tree": """
        shWith "tree" { outputHash = "sha1-kGtAwtXw3CHkU2iiq1vd/rqmSus="; outputHashMode = "recursive"; }
          "mkdir $out; echo x > $out/x"
    """,
    "placeholder": """
        shWith "holder" { p = builtins.placeholder "out"; passAsFile = [ "q" ]; q = "q=${builtins.placeholder "out"}"; }
          "(echo $p; cat $qPath) > $out"
    """,
    "references-graph": """
        shWith "export" { exportReferencesGraph = [ "g" (sh "a" "echo ${sh "b" "echo b > $out"} > $out") ]; }
          "cat g > $out"
    """,
    # CppNix 2.8 names the files of attributes by their places outside of the sandbox, which later versions do not.
    "structured": """
        shWith "structured" {
          __structuredAttrs = true; outputs = [ "out" "lib" ];
          n = 1; f = 1.5; t = true; no = false; nothing = null; s = "it's \\"ü\\"";
          list = [ 1 "two" true ]; nested = { a = [ { b = 1; } ]; }; flat = { k = "v"; "odd key" = 2; }; "not-a-name" = "x";
          exportReferencesGraph.closure = [ (sh "a" "echo ${sh "b" "echo b > $out"} > $out") ];
        } "
          out=$(grep -o '/nix/store/[a-z0-9]*-structured\\"' .attrs.json | tr -d '\\"' | sort -u)
          lib=$(grep -o '/nix/store/[a-z0-9]*-structured-lib' .attrs.json | sort -u)
          echo > $lib; mkdir $out; cp .attrs.json .attrs.sh $out; env | grep -v NIX_ATTRS | sort > $out/env
        "
    """,
    "structured-odd": """
        shWith "structured" {
          __structuredAttrs = true; floats = [ 0.1 1.0e100 (-2.5) 0.0000001 ]; big = 2147483647; low = -5; half = 0.5;
          empty = [ ]; none = { }; lists = [ [ 1 ] ]; text = "a\\\\b\\t\\r\\n\\"'$x`\\\\'"; under_score = true; "1st" = 1; "ü" = 1;
          mixed = [ 1 null "x" false ]; mixedFloat = [ 1.5 ]; deep.a.b = 1; attrs = { n = null; t = true; f = 1.5; }; builder = "/bin/sh";
          holder = builtins.placeholder "out"; drv = sh "a" "echo b > $out"; PATH = "/p"; outputs = [ "out" ]; "" = 1; __x = "y";
        } "
          out=$(grep -o '/nix/store/[a-z0-9]*-structured\\"' .attrs.json | tr -d '\\"' | sort -u)
          mkdir $out; cp .attrs.json .attrs.sh $out; env | grep -v NIX_ATTRS | sort > $out/env
        "
    """,
    "graphs": """
        let a = sh "a" "echo ${sh "b" "echo b > $out"} > $out"; in
        shWith "export" { exportReferencesGraph = [ "g" a "h" a.drvPath "source" (builtins.toFile "x" "x") ]; } "mkdir $out; cp g h source $out"
    """,
    "fixed-structured": """
        shWith "fixed" {
          __structuredAttrs = true; outputHash = builtins.hashString "sha256" "x\n"; outputHashAlgo = "sha256"; impureEnvVars = [ "HOME" ]; }
          "echo x > $(grep -o '/nix/store/[a-z0-9]*-fixed' .attrs.json | head -n1)"
    """,
    "pass-as-file": """
        shWith "pass" { passAsFile = "a b  none"; a = "1\n"; b = ""; c = "3"; "d-e" = "4"; }
          "cat $aPath $bPath > $out; env | sort >> $out; ls -lA | cut -c1-10 >> $out"
    """,
    "requirements": """
        shWith "kvm" { requiredSystemFeatures = [ "big-parallel" ]; preferLocalBuild = true; allowSubstitutes = false; } "env | sort > $out"
    """,
    "references": """
        shWith "refs" { allowedReferences = [ "out" ]; disallowedRequisites = [ (sh "no" "echo > $out") ]; } "echo $out > $out"
    """,
    "impure": """
        shWith "impure" {
          impureEnvVars = [ "NO_SUCH_VARIABLE" ]; outputHash = builtins.hashString "sha256" "[]\\n"; outputHashAlgo = "sha256";
        } "echo [$NO_SUCH_VARIABLE] > $out"
    """,
    "symlink-loop": """
        shWith "loop" { outputs = [ "out" "tree" ]; }
          "ln -s $out $out; mkdir $tree; ln -s . $tree/self; ln -s ../$tree $tree/up; ln -s /proc/self/root $tree/root"
    """,
    "odd-names": """
        sh "odd" "
          mkdir -p $out/.dot $out/-dash; cd $out; touch 'a b' 'a\nb' $(printf '\\377') '*' $(printf '%0255d' 0); mkdir closed; chmod 0 closed
        "
    """,
    "hard-links": """
        shWith "hard" { outputs = [ "out" "lib" ]; } "mkdir $out $lib; echo x > $out/x; ln $out/x $lib/y; chmod 755 $lib/y; ln $out/x $out/z"
    """,
    "second-namespace": """
        sh "space" "unshare -Urm sh -c 'mount -t tmpfs x /tmp; echo hidden > /tmp/x'; ls /tmp > $out; echo > $out/file || echo end >> $out"
    """,
    "terminal": """sh "terminal" "[ -t 1 ] && [ -t 2 ] && ! [ -t 0 ] && echo yes > $out" """,
}


def _rows(root: Path) -> dict[str, Any]:
    """All that a database says, but for times."""
    with sqlite3.connect(root / "nix/var/nix/db/db.sqlite") as db:
        paths = db.execute("select path, hash, deriver, narSize, ultimate, sigs, ca from ValidPaths").fetchall()
        references = db.execute(
            "select a.path, b.path from Refs join ValidPaths a on a.id = referrer join ValidPaths b on b.id = reference"
        ).fetchall()
    signatures = sum(len(sigs.split()) for *_, sigs, _ in paths if sigs)
    return {"paths": sorted(paths, key=str), "references": sorted(references), "signatures": signatures}


def _nar_text(root: Path) -> dict[str, bytes]:
    found = {}
    for place in sorted((root / "nix/store").rglob("*")):
        if place.is_file() and not place.is_symlink() and ".links" not in str(place) and place.suffix != ".lock":
            found[str(place.relative_to(root))] = place.read_bytes()
    return found


@pytest.mark.parametrize("name", CASES)
def test_both_build_the_same(name: str, workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    ours, theirs = tmp_path / "root", tmp_path / "theirs"
    drv_path = workshop.instantiate(CASES[name])
    workshop.realise(drv_path).check()
    (tmp_path / "t.nix").write_text(PRELUDE + CASES[name])
    answer = cpp_build(theirs, "nix-build", str(tmp_path / "t.nix"), "--no-out-link")
    assert answer.status == 0, answer.stderr
    # CppNix registers the outputs of the derivation; nix-build itself asks for `out` only, which is enough to build all.
    assert _nar_text(ours) == _nar_text(theirs)
    assert _rows(ours) == _rows(theirs)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("flat", 'sh "x" "echo x > $out"'),
        ("recursive", 'sh "x" "mkdir -p $out/a; echo x > $out/a/x"'),
    ],
)
def test_what_has_another_hash_is_kept_under_it(name: str, text: str, workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    wrong = f'outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; outputHashMode = "{name}";'
    text = text.replace('sh "x"', f'shWith "x" {{ {wrong} }}')
    drv_path = workshop.instantiate(text)
    result = workshop.realise(drv_path)
    answer = cpp_build(tmp_path / "theirs", "nix-build", "-E", PRELUDE + text, "--no-out-link")
    assert (result.exit_status, next(iter(result.failures.values())).code) == (answer.status, "hash-mismatch")
    assert _rows(tmp_path / "root") == _rows(tmp_path / "theirs")
    assert _nar_text(tmp_path / "root") == _nar_text(tmp_path / "theirs")
    # Once more, now that it is there already.
    assert workshop.fail(text).code == "hash-mismatch"
    # With the hash that it has, nothing is built again.
    (error,) = result.failures.values()
    right = error.message.split()[-1]
    workshop.events.clear()
    assert workshop.build_all(text.replace("sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", right))
    assert workshop.events == []


_FIXED = '{ outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; }'


@pytest.mark.parametrize(
    "text",
    [
        'sh "x" "exit 3"',
        'sh "x" "true"',
        'sh "x" "mkfifo $out"',
        f'shWith "x" {_FIXED} "exit 3"',
        f'shWith "x" {_FIXED} "mkdir $out"',
        f'shWith "x" {_FIXED} "echo > $out"',
        f'shWith "x" {{ y = shWith "y" {_FIXED} "echo > $out"; }} "true"',
        'shWith "x" { y = sh "y" "true"; } "true"',
        'shWith "x" { y = sh "y" "true"; z = sh "z" "exit 1"; } "true"',
        'shWith "x" { outputs = [ "out" "dev" ]; } "echo $dev > $out; echo $out > $dev"',
        'shWith "x" { allowedReferences = [ ]; } "echo $out > $out"',
        'shWith "x" { requiredSystemFeatures = [ "moon" ]; } "echo > $out"',
        'shWith "x" { exportReferencesGraph = [ "x" ]; } "echo > $out"',
        'derivation { name = "x"; system = "sparc-linux"; builder = "/bin/sh"; }',
        'derivation { name = "x"; system = "builtin"; builder = "builtin:nonsense"; }',
        'sh "x" "sleep 100"',
        'sh "x" "while true; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"',
    ],
)
def test_the_exit_status_of_failures(text: str, workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    limits = {"timeout": "2", "max-build-log-size": "10000", "keep-going": "true"}
    result = workshop.realise(workshop.instantiate(text), **{name.replace("-", "_"): value for name, value in limits.items()})
    options = [word for name, value in limits.items() for word in ("--option", name, value)]
    answer = cpp_build(tmp_path / "theirs", "nix-build", "-E", PRELUDE + text, "--no-out-link", *options)
    assert (result.exit_status, result.paths) == (answer.status, [])


def test_cppnix_accepts_what_was_built_here(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    paths = workshop.build_all(CASES["graph"])
    root = tmp_path / "root"
    assert cpp_build(root, "nix-store", "--verify", "--check-contents").status == 0
    assert cpp_build(root, "nix-store", "--realise", *paths).stdout.split() == paths
    assert "two" in cpp_build(root, "nix-store", "--query", "--tree", paths[0]).stdout
    # The same derivation again is no work for it.
    log = cpp_build(root, "nix-store", "--realise", workshop.instantiate(CASES["graph"]))
    assert "building" not in log.stderr and log.stdout.split() == paths


def test_cppnix_shows_our_log(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    text = 'sh "talk" "echo to whom it may concern; echo > $out"'
    workshop.build(text)
    assert cpp_build(tmp_path / "root", "nix-store", "--read-log", workshop.instantiate(text)).stdout == "to whom it may concern\n"


def test_what_cppnix_built_is_not_built_again(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    drv_path = workshop.instantiate(CASES["outputs"])
    assert cpp_build(tmp_path / "root", "nix-store", "--realise", drv_path).status == 0
    store: Store = workshop.store
    assert len(workshop.realise(drv_path).paths) == 3
    assert workshop.events == []
    assert workshop.realise(drv_path, mode="check").failures == {}
    assert store.path_info(workshop.realise(drv_path).paths[0]).deriver == drv_path


def test_what_is_built_is_signed(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        file.write_text(str(SecretKey.generate(f"{file.name}-1")))
    text = 'shWith "x" { outputs = [ "out" "dev" ]; } "echo $out ${sh "y" "echo y > $out"} > $out; echo $out > $dev"'
    names = " ".join(map(str, files))
    workshop.build_all(text, secret_key_files=names)
    answer = cpp_build(tmp_path / "theirs", "nix-build", "-E", PRELUDE + text, "--no-out-link", "--option", "secret-key-files", names)
    assert answer.status == 0, answer.stderr
    assert _rows(tmp_path / "root") == _rows(tmp_path / "theirs")
    assert _rows(tmp_path / "root")["signatures"] == 6


def test_what_was_built_elsewhere_is_signed_when_it_has_been_checked(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    (tmp_path / "key").write_text(str(SecretKey.generate("check-1")))
    text = 'sh "x" "echo x > $out"'
    drv_path = workshop.instantiate(text)
    workshop.realise(drv_path)
    cpp_build(tmp_path / "theirs", "nix-build", "-E", PRELUDE + text, "--no-out-link")
    for root in ("root", "theirs"):
        with sqlite3.connect(tmp_path / root / "nix/var/nix/db/db.sqlite") as connection:
            connection.execute("update ValidPaths set ultimate = null")
    workshop.realise(drv_path, mode="check", secret_key_files=str(tmp_path / "key"))
    again = ("-E", PRELUDE + text, "--no-out-link", "--check", "--option", "secret-key-files", str(tmp_path / "key"))
    assert cpp_build(tmp_path / "theirs", "nix-build", *again).status == 0
    assert _rows(tmp_path / "root") == _rows(tmp_path / "theirs")
    assert _rows(tmp_path / "root")["signatures"] == 1


@pytest.mark.parametrize("content", [None, "rubbish"])
def test_a_key_that_cannot_be_had(content: str | None, workshop: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    result = workshop.realise(workshop.instantiate('sh "x" "echo x > $out"'), secret_key_files=str(file))
    (error,) = result.failures.values()
    assert str(file) in error.message and result.exit_status == (100 if content is None else 1)
    # Nothing has been built in vain.
    assert workshop.events == [event for event in workshop.events if type(event).__name__ != "BuildStarted"]
