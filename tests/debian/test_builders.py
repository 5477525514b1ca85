"""The builders for packages and farms as derivations have them: in the sandbox, registered, and twice to the same bytes."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from debian_debs import SYSTEM, file, link, make_deb, special
from nivalis.build import BuildSettings, realise
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        yield store


def test_from_debs_to_a_farm(tmp_path: Path, store: Store) -> None:
    (tmp_path / "base.deb").write_bytes(make_deb([file("usr/bin/mawk", b"mawk", mode=0o4755), special("var/lib/x", tarfile.DIRTYPE)], name="base"))
    (tmp_path / "tool.deb").write_bytes(make_deb([file("bin/tool", b"#!/bin/sh", mode=0o755), link("usr/share/t", "/etc/t")], name="tool"))
    text = f"""
      let
        package = name: sources: depends: derivation {{
          inherit name sources depends; system = "{SYSTEM}"; builder = "builtin:debian-package"; format = "2"; packages = [ name ];
        }};
        base = package "base" [ {tmp_path}/base.deb ] [ ];
        tool = package "tool" [ {tmp_path}/tool.deb ] [ base ];
      in derivation {{ name = "farm"; system = "{SYSTEM}"; builder = "builtin:debian-farm"; format = "3"; packages = [ tool ]; }}
    """
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        path = str(evaluator.eval(f"({text}).drvPath").to_python())
        evaluator.flush()
    settings = BuildSettings.make(SYSTEM, os.environ)
    result = realise(store, [path], settings)
    result.check()
    farm = result.paths[0]
    names = sorted(os.path.basename(one)[33:] for one in store.database.closure([farm]) - {farm})
    assert names == ["base", "tool"], "the .debs are no part of the closure"
    real = Path(store.real_path(farm))
    assert sorted(os.listdir(real / "usr/bin")) == ["mawk", "tool"]
    base = store.real_path(os.readlink(real / "usr/bin/mawk"))
    assert os.stat(base).st_mode & 0o7777 == 0o555 and os.stat(base).st_mtime == 1
    for drv_path in [one for one in store.database.closure([path]) if one.endswith(".drv")]:
        realise(store, [drv_path], settings._replace(mode="check")).check()
