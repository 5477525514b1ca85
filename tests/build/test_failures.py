"""Builds that fail: each with its error, and with nothing left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nivalis.build.errors import BuildError
from nivalis.build.events import BuildFailed, BuildFinished, BuildLine, BuildStarted
from nivalis.build.mounter import WORTHWHILE
from nivalis.errors import InvalidPathError, NivalisError
from nivalis.store import Store, StoreLayout
from nivalis.store.logs import LogMissingError, find_log_of, read_log
from nivalis.store.metadata import remove_tree

FIXED = 'outputHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; '


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('sh "fails" "echo one; echo two >&2; exit 3"', "build-failed", ["exit code 3", "> one", "> two", "nivalis log"]),
        ('sh "nothing" "true"', "output-missing", ["`out`", "$out"]),
        ('shWith "one" { outputs = [ "out" "dev" ]; } "echo > $out"', "output-missing", ["`dev`"]),
        (f'shWith "hash" {{ {FIXED} }} "echo x > $out"', "hash-mismatch", ["sha256-AAAA", "sha256-c8s4WKaHqElMozIwUwFigvPa051Cz2LKTnndoqrH2aw="]),
        (f'shWith "flat" {{ {FIXED} }} "mkdir $out"', "output-invalid", ["recursive"]),
        (f'shWith "runs" {{ {FIXED} }} "echo x > $out; chmod +x $out"', "output-invalid", ["recursive"]),
        ('shWith "cycle" { outputs = [ "out" "dev" ]; } "echo $dev > $out; echo $out > $dev"', "output-cycle", ["-cycle-dev"]),
        ('sh "pipe" "mkfifo $out"', "output-invalid", ["neither regular"]),
        ('sh "device" "mknod $out c 1 3"', "build-failed", ["Operation not permitted"]),
        ('sh "mounts" "mkdir $out; mount -t tmpfs x $out"', "build-failed", ["permission denied"]),
        ('sh "deep-pipe" "mkdir -p $out/a; mkfifo $out/a/p"', "output-invalid", ["/a/p"]),
        ('shWith "self" { allowedReferences = [ ]; } "echo $out > $out"', "output-reference", ["-self"]),
        ('shWith "no" { disallowedReferences = [ (sh "x" "echo > $out") ]; } "echo ${sh "x" "echo > $out"} > $out"', "output-reference", ["-x"]),
        (
            'shWith "deep" { allowedRequisites = [ ]; } "echo ${sh "x" "echo ${sh "y" "echo > $out"} > $out"} > $out"',
            "output-reference",
            ["-x", "-y"],
        ),
        ('shWith "names" { allowedReferences = [ "nonsense" ]; } "echo > $out"', "output-invalid", ["nonsense"]),
        (
            'shWith "large" { __structuredAttrs = true; outputChecks.out.maxSize = 10; } "'
            "o=$(grep -o '/nix/store/[a-z0-9]*-large' .attrs.json); echo 12345678901 > $o\"",
            "output-size",
            ["10 are allowed"],
        ),
        ('derivation { name = "sys"; system = "sparc-linux"; builder = "/bin/sh"; }', "cannot-build", ["sparc-linux"]),
        ('shWith "kvm" { requiredSystemFeatures = [ "moon" ]; } "echo > $out"', "cannot-build", ["moon"]),
        ('derivation { name = "b"; system = "builtin"; builder = "builtin:nonsense"; }', "cannot-build", ["fetchurl"]),
        ('derivation { name = "gone"; system = "x86_64-linux"; builder = "/no/such"; }', "build-failed", ["/no/such", "sandbox-paths"]),
        ('shWith "odd" { exportReferencesGraph = [ "x" ]; } "echo > $out"', "cannot-build", ["odd number"]),
        ('shWith "escape" { exportReferencesGraph = [ "../x" (sh "x" "echo > $out") ]; } "echo > $out"', "cannot-build", ["../x"]),
    ],
)
def test_error(text: str, code: str, words: list[str], workshop: Any) -> None:
    error = workshop.fail(text)
    assert error.code == code
    shown = str(error)
    for word in words:
        assert word in shown


def test_timeout(workshop: Any) -> None:
    started = time.monotonic()
    error = workshop.fail('sh "slow" "while true; do echo x; sleep 0.1; done"', timeout="1")
    assert (error.code, time.monotonic() - started < 10) == ("build-timed-out", True)


def test_silence(workshop: Any) -> None:
    error = workshop.fail('sh "silent" "echo x; sleep 1000"', max_silent_time="1")
    assert error.code == "build-silent"


def test_too_much_to_say(workshop: Any) -> None:
    error = workshop.fail('sh "chatty" "while true; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"', max_build_log_size="100000")
    assert error.code == "build-log-too-long"


def _processes(mark: str) -> list[str]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in words:
                found.append(entry)
    return found


def _wait_for_sleep(seconds: str) -> int:
    """The number of the process that sleeps so long."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for number in _processes(seconds):
            with suppress(OSError):
                if Path(f"/proc/{number}/cmdline").read_bytes() == f"sleep\0{seconds}\0".encode():
                    return int(number)
        time.sleep(0.01)
    raise AssertionError("nobody sleeps")


def test_a_builder_that_is_killed(workshop: Any) -> None:
    with ThreadPoolExecutor() as pool:
        building = pool.submit(workshop.fail, 'sh "killed" "sleep 161.8033; echo > $out"')
        line = Path(f"/proc/{_wait_for_sleep('161.8033')}/stat").read_text()
        os.kill(int(line.rpartition(")")[2].split()[1]), signal.SIGKILL)
        error = building.result()
    assert error.code == "build-failed" and "137" in str(error) and "signal 9" in str(error)
    assert _processes("161.8033") == []


def test_a_builder_that_forks_for_ever_ends_with_all_its_children(workshop: Any) -> None:
    # Each child leaves its session, and starts the next.
    script = "f() { n=$1; [ $n -lt 40 ] || sleep 98765; (setsid sh -c 'sleep 98765' &) ; sleep 0.02; f $((n + 1)); }; f 0"
    error = workshop.fail(f'sh "forks" "{script}"', timeout="2")
    assert error.code == "build-timed-out"
    assert _processes("98765") == []


def test_a_process_that_outlives_its_builder_ends_with_it(workshop: Any) -> None:
    place = workshop.build('sh "leaves" "echo x > $out; (setsid sh -c \'exec 3>> $out; sleep 87654; echo late >&3\' &) ; sleep 0.1"')
    assert Path(place).read_text() == "x\n"
    assert _processes("87654") == []


def test_nothing_but_its_own_places_can_be_written(workshop: Any, tmp_path: Path) -> None:
    place = workshop.build(
        """let x = sh "x" "echo x > $out"; in sh "writes" "
          touch /x /bin/x /etc/x /proc/x || true; echo y > ${x} || true; rm -rf ${x} || true; mv ${x} /nix/store/y || true
          echo y > /etc/passwd || true; touch /tmp/fine; cat ${x} > $out; ls -d /home /root /usr /work ${toString tmp} >> $out || true
        " """.replace("${toString tmp}", str(tmp_path))
    )
    assert Path(place).read_text() == "x\n"


def test_no_network(workshop: Any) -> None:
    place = workshop.build(
        """sh "net" "
          ip link | grep -c UP > $out
          nc -w 1 192.0.2.1 9 2>> $out || nc -w 1 127.0.0.1 9 || echo refused >> $out
        " """
    )
    text = Path(place).read_text()
    assert text.startswith("1\n") and "unreachable" in text and text.endswith("refused\n")


_NETWORK_SEEN = "readlink /proc/self/ns/net; grep lo: /proc/net/dev | tr -s ' '; head -n 1 /proc/net/sockstat"
_TALK = "nc -l -p 8080 > heard & until echo $name | nc 127.0.0.1 8080; do sleep 0.1; done; wait; cat heard"


def test_each_build_finds_its_network_as_new(workshop: Any) -> None:
    """The namespace of one that sent nothing is had again, that of one that did is not."""
    workshop.build(
        f"""let build = name: before: script: sh name "({_NETWORK_SEEN}; ${{script}}) > $out # ${{before}}";
        in build "last" (build "after" (build "talks" (build "first" "" "true") "{_TALK}") "true") "true" """
    )
    outputs = [event.outputs[0] for event in workshop.events if isinstance(event, BuildFinished)]
    seen = {path.rpartition("-")[2]: Path(workshop.store.real_path(path)).read_text().splitlines() for path in outputs}
    namespaces = {name: lines[0] for name, lines in seen.items()}
    assert namespaces["first"] == namespaces["talks"] != namespaces["after"] == namespaces["last"]
    assert len({tuple(seen[name][1:3]) for name in namespaces}) == 1 and " lo: 0 0 " in seen["after"][1]
    assert seen["talks"][3:] == ["talks"]


_DEV_SEEN = "stat -c '%a %u' /dev/shm; ls /dev/shm; ls -l /dev | tr -s ' ' | cut -d' ' -f1,5-6,9-; ls /dev/pts"


@pytest.mark.parametrize("inputs", [1, 2 * WORTHWHILE])
def test_each_build_finds_its_devices_as_new(inputs: int, workshop: Any) -> None:
    changes = {
        "writes": "echo secret > /dev/shm/left; chmod 700 /dev/shm",
        "terminal": "chmod 600 /dev/pts/ptmx",
        "tries": "touch /dev/x; chmod 600 /dev/null; rm /dev/zero; mknod /dev/y c 1 3; echo x > /dev/null; head -c 1 /dev/zero > /dev/full; true",
        "last": "true",
    }
    text = f"""let build = name: before: script: shWith name {{ i = texts {inputs}; }} "({_DEV_SEEN}) > $out; ${{script}} # ${{before}}"; in """
    before = '""'
    for name, script in {"first": "true", **changes}.items():
        before = f'(build "{name}" {before} "{script}")'
    # Not by a user that only builds, who could change none of them.
    workshop.build(text + before, build_users_group="")
    outputs = [event.outputs[0] for event in workshop.events if isinstance(event, BuildFinished)]
    assert len(outputs) == 5 and len({Path(workshop.store.real_path(path)).read_text() for path in outputs}) == 1
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


@pytest.mark.parametrize("inputs", [1, 2 * WORTHWHILE])
def test_no_build_reaches_what_a_later_one_shares(inputs: int, workshop: Any) -> None:
    """Not by a descriptor either, which a builder may send to anybody who can reach its folder."""
    text = """let first = shWith "first" { i = texts INPUTS; } "sleep 3.141592; echo > $out";
      in shWith "later" { i = texts INPUTS; } "cat ${first}; echo key > /dev/shm/key; (ls /dev/shm; ls /dev/pts) > $out; sleep 2.718281" """
    with ThreadPoolExecutor() as pool:
        building = pool.submit(workshop.build, text.replace("INPUTS", str(inputs)))
        memory, terminals = (os.open(f"/proc/{_wait_for_sleep('3.141592')}/root/dev/{name}", os.O_RDONLY) for name in ("shm", "pts"))
        os.close(os.open("planted", os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=memory))
        terminal = os.open("ptmx", os.O_RDWR | os.O_NOCTTY, dir_fd=terminals)
        _wait_for_sleep("2.718281")
        assert (os.listdir(memory), sorted(os.listdir(terminals))) == (["planted"], ["0", "ptmx"])
        for descriptor in (memory, terminals, terminal):
            os.close(descriptor)
        assert Path(building.result()).read_text() == "key\nptmx\n"


def test_nobody_sees_the_memory_that_another_build_shares(workshop: Any) -> None:
    script = "echo $name > /dev/shm/$name; sleep 0.5; ls /dev/shm > $out"
    place = workshop.build(f"""sh "both" "cat ${{sh "one" "{script}"}} ${{sh "two" "{script}"}} > $out" """, max_jobs="2")
    assert Path(place).read_text() == "one\ntwo\n"


def test_devices_that_are_added(workshop: Any, shell: str) -> None:
    script = "ls /dev > $out; echo x > /dev/null; chmod 600 /dev/null /dev/zero || true"
    place = workshop.build(f'sh "added" "{script}"', sandbox_paths=f"/bin/sh={shell} /dev/sound=/dev/full", build_users_group="")
    assert {"sound", "null", "shm"} <= set(Path(place).read_text().split())
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == stat.S_IMODE(os.stat("/dev/zero").st_mode) == 0o666


def test_a_builder_is_the_first_process(workshop: Any) -> None:
    """As CppNix's is: nothing else is there to be found, or to be ended."""
    place = workshop.build('sh "first" "echo $$ > $out; ls -d /proc/[0-9]* | wc -l >> $out"')
    number, count = Path(place).read_text().split()
    assert number == "1" and int(count) <= 3


def test_no_build_hears_what_another_says(workshop: Any) -> None:
    place = workshop.build(
        f"""sh "both" "cat ${{sh "one" "({_TALK}) > $out"}} ${{sh "two" "({_TALK}) > $out"}} > $out" """,
        max_jobs="2",
    )
    assert Path(place).read_text() == "one\ntwo\n"


_BUILDING = """
import os, sys
from nivalis.build import BuildSettings, realise
from nivalis.store import Store, StoreLayout
with Store.open(StoreLayout.under(sys.argv[1])) as store:
    result = realise(store, [sys.argv[2]], BuildSettings.make("x86_64-linux", dict(os.environ)))
    result.check()
    print(store.real_path(result.paths[0]))
"""


def test_no_network_where_only_bubblewrap_may_see_to_that(workshop: Any, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can do without a capability")
    drv_path = workshop.instantiate(f'sh "net" "({_NETWORK_SEEN}) > $out"')
    argv = ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", _BUILDING, str(tmp_path / "root"), drv_path]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **workshop.environment}, check=False)
    assert done.returncode == 0, done.stderr
    namespace, counts, _ = Path(done.stdout.strip()).read_text().splitlines()
    assert namespace != os.readlink("/proc/self/ns/net") and " lo: 0 0 " in counts


def test_no_builder_changes_the_machines_settings(workshop: Any) -> None:
    """Not even root's own, without a build user: what may be written in /proc asks for capabilities that a builder has not."""
    place = workshop.build(
        """sh "settings" "
          for file in $(find /proc -path '/proc/[0-9]*' -prune -o -type f -perm -200 -print); do
            if (: >> $file) 2> /dev/null; then echo $file; fi
          done > $out
          test -e /proc/sys/kernel/core_pattern && cat /proc/sys/kernel/random/uuid > /dev/null
        " """,
        build_users_group="",
    )
    assert {path for path in Path(place).read_text().splitlines() if not path.startswith("/proc/pressure/")} <= {"/proc/mtrr"}


def test_metadata_of_outputs(workshop: Any) -> None:
    script = "mkdir $out; cd $out; echo x > s; chmod 6755 s || chmod 0 s; echo x > t; chmod 777 t"
    place = workshop.build(f'sh "modes" "{script}"')
    found = [os.stat(f"{place}/{name}") for name in "st"]
    assert [(oct(status.st_mode & 0o7777), status.st_mtime) for status in found] == [("0o444", 1.0), ("0o555", 1.0)]
    assert (os.stat(place).st_mode & 0o7777, os.stat(place).st_uid) == (0o555, os.geteuid())


def test_dependency_failures(workshop: Any) -> None:
    text = """let bad = sh "bad" "exit 1"; good = sh "good" "sleep 0.2; echo > $out"; other = sh "other" "echo ${good} > $out";
        in sh "top" "echo ${bad} ${other} > $out" """
    drv_path = workshop.instantiate(text)
    result = workshop.realise(drv_path, keep_going="true")
    codes = [error.code for error in result.failures.values()]
    assert codes == ["build-failed", "dependency-failed"]
    assert (result.exit_status, result.paths) == (100, [])
    started = [event.derivation.rpartition("-")[2] for event in workshop.events if isinstance(event, BuildStarted)]
    assert sorted(started) == ["bad.drv", "good.drv", "other.drv"]
    assert [event.code for event in workshop.events if isinstance(event, BuildFailed)] == ["build-failed"]


def test_without_keep_going_the_rest_is_given_up(workshop: Any) -> None:
    text = 'let bad = sh "bad" "sleep 0.5; exit 1"; slow = sh "slow" "sleep 1000"; in sh "top" "echo ${bad} ${slow} > $out"'
    started = time.monotonic()
    error = workshop.fail(text, max_jobs="2")
    assert (error.code, time.monotonic() - started < 20) == ("build-failed", True)


def test_parallel_builds(workshop: Any) -> None:
    text = """sh "top" "echo ${toString (map (n: sh "n${toString n}" "sleep 1; echo > $out") [ 1 2 3 4 ])} > $out" """
    started = time.monotonic()
    workshop.build(text, max_jobs="4")
    assert time.monotonic() - started < 3.9


def test_no_jobs(workshop: Any) -> None:
    with pytest.raises(BuildError, match="max-jobs"):
        workshop.build('sh "x" "echo > $out"', max_jobs="0")


def test_check_finds_what_differs(workshop: Any) -> None:
    text = 'sh "random" "mkdir $out; cat /proc/sys/kernel/random/uuid > $out/id; echo same > $out/same; ln -s $(cat $out/id) $out/l"'
    drv_path = workshop.instantiate(text)
    first = workshop.realise(drv_path).paths
    result = workshop.realise(drv_path, mode="check")
    error = next(iter(result.failures.values()))
    assert (error.code, result.exit_status) == ("not-deterministic", 104)
    assert "./id: from byte" in str(error) and "./l: symlink" in str(error) and "same" not in str(error)
    assert workshop.store.valid_among(first) == set(first)
    kept = workshop.realise(drv_path, mode="check", keep_failed="true").failures
    place = f"{workshop.store.real_path(first[0])}.check"
    assert place in str(next(iter(kept.values()))) and os.path.isdir(place)
    for name in os.listdir(workshop.environment["TMPDIR"]):
        remove_tree(f"{workshop.environment['TMPDIR']}/{name}")


def test_check_accepts_what_is_the_same(workshop: Any) -> None:
    drv_path = workshop.instantiate('sh "same" "mkdir $out; echo $out > $out/x"')
    workshop.realise(drv_path)
    result = workshop.realise(drv_path, mode="check")
    assert result.failures == {}
    assert sum(isinstance(event, BuildStarted) for event in workshop.events) == 2


def test_check_of_what_is_not_built(workshop: Any) -> None:
    drv_path = workshop.instantiate('sh "none" "echo > $out"')
    with pytest.raises(InvalidPathError, match="checking"):
        workshop.realise(drv_path, mode="check")


def test_a_failed_build_folder_is_kept(workshop: Any) -> None:
    error = workshop.fail('sh "kept" "echo x > file; exit 1"', keep_failed="true")
    (name,) = os.listdir(workshop.environment["TMPDIR"])
    place = Path(workshop.environment["TMPDIR"]) / name
    assert str(place) in str(error) and (place / "file").read_text() == "x\n"
    assert (place / "file").stat().st_uid == os.geteuid()
    remove_tree(str(place))


def test_a_symlink_in_place_of_the_build_folder_is_not_followed(workshop: Any, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("mine")
    os.symlink(victim, f"{workshop.environment['TMPDIR']}/nix-build-attack.drv-0")
    workshop.build(f'sh "attack" "rm -rf /build/*; ln -s {victim} /build/l; ln -s / /build/r; echo > $out"')
    assert [entry.name for entry in victim.iterdir()] == ["file"]
    os.unlink(f"{workshop.environment['TMPDIR']}/nix-build-attack.drv-0")


def test_garbage_in_the_place_of_an_output_is_replaced(workshop: Any) -> None:
    drv_path = workshop.instantiate('sh "garbage" "echo x > $out"')
    place = workshop.store.real_path(workshop.store.read_derivation(drv_path).outputs["out"].path)
    os.makedirs(f"{place}/deep")
    os.chmod(place, 0o555)
    os.makedirs(f"{workshop.store.real_path(drv_path)}.chroot/store/x")
    workshop.realise(drv_path).check()
    assert Path(place).read_text() == "x\n"


def test_a_builder_that_forks_until_it_is_stopped(workshop: Any) -> None:
    error = workshop.fail('sh "forks" "while true; do sleep 43210 & done"', max_build_log_size="1000000", timeout="1")
    assert error.code == "build-timed-out"
    assert _processes("43210") == []


def test_a_missing_input(workshop: Any) -> None:
    drv_path = workshop.instantiate('shWith "input" { src = builtins.toFile "x" "x"; } "echo $src > $out"')
    source = next(iter(workshop.store.read_derivation(drv_path).input_srcs))
    workshop.store.database.invalidate([drv_path])
    with pytest.raises(InvalidPathError, match="derivation is not valid"):
        workshop.realise(drv_path)
    with pytest.raises(InvalidPathError, match="nothing says how to make it"):
        workshop.realise(source.replace("-x", "-y"))


def test_a_moved_store_is_built_in_with_the_sandbox_alone(workshop: Any) -> None:
    # Nothing else shows the store where its paths say.
    built = workshop.build('sh "bare" "test ! -e /usr && echo > $out"', sandbox="false")
    assert Path(built).read_text() == "\n"


def test_the_error_of_a_missing_sandbox_says_what_its_absence_costs(workshop: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(NivalisError) as caught:
        workshop.build('sh "x" "echo > $out"')
    assert caught.value.code == "sandbox-unavailable"
    assert "No permissions" in str(caught.value) and "sandbox false" in str(caught.value) and "whole machine" in str(caught.value)


def test_logs(workshop: Any) -> None:
    drv_path = workshop.instantiate('sh "talks" "printf \'a\\nb\\rc\\nd\'; echo > $out"')
    with pytest.raises(LogMissingError):
        find_log_of(workshop.store, drv_path)
    workshop.realise(drv_path).check()
    assert b"".join(read_log(find_log_of(workshop.store, drv_path))) == b"a\nb\rc\nd"
    place = workshop.store.layout.log_dir / "drvs" / drv_path[11:13] / f"{drv_path[13:]}.bz2"
    assert subprocess.run(["bzip2", "-dc", place], capture_output=True, check=True).stdout == b"a\nb\rc\nd"
    # Another build of it, with another setting, has the last word.
    workshop.store.database.invalidate(workshop.realise(drv_path).paths)
    workshop.realise(drv_path, compress_build_log="false").check()
    assert not place.exists() and find_log_of(workshop.store, drv_path) == place.with_suffix("")


def test_a_line_that_does_not_end(workshop: Any) -> None:
    started = time.monotonic()
    text = (
        "head -c 30000000 /dev/zero | tr '\\\\0' x; printf '\\\\r'; head -c 3000000 /dev/zero | tr '\\\\0' '\\\\r'; printf 'last\\\\n'; echo > $out"
    )
    drv_path = workshop.instantiate(f'sh "line" "{text}"')
    workshop.realise(drv_path).check()
    (line,) = [event.text for event in workshop.events if isinstance(event, BuildLine)]
    assert line == "last" and time.monotonic() - started < 60
    assert sum(map(len, read_log(find_log_of(workshop.store, drv_path)))) == 33_000_006


def test_folders_too_deep_for_any_path(workshop: Any) -> None:
    # Two that just have a path, one moved into the other.
    deep = "p=$(for i in $(seq 17); do printf '%0199d/' 0; done); mkdir -p a/$p b/$p; t=$PWD; (cd b/$p; mv $t/a .)"
    error = workshop.fail(f'sh "deep" "mkdir $out; cd $out; {deep}"')
    assert error.code == "output-invalid" and "too deep" in str(error)
    # Elsewhere it is nobody's business.
    workshop.build(f'sh "deep-elsewhere" "echo > $out; {deep}; cd /tmp; {deep}; mkdir $out-more; cd $out-more; {deep}"')


def test_a_full_disk(workshop: Any, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        with Store.open(StoreLayout.under(small)) as store:
            filled = type(workshop)(store, workshop.environment)
            error = filled.fail('sh "fills" "head -c 40000000 /dev/zero > $out"')
            assert error.code == "build-failed" and "disk is full" in str(error)
            # What does not need that much is built afterwards.
            filled.build('sh "small" "echo > $out"')
    finally:
        subprocess.run(["umount", small], check=True)


def test_without_the_sandbox(tmp_path: Path, workshop: Any) -> None:
    place = tmp_path / "own" / "store"
    layout = StoreLayout(str(place), place, tmp_path / "own/var", tmp_path / "own/log")
    with Store.open(layout) as store:
        bare = type(workshop)(store, workshop.environment)
        options = {"sandbox": "false", "build_users_group": ""}
        text = 'sh "bare" "PATH=/usr/bin:/bin; pwd > $out; echo $NIX_STORE $NIX_BUILD_TOP >> $out; chmod 4755 $out"'
        built = bare.build(text, **options)
        folder, variables = Path(built).read_text().splitlines()
        assert variables == f"{place} {folder}" and folder.startswith(workshop.environment["TMPDIR"])
        assert os.stat(built).st_mode & 0o7777 == 0o555
        error = bare.fail('sh "fails" "PATH=/usr/bin:/bin; mkdir $out; echo x > $out/x; exit 3"', **options)
        assert error.code == "build-failed"
        slow = bare.fail('sh "slow" "PATH=/usr/bin:/bin; sleep 54321 & sleep 54321"', timeout="1", **options)
        assert slow.code == "build-timed-out" and _processes("54321") == []
        # What is valid cannot be built a second time in its own place: that is done in the sandbox all the same.
        plain = 'sh "plain" "echo x > $out"'
        bare.build(plain, **options)
        assert bare.realise(bare.instantiate(plain), mode="check", **options).failures == {}
