"""Which mirror a machine asks that names none: the one of apt's own example, in either form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "channel/nixos/modules/programs/debian-mirrors.py"
LIST = "# deb http://no.example\ndeb http://one.example/debian x main\ndeb http://two.example/security x-security main\n"
DEB822 = "# URIs: http://no.example\nTypes: deb\nURIs: http://one.example/debian\nSuites: x\n\nTypes: deb\nURIs: http://two.example/security\n"


@pytest.mark.parametrize(("name", "text"), [("sources.list", LIST), ("debian.sources", DEB822)])
@pytest.mark.parametrize("mirrors", [None, ["http://other.example"]])
def test_mirrors(name: str, text: str, mirrors: list[str] | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    configuration = {"mirrors": mirrors, "snapshotArchive": "http://archive.example"}
    environment = {"configuration": json.dumps(configuration), "examples": str(tmp_path), "out": str(tmp_path / "out")}
    subprocess.run([sys.executable, SCRIPT], env=environment, check=True)
    found = json.loads((tmp_path / "out").read_text())
    assert found == {"mirrors": mirrors or ["http://one.example/debian"], "snapshotArchive": "http://archive.example"}
