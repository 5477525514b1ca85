"""Real nixpkgs, evaluated by us and by CppNix 2.8 into two empty stores, which then have to be the same to the byte.

NIVALIS_NIXPKGS names a nixpkgs of July 2016 (commit 3f53280 of ericbmerritt/nixpkgs; it is never part of this project).  For
each target, what is compared is all that the evaluation leaves behind: the printed paths, every `.drv` and every source as files,
and what the database says of them (hash, size, references, outputs).  A target's evaluation writes its whole closure, so
nothing is left to chance; whether it is whole, and whether the files are what the database says, CppNix itself checks in our store.

The evaluation cache is off here: a second evaluation is the subject of its own tests.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import lang_corpus
from oracle import Oracle, cppnix28

BRIGHTBOX_CONFIG = "nixos/modules/virtualisation/brightbox-config.nix"
WEB_SERVER = Path(__file__).parent / "web-server.nix"
X86_64 = ("--argstr", "system", "x86_64-linux")


@dataclass(frozen=True)
class Target:
    """What `nix-instantiate` is given: a file of nixpkgs, the rest of the arguments, and NIXOS_CONFIG (from nixpkgs, if relative)."""

    name: str
    file: str
    arguments: tuple[str, ...]
    config: str | None = None


TARGETS = [
    Target("hello", ".", ("-A", "hello", *X86_64)),
    Target("stdenv", ".", ("-A", "stdenv", *X86_64)),
    Target("firefox", ".", ("-A", "firefox", *X86_64)),
    Target("numpy", ".", ("-A", "python3Packages.numpy", *X86_64)),
    Target("brightbox-image", "nixos", ("-A", "config.system.build.brightboxImage", *X86_64), BRIGHTBOX_CONFIG),
    Target("web-server", "nixos", ("-A", "system", *X86_64), str(WEB_SERVER)),
    Target("nixos-manual", "nixos", ("-A", "config.system.build.manual.manual", *X86_64), BRIGHTBOX_CONFIG),
    # As the release is made: with a copy of nixpkgs' own sources, and options that are declared in them.
    Target("release-manual", "nixos/release.nix", ("-A", "manual.x86_64-linux")),
]


@dataclass(frozen=True)
class Side:
    """What one program left: its store's root, and what it printed."""

    root: Path
    printed: list[str]
    files: Mapping[str, object] = field(repr=False)
    rows: Mapping[str, object] = field(repr=False)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture(params=TARGETS, ids=lambda target: target.name)
def sides(request: pytest.FixtureRequest, nixpkgs: Path, oracle: Oracle, tmp_path: Path) -> tuple[Side, Side]:
    """Ours, then CppNix's."""
    target: Target = request.param
    if not lang_corpus.COMMAND.exists():
        pytest.skip(f"no command {lang_corpus.COMMAND}")
    arguments = [str(nixpkgs / target.file), *target.arguments]
    environment = {"NIX_PATH": f"nixpkgs={nixpkgs}"}
    if target.config is not None:
        environment["NIXOS_CONFIG"] = str(nixpkgs / target.config)

    theirs = tmp_path / "theirs"
    result = oracle.instantiate(arguments, store=theirs, env=environment, timeout=600)
    assert result.status == 0, result.stderr

    ours = tmp_path / "ours"
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("NIX_", "NIXPKGS_"))}
    done = subprocess.run(
        [lang_corpus.COMMAND, "--no-eval-cache", "--store", str(ours), *arguments],
        # The home is the same: nixpkgs looks for a configuration there.
        env={**inherited, "HOME": str(theirs / "home"), "NIX_CONF_DIR": oracle.env["NIX_CONF_DIR"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tuple(
        Side(root, printed.split(), read_files(root / "nix/store"), read_rows(root))
        for root, printed in ((ours, done.stdout), (theirs, result.stdout))
    )


def test_evaluation_leaves_the_same_store(sides: tuple[Side, Side], oracle: Oracle) -> None:
    ours, theirs = sides
    assert {Path(path).name for path in theirs.printed} <= theirs.files.keys()
    assert differences(ours.files, theirs.files) == []
    assert differences(ours.rows, theirs.rows) == []
    assert ours.printed == theirs.printed

    # Whole, too: equal stores could lack the same file.
    closure = oracle.run("nix-store", ["--query", "--requisites", *ours.printed], store=ours.root)
    assert closure.status == 0, closure.stderr
    assert {Path(path).name for path in closure.stdout.split()} <= {name.partition("/")[0] for name in ours.files}

    checked = oracle.run("nix-store", ["--verify", "--check-contents"], store=ours.root)
    assert checked.status == 0, checked.stderr
    progress = re.compile(r"(reading|checking) .*\.\.\.")
    talk = [line for line in checked.stderr.splitlines() if not progress.fullmatch(line)]
    assert talk == []


def differences(ours: Mapping[str, object], theirs: Mapping[str, object], limit: int = 5) -> list[str]:
    """The first few names that only one side has, or that differ."""
    names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    shown = [f"{name}: {ours.get(name, 'missing')!r:.300} ≠ {theirs.get(name, 'missing')!r:.300}" for name in names[:limit]]
    return [*shown, f"and {len(names) - limit} more"] if len(names) > limit else shown


def read_files(store: Path) -> dict[str, object]:
    """Every file below a store directory, by its name from there: kind, whether it is executable, modification time, content."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(store):
        folders[:] = [name for name in folders if name != ".links"]
        for name in [*folders, *files]:
            path = Path(folder) / name
            status = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            # Lock files beside store objects are none; either program may leave or remove them.
            if not (path.parent == store and name.endswith(".lock")):
                found[str(path.relative_to(store))] = (stat.filemode(status.st_mode), int(status.st_mtime), content)
    return found


def read_rows(root: Path) -> dict[str, object]:
    """What a store's database says of each path, without its own numbers and times."""
    with sqlite3.connect(f"file:{root}/nix/var/nix/db/db.sqlite?mode=ro", uri=True) as database:
        paths = {
            path: [hash_, deriver, size, ultimate, signatures, ca, set(), set()]
            for path, hash_, deriver, size, ultimate, signatures, ca in database.execute(
                "select path, hash, deriver, narSize, ultimate, sigs, ca from ValidPaths"
            )
        }
        for path, reference in database.execute(
            "select a.path, b.path from Refs join ValidPaths a on referrer = a.id join ValidPaths b on reference = b.id"
        ):
            paths[path][-2].add(reference)
        for path, name, output in database.execute("select v.path, o.id, o.path from DerivationOutputs o join ValidPaths v on o.drv = v.id"):
            paths[path][-1].add((name, output))
    database.close()
    return dict(paths)
