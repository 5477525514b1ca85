"""Several that substitute into one store at the same time: each path is downloaded once, and nobody waits in a circle."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nivalis.build.events import FetchWaiting
from nivalis.build.realisation import realise
from nivalis.build.settings import BuildSettings
from nivalis.cache import CacheSubstituter
from nivalis.errors import NivalisError
from nivalis.store import Store
from nivalis.store.locks import PathLocks, lock_paths

CODE = """
import sys
from nivalis.cache import CacheSettings, CacheSubstituter
from nivalis.store import Store, StoreLayout
root, address, *paths = sys.argv[1:]
settings = CacheSettings(substituters=(address,), require_sigs=False, http_connections=2)
with Store.open(StoreLayout.under(root)) as store, CacheSubstituter(store, settings) as substituter:
    for path in paths:
        substituter.fetch(path)
"""


def _wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def _start(reader: Any, address: str, *paths: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CODE, str(reader.folder / "reader"), address, *paths], stderr=subprocess.PIPE)


def _nars(server: Any) -> list[str]:
    return [path for path in server.asked if path.startswith("/nar/")]


def _check_once(server: Any, reader: Any, source: Any, processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _, complaints = process.communicate(timeout=120)
        assert process.returncode == 0, complaints
    assert reader.store.valid_among(source.closure) == source.closure
    assert sorted(_nars(server)) == sorted(set(_nars(server))) and len(_nars(server)) == len(source.closure)
    reader.assert_tidy()
    assert not [name for name in os.listdir(reader.store.layout.real_store_dir) if name.endswith(".lock")]


def test_each_path_is_downloaded_once(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    # Long enough for all to be at it at once.
    server.fault = lambda path: time.sleep(2) if path.startswith("/nar/") else None
    _check_once(server, reader, source, [_start(reader, server.address, source.top) for _ in range(3)])


def test_closures_in_different_orders(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    server.fault = lambda path: time.sleep(0.7) if path.startswith("/nar/") else None
    orders = [(source.top,), (source.text, source.top), (source.leaf, source.middle, source.top), (source.middle, source.text, source.top)]
    _check_once(server, reader, source, [_start(reader, server.address, *order) for order in orders])


def test_who_waited_for_one_that_was_killed_goes_on(source: Any, reader: Any, cache: Path, serve: Any) -> None:
    server = serve(cache)
    server.fault = lambda path: "hang" if path.startswith("/nar/") else None
    first = _start(reader, server.address, source.top)
    _wait_until(lambda: bool(_nars(server)))
    server.fault = lambda path: None
    result: dict[str, NivalisError | None] = {}
    thread = threading.Thread(target=lambda: result.update(reader.substitute([source.top], server.address)))
    thread.start()
    _wait_until(lambda: any(isinstance(event, FetchWaiting) for event in reader.events))
    first.kill()
    first.communicate()
    thread.join(60)
    assert result == {source.top: None}


def test_waiting_can_be_given_up(source: Any, reader: Any, cache: Path) -> None:
    stopped = threading.Event()
    done: dict[str, NivalisError | None] = {}
    with (
        lock_paths([reader.store.real_path(source.leaf)]),
        CacheSubstituter(reader.store, reader.settings(cache), reader.events.append) as substituter,
    ):
        thread = threading.Thread(target=substituter.substitute, args=([source.top], done.__setitem__, stopped.is_set))
        thread.start()
        _wait_until(lambda: FetchWaiting(source.leaf) in reader.events)
        stopped.set()
        thread.join(30)
        assert not thread.is_alive()
    error = done[source.top]
    assert error is not None and error.code == "cache-stopped"
    reader.assert_tidy()


def test_fewer_locks_than_paths(source: Any, reader: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nivalis.cache.transfer._LOCKED", 1)
    reader.fetch(source.top, cache)
    assert reader.complaints == []


def test_all_locks_or_none(tmp_path: Path) -> None:
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    with lock_paths([two]):
        assert PathLocks.try_take([one, two]) is None
        # Whoever waits for the second does not hold the first.
        waiting = threading.Thread(target=_take_both, args=(one, two))
        waiting.start()
        for _ in range(20):
            time.sleep(0.01)
            with lock_paths([one]):
                pass
    waiting.join(60)
    assert not waiting.is_alive()


def test_a_build_and_a_substitution_of_the_same(source: Any, reader: Any, cache: Path) -> None:
    settings = BuildSettings.make("x86_64-linux", dict(os.environ))
    results: list[Any] = []

    def run() -> None:
        with Store.open(reader.store.layout) as store, CacheSubstituter(store, reader.settings(cache)) as substituter:
            results.append(realise(store, [source.top], settings, substituter=substituter))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [result.paths for result in results] == [[source.top]] * 3


def _take_both(one: str, two: str) -> None:
    with lock_paths([one, two]):
        pass
