"""Adding objects: the same paths, bytes and rows as CppNix's, in both directions, whatever happens in between."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from nivalis import _native
from nivalis.errors import InvalidPathError, StoreContentError, StoreReadOnlyError
from nivalis.store import Derivation, Output, PathInfo, Source, Store, StoreLayout
from nivalis.store.locks import lock_paths

EXPRESSION = """
let
  base = builtins.toFile "base.sh" "echo base > $out";
  dep = derivation { name = "dep"; system = "x"; builder = "/bin/sh"; args = [ base ]; outputs = [ "out" "dev" ]; };
  fetch = derivation {
    name = "fetch"; system = "x"; builder = "b"; outputHash = "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="; outputHashMode = "recursive";
  };
in derivation { name = "top"; system = "x"; builder = "${dep.dev}/sh"; args = [ fetch ./tree ]; text = "a\\n\\"b\\"\\t\\\\"; }
"""


def without_time(info: PathInfo) -> PathInfo:
    return info._replace(registration_time=0)


def verify(nix) -> None:
    result = nix("nix-store", "--verify", "--check-contents")
    assert "error" not in result.stderr and "disappeared" not in result.stderr and "modified" not in result.stderr, result.stderr


@pytest.mark.parametrize("what", ["", "file", "sub/run", "link", "big", "sub/empty"])
def test_paths_are_cppnix_own(store: Store, nix, tree: Path, what: str) -> None:
    path = store.add_path(tree / what, "thing")
    mine = store.path_info(path)
    copy = tree.parent / "copy"
    copy.mkdir()
    os.rename(tree / what, copy / "thing") if what else tree.rename(copy / "thing")
    assert nix("nix-store", "--add", str(copy / "thing")).stdout.strip() == path
    verify(nix)
    # Made invalid and added by the other, the row is the same.
    store.close()
    nix("nix-store", "--delete", path)
    nix("nix-store", "--add", str(copy / "thing"))
    with Store.open(store.layout) as again:
        assert without_time(again.path_info(path)) == without_time(mine)


@pytest.mark.parametrize("algo", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("method", ["flat", "nar"])
@pytest.mark.parametrize("what", ["sub/run", "big"])
def test_fixed_outputs(store: Store, nix, tree: Path, algo, method, what: str) -> None:
    path = store.add_path(tree / what, method=method, algo=algo)
    flags = ["--recursive"] if method == "nar" else []
    assert nix("nix-store", "--add-fixed", *flags, algo, str(tree / what)).stdout.strip() == path
    verify(nix)
    real = Path(store.real_path(path))
    assert real.stat().st_mode & 0o777 == (0o555 if method == "nar" and what == "sub/run" else 0o444)
    assert real.stat().st_mtime == 1


def test_flat_of_a_folder_is_refused(store: Store, tree: Path) -> None:
    with pytest.raises(StoreContentError, match="not a regular file"):
        store.add_path(tree, method="flat")
    os.mkfifo(tree / "pipe")
    with pytest.raises(StoreContentError):
        store.add_path(tree)


def test_filter(store: Store, nix, tree: Path) -> None:
    path = store.add_path(tree, "tree", filter=lambda path, kind: kind != "symlink" and not path.endswith("/big"))
    assert sorted(os.listdir(store.real_path(path))) == ["file", "sub", "ünïcode"]
    verify(nix)


def test_metadata_is_canonical(store: Store, tree: Path) -> None:
    real = store.real_path(store.add_path(tree))
    for folder, folders, files in os.walk(real):
        for name in [".", *folders, *files]:
            status = os.lstat(os.path.join(folder, name))
            assert status.st_mtime == 1
            assert os.path.islink(os.path.join(folder, name)) or status.st_mode & 0o7777 in (0o444, 0o555)


def test_derivations_of_cppnix(store: Store, nix, oracle, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "x.nix").write_text(EXPRESSION)
    other = tmp_path / "other"
    top = oracle.run("nix-instantiate", [str(tmp_path / "x.nix")], store=other).stdout.strip()
    with Store.open(StoreLayout.under(other), read_only=True) as theirs:
        infos = theirs.database.infos(theirs.database.closure([top]))
        texts = [(path, Path(theirs.real_path(path)).read_bytes(), info.references) for path, info in infos.items() if info.ca.startswith("text:")]
        assert store.add_path(tree) in infos
        random.Random(1).shuffle(texts)
        store.add_texts(texts)
        assert {path: without_time(info) for path, info in store.database.infos(list(infos)).items()} == {
            path: without_time(info) for path, info in infos.items()
        }
        for path in infos:
            assert theirs.database.outputs(path) == store.database.outputs(path)
            if path.endswith(".drv"):
                drv = store.read_derivation(path)
                assert drv.references == infos[path].references
                assert drv.unparse() == Path(store.real_path(path)).read_bytes()
                assert {name: output.path for name, output in drv.outputs.items()} == store.database.outputs(path)
    verify(nix)
    assert set(nix("nix-store", "-q", "--references", top).stdout.split()) == store.path_info(top).references
    assert nix("nix-store", "-q", "--outputs", top).stdout.split() == list(store.database.outputs(top).values())
    assert set(nix("nix-store", "-qR", top).stdout.split()) == store.database.closure([top]) == set(infos)
    base = next(path for path in infos if path.endswith("-base.sh"))
    assert set(nix("nix-store", "-q", "--referrers", base).stdout.split()) == store.database.referrers(base)
    # Evaluated again by the other, nothing is new.
    assert oracle.run("nix-instantiate", [str(tmp_path / "x.nix")], store=store.layout.real_store_dir.parents[1]).stdout.strip() == top


def test_wrong_path_of_a_text(store: Store) -> None:
    path = _native.make_text_path("a", _native.hash_bytes("sha256", b"a"), [], store.store_dir)
    with pytest.raises(StoreContentError, match="does not belong"):
        store.add_texts([(path, b"b", [])])
    assert not store.is_valid(path)
    assert os.listdir(store.layout.real_store_dir) == [".links"]


def test_reference_that_is_not_valid(store: Store) -> None:
    missing = _native.make_text_path("a", _native.hash_bytes("sha256", b"a"), [], store.store_dir)
    with pytest.raises(InvalidPathError, match="reference is not valid"):
        store.add_text("b", missing.encode(), [missing])


def test_expected_path(store: Store, tree: Path) -> None:
    source = Source(str(tree / "file"), "file")
    path = store.path_of(source)
    assert not store.is_valid(path)
    assert store.add_sources([source._replace(expected=path)]) == [path]
    # Now that it is valid, the file need not exist.
    assert store.add_sources([Source("/nowhere", "file", expected=path)]) == [path]
    (tree / "file").write_text("changed\n")
    with pytest.raises(StoreContentError, match="changed"):
        store.add_sources([Source(str(tree / "file"), "other", expected=path.replace("-file", "-other"))])


def test_garbage_at_the_place_is_replaced(store: Store, nix) -> None:
    path = _native.make_text_path("a", _native.hash_bytes("sha256", b"a"), [], store.store_dir)
    place = Path(store.real_path(path))
    (place / "sub").mkdir(parents=True)
    (place / "sub").chmod(0o500)
    assert store.add_text("a", b"a") == path
    assert place.read_bytes() == b"a"
    verify(nix)


@pytest.mark.parametrize("garbage", ["file", "folder"])
def test_garbage_at_the_place_of_a_tree_is_replaced(store: Store, nix, tree: Path, garbage: str) -> None:
    path = store.path_of(Source(str(tree), "tree"))
    place = Path(store.real_path(path))
    if garbage == "file":
        place.write_text("garbage")
    else:
        (place / "sub").mkdir(parents=True)
    assert store.add_path(tree) == path
    verify(nix)


def test_another_writer_of_the_same_text(store: Store, nix) -> None:
    """CppNix asks before our registration, then deletes and writes in place; here it dies before it has written."""
    path = _native.make_text_path("a", _native.hash_bytes("sha256", b"a"), [], store.store_dir)
    place = Path(store.real_path(path))
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with lock_paths([str(place)]):
            entered.set()
            leave.wait(20)
            place.unlink()
            place.write_bytes(b"")

    writer = threading.Thread(target=other)
    writer.start()
    assert entered.wait(20)
    adder = threading.Thread(target=store.add_text, args=("a", b"a"))
    adder.start()
    with Store.open(store.layout) as observer:
        deadline = time.monotonic() + 20
        while not observer.is_valid(path) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert adder.is_alive(), "it must wait for the other's lock"
    leave.set()
    adder.join(20)
    writer.join(20)
    assert place.read_bytes() == b"a" and not Path(f"{place}.lock").exists()
    verify(nix)


def test_many_writers_at_once(root: Path, nix, oracle, tree: Path, tmp_path: Path) -> None:
    """CppNix and two of ours add the same objects at the same time."""
    layout = StoreLayout.under(root)
    with Store.open(layout) as store:
        expression = 'builtins.genList (i: builtins.toFile "f${toString i}" (toString i)) 300'
        worker = f"import sys; from nivalis.store import Store, StoreLayout; s = Store.open(StoreLayout.under({str(root)!r}))\n"
        worker += f"for i in range(300): s.add_text(f'f{{i}}', str(i).encode())\ns.add_path({str(tree)!r})"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        ours = [subprocess.Popen([sys.executable, "-c", worker], env=environment) for _ in range(2)]
        nix("nix-instantiate", "--eval", "--strict", "-E", expression)
        nix("nix-store", "--add", str(tree))
        assert [child.wait(60) for child in ours] == [0, 0]
        assert len(store.database.all_valid()) == 301
    verify(nix)
    assert not [name for name in os.listdir(layout.real_store_dir) if name.endswith((".lock", ".tmp"))]


def test_read_only(store: Store, tree: Path, root: Path) -> None:
    path = store.add_path(tree)
    with Store.open(StoreLayout.under(root), read_only=True) as reader:
        assert reader.is_valid(path)
        assert reader.path_of(Source(str(tree), "tree")) == path
        with pytest.raises(StoreReadOnlyError):
            reader.add_text("a", b"a")
    nothing = StoreLayout.under(root / "nothing")
    with Store.open(nothing, read_only=True) as reader:
        assert not reader.is_valid(path)
    assert not nothing.real_store_dir.exists()


def test_derivation_round_trip() -> None:
    drv = Derivation(
        outputs={"out": Output("/nix/store/7g9fy9hn0lknbrl7a4p13p3y7mfvk3xp-x")},
        platform="x86_64-linux",
        builder="/bin/sh",
        args=("a\n", "\udcff"),
        env={"text": 'q"\\\t', "\udcfe": "ü"},
    )
    assert Derivation.parse(drv.unparse()) == drv


KILLED = """
    import sys
    from nivalis.store import Store, StoreLayout
    store = Store.open(StoreLayout.under(sys.argv[1]))
    print("begin", flush=True)
    last = store.add_text("first", b"first")
    while True:
        for path in (sys.argv[2], sys.argv[2] + "/big", sys.argv[2] + "/sub"):
            store.add_path(path, last[11:20] + "-x")
        last = store.add_text("next", last.encode(), [last])
"""


def test_killed_at_any_moment(root: Path, nix, tree: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    chance = random.Random(7)
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), str(root), str(tree)], stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None and child.stdout.readline() == b"begin\n"
        time.sleep(chance.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    verify(nix)
    with Store.open(StoreLayout.under(root)) as store:
        # How far each came is a matter of the machine.
        assert len(store.database.all_valid()) > 1
        store.add_path(tree)
        # The next one needs a place itself, and removes those that nobody writes to.
        assert list(store.layout.real_store_dir.glob("*-waiting")) == []
    # What is left over is garbage for the collector, which then leaves an empty store.
    nix("nix-store", "--gc")
    assert os.listdir(store.layout.real_store_dir) == [".links"]


def test_places_of_the_dead_are_removed_and_no_others(store: Store, tree: Path) -> None:
    program = """
import os, sys
from nivalis.store import Store, StoreLayout
store = Store.open(StoreLayout.under(sys.argv[1]))
with store.waiting_place() as place:
    os.makedirs(f"{place}/inside")
    os.chmod(place, 0o555)
    print(place, flush=True)
    sys.stdin.read()
"""
    root = store.layout.real_store_dir.parents[1]
    named_so = store.add_text("a-nivalis-waiting", b"")

    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen([sys.executable, "-c", program, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    (dead, left), (alive, used) = start(), start()
    dead.kill()
    dead.communicate()
    # Of a dead one's roots only such a place is removed.
    names = store.layout.temp_roots_dir / "1-dead"
    names.write_bytes(f"{named_so}\0{store.store_dir}/../x-nivalis-waiting\0".encode())
    assert left.is_dir() and used.is_dir()
    store.add_path(tree)
    assert not left.exists() and used.is_dir() and not names.exists()
    assert Path(store.real_path(named_so)).exists()
    alive.communicate("")
    assert alive.returncode == 0 and not used.exists()
