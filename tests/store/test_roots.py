"""Roots: CppNix's collector spares what we use, and ours are where it looks for them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nivalis.errors import InvalidPathError, RootError
from nivalis.store import Store, StoreLayout
from nivalis.store.gc import collect
from nivalis.store.live_roots import find_permanent_roots
from nivalis.store.queries import KeepPolicy
from nivalis.store.roots import companions_dir, is_companion, linked_path
from oracle import Oracle, cppnix28, cppnix226


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
    store.close()
    nix("nix-store", "--gc")
    assert f" -> {path}" in nix("nix-store", "--gc", "--print-roots").stdout
    with Store.open(store.layout) as again:
        assert again.is_valid(path)
    # CppNix makes the same names.
    before = sorted(os.listdir(store.layout.roots_dir / "auto"))
    link.unlink()
    nix("nix-store", "--realise", path, "--add-root", str(link), "--indirect")
    assert sorted(os.listdir(store.layout.roots_dir / "auto")) == before
    link.unlink()
    nix("nix-store", "--gc")
    assert os.listdir(store.layout.roots_dir / "auto") == []


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


# ---- links of a store whose files lie elsewhere than its store paths say ----


@pytest.fixture(params=[cppnix28, cppnix226], ids=["2.8", "2.26"])
def collector(request: pytest.FixtureRequest, root: Path) -> Callable[[], object]:
    """CppNix's collector on the store at `root`."""
    oracle, reason = request.param()
    if oracle is None:
        pytest.skip(reason)

    def run() -> None:
        result = oracle.run("nix-store", ["--gc"], store=root)
        assert result.status == 0, result.stderr

    return run


def _valid(layout: StoreLayout, *paths: str) -> list[bool]:
    with Store.open(layout) as store:
        return [store.is_valid(path) for path in paths]


def _collect(layout: StoreLayout) -> None:
    with Store.open(layout) as store:
        collect(store, KeepPolicy())


def test_links_of_a_moved_store_are_readable_and_roots(root: Path, tmp_path: Path, collector) -> None:
    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        kept, direct, dead = store.add_text("kept", b"kept"), store.add_text("direct", b"direct"), store.add_text("dead", b"dead")
        link = store.add_root(tmp_path / "result", kept)
        generation = store.add_root(layout.profiles_dir / "p-1-link", direct, indirect=False)
        assert (link.read_text(), generation.read_text()) == ("kept", "direct")
        assert (linked_path(layout, str(link)), linked_path(layout, str(generation))) == (kept, direct)
    collector()
    assert _valid(layout, kept, direct, dead) == [True, True, False]
    _collect(layout)
    assert _valid(layout, kept, direct) == [True, True]
    assert find_permanent_roots(layout) == {kept: {str(link)}, direct: {str(generation)}}
    collector()
    assert _valid(layout, kept, direct) == [True, True]


def test_what_a_removed_link_kept_is_collected(root: Path, tmp_path: Path, collector) -> None:
    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        first, second = store.add_text("first", b"1"), store.add_text("second", b"2")
        links = store.add_root(tmp_path / "result", first), store.add_root(layout.profiles_dir / "p-1-link", second, indirect=False)
    for link in links:
        link.unlink()
    assert find_permanent_roots(layout, read_only=True) == {}
    # CppNix takes the companions for roots until one of our own collectors has looked.
    collector()
    assert _valid(layout, first, second) == [True, True]
    _collect(layout)
    assert _valid(layout, first, second) == [False, False]
    assert os.listdir(companions_dir(layout)) == os.listdir(layout.roots_dir / "auto") == []


def test_a_link_that_changes_keeps_only_the_new_path(root: Path, tmp_path: Path, collector) -> None:
    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        paths = [store.add_text(f"n{number}", b"") for number in range(3)]
        for path in paths[:2]:
            link = store.add_root(tmp_path / "result", path)
    collector()
    assert _valid(layout, *paths) == [False, True, False]
    with Store.open(layout) as store:
        paths[2] = store.add_text("n2", b"")
        # As by hand: no companion was told.
        link.unlink()
        link.symlink_to(store.real_path(paths[2]))
        collect(store, KeepPolicy())
    assert _valid(layout, *paths) == [False, False, True]


def test_our_collector_keeps_what_links_of_cppnix_keep(root: Path, tmp_path: Path, nix) -> None:
    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        indirect, direct = store.add_text("indirect", b"1"), store.add_text("direct", b"2")
        nix("nix-store", "--realise", indirect, "--add-root", str(tmp_path / "result"), "--indirect")
        nix("nix-store", "--realise", direct, "--add-root", str(layout.roots_dir / "direct"))
    _collect(layout)
    assert _valid(layout, indirect, direct) == [True, True]
    with Store.open(layout) as store:
        # Ours takes the place of CppNix's.
        store.add_root(tmp_path / "result", direct)
    _collect(layout)
    assert _valid(layout, indirect, direct) == [False, True]


def test_profiles_survive_when_the_root_is_moved(root: Path, tmp_path: Path, collector) -> None:
    with Store.open(StoreLayout.under(root)) as store:
        path = store.add_text("a", b"a")
        store.add_root(store.layout.profiles_dir / "p-1-link", path, indirect=False)
    moved = root.rename(tmp_path / "elsewhere")
    layout = StoreLayout.under(moved)
    assert (layout.profiles_dir / "p-1-link").read_text() == "a"
    _collect(layout)
    moved.rename(root)
    collector()
    assert _valid(StoreLayout.under(root), path) == [True]


@pytest.mark.parametrize("call", range(4))
def test_a_link_is_a_root_wherever_making_it_is_broken_off(root: Path, tmp_path: Path, nix, monkeypatch, call: int) -> None:
    from nivalis.store import roots

    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        old, new = store.add_text("old", b"old"), store.add_text("new", b"new")
        link = store.add_root(tmp_path / "result", old)
        replace, done = roots.replace_symlink, []

        def stop(place: Path, target: str) -> None:
            if len(done) == call:
                raise KeyboardInterrupt
            done.append(place)
            replace(place, target)

        monkeypatch.setattr(roots, "replace_symlink", stop)
        with pytest.raises(KeyboardInterrupt):
            store.add_root(link, new)
    nix("nix-store", "--gc")
    path = linked_path(layout, str(link))
    assert path is not None
    assert _valid(layout, path) == [True]
    _collect(layout)
    assert _valid(layout, path) == [True]


def test_links_are_made_beside_collectors(root: Path, tmp_path: Path) -> None:
    """A collector that looks for what is stale never takes what is being made for it."""
    layout = StoreLayout.under(root)
    link = tmp_path / "result"
    is_done = threading.Event()

    def look() -> None:
        while not is_done.is_set():
            find_permanent_roots(layout)

    with Store.open(layout) as store:
        paths = [store.add_text(f"n{number}", b"") for number in range(2)]
        collector = threading.Thread(target=look)
        collector.start()
        try:
            for _ in range(50):
                for path in paths:
                    store.add_root(link, path)
                    assert find_permanent_roots(layout, read_only=True) == {path: {str(link)}}
                    (companion,) = [place for place in companions_dir(layout).iterdir() if is_companion(place.name)]
                    assert os.readlink(companion) == path
                link.unlink()
        finally:
            is_done.set()
            collector.join()
