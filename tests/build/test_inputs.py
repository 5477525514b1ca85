"""Builds with many inputs: all of them are seen, nothing else is, and none can be written to."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nivalis.build import mounter
from nivalis.build.events import BuildLine

# A text, a folder, a symlink and `count` texts more.
MANY = """
let folder = sh "folder" "mkdir $out; echo in > $out/file"; link = sh "link" "ln -s ${folder} $out";
in shWith "many" { passAsFile = [ "many" ]; many = texts COUNT; unused = folder; }
  "cat ${link}/file > $out; cat $(cat $manyPath) | wc -c >> $out; ls /nix/store | grep -c -v -- -many >> $out
   touch ${folder}/file ${link}/x $(cut -d' ' -f1 $manyPath) 2>&1 | grep -c Read-only >> $out; rm -rf ${folder} || true; cat ${link}/file >> $out
   rmdir ${folder} 2>&1 | grep -o busy >> $out; umount ${folder} 2>&1 | grep -o 'not permitted' >> $out; echo end >> $out"
"""


@pytest.mark.parametrize("count", [3, 200, 5000])
def test_all_inputs_are_there(count: int, workshop: Any) -> None:
    assert (count < mounter.WORTHWHILE) == (count == 3)
    place = Path(workshop.build(MANY.replace("COUNT", str(count))))
    lines = place.read_text().splitlines()
    assert lines == ["in", str(count), str(count + 2), "3", "in", "busy", "not permitted", "end"]


# Three in a row, each with many inputs of which most are also the next one's; the second finds what the first has left, if it can.
IN_A_ROW = """
let
  folder = sh "folder" "mkdir $out; echo in > $out/file"; link = sh "link" "ln -s ${folder} $out";
  first = shWith "first" { i = texts 40; inherit folder link; } "SPOIL; n=$(ls -a /nix/store | wc -l); echo $n > $out";
  next = name: before: shWith name { i = builtins.tail (texts 28) ++ [ folder link ]; inherit before; }
    "n=$(ls -a /nix/store | wc -l); echo $n > $out; ls -a /tmp | wc -l >> $out; stat -c %a /nix/store >> $out
     cat $i ${link}/file | wc -c >> $out; cat $before >> $out; [ $(readlink ${link}) = ${folder} ] || echo $? >> $out";
in next "third" (next "second" first)
"""


@pytest.mark.parametrize(
    "spoil",
    [
        "true",
        "rm -f ${link}; ln -sfn /left ${link}; mv ${folder} /nix/store/moved; cp /bin/sh $i",
        "touch /nix/store/left /tmp/left; mkdir -p /nix/store/left-too/inside; chmod 0 /nix/store/left-too",
        "chmod 700 /nix/store",
    ],
)
def test_builds_in_a_row_see_nothing_of_one_another(spoil: str, workshop: Any) -> None:
    place = Path(workshop.build(IN_A_ROW.replace("SPOIL", spoil)))
    lines = place.read_text().split()
    # Each sees its inputs and two folders more; the first has 40 texts, a folder and a link.
    left = 2 if "touch" in spoil else 0
    assert lines == ["32", "2", "755", "30", "32", "2", "755", "30", str(44 + left)]
    assert list(Path(workshop.store.layout.real_store_dir).glob("*-waiting")) == []


def test_inputs_that_cannot_be_mounted(workshop: Any) -> None:
    drv_path = workshop.instantiate('shWith "top" { i = texts 30; } "echo > $out"')
    text = next(Path(workshop.store.layout.real_store_dir).glob("*-t7"))
    text.unlink()
    error = next(iter(workshop.realise(drv_path).failures.values()))
    assert error.code == "sandbox-unavailable"
    assert f"No such file or directory: b'{text}'" in error.message


def test_no_more_builders_run_than_may(workshop: Any) -> None:
    text = """sh "top" "echo ${toString (map (n: shWith "n${toString n}" { i = texts (n * 10); } "echo a; sleep 0.1; echo z; echo > $out")
      (builtins.genList (n: n) 6))} > $out" """
    workshop.build(text, max_jobs="1")
    said = [event.text for event in workshop.events if isinstance(event, BuildLine)]
    assert said == ["a", "z"] * 6


@pytest.mark.parametrize("inputs", [1, 2 * mounter.WORTHWHILE])
def test_thousands_of_variables(inputs: int, workshop: Any) -> None:
    text = """shWith "x" (builtins.listToAttrs (builtins.genList (n: { name = "v${toString n}"; value = "text ${toString n}"; }) 5000)
      // { i = texts INPUTS; LD_PRELOAD = "none"; PATH = "/nowhere"; }) "env > $out" """
    place = Path(workshop.build(text.replace("INPUTS", str(inputs))))
    found = dict(line.split("=", 1) for line in place.read_text().splitlines())
    assert {name: text for name, text in found.items() if name.startswith("v")} == {f"v{n}": f"text {n}" for n in range(5000)}
    assert (found["LD_PRELOAD"], found["PATH"], found["HOME"]) == ("none", "/nowhere", "/homeless-shelter")


def test_thousands_of_variables_in_capitals(workshop: Any) -> None:
    text = 'shWith "x" (builtins.listToAttrs (builtins.genList (n: { name = "V${toString n}"; value = ""; }) 5000)) "echo > $out"'
    error = workshop.fail(text)
    assert error.code == "sandbox-unavailable" and "__structuredAttrs" in str(error.hint)


@pytest.mark.parametrize("inputs", [1, 2 * mounter.WORTHWHILE])
def test_a_builder_starts_as_from_a_shell(inputs: int, workshop: Any) -> None:
    text = """shWith "x" { i = texts INPUTS; } "grep SigIgn /proc/self/status > $out; umask >> $out; ls /proc/self/fd >> $out" """
    lines = Path(workshop.build(text.replace("INPUTS", str(inputs)))).read_text().split()
    # The C library's own signals, 32 and 33, it leaves ignored in what it starts.  Of descriptors there are three; the fourth is that of the folder
    # which `ls` reads.
    assert int(lines[1], 16) & 0x7FFFFFFF == 0
    assert lines[2:] == ["0022", "0", "1", "2", "3"]


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup"), reason="there is no /sys here")
def test_what_sandbox_paths_name_of_sys_is_seen(shell: str, workshop: Any) -> None:
    text = 'shWith "x" { i = texts 30; } "ls -d /fs/cgroup /sys/* > $out"'
    place = workshop.build(text, sandbox_paths=f"/bin/sh={shell} /fs=/sys/fs /sys/kernel")
    assert Path(place).read_text().split() == ["/fs/cgroup", "/sys/kernel"]


def test_what_sandbox_paths_name_of_the_store_is_seen(shell: str, workshop: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("seen")
    path = f"{workshop.store.store_dir}/{'0' * 32}-elsewhere"
    text = f"""shWith "x" {{ i = texts 30; }} "cat $i > /dev/null; cat {path} > $out" """
    assert Path(workshop.build(text, sandbox_paths=f"/bin/sh={shell} {path}={file}")).read_text() == "seen"


REALISE = """
import os, sys
from nivalis.build import BuildSettings, realise
from nivalis.store import Store, StoreLayout
with Store.open(StoreLayout.under(sys.argv[1])) as store:
    result = realise(store, sys.argv[2:], BuildSettings.make("x86_64-linux", dict(os.environ), {"max-jobs": "2", "build-users-group": ""}))
    sys.exit(result.exit_status)
"""


@contextmanager
def _started(workshop: Any, drv_path: str) -> Iterator[subprocess.Popen[bytes]]:
    root = workshop.store.layout.real_store_dir.parents[1]
    with subprocess.Popen([sys.executable, "-c", REALISE, str(root), drv_path], env={**os.environ, **workshop.environment}) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_was_made_ready_ends_with_us(workshop: Any) -> None:
    text = """let sleep = n: shWith "n${toString n}" { i = texts 40; } "sleep 300; echo MARK > $out";
      in sh "top" "echo ${toString (map sleep [ 1 2 3 4 ])}" """
    mark = f"mark-{os.getpid()}-{time.time()}"
    with _started(workshop, workshop.instantiate(text.replace("MARK", mark))):
        # Bubblewrap, and the builder or what is to become it.
        _wait(lambda: len(_running(mark)) == 2 * 4)
    _wait(lambda: not _running(mark))
    for folder in Path(workshop.environment["TMPDIR"]).iterdir():
        folder.rmdir()


@pytest.mark.parametrize("inputs", [1, 40])
def test_nothing_is_left_of_a_bubblewrap_that_is_killed(inputs: int, workshop: Any) -> None:
    chance = random.Random(inputs)
    for number in range(6):
        mark = f"mark-{os.getpid()}-{time.time()}"
        text = f"""shWith "n" {{ i = texts {inputs}; }} "sleep 300; echo {mark} > $out" """
        with _started(workshop, workshop.instantiate(text)) as process:
            _wait(lambda mark=mark: bool(_running(mark)))  # type: ignore[misc]
            # Half of them at once, when its processes may still wait for one another.
            time.sleep(number % 2 * chance.uniform(0, 0.1))
            # The first is the other's parent.
            os.kill(min(map(int, _running(mark))), signal.SIGKILL)
            assert process.wait(timeout=120) == 100
        _wait(lambda mark=mark: not _running(mark))  # type: ignore[misc]
    assert os.listdir(workshop.environment["TMPDIR"]) == []


@pytest.mark.parametrize("is_first", [False, True])
def test_no_build_outlives_the_process_that_mounts(is_first: bool, workshop: Any) -> None:
    text = """let sleep = n: shWith "n${toString n}" { i = texts 40; } "sleep 300; echo MARK > $out";
      in sh "top" "echo ${toString (map sleep [ 1 2 3 4 ])}" """
    chance = random.Random(is_first)
    for number in range(4):
        mark = f"mark-{os.getpid()}-{time.time()}"
        with _started(workshop, workshop.instantiate(text.replace("MARK", mark))) as process:
            # Half of the times some builds run and others are ready to, the other half bubblewrap has only just been started.
            _wait(lambda mark=mark, wanted=2 * 4 if number % 2 else 1: len(_running(mark)) >= wanted)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.02))
            (outer,) = (child for child in _children(process.pid) if b"mounts.py" in Path(f"/proc/{child}/cmdline").read_bytes())
            mounting = [outer, *_children(outer)]
            os.kill(mounting[is_first], signal.SIGKILL)
            assert process.wait(timeout=120) == 100
        _wait(lambda mark=mark: not _running(mark))  # type: ignore[misc]
    assert os.listdir(workshop.environment["TMPDIR"]) == []


def _children(parent: int) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the program's name, which may have spaces: the state, and the parent.
            found += [int(place.parent.name)] if int(place.read_text().rpartition(")")[2].split()[1]) == parent else []
        except OSError:
            continue
    return found


def _running(mark: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [place.parent.name] if mark.encode() in place.read_bytes() else []
        except OSError:
            continue
    return found


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
