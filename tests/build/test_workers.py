"""Workers: processes that run builtin builders one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from debian_debs import SYSTEM, file, make_deb
from nivalis.build import BuildSettings, builtin_builders, realise
from nivalis.build.errors import BuildError, SandboxError
from nivalis.build.events import BuildLine, Event
from nivalis.build.sandbox import check_available
from nivalis.build.workers import Worker, Workers
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

SETTINGS = BuildSettings.make(SYSTEM, os.environ)
FORMAT = 'system = "x86_64-linux"; builder = "builtin:debian-package"; format = "2";'


@pytest.fixture
def program() -> str:
    try:
        return check_available()
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(StoreLayout.under(tmp_path / "root")) as store:
        yield store


def _instantiate(store: Store, text: str) -> list[str]:
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        paths: list[str] = evaluator.eval(f"map (one: one.drvPath) ({text})").to_python()
        evaluator.flush()
    return paths


def _run(worker: Worker, source: str, settings: BuildSettings = SETTINGS, *, stops: bool = False) -> tuple[int, str, str]:
    """Have the package of one .deb made; how it ended, and what was said."""
    said = bytearray()

    def hear(data: bytes) -> int:
        said.extend(data)
        return len(said)

    variables = {"format": "2", "system": SYSTEM, "sources": source}
    out = "/nix/store/00000000000000000000000000000000-x"
    ended = worker.run("builtin:debian-package", variables, out, on_output=hear, is_stopped=lambda: stops, settings=settings)
    return ended.status, ended.reason, said.decode()


def test_one_that_fails_ends_no_worker(program: str, store: Store, tmp_path: Path) -> None:
    (tmp_path / "good.deb").write_bytes(make_deb([file("usr/bin/x", b"x")]))
    (tmp_path / "bad.deb").write_bytes(b"no .deb")
    package = f'name: derivation {{ inherit name; {FORMAT} sources = [ (./. + "/${{name}}.deb") ]; number = number; }}'
    text = f'builtins.concatMap (number: map ({package.replace("./.", str(tmp_path))}) [ "good" "bad" ]) (builtins.genList (n: n) 5)'
    drvs = _instantiate(store, text)
    events: list[Event] = []
    result = realise(store, drvs, SETTINGS._replace(keep_going=True, max_jobs=2), listen=events.append)
    assert len(result.paths) == 5 and len(result.failures) == 5
    error = next(iter(result.failures.values()))
    assert isinstance(error, BuildError) and error.code == "build-failed" and "not a .deb" in str(error)
    assert [event.text for event in events if isinstance(event, BuildLine) and "not a .deb" in event.text]
    assert [name for name in os.listdir(store.layout.real_store_dir) if "waiting" in name] == []


def test_what_has_to_be_ended_ends_with_its_worker(program: str, store: Store) -> None:
    fifo = store.real_path("/nix/store/00000000000000000000000000000001-fifo")
    os.mkfifo(fifo)
    workers = Workers(store, SETTINGS)
    try:
        for settings, stops, reason in [(SETTINGS._replace(timeout=1), False, "timeout"), (SETTINGS, True, "stopped")]:
            worker = workers.take(program)
            status, why, _ = _run(worker, "/nix/store/00000000000000000000000000000001-fifo", settings, stops=stops)
            assert (status != 0, why, worker.is_alive) == (True, reason, False)
            workers.give_back(worker)
        worker = workers.take(program)
        assert _run(worker, "/nix/store/none")[1:] == ("exited", "[Errno 2] No such file or directory: '/nix/store/none'\n")
        assert worker.is_alive
        workers.give_back(worker)
        assert workers.take(program) is worker
        workers.give_back(worker)
    finally:
        workers.close()


def test_one_that_does_not_start_says_why(program: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin_builders, "serve_command", lambda: ["/nowhere/python"])
    workers = Workers(store, SETTINGS)
    worker = workers.take(program)
    try:
        status, why, said = _run(worker, "")
        assert (status, why, worker.is_alive) == (1, "exited", False) and "/nowhere/python" in said
    finally:
        workers.give_back(worker)
        workers.close()


def test_a_worker_sees_nothing_of_the_machine(program: str, store: Store, tmp_path: Path) -> None:
    workers = Workers(store, SETTINGS)
    worker = workers.take(program)
    try:
        assert "No such file" in _run(worker, str(tmp_path / "elsewhere"))[2]
        out = "/nix/store/00000000000000000000000000000002-x"
        order = {"format": "2", "system": SYSTEM, "sources": ""}
        assert worker.run("builtin:debian-package", order, out, on_output=len, is_stopped=lambda: False, settings=SETTINGS).status == 0
        assert os.listdir(f"{worker.room}/00000000000000000000000000000002-x") == ["nix-support"]
    finally:
        workers.give_back(worker)
        workers.close()
    assert not os.path.exists(worker.room)
