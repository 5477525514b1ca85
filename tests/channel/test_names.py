"""The names that nixpkgs' users type, against what Debian's suites really have.

Only with a suite in NIVALIS_DEBIAN, since whole indices are fetched: those of all suites in SUITES, whichever it is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from debian_packages import SYSTEM, make_snapshot
from nivalis.debian.snapshot import Snapshot
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

CHANNEL = Path(__file__).resolve().parents[2] / "channel"
SUITES = ("bookworm", "trixie")
# What has come to Debian, or has left it.
PASSING = {"delta", "pcre", "sage"}


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Snapshot]:
    if not os.environ.get("NIVALIS_DEBIAN"):
        pytest.skip("no suite in NIVALIS_DEBIAN")
    folder = os.environ.get("NIVALIS_DEBIAN_STORE") or tmp_path_factory.mktemp("root")
    with Store.open(StoreLayout.under(Path(folder))) as store:
        return {suite: make_snapshot(store, f"debian:{suite}") for suite in SUITES}


@pytest.mark.parametrize(("table", "prefix"), [("packages", ""), ("dev", ""), ("python", "python3-")])
def test_every_name_means_something(suites: dict[str, Snapshot], table: str, prefix: str) -> None:
    """Each row has a package in every suite, or in one, if it names a version that suites pass by."""
    with Evaluator(None, EvalSettings(system=SYSTEM)) as evaluator:
        rows = evaluator.eval(f"(import {CHANNEL}/pkgs/names.nix).{table}").to_python()
    there = {
        name: [
            suite for suite, snapshot in suites.items() if any(prefix + one in snapshot.names for one in (row if isinstance(row, list) else [row]))
        ]
        for name, row in rows.items()
    }
    assert [name for name, found in there.items() if not found] == []
    assert [name for name, found in there.items() if len(found) < len(SUITES) and not re.search("[0-9]", name) and name not in PASSING] == []


@pytest.mark.parametrize("suite", SUITES)
def test_names_lead_to_packages_that_can_be_had(suites: dict[str, Snapshot], suite: str) -> None:
    """The whole way: the package set itself says what each name is, and that what it needs is there."""
    text = f"""
      let
        pkgs = import {CHANNEL} {{ snapshot = {suites[suite].folder}; config = {{ }}; overlays = [ ]; system = "{SYSTEM}"; }};
        names = import {CHANNEL}/pkgs/names.nix;
        there = set: names: builtins.filter (name: set ? ${{name}}) (builtins.attrNames names);
        broken = set: builtins.filter (name: set.${{name}}.meta.broken);
      in {{
        packages = broken pkgs (there pkgs names.packages);
        dev = builtins.filter (name: pkgs.${{name}}.dev.meta.broken) (builtins.filter (name: pkgs.${{name}} ? dev) (there pkgs names.dev));
        python = broken pkgs.python3Packages (there pkgs.python3Packages names.python);
      }}"""
    with Evaluator(None, EvalSettings(system=SYSTEM)) as evaluator:
        assert evaluator.eval(text).to_python() == {"packages": [], "dev": [], "python": []}
