"""A store in a temporary place in which this program builds, and a second one in which the real CppNix does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from build_prelude import PRELUDE
from nivalis.build import BuildSettings, Event, Realised, realise
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.errors import NivalisError
from nivalis.lang import EvalSettings, Evaluator
from nivalis.settings.machine import find_static_shell
from nivalis.store import Store, StoreLayout
from oracle import Oracle, Result, cppnix28

SYSTEM = "x86_64-linux"


@pytest.fixture(scope="session")
def shell() -> str:
    """A static shell; without one, or without namespaces, nothing can be built here."""
    found = find_static_shell()
    if found is None:
        pytest.skip("no static shell: install busybox-static")
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    return found


@dataclass
class Workshop:
    """A store, and what is done in it."""

    store: Store
    environment: dict[str, str]
    events: list[Event] = field(default_factory=list)

    def instantiate(self, text: str) -> str:
        """The derivation that an expression gives."""
        with Evaluator(self.store, EvalSettings(system=SYSTEM)) as evaluator:
            value: Any = evaluator.eval(PRELUDE + text)
            path = str(value["drvPath"].to_python())
            evaluator.flush()
        return path

    def settings(self, **options: str) -> BuildSettings:
        return BuildSettings.make(SYSTEM, self.environment, {name.replace("_", "-"): text for name, text in options.items()})

    def realise(self, drv_path: str, *, mode: Any = "normal", **options: str) -> Realised:
        settings = self.settings(**options)._replace(mode=mode)
        return realise(self.store, [drv_path], settings, listen=self.events.append)

    def build(self, text: str, **options: str) -> str:
        """Build an expression; the real place of its (first) output."""
        return self.store.real_path(self.build_all(text, **options)[0])

    def build_all(self, text: str, **options: str) -> list[str]:
        result = self.realise(self.instantiate(text), **options)
        result.check()
        return result.paths

    def fail(self, text: str, **options: str) -> NivalisError:
        """The error of a build that must fail, after which nothing of it may be left."""
        drv_path = self.instantiate(text)
        result = self.realise(drv_path, **options)
        assert result.failures, "it was built"
        outputs = [str(output.path) for output in self.store.read_derivation(drv_path).outputs.values()]
        assert self.store.valid_among(outputs) == set()
        assert_tidy(self.store)
        return next(iter(result.failures.values()))


def assert_tidy(store: Store) -> None:
    """Nothing lies in the store that is not valid."""
    names = {f"{store.store_dir}/{name}" for name in os.listdir(store.layout.real_store_dir) if name != ".links"}
    assert names - set(store.database.all_valid()) == set()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "build-folders"
    folder.mkdir()
    return {"TMPDIR": str(folder), "PATH": os.environ["PATH"]}


@pytest.fixture
def workshop(tmp_path: Path, shell: str, environment: dict[str, str]) -> Iterator[Workshop]:
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        yield Workshop(store, environment)
    assert os.listdir(environment["TMPDIR"]) == [], "a build folder was left"


@pytest.fixture
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    if os.geteuid() != 0:
        pytest.skip("CppNix builds in a store under another root only as root")
    return found


CppBuild = Callable[..., Result]


@pytest.fixture
def cpp_build(oracle: Oracle, shell: str) -> CppBuild:
    """Builds in a store with CppNix's own sandbox."""

    def run(root: Path, program: str, *arguments: str) -> Result:
        options = ["--option", "sandbox", "true", "--option", "sandbox-paths", f"/bin/sh={shell}", "--option", "build-users-group", ""]
        return oracle.run(program, [*arguments, *options], store=root)

    return run
