"""Several at work on one store: two of ours, one of ours and CppNix, one that is killed and the next one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nivalis.settings.machine import find_static_shell
from nivalis.store import Store, StoreLayout
from oracle import Oracle, Result

# Realises derivations in a process of its own.
PROGRAM = """
import os, sys
from nivalis.build import BuildSettings, realise
from nivalis.store import Store, StoreLayout
with Store.open(StoreLayout.under(sys.argv[1])) as store:
    result = realise(store, sys.argv[2:], BuildSettings.make("x86_64-linux", dict(os.environ), {"max-jobs": "2"}))
    result.check()
    print(*result.paths, sep="\\n")
"""
# Every build leaves its mark outside of the sandbox by the log alone, so the output holds what tells builds apart.
GRAPH = """
let layer = deps: n: sh "n${toString n}" "cat /proc/sys/kernel/random/uuid > $out; echo ${toString deps} >> $out; sleep 0.0${toString n}";
    one = map (layer []) [ 1 2 3 4 ]; two = map (layer one) [ 5 6 7 ];
in sh "top" "echo ${toString two} > $out"
"""


def _start(root: Path, environment: dict[str, str], *drv_paths: str) -> subprocess.Popen[str]:
    env = {**os.environ, **environment}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), *drv_paths], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _verify(oracle_run: Callable[..., Result], root: Path) -> None:
    answer = oracle_run(root, "nix-store", "--verify", "--check-contents")
    assert (answer.status, "error" in answer.stderr, "warning" in answer.stderr) == (0, False, False), answer.stderr


def test_two_processes_build_each_path_once(workshop: Any, tmp_path: Path) -> None:
    drv_path = workshop.instantiate(GRAPH)
    processes = [_start(tmp_path / "root", workshop.environment, drv_path) for _ in range(3)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert len({out for out, _ in answers}) == 1
    # Whoever came second has the first one's output: an output built twice would have another hash than the registered one.
    _check_hashes(workshop.store)


def _check_hashes(store: Store) -> None:
    from nivalis import _native

    for path, info in store.database.infos(store.database.all_valid()).items():
        assert _native.hash_nar(store.real_path(path))[0] == info.nar_hash, path


def test_together_with_cppnix(workshop: Any, tmp_path: Path, oracle: Oracle, cpp_build: Callable[..., Result]) -> None:
    drv_path = workshop.instantiate(GRAPH)
    root = tmp_path / "root"
    with ThreadPoolExecutor(2) as pool:
        theirs = [pool.submit(cpp_build, root, "nix-store", "--realise", drv_path, "-j2") for _ in range(2)]
        ours = [_start(root, workshop.environment, drv_path) for _ in range(2)]
        mine = [process.communicate(timeout=60)[0].split() for process in ours]
        results = [future.result() for future in theirs]
    assert [result.status for result in results] == [0, 0], [result.stderr for result in results]
    assert {tuple(result.stdout.split()) for result in results} == {tuple(paths) for paths in mine}
    _verify(cpp_build, root)


def test_killed_at_random_points(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    root = tmp_path / "root"
    # In a store that is closed again: its temporary roots would keep what lies beside the derivations, too.
    with Store.open(StoreLayout.under(root)) as store:
        drv_path = type(workshop)(store, workshop.environment).instantiate(GRAPH)
    chance = random.Random(3)
    kills = hits = 0
    # Some must hit a build that is going on; how many of them do depends on the machine.
    while kills < 12 or (hits < 3 and kills < 60):
        process = _start(root, workshop.environment, drv_path)
        # Half of them as soon as the first build has begun, however slow the machine is, and the others somewhere.
        if chance.random() < 0.5:
            _await(lambda process=process: process.poll() is not None or _is_building(workshop))  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.05))
        else:
            time.sleep(chance.uniform(0.15, 0.6))
        process.kill()
        process.communicate()
        kills += 1
        hits += _is_building(workshop)
        _verify(cpp_build, root)
        # What was finished is there, and so the next attempt begins with something else: begin anew now and then.
        if chance.random() < 0.3:
            _forget_outputs(workshop.store)
        _clear(workshop.environment["TMPDIR"])
    assert hits >= 3
    process = _start(root, workshop.environment, drv_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert workshop.store.is_valid(out.strip())
    _check_hashes(workshop.store)
    # Who was killed after the registration has left its private folder: garbage, for any collector.
    os.makedirs(f"{workshop.store.real_path(drv_path)}.chroot/nix/store", exist_ok=True)
    assert all(path.endswith(".drv.chroot") for path in _leftovers(workshop.store))
    assert cpp_build(root, "nix-store", "--gc").status == 0
    assert _leftovers(workshop.store) == set()
    _clear(workshop.environment["TMPDIR"])


def _is_building(workshop: Any) -> bool:
    return bool(os.listdir(workshop.environment["TMPDIR"]))


def _forget_outputs(store: Store) -> None:
    from nivalis.store.gc import delete_paths
    from nivalis.store.queries import KeepPolicy

    delete_paths(store, [path for path in store.database.all_valid() if not path.endswith(".drv")], KeepPolicy())


def _leftovers(store: Store) -> set[str]:
    names = {f"{store.store_dir}/{name}" for name in os.listdir(store.layout.real_store_dir) if name != ".links" and not name.endswith(".lock")}
    return names - set(store.database.all_valid())


def _clear(folder: str) -> None:
    from nivalis.store.metadata import remove_tree

    for name in os.listdir(folder):
        remove_tree(f"{folder}/{name}")


# Instantiates and builds a small graph, one of a few, again and again; what it was given must be there until it closes the store.
_MAKER = """
import os, random, sys, time
from build_prelude import PRELUDE
from nivalis.build import BuildSettings, realise
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout
random.seed(int(sys.argv[2]))
end, rounds = time.time() + float(sys.argv[3]), 0
settings = BuildSettings.make("x86_64-linux", dict(os.environ))
while time.time() < end or rounds < 2:
    with Store.open(StoreLayout.under(sys.argv[1])) as store:
        with Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
            text = sys.argv[4].replace("KEY", str(random.randrange(4)))
            drv_path = str(evaluator.eval(PRELUDE + text)["drvPath"].to_python())
            evaluator.flush()
        result = realise(store, [drv_path], settings)
        result.check()
        time.sleep(random.random() * 0.05)
        closure = store.database.closure([*result.paths, drv_path])
        assert store.valid_among(closure) == closure and all(os.path.lexists(store.real_path(path)) for path in closure)
        rounds += 1
print(rounds)
"""


# A collector of CppNix 2.8's decides about a path and all that falls with it, and looks at the temporary roots only before; so beside it
# nothing refers to anything (see also tests/store/test_gc.py).
@pytest.mark.parametrize("with_cppnix", [False, True])
def test_collectors_beside_evaluation_and_builds(
    with_cppnix: bool, workshop: Any, tmp_path: Path, oracle: Oracle, cpp_build: Callable[..., Result]
) -> None:
    from nivalis.store.gc import collect
    from nivalis.store.queries import KeepPolicy

    root = tmp_path / "root"
    workshop.store.close()
    text = 'let a = sh "a" "cat ${builtins.toFile "s" "KEY"} > $out"; in sh "b" "cat ${a} > $out; echo ${a} >> $out"'
    if with_cppnix:
        text = 'sh "b" "echo KEY > $out"'
    env = {**os.environ, **workshop.environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", _MAKER, str(root), str(seed), "6", text], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for seed in range(2)
    ]
    removed = 0
    while any(maker.poll() is None for maker in makers):
        with Store.open(StoreLayout.under(root)) as store:
            removed += len(collect(store, KeepPolicy()).paths)
        if with_cppnix:
            assert oracle.run("nix-store", ["--gc", "--option", "keep-derivations", "false"], store=root).status == 0
    for maker in makers:
        out, err = maker.communicate()
        assert maker.returncode == 0 and int(out) > 1, err
    with Store.open(StoreLayout.under(root)) as store:
        removed += len(collect(store, KeepPolicy()).paths)
    # CppNix may have been quicker each time.
    assert removed > 0 or with_cppnix
    _verify(cpp_build, root)


def test_builders_end_with_the_process(workshop: Any, tmp_path: Path) -> None:
    process = _start(tmp_path / "root", workshop.environment, workshop.instantiate('sh "long" "sleep 76543"'))
    _await(lambda: bool(_sleeping("76543")))
    process.kill()
    process.communicate()
    _await(lambda: not _sleeping("76543"))
    _clear(workshop.environment["TMPDIR"])


def test_ctrl_c_ends_builders(workshop: Any, tmp_path: Path) -> None:
    process = _start(tmp_path / "root", workshop.environment, workshop.instantiate('sh "long" "sleep 65432"'))
    _await(lambda: bool(_sleeping("65432")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert not _sleeping("65432")
    assert _leftovers(workshop.store) == set()


def _sleeping(mark: str) -> bool:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[:2] == [b"sleep", mark.encode()]:
                    return True
            except OSError:
                continue
    return False


def _await(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_ordinary_user_builds_in_a_store_of_their_own(shell: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test is this one")
    import shutil
    import tempfile

    # Where the user may go; this checkout and its Python may be in root's home, so the package is copied, and the parent starts Python.
    home = Path(tempfile.mkdtemp(prefix="nivalis-user-"))
    try:
        os.chown(home, 65534, 65534)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = _as_user(home)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert (home / "store/nix/store").stat().st_uid == 65534
        assert [path.read_text() for path in (home / "store/nix/store").glob("*-top")] == ["one\n"]
        assert find_static_shell() == shell
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _as_user(home: Path) -> int:
    import shutil
    import tempfile

    from build_prelude import PRELUDE
    from nivalis.build import BuildSettings, mounts, realise
    from nivalis.lang import EvalSettings, Evaluator
    from nivalis.store import StoreLayout

    # Once with few inputs, and once with so many that a process mounts them: a program and a Python that this user may read.
    mounts.__file__ = shutil.copy(mounts.__file__, str(home))
    sys.executable = "/usr/bin/python3"

    def build(root: Path, test: str) -> None:
        text = f"""let few = sh "few" "{test}; echo one > $out"; in
            shWith "top" {{ many = texts 99; }} "cat $many > /dev/null; cat ${{few}} > $out; rm -rf /build/*" """
        with Store.open(StoreLayout.under(root)) as store:
            with Evaluator(store, EvalSettings(system="x86_64-linux")) as evaluator:
                value: Any = evaluator.eval(PRELUDE + text)
                drv_path = str(value["drvPath"].to_python())
                evaluator.flush()
            realise(store, [drv_path], BuildSettings.make("x86_64-linux", {"TMPDIR": str(root.parent)})).check()

    # As root first: what is imported on the way may be where the user cannot read it.
    with tempfile.TemporaryDirectory() as warm:
        build(Path(warm) / "store", "true")
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    build(home / "store", "[ $(id -u) = 1000 ]")
    return 0
