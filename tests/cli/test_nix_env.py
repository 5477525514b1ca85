"""`nix-env` as a program beside CppNix 2.8's: the same commands on two stores at one place, and both programs on one store.

The store is where its paths say (NIX_STORE_DIR): with a store under another root CppNix does not find what is installed.
"""

from __future__ import annotations

import getpass
import json
import os
import pty
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from nivalis.cli.nix_env import nix_env
from nivalis.errors import NivalisError
from nivalis.profile import Profile
from nivalis.profile.generations import current_generation
from nivalis.settings.machine import find_static_shell
from nivalis.store import Store, StoreLayout
from nivalis.store.roots import replace_symlink
from oracle import Oracle, cppnix28

EXPRESSION = r"""
let
  drv = name: meta: files: derivation {
    inherit name; system = "x86_64-linux"; builder = "/bin/sh";
    args = [ "-c" "PATH=/usr/bin:/bin; for f in ${files}; do mkdir -p $out/$(dirname $f); echo ${name} > $out/$f; done" ];
  } // { inherit meta; };
  two = derivation {
    name = "two-1.0"; outputs = [ "out" "dev" "doc" ]; system = "x86_64-linux"; builder = "/bin/sh";
    args = [ "-c" "PATH=/usr/bin:/bin; for f in $out/bin/two $dev/include/two.h $doc/share/two; do mkdir -p $(dirname $f); echo 2 > $f; done" ];
  };
in rec {
  hello = drv "hello-1.0" {
    description = "says \"hello\" \${x}"; license = { shortName = "gpl"; free = true; }; list = [ "a" 1 [ true ] ]; num = 1.5;
  } "bin/hello share/doc/hello";
  hello2 = drv "hello-2.0" { description = "newer\nlines"; } "bin/hello share/doc/hello";
  helloOld = drv "hello-0.9" { } "bin/hello";
  rival = drv "rival-1.0" { } "bin/hello bin/rival";
  twoOut = two;
  nested = { recurseForDerivations = true; inner = drv "inner-3" { keep = true; } "bin/inner"; };
  hidden = {
    inner = drv "hidden-3" { } "bin/hidden";
    twoSome = two // { meta.outputsToInstall = [ "dev" "out" ]; };
    twoDev = two.dev // { outputSpecified = true; };
    badOutputs = two // { meta.outputsToInstall = [ "lib" ]; };
  };
  broken = throw "is broken";
  half = drv "half-1" { } "x" // { outPath = throw "no out"; };
  bad = drv "bad-1" { } "x; exit 3";
  odd = drv "odd-1.2pre3" {
    text = "é\t\n\r\\ \"q\" \${a} $b"; "with space" = 1; "a.b" = false; "if" = 1; neg = -5; big = 1000000000000; nul = null; priority = "+12";
    inner = { a = { b = [ ]; }; }; sets = { outPath = "x"; }; fun = { y = x: x; }; path = ./default.nix; list = [ [ ] { } ];
  } "odd/odd";
}
"""

INSTALLING = """
    -i hello two ; -q ; -q --out-path --system --description ; -q --json --meta ; -q --xml --meta --out-path ; -qc ; -qs ; --list-generations x
    -i rival ; --set-flag priority 3 hello ; -i rival ; -iA hello ; -iA nested ; -i 'hel.*-0.9' ; -u ; -u --leq ; -u --always hello
    -e two ; -i two ; -iA hidden.twoSome ; -q --out-path ; -e '.*o.*' ; -q ; -i nosuch ; -e nosuch ; --set-flag priority 3 nosuch
    -iA broken ; -iA half ; -i bad ; -iA hidden.badOutputs ; -iA nosuch.attr ; -i hello inner --remove-all ; -q --attr-path
"""
SWITCHING = """
    -iA hello ; -iA odd ; -q --json --meta --out-path ; -q --xml --meta ; -iA hello2 -P ; -i two ; -iA helloOld -r ; --rollback ; --rollback --dry-run
    -G 2 ; -G 99 ; --delete-generations 3 4 ; --delete-generations 2 ; --delete-generations +2 ; --delete-generations +0
    --delete-generations 1d ; --delete-generations 0d ; --delete-generations old ; --set -A hello ; --set rival ; --set ; -q ; -e ; -i --nope ; -i -q
    -iE '(x: { r = x.rival; h = x.nested; })' ; -iE '{ ... }: { }' ; --set-flag active false inner ; --set-flag active true inner ; --set-flag x
    -u --dry-run ; -e '*' --dry-run ; -i inner --dry-run ; -iA twoOut --keep-env-derivations ; -q --drv-path ; -q --no-name ; -u inner --always
    -e '*' ; -q ; -G x ; -G ; --list-generations y ; --nope ; -i two --from-profile PROFILE ; -i inner -b
"""
# What is compared is what is printed, and the exit status.
QUERIES = """
    -qa ; -qaP ; -qa --out-path ; -qaP --out-path --drv-path --system --description ; -qas ; -qa --json ; -qa --json --meta --out-path
    -qa --xml --meta --out-path ; -qas --xml --description --drv-path ; -qac ; -qac --xml ; -qa hello ; -qa 'hel.*-1.0' ; -qaP -A nested
    -qa nope ; -qa -r ; -qa --installed ; -qa --system-filter i686-linux ; -qa --system-filter x86_64-linux hello ; -qas -b ; -qa --no-name
    -qa --no-name --description ; -qaA hidden.inner --json ; -qa '[' ; -qa '*-1.0'
"""


@dataclass
class Place:
    """A store, a profile in it, a home and an expression; both programs work on it by the same environment."""

    folder: Path
    oracle: Oracle | None

    @property
    def environment(self) -> dict[str, str]:
        names = {"NIX_STORE_DIR": "store", "NIX_STATE_DIR": "var", "NIX_LOG_DIR": "log", "HOME": "home", "TMPDIR": "tmp"}
        settings = "sandbox = false\nsubstituters =\nbuild-users-group =\n"
        values = {name: f"{self.folder}/{place}" for name, place in names.items()}
        return {**values, "NIX_PATH": "", "NIX_REMOTE": "", "NIX_CONFIG": settings, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    @property
    def profile(self) -> Profile:
        return Profile(self.folder / "var/profiles/p", StoreLayout.parse("", self.environment))

    def run(self, who: str, *words: str, program: str = "nix-env") -> subprocess.CompletedProcess[str]:
        argv, env = self.command(who, *words, program=program)
        return subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, check=False)

    def command(self, who: str, *words: str, program: str = "nix-env") -> tuple[list[str], dict[str, str]]:
        for name in ("home", "tmp"):
            (self.folder / name).mkdir(exist_ok=True)
        own = ["-p", str(self.profile.path), "-f", f"{self.folder}/default.nix"] if program == "nix-env" else []
        env = {**{name: text for name, text in os.environ.items() if not name.startswith("NIX_")}, **self.environment}
        if who == "theirs":
            assert self.oracle is not None
            return [*self.oracle.command(program), *own, *words], env
        start = "nivalis.cli.start import nix_env as main" if program == "nix-env" else f"nivalis.cli.{program.replace('-', '_')} import main"
        code = f"from {start}; main()"
        return [sys.executable, "-c", code, *own, *words], env

    def clear(self) -> None:
        """Begin anew."""
        for place in ("store", "var", "log", "home"):
            subprocess.run(["chmod", "-R", "u+w", str(self.folder / place)], check=False, capture_output=True)
            shutil.rmtree(self.folder / place, ignore_errors=True)

    def state(self) -> dict[str, object]:
        """The links of generations, the environment's tree and manifest, and which environments were instantiated."""
        profiles = self.profile.path.parent
        links = {link.name: os.readlink(link) for link in profiles.iterdir() if link.is_symlink()} if profiles.is_dir() else {}
        tree = {}
        for folder, names, files in os.walk(f"{self.profile.path}/"):
            for name in (*names, *files):
                place = os.path.join(folder, name)
                tree[place] = os.readlink(place) if os.path.islink(place) else ""
        manifest = self.profile.path / "manifest.nix"
        made = re.compile(r"user-environment\.drv$|env-manifest\.nix$")
        stored = {name for name in os.listdir(self.folder / "store") if made.search(name)} if (self.folder / "store").is_dir() else set()
        return {"links": links, "tree": tree, "manifest": manifest.read_bytes() if manifest.is_file() else b"", "stored": stored}


@pytest.fixture
def ours(tmp_path: Path) -> Place:
    (tmp_path / "default.nix").write_text(EXPRESSION)
    return Place(tmp_path, None)


@pytest.fixture
def place(ours: Place) -> Place:
    oracle, reason = cppnix28()
    if oracle is None:
        pytest.skip(reason)
    return Place(ours.folder, oracle)


def _commands(text: str) -> list[list[str]]:
    return [shlex.split(command) for line in text.splitlines() for command in line.split(" ; ") if command.strip()]


@pytest.mark.parametrize("script", [INSTALLING, SWITCHING], ids=["installing", "switching"])
def test_the_same_commands(place: Place, script: str) -> None:
    commands = [[word.replace("PROFILE", str(place.profile.path)) for word in words] for words in _commands(script)]
    found: dict[str, list[object]] = {}
    for who in ("theirs", "ours"):
        place.clear()
        found[who] = []
        for words in commands:
            answer = place.run(who, *words)
            found[who].append((answer.returncode, answer.stdout, place.state()))
    for words, theirs, ours in zip(commands, found["theirs"], found["ours"], strict=True):
        assert ours == theirs, words


def test_the_same_queries(place: Place) -> None:
    assert place.run("theirs", "-i", "hello", "two").returncode == 0
    for words in _commands(QUERIES):
        theirs, ours = place.run("theirs", *words), place.run("ours", *words)
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), (words, ours.stderr)


def test_store_paths(place: Place) -> None:
    assert place.run("theirs", "-iA", "hello", "twoOut").returncode == 0
    drv_path, out_path = place.run("theirs", "-qaA", "hello", "--no-name", "--drv-path", "--out-path").stdout.split()
    for words in (["-r", out_path], [drv_path], ["--set", out_path], ["--set", drv_path], ["-e", f"{out_path}/bin"]):
        results = []
        for who in ("theirs", "ours"):
            assert place.run("theirs", "-iA", "hello", "twoOut", "-r").returncode == 0
            answer = place.run(who, *(words if words[0].startswith("-") and words[0] != "-r" else ["-i", *words]))
            results.append((answer.returncode, place.profile.environment, (place.profile.path / "manifest.nix").exists()))
        assert results[0] == results[1], words


def test_one_profile_by_two_programs(place: Place) -> None:
    """Each does the next step, and both see the same after it."""
    steps = [
        "-i hello",
        "-i two",
        "-iA nested",
        "-u",
        "--set-flag priority 4 hello",
        "-i rival",
        "-e two",
        "--rollback",
        "-G 2",
        "-i rival -r",
        "--set rival",
    ]
    for number, step in enumerate([*steps, "--delete-generations 1 2", "--rollback", "-i hello2 -r", "-iA hello -r"]):
        words = shlex.split(step)
        answer = place.run(("ours", "theirs")[number % 2], *words)
        other = place.run(("theirs", "ours")[number % 2], *words) if answer.returncode else answer
        assert (answer.returncode == 0) == (other.returncode == 0), (step, answer.stderr, other.stderr)
        for query in (["-q", "--out-path", "--description"], ["--list-generations"]):
            assert place.run("ours", *query).stdout == place.run("theirs", *query).stdout, step
    assert len(place.profile.generations()) > 5


@pytest.mark.parametrize("who", ["ours", "theirs"])
def test_the_other_collects(place: Place, who: str) -> None:
    other = "theirs" if who == "ours" else "ours"
    for words in (["-i", "hello"], ["-i", "two"], ["-e", "hello"]):
        assert place.run(who, *words).returncode == 0
    assert place.run(other, "--delete-generations", "1").returncode == 0
    assert [generation.number for generation in place.profile.generations()] == [2, 3]
    hello = place.run(who, "-qaA", "hello2", "--no-name", "--out-path").stdout.strip()
    assert place.run(other, program="nix-collect-garbage").returncode == 0 and os.path.exists(hello)
    assert place.run(other, "-d", program="nix-collect-garbage").returncode == 0
    assert not os.path.exists(hello)
    assert place.run(who, "-q").stdout == "two-1.0\n" and (place.profile.path / "bin/two").read_text() == "2\n"
    assert [generation.number for generation in place.profile.generations()] == [3]


@pytest.mark.parametrize("programs", [("ours", "theirs"), ("theirs", "ours"), ("ours", "ours", "ours")], ids="-".join)
def test_several_at_once(place: Place, programs: tuple[str, ...]) -> None:
    """Whoever is slower sees that the profile has changed, and starts again from what is there.

    CppNix 2.8 does that right once: it remembers the manifest that it has read.
    """
    attributes = ("hello", "nested", "twoOut")
    names = ("hello-1.0", "inner-3", "two-1.0")[: len(programs)]
    running = []
    for who, attribute in zip(programs, attributes, strict=False):
        argv, env = place.command(who, "-iA", attribute)
        running.append(subprocess.Popen(argv, env=env, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(programs), said
    assert place.run("ours", "-q").stdout.split() == list(names), said


# An ordinary user, to whoever asks; files stay whose they are.
NOBODY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]


@pytest.mark.parametrize("user", [[], NOBODY], ids=["self", "nobody"])
def test_home(place: Place, user: list[str]) -> None:
    """The profile and the expressions that are used when nothing is named, and the links to them that are made."""
    if user and subprocess.run([*user, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces")
    folders: dict[str, object] = {}
    for who in ("theirs", "ours"):
        place.clear()
        argv, env = place.command(who, "-q")
        prefix = [*user, *argv[: argv.index("-p")]]

        def run(*words: str, prefix: list[str] = prefix, env: dict[str, str] = env) -> tuple[int, str]:
            done = subprocess.run([*prefix, *words], env=env, cwd=place.folder, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout

        answers: list[object] = [run("-q"), run("-qa")]
        defexpr = place.folder / "home/.nix-defexpr"
        for name, text in {"one.nix": "../../default.nix", "deep/two/default.nix": "../../../../default.nix", "manifest.nix": "../none"}.items():
            (defexpr / name).parent.mkdir(parents=True, exist_ok=True)
            (defexpr / name).write_text(f"import {text}")
        answers += [run("-qaP"), run("-iA", "two.hello"), run("-q"), run("-i", "rival-1.0", "-r"), run("--rollback")]
        links = {str(link): os.readlink(link) for top in ("home", "var/profiles") for link in (place.folder / top).rglob("*") if link.is_symlink()}
        answers += [run("-S", str(place.profile.path)), os.readlink(place.folder / "home/.nix-profile")]
        folders[who] = (answers, links)
    assert folders["ours"] == folders["theirs"]


# ---------------------------------------------------------------------------------------------------- ours alone


def test_a_collision_names_both_and_the_way_out(ours: Place) -> None:
    assert ours.run("ours", "-i", "hello").returncode == 0
    before = ours.state()
    answer = ours.run("ours", "-i", "rival")
    assert answer.returncode == 100
    for word in ("error[collision]", "-hello-2.0/bin/hello", "-rival-1.0/bin/hello", "nix-env --set-flag priority", "the profile stays as it is"):
        assert word in answer.stderr
    assert (ours.state()["links"], ours.state()["tree"]) == (before["links"], before["tree"])
    assert ours.run("ours", "-i", "rival", "--priority", "4").returncode == 0
    assert (ours.profile.path / "bin/hello").read_text() == "rival-1.0\n"
    assert ours.run("ours", "--set-flag", "priority", "3", "hello").returncode == 0
    assert (ours.profile.path / "bin/hello").read_text() == "hello-2.0\n"


def test_an_output_that_was_chosen_is_installed_alone(ours: Place) -> None:
    """`outputSpecified` is younger than CppNix 2.8."""
    assert ours.run("ours", "-iA", "hidden.twoDev").returncode == 0
    assert sorted(entry.name for entry in ours.profile.path.iterdir()) == ["include", "manifest.nix"]


def test_a_store_under_another_root(tmp_path: Path) -> None:
    if find_static_shell() is None:
        pytest.skip("no static shell: install busybox-static")
    root = tmp_path / "root"
    env = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "NIX_CONFIG": "substituters =\nsandbox = true\nbuild-users-group =\n",
        "NIX_REMOTE": f"local?root={root}",
    }

    def run(*words: str) -> str:
        code = "from nivalis.cli.start import nix_env; nix_env()"
        answer = subprocess.run([sys.executable, "-c", code, *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    with Store.open(StoreLayout.under(root)) as store:
        (tmp_path / "text").mkdir()
        (tmp_path / "text/file").write_text("text")
        path = store.add_path(tmp_path / "text", "text-1")
    run("-i", path)
    assert run("-q") == "text-1\n"
    run("-e", "*")
    run("--rollback")
    assert run("-q", "--out-path") == f"text-1  {path}\n"
    # Its profiles are its own, and the home's link says nothing of them.
    assert not (tmp_path / ".nix-profile").is_symlink()
    assert current_generation(root / "nix/var/nix/profiles/default" if os.geteuid() == 0 else _own_profile(root)) == 1


def _own_profile(root: Path) -> Path:
    return root / f"nix/var/nix/profiles/per-user/{getpass.getuser()}/profile"


def test_columns_on_a_terminal_have_headings(ours: Place) -> None:
    argv, env = ours.command("ours", "-qaP", "--description", "hello")
    main, other = pty.openpty()
    subprocess.run(argv, env={**env, "TERM": "xterm", "COLUMNS": "120"}, cwd=ours.folder, stdout=other, check=True)
    os.close(other)
    shown = os.read(main, 65536).decode()
    os.close(main)
    assert "attribute" in shown and "description" in shown and "hello2" in shown


def test_derivations_in_json(ours: Place) -> None:
    """CppNix 2.8 leaves `drvPath` out; later versions have it."""
    shown = json.loads(ours.run("ours", "-qa", "--json", "--drv-path", "rival").stdout)
    assert shown["rival"]["drvPath"].endswith("-rival-1.0.drv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no operation specified"),
        (["-i", "-e"], "only one operation"),
        (["-q", "--lt"], "does not belong to"),
        (["-q", "-P"], "only works with"),
        (["-qa", "-A"], "requires 1 argument"),
        (["--rollback", "x"], "takes no arguments"),
        (["-G", "x"], "invalid generation number"),
        (["--delete-generations", "0d"], "invalid number of days"),
        (["--unknown"], "unrecognised flag"),
    ],
)
def test_bad_command_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(NivalisError, match=message) as caught:
        nix_env([*words, "--store", str(tmp_path / "root"), "-p", str(tmp_path / "p")])
    assert caught.value.code == "usage"


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert nix_env(["--help"]) == 0 and capsys.readouterr().out.startswith("Usage: nix-env")
    assert nix_env(["--version"]) == 0 and capsys.readouterr().out.startswith("nix-env (nivalis ")


def test_killed_while_it_installs(ours: Place) -> None:
    """At any moment there is the old environment or the new one, and the next command goes on from it."""
    assert ours.run("ours", "-i", "hello").returncode == 0
    started = time.monotonic()
    assert ours.run("ours", "-iA", "twoOut").returncode == 0
    length = time.monotonic() - started
    moments = random.Random(seed := random.randrange(2**32))
    assert ours.run("ours", "-e", "two").returncode == 0
    for round_ in range(12):
        words = ["-e", "two"] if _is_installed(ours) else ["-iA", "twoOut"]
        argv, env = ours.command("ours", *words)
        child = subprocess.Popen(argv, env=env, cwd=ours.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.3, 1.1) * length)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert (ours.profile.path / "bin/hello").read_text() == "hello-2.0\n", (seed, round_)
        installed = ours.run("ours", "-q")
        assert installed.stdout.split() == ["hello-2.0", *(["two-1.0"] if _is_installed(ours) else [])], (seed, round_, installed.stderr)


def _is_installed(ours: Place) -> bool:
    return (ours.profile.path / "bin/two").exists()


def test_what_changed_meanwhile_counts(ours: Place) -> None:
    for words in (["-i", "hello"], ["-iA", "twoOut"]):
        assert ours.run("ours", *words).returncode == 0
    argv, env = ours.command("ours", "-iA", "nested")
    environments = len(_environments(ours))
    with ours.profile.lock():
        busy = subprocess.Popen(argv, env=env, cwd=ours.folder, stderr=subprocess.PIPE, text=True)
        # The new environment is built, and waits for the lock, when the profile goes back.
        while len(_environments(ours)) == environments and busy.poll() is None:
            time.sleep(0.05)
        replace_symlink(ours.profile.path, "p-1-link")
    said = busy.communicate()[1]
    assert busy.returncode == 0 and "restarting" in said
    assert ours.run("ours", "-q").stdout.split() == ["hello-2.0", "inner-3"]


def _environments(ours: Place) -> list[Path]:
    return list((ours.folder / "store").glob("*-user-environment"))
