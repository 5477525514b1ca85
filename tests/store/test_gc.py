"""The collector: what it keeps, what it removes, and that nothing in use is lost, whoever else is at work."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nivalis.errors import StoreReadOnlyError
from nivalis.store import Store, StoreLayout
from nivalis.store.exports import export_paths
from nivalis.store.gc import PathInUseError, collect, delete_paths, find_dead, find_live
from nivalis.store.gc_server import RootServer
from nivalis.store.live_roots import find_permanent_roots, find_roots, find_runtime_roots
from nivalis.store.paths import hash_part
from nivalis.store.queries import KeepPolicy
from nivalis.store.temproots import TempRoots
from nivalis.store.verify import verify_store
from oracle import Oracle

KEEP = KeepPolicy()


@pytest.fixture
def texts(store: Store) -> dict[str, str]:
    """Three texts in a chain, each referring to the one before, with no root; the store is left open without temporary roots."""
    paths: dict[str, str] = {}
    before: list[str] = []
    for name in ("leaf", "middle", "top"):
        paths[name] = store.add_text(name, name.encode(), before)
        before = [paths[name]]
    store.temp_roots.close()
    return paths


def _check_clean(root: Path, oracle: Oracle | None = None) -> None:
    with Store.open(StoreLayout.under(root)) as store:
        assert list(verify_store(store, check_contents=True)) == []
    if oracle is not None:
        done = oracle.run("nix-store", ["--verify", "--check-contents"], store=root)
        assert done.status == 0 and "disappeared" not in done.stderr and "modified" not in done.stderr, done.stderr


# ---- what is kept ----


def test_everything_dead_goes_and_leaves_nothing(store: Store, texts: dict[str, str]) -> None:
    (store.layout.real_store_dir / "junk/deep").mkdir(parents=True)
    (store.layout.real_store_dir / ".trash-99999999-1").write_text("")
    assert set(find_dead(store, KEEP)) == {*texts.values(), "/nix/store/junk", "/nix/store/.trash-99999999-1"}
    assert find_live(store, KEEP) == []
    collected = collect(store, KEEP)
    assert len(collected.paths) == 5 and collected.size == len("leafmiddletop")
    assert os.listdir(store.layout.real_store_dir) == [".links"]
    assert store.database.all_valid() == []
    assert os.listdir(store.layout.temp_roots_dir) == []
    assert (store.layout.database_dir / "reserved").stat().st_size > 0


def test_roots_of_every_kind(store: Store, texts: dict[str, str], tmp_path: Path) -> None:
    layout = store.layout
    top, leaf, middle = texts["top"], texts["leaf"], texts["middle"]
    assert find_permanent_roots(layout) == {}
    # A link to a file in a path, a link to a link elsewhere, one to a place that is gone, a real path, a name.
    (layout.roots_dir / "direct").symlink_to(f"{leaf}/bin/x")
    store.add_root(tmp_path / "result", middle)
    (tmp_path / "real").symlink_to(store.real_path(top))
    (layout.roots_dir / "auto/real").symlink_to(tmp_path / "real")
    (layout.roots_dir / "auto/stale").symlink_to(tmp_path / "gone")
    (layout.roots_dir / "other").symlink_to("/etc/passwd")
    (layout.profiles_dir / "deep/er").mkdir(parents=True)
    (layout.profiles_dir / "deep/er/p-1-link").symlink_to(top)
    (layout.roots_dir / "nested").mkdir()
    (layout.roots_dir / f"nested/{os.path.basename(leaf)}").write_text("")
    found = find_permanent_roots(layout)
    assert found == {
        leaf: {f"{layout.roots_dir}/direct", f"{layout.roots_dir}/nested/{os.path.basename(leaf)}"},
        middle: {str(tmp_path / "result")},
        top: {str(tmp_path / "real"), f"{layout.profiles_dir}/deep/er/p-1-link"},
    }
    assert not os.path.lexists(layout.roots_dir / "auto/stale")
    assert collect(store, KEEP).paths == []
    for link in (layout.profiles_dir / "deep/er/p-1-link", tmp_path / "real"):
        link.unlink()
    store.temp_roots.close()
    assert collect(store, KEEP).paths == [top]


def test_runtime_roots(store: Store, tmp_path: Path) -> None:
    for name in ("cwd", "open", "map"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name * 5000)
    cwd, opened, mapped = (store.add_path(tmp_path / name) for name in ("cwd", "open", "map"))
    named, real = store.add_text("named", b"n"), store.add_text("real", b"r")
    unused = store.add_text("unused", b"u")
    store.temp_roots.close()
    code = (
        "import mmap, sys; a = open(sys.argv[1]); b = open(sys.argv[2], 'rb'); m = mmap.mmap(b.fileno(), 0, access=mmap.ACCESS_READ);"
        "b.close(); print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"{store.real_path(opened)}/file", f"{store.real_path(mapped)}/file"],
        cwd=store.real_path(cwd),
        env={**os.environ, "A": f"x:{named}/bin:y", "B": f"{store.real_path(real)}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        found = find_runtime_roots(store.layout)
        base = f"/proc/{process.pid}"
        assert f"{base}/cwd" in found[cwd] and f"{base}/environ" in found[named] and f"{base}/environ" in found[real]
        assert f"{base}/maps" in found[mapped] and any(place.startswith(f"{base}/fd/") for place in found[opened])
        assert collect(store, KEEP).paths == [unused]
    finally:
        process.communicate()
    assert len(collect(store, KEEP).paths) == 5


def test_policy(store: Store) -> None:
    outputs = {}
    from nivalis import _native
    from nivalis.store.database import PathInfo, Registration
    from nivalis.store.derivation import Derivation, Output

    path = _native.make_output_path("out", _native.hash_bytes("sha256", b"x"), "a", store.store_dir)
    derivation = Derivation({"out": Output(path)}, "x86_64-linux", "/bin/sh", env={"out": path})
    data = derivation.unparse()
    drv = _native.make_text_path("a.drv", _native.hash_bytes("sha256", data), [], store.store_dir)
    store.add_derivations([(drv, data, ())])
    Path(store.real_path(path)).write_text("built")
    nar_hash, size = _native.hash_nar(store.real_path(path))
    store.database.register([Registration(PathInfo(path, nar_hash, size, deriver=drv))])
    outputs[drv] = path
    store.temp_roots.close()
    for rooted, keep, kept in (
        (path, KEEP, {path, drv}),
        (path, KeepPolicy(derivations=False), {path}),
        (drv, KEEP, {drv}),
        (drv, KeepPolicy(outputs=True), {path, drv}),
        (drv, KeepPolicy(outputs=True, derivations=False), {path, drv}),
    ):
        (store.layout.roots_dir / "r").symlink_to(rooted)
        assert set(find_live(store, keep)) == kept
        (store.layout.roots_dir / "r").unlink()
    with pytest.raises(PathInUseError):
        delete_paths(store, [drv], KEEP)
    assert set(delete_paths(store, [drv, path], KEEP).paths) == {drv, path}


def test_garbage_that_is_someones_is_spared(store: Store, texts: dict[str, str]) -> None:
    folder = store.layout.real_store_dir
    coming = "/nix/store/00000000000000000000000000000000-coming"
    store.protect([coming])
    spared = [f"{hash_part(coming)}-coming.lock", f"{hash_part(coming)}-1-x-0.tmp", f"add-{os.getpid()}-0", f".tmp-link-{os.getpid()}-77"]
    for name in spared:
        (folder / name).write_text("")
    locked = folder / "11111111111111111111111111111111-x.lock"
    stale = folder / "22222222222222222222222222222222-x.lock"
    stale.write_text("")
    (folder / "add-4194399-0").mkdir()
    with locked.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        collect(store, KEEP)
        assert set(os.listdir(folder)) == {".links", locked.name, *spared}
        assert locked.stat().st_size == 0


def test_max_freed_stops_in_time(store: Store) -> None:
    paths = [store.add_bytes(f"f{number}", bytes([number]) * 10_000) for number in range(10)]
    store.temp_roots.close()
    assert collect(store, KEEP, max_freed=0).paths == []
    assert len(collect(store, KEEP, max_freed=25_000).paths) == 3
    assert len(store.valid_among(paths)) == 7


def test_delete_needs_everything_that_would_break(store: Store, texts: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(PathInUseError, match="path-in-use"):
        delete_paths(store, [texts["leaf"]], KEEP)
    with pytest.raises(PathInUseError):
        delete_paths(store, [texts["leaf"], texts["middle"]], KEEP)
    store.add_root(tmp_path / "result", texts["top"])
    store.temp_roots.close()
    with pytest.raises(PathInUseError):
        delete_paths(store, list(texts.values()), KEEP)
    other = TempRoots(str(store.layout.state_dir))
    other.add([texts["top"]])
    with pytest.raises(PathInUseError):
        delete_paths(store, list(texts.values()), KEEP, ignore_liveness=True)
    other.close()
    assert delete_paths(store, list(texts.values()), KEEP, ignore_liveness=True).paths == [texts[name] for name in ("top", "middle", "leaf")]


def test_read_only_store_is_looked_at_and_not_changed(store: Store, texts: dict[str, str], tmp_path: Path) -> None:
    stale = store.layout.temp_roots_dir / "1234567"
    stale.write_bytes(b"")
    store.close()
    with Store.open(store.layout, read_only=True) as reader:
        assert find_dead(reader, KEEP) == sorted(texts.values())
        assert find_roots(reader.layout, read_only=True) is not None
        with pytest.raises(StoreReadOnlyError):
            collect(reader, KEEP)
        with pytest.raises(StoreReadOnlyError):
            delete_paths(reader, [texts["top"]], KEEP)
    assert stale.exists()


def test_links_that_nothing_is_linked_to_go(store: Store) -> None:
    links = store.layout.links_dir
    (links / "unused").write_text("x")
    (links / "used").write_text("y")
    (store.layout.roots_dir / "keep").hardlink_to(links / "used")
    collect(store, KEEP)
    assert os.listdir(links) == ["used"]


# ---- beside others ----


@contextmanager
def _cppnix_holding(oracle: Oracle, root: Path, paths: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A CppNix that has `paths` as temporary roots, by the protocol of `nix-store --serve`."""
    environment = {**os.environ, **oracle.env, "NIX_REMOTE": f"local?root={root}"}
    process = subprocess.Popen(
        [*oracle.command("nix-store"), "--serve", "--write"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None

    def number(value: int) -> bytes:
        return value.to_bytes(8, "little")

    def string(text: str) -> bytes:
        return number(len(text)) + text.encode() + bytes(-len(text) % 8)

    try:
        process.stdin.write(number(0x390C9DEB) + number(0x205))
        process.stdin.write(number(1) + number(1) + number(0) + number(len(paths)) + b"".join(map(string, paths)))
        process.stdin.flush()
        # The greeting, and the number of valid paths: it is past adding its roots.
        assert len(process.stdout.read(24)) == 24
        yield process
    finally:
        process.kill()
        process.communicate()


def test_roots_that_cppnix_made_before(store: Store, texts: dict[str, str], oracle: Oracle, root: Path) -> None:
    with _cppnix_holding(oracle, root, [texts["middle"]]) as holder:
        assert collect(store, KEEP).paths == [texts["top"]]
        assert {f"{{temp:{holder.pid}}}"} <= find_roots(store.layout)[texts["middle"]]
    # It was killed: its file is stale.
    assert len(collect(store, KEEP).paths) == 2
    assert os.listdir(store.layout.temp_roots_dir) == []


def test_roots_that_cppnix_tells_us_while_we_collect(store: Store, texts: dict[str, str], oracle: Oracle, root: Path) -> None:
    layout = store.layout
    part = hash_part(texts["middle"])
    with open(layout.state_dir / "gc.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with RootServer(str(layout.state_dir), layout.store_dir) as server:
            with _cppnix_holding(oracle, root, [texts["middle"]]):
                assert server.roots() == {part}
                assert server.claim({part, "x"}) == {part}
            # Whoever asks for what is being deleted waits until it is gone.
            assert server.claim({hash_part(texts["top"])}) == set()
            done = threading.Event()
            roots = TempRoots(str(layout.state_dir))
            worker = threading.Thread(target=lambda: (roots.add([texts["top"]]), done.set()))
            worker.start()
            assert not done.wait(0.2)
            server.release()
            assert done.wait(5)
            worker.join()
            roots.close()


def test_server_is_not_confused(store: Store) -> None:
    import socket

    layout = store.layout
    with RootServer(str(layout.state_dir), layout.store_dir) as server:

        def ask(data: bytes) -> bytes:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                folder = os.open(layout.state_dir / "gc-socket", os.O_RDONLY)
                client.connect(f"/proc/self/fd/{folder}/socket")
                os.close(folder)
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                try:
                    return client.recv(100)
                except ConnectionError:
                    return b""

        assert ask(b"") == b"" and ask(b"x" * 100_000) == b"" and ask(b"/nix/store/cut") == b""
        assert ask(b"/etc/passwd\n") == b"1" and server.roots() == set()
        assert ask(b"/nix/store/00000000000000000000000000000000-x\n") == b"1" and len(server.roots()) == 1
    # The next collector takes the place over.
    with RootServer(str(layout.state_dir), layout.store_dir):
        pass


_ADDER = """
import sys, random, time
from nivalis.store import Store, StoreLayout
from nivalis.store.content import Text
random.seed(int(sys.argv[2])); end = time.time() + float(sys.argv[3]); rounds = 0
while time.time() < end:
    with Store.open(StoreLayout.under(sys.argv[1])) as store:
        paths = []
        for number in range(random.randrange(1, 8)):
            paths.append(store.add_text(f"t{random.randrange(20)}", b"x", random.sample(paths, min(int(sys.argv[4]), len(paths)))))
        time.sleep(random.random() * 0.03)
        missing = set(paths) - store.valid_among(paths)
        assert not missing, missing
        for path in paths:
            assert open(store.real_path(path), "rb").read() == b"x"
        rounds += 1
print(rounds)
"""


_COLLECTOR = """
import sys
from nivalis.store import Store, StoreLayout
from nivalis.store.gc import collect
from nivalis.store.queries import KeepPolicy
with Store.open(StoreLayout.under(sys.argv[1])) as store:
    while True:
        collect(store, KeepPolicy())
"""


# A collector of CppNix 2.8's looks at the temporary roots when it first meets a path, and not again before it deletes it with all that
# refers to it; so beside it nothing refers to anything.  Newer ones look again, as ours does.
@pytest.mark.parametrize("with_cppnix", [False, True])
def test_nothing_in_use_is_lost_beside_collectors(root: Path, store: Store, oracle: Oracle, with_cppnix: bool) -> None:
    adders = [
        subprocess.Popen(
            [sys.executable, "-c", _ADDER, str(root), str(seed), "2.5", "0" if with_cppnix else "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for seed in range(3)
    ]
    other = None if with_cppnix else subprocess.Popen([sys.executable, "-c", _COLLECTOR, str(root)])
    removed = 0
    try:
        while any(adder.poll() is None for adder in adders):
            removed += len(collect(store, KEEP).paths)
            if with_cppnix:
                theirs = oracle.run("nix-store", ["--gc"], store=root)
                assert theirs.status == 0, theirs.stderr
            else:
                assert other is not None and other.poll() is None
    finally:
        answers = [adder.communicate(timeout=30) for adder in adders]
        if other is not None:
            other.kill()
            other.wait()
    for adder, (out, errors) in zip(adders, answers, strict=True):
        assert adder.returncode == 0, errors.decode()
        assert int(out) > 3
    assert removed > 0
    store.close()
    _check_clean(root, oracle)


# ---- killed ----

_VICTIM = """
import sys, os, random
from nivalis.store import Store, StoreLayout
from nivalis.store.exports import import_paths
from nivalis.store.gc import collect
from nivalis.store.optimise import optimise_store
from nivalis.store.queries import KeepPolicy
work, root, tree = sys.argv[1:4]
print("ready", flush=True)
with Store.open(StoreLayout.under(root)) as store:
    while True:
        if work == "add":
            paths = [store.add_path(tree, name=f"t{random.randrange(10**6)}")]
            for number in range(20):
                paths.append(store.add_text(f"x{random.randrange(10**6)}", os.urandom(20), paths[-1:]))
        elif work == "optimise":
            for number in range(5):
                store.add_path(tree, name=f"t{random.randrange(10**6)}")
            optimise_store(store)
        elif work == "import":
            with open(tree + ".export", "rb") as stream:
                list(import_paths(store, stream))
            store.temp_roots.close()
            collect(store, KeepPolicy())
        else:
            store.temp_roots.close()
            for number in range(5):
                store.add_text(f"x{random.randrange(10**6)}", b"", [store.add_path(tree, name=f"t{random.randrange(10**6)}")])
            store.temp_roots.close()
            collect(store, KeepPolicy())
"""


@pytest.mark.parametrize("work", ["add", "optimise", "collect", "import"])
def test_killed_at_any_moment_the_store_stays_valid(root: Path, store: Store, oracle: Oracle, tmp_path: Path, work: str) -> None:
    tree = tmp_path / "source"
    for number in range(20):
        (tree / f"d{number % 3}").mkdir(parents=True, exist_ok=True)
        (tree / f"d{number % 3}/f{number}").write_text(f"{number // 2}" * 1000)
    kept = store.add_path(tree, name="kept")
    store.add_root(tmp_path / "result", kept)
    store.close()
    with Store.open(StoreLayout.under(tmp_path / "other")) as other, open(f"{tree}.export", "wb") as stream:
        first = other.add_path(tree, name="first")
        export_paths(other, [first, other.add_text("second", b"", [first])], stream)
    chance = random.Random(work)
    kills = hits = 0
    known: set[str] = set()
    # Until some of them have hit in the middle of something, which what lies about shows.
    while kills < 10 or hits < 3:
        assert kills < 60
        victim = subprocess.Popen([sys.executable, "-c", _VICTIM, work, str(root), str(tree)], stdout=subprocess.PIPE)
        assert victim.stdout is not None and victim.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.01, 0.3))
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        victim.stdout.close()
        kills += 1
        with Store.open(StoreLayout.under(root)) as left:
            valid = {os.path.basename(path) for path in left.database.all_valid()}
            lying = {name for name in os.listdir(left.layout.real_store_dir) if name not in valid and name != ".links"}
            hits += not lying <= known
            known = lying
        _check_clean(root)
    _check_clean(root, oracle)
    with Store.open(StoreLayout.under(root)) as again:
        collect(again, KEEP)
        assert again.database.all_valid() == [kept]
    assert sorted(name for name in os.listdir(root / "nix/store") if name != ".links") == [os.path.basename(kept)]
    _check_clean(root, oracle)
