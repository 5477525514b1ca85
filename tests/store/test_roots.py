"""Roots: CppNix's collector spares what we use, and ours are where it looks for them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from nivalis.errors import InvalidPathError, RootError
from nivalis.store import Store, StoreLayout
from oracle import Oracle


def test_temporary_roots_hold_off_the_collector(root: Path, nix) -> None:
    with Store.open(StoreLayout.under(root)) as store:
        first = store.add_text("first", b"1")
        second = store.add_text("second", first.encode(), [first])
        with Store.open(StoreLayout.under(root)) as other:
            third = other.add_text("third", b"3")
            nix("nix-store", "--gc")
            assert store.valid_among([first, second, third]) == {first, second, third}
        nix("nix-store", "--gc")
        assert store.valid_among([first, second, third]) == {first, second}
        assert nix("nix-store", "--gc", "--print-dead").stdout == ""
    assert set(nix("nix-store", "--gc", "--print-dead").stdout.split()) == {first, second}
    nix("nix-store", "--gc")
    assert os.listdir(root / "nix/var/nix/temproots") == []


def test_valid_path_that_is_only_protected(root: Path, nix) -> None:
    with Store.open(StoreLayout.under(root)) as store:
        path = store.add_text("a", b"a")
    with Store.open(StoreLayout.under(root)) as store:
        store.protect([path])
        nix("nix-store", "--gc")
        assert store.is_valid(path)


def test_root_told_to_a_running_collector(root: Path, oracle: Oracle, tmp_path: Path) -> None:
    """The collector stops at a pipe of ours, its lock taken and its socket open; what is added meanwhile must survive it."""
    pipe = tmp_path / "sync"
    os.mkfifo(pipe)
    with Store.open(StoreLayout.under(root)) as store:
        dead = store.add_text("dead", b"dead")
    environment = {**os.environ, **oracle.env, "NIX_REMOTE": f"local?root={root}", "_NIX_TEST_GC_SYNC_2": str(pipe), "_NIX_TEST_GC_SYNC": str(pipe)}
    collector = subprocess.Popen([*oracle.command("nix-store"), "--gc"], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    try:
        socket = root / "nix/var/nix/gc-socket/socket"
        deadline = time.monotonic() + 20
        while not socket.exists() and collector.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if collector.poll() is not None:
            pytest.skip("this CppNix does not stop for tests")
        with Store.open(StoreLayout.under(root)) as store:
            added: list[str] = []
            worker = threading.Thread(target=lambda: added.extend(store.add_text(f"n{i}", b"%d" % i) for i in range(200)))
            worker.start()
            worker.join(20)
            assert len(added) == 200, "the collector did not answer"
            pipe.write_text("go")
            assert collector.wait(30) == 0
            assert store.valid_among([*added, dead]) == set(added)
    finally:
        if collector.poll() is None:
            collector.kill()
        collector.communicate()


def test_indirect_root(store: Store, nix, tmp_path: Path) -> None:
    path = store.add_text("a", b"a")
    link = store.add_root(tmp_path / "deep/er/result", path)
    assert os.readlink(link) == path
    store.close()
    nix("nix-store", "--gc")
    assert f"{link} -> {path}" in nix("nix-store", "--gc", "--print-roots").stdout.splitlines()
    with Store.open(store.layout) as again:
        assert again.is_valid(path)
    # CppNix makes the same names.
    before = sorted(os.listdir(store.layout.roots_dir / "auto"))
    nix("nix-store", "--realise", path, "--add-root", str(link), "--indirect")
    assert sorted(os.listdir(store.layout.roots_dir / "auto")) == before
    link.unlink()
    nix("nix-store", "--gc")
    assert os.listdir(store.layout.roots_dir / "auto") == []
    with Store.open(store.layout) as again:
        assert not again.is_valid(path)


def test_refused_roots(store: Store, tmp_path: Path) -> None:
    path = store.add_text("a", b"a")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    for place in ("file", "link", "root/nix/store/x"):
        with pytest.raises(RootError):
            store.add_root(tmp_path / place, path)
    with pytest.raises(RootError):
        store.add_root(tmp_path / "direct", path, indirect=False)
    with pytest.raises(InvalidPathError):
        store.add_root(tmp_path / "result", path.replace("-a", "-b"))
    store.add_root(store.layout.roots_dir / "mine", path, indirect=False)
