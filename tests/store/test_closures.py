"""Closures compared and explained, beside CppNix's own answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nivalis.errors import InvalidPathError
from nivalis.store import Store
from nivalis.store.closures import NoDependencyError, diff_closures, find_named, find_occurrences, find_ways
from nivalis.store.paths import name_of

NIX = ("--extra-experimental-features", "nix-command")
# What `nix` draws on a terminal and elsewhere.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _add(store: Store, name: str, *references: str, padding: int = 0) -> str:
    return store.add_text(name, ("\n".join(references) + "x" * padding).encode(), references)


def _system(store: Store, glibc: str, zlibs: list[int], *names: str, padding: int = 0) -> str:
    """A closure in which most things lead to glibc in more than one way."""
    base = _add(store, f"glibc-{glibc}")
    some = [_add(store, f"zlib-1.{number}", base) for number in zlibs]
    ssl = _add(store, "openssl-3.0.1", base, *some, padding=padding)
    dev = _add(store, "openssl-3.0.1-dev", ssl)
    curl = _add(store, "curl-8.0", ssl, *some)
    return _add(store, "system", curl, dev, *(_add(store, name, base) for name in names))


def test_ways_are_those_of_cppnix(store: Store, nix) -> None:
    top = _system(store, "2.31", [1, 2], "gone-1.0", "plain")
    for dependency in ("glibc-2.31", "zlib-1.2", "openssl-3.0.1", "system"):
        (end,) = (path for path in store.database.closure([top]) if name_of(path) == dependency)
        ways = find_ways(store, top, end)
        if end == top:
            assert (ways.chain, ways.references) == ((top,), {})
            continue
        shown = COLOUR.sub("", nix("nix", "why-depends", *NIX, top, end).stdout)
        assert [line.lstrip(" └─├│") for line in shown.splitlines()] == list(ways.chain)
        everything = COLOUR.sub("", nix("nix", "why-depends", "--all", *NIX, top, end).stdout)
        assert {line.lstrip(" └─├│") for line in everything.splitlines()} == {*ways.references, end}


def test_no_dependency(store: Store) -> None:
    top = _system(store, "2.31", [1])
    (zlib,) = find_named(store, top, "zlib")
    with pytest.raises(NoDependencyError, match="does not depend"):
        find_ways(store, zlib, top)
    for pair in ((top, top.replace("-system", "-other")), (top.replace("-system", "-other"), top)):
        with pytest.raises(InvalidPathError):
            find_ways(store, *pair)


def test_a_reference_to_itself_leads_nowhere(store: Store) -> None:
    path = _add(store, "a")
    store.database._run(lambda db: db.execute("insert into Refs select id, id from ValidPaths where path = ?", (path,)))
    assert find_ways(store, path, path).chain == (path,)
    other = _add(store, "b", path)
    assert find_ways(store, other, path).chain == (other, path)


def test_packages_by_name(store: Store) -> None:
    top = _system(store, "2.31", [1, 2], "bash-interactive-5.1")
    found = {name: [name_of(path) for path in find_named(store, top, name)] for name in ("zlib", "zlib-1.2", "openssl", "bash", "bash-interactive")}
    assert {name: sorted(paths) for name, paths in found.items()} == {
        "zlib": ["zlib-1.1", "zlib-1.2"],
        "zlib-1.2": ["zlib-1.2"],
        "openssl": ["openssl-3.0.1", "openssl-3.0.1-dev"],
        "bash": [],
        "bash-interactive": ["bash-interactive-5.1"],
    }


def test_where_references_are(store: Store, tmp_path: Path) -> None:
    one, other = _add(store, "one"), _add(store, "other")
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/run").write_bytes(b"\x7fELF\0" + one.encode() + b"\0")
    (tree / "link").symlink_to(f"{other}/x")
    (tree / "empty").touch()
    (tree / one.rpartition("/")[2]).write_text("its name says it")
    path = store.add_path(tree, "tree", references=[one, other])
    found = {(place.file, place.reference): place.text for place in find_occurrences(store, path, [one, other])}
    assert set(found) == {("bin/run", one), ("link", other), ("", one)}
    assert found["bin/run", one] == f".ELF.{one}."


def test_diff_has_the_facts_of_cppnix(store: Store, nix) -> None:
    before = _system(store, "2.31", [1, 2], "gone-1.0", "plain")
    after = _system(store, "2.35", [2, 3], "new-5", padding=20_000)
    diff = diff_closures(store, before, after)
    shown = {}
    for line in COLOUR.sub("", nix("nix", "store", "diff-closures", *NIX, before, after).stdout).splitlines():
        name, _, facts = line.partition(": ")
        shown[name] = facts
    assert shown == {"glibc": "2.31 → 2.35", "gone": "1.0 → ∅", "new": "∅ → 5", "openssl": "+19.5 KiB", "plain": "ε → ∅", "zlib": "1.1 → 1.3"}
    ours = {one.name: (one.change, one.before, one.after) for one in diff.packages}
    assert ours == {
        "curl": ("rebuilt", ("8.0",), ("8.0",)),
        "glibc": ("changed", ("2.31",), ("2.35",)),
        "gone": ("gone", ("1.0",), ()),
        "new": ("added", (), ("5",)),
        "openssl": ("rebuilt", ("3.0.1",), ("3.0.1",)),
        "plain": ("gone", ("",), ()),
        "system": ("rebuilt", ("",), ("",)),
        "zlib": ("changed", ("1.1", "1.2"), ("1.2", "1.3")),
    }
    (openssl,) = (one for one in diff.packages if one.name == "openssl")
    assert f"{openssl.size_change / 1024:+.1f} KiB" == shown["openssl"]
    total = sum(int(size) for size in nix("nix-store", "-q", "--size", *nix("nix-store", "-qR", after).stdout.split()).stdout.split())
    assert (diff.count_before, diff.count_after, diff.size_after) == (9, 8, total)
    assert set(diff.paths_added).isdisjoint(diff.paths_gone)


def test_nothing_differs(store: Store) -> None:
    top = _system(store, "2.31", [1])
    diff = diff_closures(store, top, top)
    assert (diff.packages, diff.paths_added, diff.paths_gone) == ((), (), ())
    with pytest.raises(InvalidPathError):
        diff_closures(store, top, top.replace("-system", "-other"))
