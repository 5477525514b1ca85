"""The nixpkgs that NIVALIS_NIXPKGS names: that of July 2016 (commit 3f53280 of ericbmerritt/nixpkgs), never part of this project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BRIGHTBOX_CONFIG = "nixos/modules/virtualisation/brightbox-config.nix"


@pytest.fixture(scope="session")
def nixpkgs() -> Path:
    named = os.environ.get("NIVALIS_NIXPKGS")
    if not named:
        pytest.skip("NIVALIS_NIXPKGS does not name a folder with nixpkgs")
    folder = Path(named).resolve()
    if not (folder / BRIGHTBOX_CONFIG).exists():
        pytest.skip(f"not the nixpkgs of July 2016 (no {BRIGHTBOX_CONFIG}): {folder}")
    return folder
