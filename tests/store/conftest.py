"""A store in a temporary place, and the real CppNix on the same place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nivalis.store import Store, StoreLayout
from oracle import Oracle, Result, cppnix28

Nix = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with Store.open(StoreLayout.under(root)) as opened:
        yield opened


@pytest.fixture
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture
def nix(oracle: Oracle, root: Path) -> Nix:
    """Runs a program of CppNix on the store at `root`; its standard output.  A failure fails the test."""

    def run(program: str, *arguments: str, env: dict[str, str] | None = None) -> Result:
        result = oracle.run(program, arguments, store=root, env=env)
        assert result.status == 0, result.stderr
        return result

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with one of each thing that a store can hold."""
    top = tmp_path / "tree"
    (top / "sub/empty").mkdir(parents=True)
    (top / "file").write_text("hello\n")
    (top / "sub/run").write_text("#!/bin/sh\n")
    (top / "sub/run").chmod(0o750)
    (top / "big").write_bytes(bytes(range(256)) * 10_000)
    (top / "link").symlink_to("sub/run")
    (top / "dangling").symlink_to("/nowhere")
    (top / "ünïcode").write_text("x")
    return top
