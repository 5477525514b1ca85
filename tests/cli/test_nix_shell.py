"""`nix-shell` as a program, beside CppNix's over one store: environments, scripts, exit statuses; and over stores under another root.

What differs on purpose: the temporary folder is the shell's own, as in CppNix's later versions, and PATH is exported whatever stdenv does.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from nivalis.cli.nix_shell_start import decode_answer, encode_answer, read_words
from nivalis.errors import NivalisError
from nivalis.profile.shell import Shell, ShellRun
from nivalis.settings.machine import find_static_shell
from oracle import cppnix28

Answer = subprocess.CompletedProcess[str]
OURS = [sys.executable, "-c", "from nivalis.cli.start import nix_shell; nix_shell()"]
NIX_BUILD = [sys.executable, "-c", "from nivalis.cli.start import nix_build; nix_build()"]

# As stdenv's, as far as shells need it.
SETUP = """
set -e
PATH=/usr/bin:/bin
if [ -n "${NIX_ATTRS_SH_FILE-}" ]; then source "$NIX_ATTRS_SH_FILE"; fi
for input in $buildInputs; do PATH=$input/bin:$PATH; done
export PATH
runHook() { eval "${!1}"; }
"""
EXPRESSION = """
{ word ? "word", inNixShell ? false }:
let
  sh = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" script ]; };
  shell = attrs: derivation ({ name = "shell"; system = builtins.currentSystem; builder = "/bin/sh"; inherit stdenv; } // attrs);
  stdenv = toString ./stdenv;
  greeter = sh "greeter" "/bin/mkdir -p $out/bin; echo 'echo greetings' > $out/bin/greet; /bin/chmod +x $out/bin/greet";
  bad = sh "bad" "exit 1";
in {
  plain = shell { inherit word inNixShell; quoted = "a'b \\"c\\" $d\\n\\te"; list = [ 1 "two" null true ]; };
  tool = shell { buildInputs = [ greeter ]; };
  hook = shell { shellHook = "echo from the hook; export HOOKED=1"; };
  files = shell { passAsFile = [ "small" "large" ]; small = "s"; large = "l\\nl"; };
  structured = shell { __structuredAttrs = true; buildInputs = [ greeter ]; map = { a = 1; b = "x y"; }; outputs = [ "out" "dev" ]; };
  bad = shell { buildInputs = [ bad ]; };
  bare = derivation { name = "bare"; system = builtins.currentSystem; builder = "/bin/sh"; shellHook = "echo not run"; };
  inherit (import ./both.nix) one two;
}
"""
BOTH = '{ one = derivation { name = "one"; system = "x"; builder = "x"; }; two = derivation { name = "two"; system = "x"; builder = "x"; }; }'


class Place:
    """A folder with expressions, and a store that both programs use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "HOME": str(folder / "home"),
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "NIX_STORE_DIR": str(folder / "store"),
            "NIX_STATE_DIR": str(folder / "var"),
            "NIX_LOG_DIR": str(folder / "log"),
            "NIX_CONF_DIR": str(folder / "etc"),
            "NIX_PATH": "",
            "NIX_BUILD_SHELL": "/bin/bash",
            "LEFT": "over",
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "stdenv").mkdir()
        (folder / "stdenv/setup").write_text(SETUP)
        (folder / "default.nix").write_text(EXPRESSION)
        (folder / "both.nix").write_text(BOTH)
        for name in ("etc", "home", "tmp", "tmp-theirs"):
            (folder / name).mkdir()
        (folder / "etc/nix.conf").write_text("sandbox = false\nsubstituters =\nbuild-users-group =\n")

    def ours(self, *words: str, **more: str) -> Answer:
        return self._run(OURS, words, more)

    def theirs(self, *words: str, **more: str) -> Answer:
        oracle, reason = cppnix28()
        if oracle is None:
            pytest.skip(reason)
        return self._run(oracle.command("nix-shell"), words, {**more, "TMPDIR": str(self.folder / "tmp-theirs")})

    def left_behind(self) -> list[str]:
        """What of temporary folders is still there."""
        return os.listdir(self.folder / "tmp")

    def _run(self, command: list[str], words: tuple[str, ...], more: Mapping[str, str]) -> Answer:
        env = {**self.env, **more}
        return subprocess.run([*command, *words], cwd=self.folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _environment(text: str) -> dict[str, str]:
    """What `env -0` printed, without what is different by its nature or on purpose."""
    found = dict(line.partition("=")[::2] for line in text.split("\0") if line)
    folder = found["NIX_BUILD_TOP"]
    for name in ("NIX_BUILD_TOP", "TMPDIR", "TEMPDIR", "TMP", "TEMP"):
        assert found.pop(name) == folder
    # Where a file is differs, but not its name.
    return {name: re.sub(r"^.*/nix-shell-[^/]*/", "…/", text) for name, text in found.items()}


@pytest.mark.parametrize(
    "words",
    [
        ["-A", "plain"],
        ["-A", "plain", "--pure"],
        ["-A", "plain", "--pure", "--keep", "LEFT"],
        ["-A", "plain", "--argstr", "word", "other", "--cores", "3"],
        ["-A", "tool"],
        ["-A", "hook"],
        ["-A", "files", "--pure"],
        ["-A", "structured", "--pure"],
        ["-E", "{ inNixShell }: (import ./. { inherit inNixShell; }).plain"],
    ],
    ids=" ".join,
)
def test_environment_beside_cppnix(words: list[str], place: Place) -> None:
    command = ["--run", "echo START; env -0"]
    theirs = place.theirs(*words, *command, TZ="Europe/Berlin")
    # The second time from the cache.
    for _ in range(2):
        ours = place.ours(*words, *command, TZ="Europe/Berlin")
        assert (ours.returncode, ours.stderr if "building" not in ours.stderr else "") == (theirs.returncode, "")
        (said, found), (their_said, expected) = (answer.stdout.split("START\n") for answer in (ours, theirs))
        assert said == their_said
        assert _environment(found) == _environment(expected)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["-A", "files", "--run", 'cat "$smallPath" "$largePath"'], 0),
        (["-A", "tool", "--run", "greet; type -P greet"], 0),
        (["-A", "tool", "--pure", "--run", "greet; exit 7"], 7),
        (["-A", "plain", "--command", "echo $PS1 $-; false"], 1),
        (["-A", "plain", "--run", "kill -TERM $$"], -signal.SIGTERM),
        (["-A", "plain", "--run", "yes | head -n 1; echo ${PIPESTATUS[@]}"], 0),
        (["-A", "bare", "--run", 'echo "$name $system $SHELL $BASH $IN_NIX_SHELL"'], 0),
        (["-A", "bare", "--pure", "--run", "echo $IN_NIX_SHELL $LEFT$HOME"], 0),
        (["-A", "bad", "--run", "true"], 100),
        (["-A", "bad", "--exclude", "bad", "--run", "true"], 0),
        (["-A", "bad", "--dry-run"], 0),
        (["-A", "nothing", "--run", "true"], 1),
        (["-A", "one", "-A", "two", "--run", "true"], 1),
        (["both.nix", "--run", "true"], 1),
        (["both.nix", "-A", "two", "--run", "echo $name"], 0),
        (["nothing.nix"], 1),
        (["-p", "x", "--run", "true"], 1),
        (["-p", "-E", "x"], 1),
        (["-i", "x"], 1),
        (["--run"], 1),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_beside_cppnix(words: list[str], status: int, place: Place) -> None:
    ours, theirs = place.ours(*words), place.theirs(*words)
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), (ours.stderr, theirs.stderr)
    assert ours.returncode == status
    assert ("error" in ours.stderr) == ("error" in theirs.stderr), (ours.stderr, theirs.stderr)
    # `-TERM` is too sudden for a trap, and then the folder stays.
    assert status < 0 or place.left_behind() == []


def test_structured_attributes_beside_cppnix(place: Place) -> None:
    answers = []
    for run in (place.ours, place.theirs):
        said = run(
            "-A",
            "structured",
            "--run",
            "cat $NIX_ATTRS_JSON_FILE; echo; declare -p map buildInputs name; declare -p outputs; grep -c . $NIX_ATTRS_SH_FILE",
        )
        attributes, *declared, outputs, count = said.stdout.splitlines()
        found = json.loads(attributes)
        answers.append(({name: value for name, value in found.items() if name != "outputs"}, declared, count))
        assert all(f"[{name}]=" in outputs for name in found["outputs"])
    assert answers[0] == answers[1]
    # Ours are the paths, as without structured attributes; CppNix shows placeholders that only a build replaces.
    command = '[ "${outputs[out]}" = "$out" ] && [ "${outputs[dev]}" = "$dev" ]'
    assert place.ours("-A", "structured", "--run", command).returncode == 0


def test_files_that_are_there_without_being_named(place: Place) -> None:
    (place.folder / "shell.nix").write_text('(import ./default.nix { }).plain.overrideAttrs or (import ./default.nix { word = "shell"; }).plain')
    assert place.ours("--run", "echo $word").stdout == place.theirs("--run", "echo $word").stdout == "shell\n"
    # Later versions look for it in folders that are named too.
    assert place.ours(".", "--run", "echo $word").stdout == "shell\n"
    flag = "--no-nix-shell-always-looks-for-shell-nix"
    assert place.ours(".", flag, "-A", "plain", "--run", "echo $word").stdout == "word\n"
    # An answer from the cache knows that the file has gone.
    (place.folder / "shell.nix").unlink()
    assert "single" in place.theirs("--run", "echo $word").stderr
    assert "for one derivation" in place.ours("--run", "echo $word").stderr
    (place.folder / "default.nix").unlink()
    for answer in (place.ours("--run", "true"), place.theirs("--run", "true")):
        assert answer.returncode == 1 and "default.nix" in answer.stderr


def test_the_cache_knows_what_a_shell_needs(place: Place) -> None:
    command = ("-A", "tool", "--run", "greet; echo ${LEFT}")
    first = place.ours(*command)
    assert first.stdout == "greetings\nover\n" and "building" in first.stderr
    assert (place.ours(*command).stderr, place.ours(*command, LEFT="changed").stdout) == ("", "greetings\nchanged\n")
    # What was collected is built again.
    collect = [sys.executable, "-c", "from nivalis.cli.nix_store import main; main()", "--gc"]
    subprocess.run(collect, env=place.env, check=True, capture_output=True)
    again = place.ours(*command)
    assert again.stdout == first.stdout and "building" in again.stderr
    # Another kind of shell is another environment to an evaluation that asks.
    (place.folder / "default.nix").write_text(
        EXPRESSION.replace("inherit word inNixShell;", 'inherit inNixShell; word = builtins.getEnv "IN_NIX_SHELL";')
    )
    for _ in range(2):
        assert place.ours("-A", "plain", "--run", "echo $word").stdout == "impure\n"
        assert place.ours("-A", "plain", "--pure", "--run", "echo $word").stdout == "pure\n"


def test_derivations_and_standard_input(place: Place) -> None:
    instantiate = [sys.executable, "-c", "from nivalis.cli.start import nix_instantiate; nix_instantiate()"]
    made = subprocess.run([*instantiate, "-A", "tool"], cwd=place.folder, env=place.env, capture_output=True, text=True, check=True)
    drv_path = made.stdout.strip()
    assert place.ours(drv_path, "--run", "greet").stdout == place.theirs(drv_path, "--run", "greet").stdout == "greetings\n"
    text = "(import ./. { }).tool"
    answer = subprocess.run([*OURS, "-", "--run", "greet"], cwd=place.folder, env=place.env, input=text, capture_output=True, text=True, check=False)
    assert answer.stdout == "greetings\n", answer.stderr


# ---------------------------------------------------------------------------------------------------- packages and their Bash


PACKAGES = """
{ greeting ? "hello", ... }:
let
  sh = name: script: derivation { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" script ]; };
  tool = name: text: sh name ''
    /bin/mkdir -p $out/bin
    echo '#!/bin/bash' > $out/bin/${name}
    echo '${text}' >> $out/bin/${name}
    /bin/chmod +x $out/bin/${name}
  '';
in rec {
  hello = tool "hello" "echo ${greeting}";
  runner = tool "runner" ''echo "run by runner:" "$@"; tail -n 1 "$1"'';
  bashInteractive = tool "bash" ''exec /bin/bash "$@"'';
  pkgs.runCommand = name: attrs: script:
    derivation ({ inherit name; system = builtins.currentSystem; builder = "/bin/sh"; stdenv = STDENV; } // attrs);
}
"""


@pytest.fixture
def packages(place: Place) -> Place:
    folder = place.folder / "nixpkgs"
    folder.mkdir()
    (folder / "default.nix").write_text(PACKAGES.replace("STDENV", f'"{place.folder}/stdenv"'))
    place.env["NIX_PATH"] = f"nixpkgs={folder}"
    del place.env["NIX_BUILD_SHELL"]
    return place


def test_packages(packages: Place) -> None:
    for words in (
        ["-p", "hello"],
        ["--pure", "-p", "hello", "--argstr", "greeting", "hi"],
        ["-p", "runner", "hello.overridden or (hello // { x = 1; })"],
    ):
        command = [*words, "--run", 'hello; echo $BASH $SHELL; echo "$PATH"']
        ours, theirs = packages.ours(*command), packages.theirs(*command)
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout) and ours.returncode == 0, ours.stderr
        assert f"{packages.folder}/store/" in ours.stdout.splitlines()[1]


def test_bash_of_the_path(packages: Place) -> None:
    command = ["-E", "(import ./. { }).bare", "--run", "echo $BASH"]
    answer = packages.ours(*command, NIX_PATH=f"nixpkgs={packages.folder}/absent")
    assert answer.stdout == "/usr/bin/bash\n" and "the shell is the `bash` of PATH" in answer.stderr
    (packages.folder / "absent").symlink_to("nixpkgs")
    # The cache knows that it is there now.
    answer = packages.ours(*command, NIX_PATH=f"nixpkgs={packages.folder}/absent")
    assert answer.stdout.endswith("-bash/bin/bash\n")
    assert packages.ours(*command, PATH="/nowhere", NIX_PATH="").stderr.splitlines()[-2:] == [
        "error[shell]: there is no `bash` on the PATH",
        "  hint: NIX_BUILD_SHELL names the shell",
    ]
    answer = packages.ours(*command, NIX_BUILD_SHELL="/nowhere/bash")
    assert answer.returncode == 1 and "error[shell]: cannot start `/nowhere/bash`" in answer.stderr
    assert packages.ours(*command, NIX_BUILD_SHELL="bash").stdout == "/usr/bin/bash\n"


def test_scripts(packages: Place) -> None:
    elsewhere = packages.folder / "scripts"
    elsewhere.mkdir()
    script = elsewhere / "it's a script"
    script.write_text("#! /usr/bin/env nix-shell\n#! nix-shell --pure -p runner\n#! nix-shell hello -i 'runner'\nlast line\n")
    arguments = [str(script), "a b", "--pure", "-c"]
    for _ in range(2):
        ours, theirs = packages.ours(*arguments), packages.theirs(*arguments)
        assert ours.stdout == theirs.stdout == f"run by runner: {script} a b --pure -c\nlast line\n", ours.stderr
    assert packages.ours(str(script), "other").stdout == f"run by runner: {script} other\nlast line\n"
    script.write_text("#! /usr/bin/env nix-shell\n#! nix-shell -p -i 'bash -e'\nfalse\n")
    assert packages.ours(str(script)).returncode == packages.theirs(str(script)).returncode == 1
    # Files and expressions start from the script.
    (elsewhere / "shell.nix").write_text('(import ../default.nix { word = "beside"; }).plain')
    for words in ("./shell.nix", "-E 'import ./shell.nix'", "", "."):
        script.write_text(f"#! /usr/bin/env nix-shell\n#! nix-shell {words}\n#! nix-shell -i bash\necho $word $0 $*\n")
        assert packages.ours(str(script), "x").stdout == f"beside {script} x\n"
    script.write_text('#! /usr/bin/env nix-shell\n#! nix-shell -i python3 -p "\n')
    assert "error[usage]: a quote is not closed" in packages.ours(str(script)).stderr
    assert packages.left_behind() == []


def test_words_of_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!x\n#!nix-shell a 'b \"c' \"d 'e\" f\\ g h''i '' \n \n#! nix-shellx y\n  #! nix-shell z\n#! \tnix-shell\tj k\r\n")
    assert read_words([str(script), "-x"]).words == ["a", 'b "c', "d 'e", "f g", "hi", "", "j", "k"]
    assert read_words([str(script), "-x"]).script == [str(script), "-x"]
    script.write_text("#!x\n#! nix-shell 'a\n")
    with pytest.raises(NivalisError, match="quote"):
        read_words([str(script)])
    for words in ([], ["-p"], [str(tmp_path)], [str(tmp_path / "absent")]):
        assert (read_words(words).words, read_words(words).script) == (words, [])


def test_kept_shells_come_back_whole() -> None:
    shell, run = Shell("/bin/bash", 3, "/nix/store"), ShellRun()
    shell.variables = {"a": "", "b": "x\ny=\udcff"}
    shell.files, shell.file_variables, shell.places = {"f": "text"}, {"fPath": "f"}, {"/nix/store": "/else/where"}
    run.pure, run.interactive, run.command, run.keep = True, False, "run\nthis", ["A", "B"]
    again, run_again = decode_answer(encode_answer(shell, run))
    assert [getattr(again, name) for name in Shell.__slots__] == [getattr(shell, name) for name in Shell.__slots__]
    assert [getattr(run_again, name) for name in ShellRun.__slots__] == [getattr(run, name) for name in ShellRun.__slots__]


def test_variables_that_are_too_large(place: Place) -> None:
    (place.folder / "default.nix").write_text(
        'let long = builtins.concatStringsSep "" (builtins.genList toString 50000); in'
        ' derivation { name = "x"; system = "x"; builder = "x"; inherit long; "a=b" = "c"; }'
    )
    answer = place.ours("--run", "true")
    assert answer.returncode == 1
    assert "error[shell]: the variables are too large for the system; the largest is `long`" in answer.stderr
    assert place.left_behind() == []


# ---------------------------------------------------------------------------------------------------- on a terminal


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv: list[str], folder: Path, env: Mapping[str, str]) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(argv[0], argv, dict(env))
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def expect(self, pattern: str) -> str:
        """What was shown up to the end of `pattern`."""
        deadline = time.monotonic() + 60
        while (match := re.search(pattern, self.seen)) is None:
            assert time.monotonic() < deadline, self.seen
            if select.select([self._file], [], [], 1)[0]:
                self.seen += os.read(self._file, 4096).decode()
        before, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return before

    def status(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture(params=["same", "moved"])
def terminal(request: pytest.FixtureRequest, place: Place) -> Iterator[Callable[..., Terminal]]:
    moved = {} if request.param == "same" else {"NIX_STORE_DIR": "", "NIX_STATE_DIR": "", "NIX_REMOTE": f"local?root={place.folder}/root"}
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        env = {**place.env, **moved, "TERM": "dumb"}
        started.append(Terminal([*OURS, *words], place.folder, env))
        return started[-1]

    yield start
    for one in started:
        try:
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def test_interactive_shell(terminal: Callable[..., Terminal], place: Place) -> None:
    (place.folder / "home/.bashrc").write_text("alias from_bashrc='echo alias'\n")
    shell = terminal("-A", "hook")
    shell.expect("from the hook")
    shell.expect(r"\[nix-shell:.*\][$#]")
    shell.type("echo $$ $HOOKED $IN_NIX_SHELL; from_bashrc\n")
    # The shell is the process that was started, and its parent is whose it was.
    shell.expect(rf"\n{shell.pid} 1 impure\r\nalias")
    shell.type("sleep 100\n")
    time.sleep(0.5)
    shell.type("\x03")
    shell.expect(r"\[nix-shell:.*\][$#]")
    shell.type("echo status $?; exit 9\n")
    shell.expect("status 130")
    assert shell.status() == 9
    assert place.left_behind() == []


def test_interrupt_reaches_the_program_alone(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("-A", "plain", "--run", "trap 'echo caught; exit 5' INT; echo ready; while true; do sleep 0.1; done")
    shell.expect("ready")
    shell.type("\x03")
    shell.expect("caught")
    assert shell.status() == 5


# ---------------------------------------------------------------------------------------------------- a store under another root

ORDINARY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


@pytest.fixture
def sandboxed(packages: Place) -> Place:
    """The store is named nowhere, and builds run in the sandbox."""
    if find_static_shell() is None:
        pytest.skip("no static shell: install busybox-static")
    file = packages.folder / "nixpkgs/default.nix"
    file.write_text(file.read_text().replace("/bin/mkdir", "mkdir").replace("/bin/chmod", "chmod"))
    (packages.folder / "etc/nix.conf").write_text("substituters =\nbuild-users-group =\n")
    for name in ("NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR"):
        del packages.env[name]
    return packages


@pytest.mark.parametrize("user", [[], ORDINARY], ids=["self", "ordinary"])
def test_moved_store_is_seen_at_its_logical_place(user: list[str], sandboxed: Place) -> None:
    place = sandboxed
    place.env["NIX_REMOTE"] = f"local?root={place.folder}/root"

    def run(*words: str) -> Answer:
        return subprocess.run([*user, *OURS, *words], cwd=place.folder, env=place.env, capture_output=True, text=True, check=False)

    answer = run("-p", "hello", "--run", "hello; type -P hello; ls -A / | grep nivalis; id -u; pwd")
    said = answer.stdout.splitlines()
    assert answer.returncode == 0 and said[0] == "hello" and re.fullmatch(r"/nix/store/[0-9a-z]{32}-hello/bin/hello", said[1]), answer.stderr
    assert said[2:] == ["65534" if user else str(os.geteuid()), str(place.folder)]
    assert not Path(said[1]).exists()
    assert sorted(os.listdir("/")) == sorted({*run("-p", "--run", "ls -A /").stdout.split()} - ({"nix"} - {*os.listdir("/")}))
    # What is the machine's can be written as ever, but not the root that is made up.
    assert run("-p", "--run", "echo x > written; touch /made-up").returncode == 1
    assert (place.folder / "written").read_text() == "x\n"
    assert run("-p", "--run", "exit 3").returncode == 3
    # In a shell one can build, in its store under either name, and start another.
    within = " ".join(f"'{word}'" for word in NIX_BUILD) + " '<nixpkgs>' -A runner --no-out-link"
    built = run("-p", "--run", f"{within} && env -u NIX_REMOTE {within}")
    first, second = built.stdout.split()
    assert first == second and (place.folder / "root" / first[1:] / "bin/runner").exists()
    nested = " ".join(f"'{word}'" for word in OURS)
    assert run("-p", "--run", f"{nested} -p hello --run hello").stdout == "hello\n"
    # What is built there can be found from outside.
    assert run("-p", "--run", f"{within.replace('--no-out-link', '-o link')}").returncode == 0
    assert "run by runner" in (place.folder / "link/bin/runner").read_text()
    # Its dependencies are alive while it runs.
    collect = [*user, sys.executable, "-c", "from nivalis.cli.nix_store import main; main()", "--gc"]
    with subprocess.Popen(
        [*user, *OURS, "-p", "hello", "--run", "echo ready; read line; hello"],
        cwd=place.folder,
        env=place.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as shell:
        assert shell.stdout is not None and shell.stdout.readline() == "ready\n"
        subprocess.run(collect, env=place.env, check=True, capture_output=True)
        assert shell.communicate("\n")[0] == "hello\n"


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap")
def test_ordinary_user_without_a_store_has_one_at_home(sandboxed: Place) -> None:
    place = sandboxed
    elsewhere = ["bwrap", "--unshare-user", "--uid", "65534", "--gid", "65534", "--dev-bind", "/", "/", "--tmpfs", "/nix", "--remount-ro", "/nix"]
    for words in ([*OURS, "-p", "hello", "--run", "hello"], [*NIX_BUILD, "<nixpkgs>", "-A", "hello"]):
        answer = subprocess.run([*elsewhere, *words], cwd=place.folder, env=place.env, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
    root = place.folder / "home/.local/share/nix/root"
    assert os.readlink(place.folder / "result") == f"{root}{answer.stdout.strip()}"
    assert (place.folder / "result/bin/hello").exists()


def test_where_namespaces_are_not_allowed(place: Place) -> None:
    # A user namespace that may have none below it stands for a machine that allows none.
    place.env |= {"NIX_STORE_DIR": "", "NIX_STATE_DIR": "", "NIX_REMOTE": f"local?root={place.folder}/root"}
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *OURS, "-A", "plain", "--run", "true"]
    answer = subprocess.run(command, cwd=place.folder, env=place.env, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and "error[namespace-unavailable]" in answer.stderr, answer.stderr
    assert place.left_behind() == []
