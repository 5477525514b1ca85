"""What shells and launchers see: a farm as /usr, a store that lies elsewhere, and else the machine.

The farm here is a few programs of the machine with the libraries that they need.  Tests of shells and launchers over Debian's packages are
in test_debian_shells.py.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nivalis.profile.front import front_of, update_front
from nivalis.profile.profiles import Profile
from nivalis.store import Store, StoreLayout

PROGRAMS = ("bash", "cat", "env", "id", "ls", "mkdir", "pwd", "readlink", "rm", "sh", "sleep", "test", "touch", "true")
LAUNCH = Path(__file__).resolve().parents[2] / "channel/pkgs/launcher/launch.c"
NIX_SHELL = [sys.executable, "-c", "from nivalis.cli.start import nix_shell; nix_shell()"]
NIVALIS = [sys.executable, "-c", "from nivalis.cli import main; main()"]
# No privilege, and no other user.
ORDINARY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
EXPRESSION = """
derivation { name = "shell"; system = builtins.currentSystem; builder = "/bin/sh"; usrFarm = builtins.storePath FARM; variable = "value"; }
"""

Answer = subprocess.CompletedProcess[str]
Launcher = Callable[..., str]


class World:
    """A store under another root, and a farm in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = StoreLayout.under(folder / "root")
        (folder / "home").mkdir()
        (folder / "work").mkdir()
        self.env = {
            "HOME": str(folder / "home"),
            "NIX_CONFIG": "substituters =\nbuild-users-group =\n",
            "NIX_PATH": "",
            "NIX_REMOTE": f"local?root={folder}/root",
            "PATH": "/usr/bin:/bin",
        }
        with Store.open(self.layout) as store:
            self.farm = store.add_path(_make_tree(folder / "usr"), "farm")
        (folder / "work/shell.nix").write_text(EXPRESSION.replace("FARM", self.farm))

    def run(self, *command: str, user: list[str] | None = None, **more: str) -> Answer:
        return subprocess.run(
            [*(user or []), *command], cwd=self.folder / "work", env={**self.env, **more}, capture_output=True, text=True, check=False
        )

    def shell(self, script: str, *flags: str, user: list[str] | None = None, **more: str) -> list[str]:
        answer = self.run(*NIX_SHELL, *flags, "--run", script, user=user, **more)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.splitlines()


def _make_tree(tree: Path) -> Path:
    """A tree like a farm: programs of this machine, what they are linked with, and an /etc of its own."""
    (tree / "usr/bin").mkdir(parents=True)
    for name in PROGRAMS:
        program = shutil.which(name, path="/usr/bin:/bin")
        assert program is not None, name
        shutil.copy(program, tree / "usr/bin" / name)
        for library in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout):
            place = tree / "usr" / library.removeprefix("/usr").lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
    for name in ("bin", "lib", "lib64"):
        if (tree / "usr" / name).is_dir():
            (tree / name).symlink_to(f"usr/{name}")
    (tree / "usr/lib/locale/aa_BB.utf8").mkdir(parents=True)
    for name, text in {"passwd": "the farm's", "only-here": "the farm's", "ssl/openssl.cnf": "the farm's", "ssl/certs/one": "the farm's"}.items():
        (tree / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "etc" / name).write_text(text)
    return tree


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    if shutil.which("ldd") is None:
        pytest.skip("no ldd")
    made = World(tmp_path_factory.mktemp("world"))
    if made.run(*ORDINARY, "true").returncode != 0:
        pytest.skip("this machine allows no user namespaces")
    return made


@pytest.mark.parametrize("user", [[], ORDINARY], ids=["self", "ordinary"])
def test_a_farm_is_usr_and_all_else_the_machines(world: World, user: list[str]) -> None:
    farm = world.farm
    script = f"""
        pwd; id -u; echo $variable; test /usr -ef {farm}/usr && echo same; readlink /bin
        cat /etc/only-here; echo; readlink /etc/passwd /etc/hosts; ls /usr; type -P ls; test -e /etc/ld.so.cache || echo no cache
        touch /usr/x 2>/dev/null || echo guarded; touch /x 2>/dev/null || echo guarded
        test -d {world.folder}/home && echo home; for x in /.nivalis*; do test ! -e $x; done
    """
    said = world.shell(script, user=user)
    uid = "65534" if user else str(os.geteuid())
    assert said[:7] == [str(world.folder / "work"), uid, "value", "same", "usr/bin", "the farm's", "/.etc/passwd"]
    assert said[7:] == ["/.etc/hosts", *sorted(os.listdir(world.folder / "usr/usr")), "/usr/bin/ls", "no cache", "guarded", "guarded", "home"]
    # What is the machine's can be written as ever.
    world.shell("echo x > here", user=user)
    assert (world.folder / "work/here").read_text() == "x\n"
    assert world.run(*NIX_SHELL, "--run", "exit 3", user=user).returncode == 3
    # The shell is the very process that was started.
    with subprocess.Popen([*user, *NIX_SHELL, "--run", "echo $$"], cwd=world.folder / "work", env=world.env, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None and int(running.stdout.read()) == running.pid


def test_the_machines_certificates_come_first(world: World) -> None:
    links = world.shell("readlink /etc/ssl/openssl.cnf /etc/ssl/certs /etc/ssl || true")
    if os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
        assert links == [f"{world.farm}/etc/ssl/openssl.cnf", "/.etc/ssl/certs"]
    else:
        assert links == [f"{world.farm}/etc/ssl"]


@pytest.mark.parametrize("user", [[], ORDINARY], ids=["self", "ordinary"])
def test_terminals_and_locales(world: World, launcher: Launcher, user: list[str]) -> None:
    script = "ls /etc/terminfo; echo $LANG $LC_ALL $LC_TIME $LC_CTYPE"
    variables = {"LANG": "xx_YY.UTF-8", "LC_ALL": "de_DE.utf8@euro", "LC_TIME": "aa_BB.UTF-8", "LC_CTYPE": "C"}
    *terminals, locales = world.shell(script, user=user, **variables)
    assert locales == "C.UTF-8 C.UTF-8 aa_BB.UTF-8 C"
    machines = sorted(os.listdir("/usr/share/terminfo")) if os.path.isdir("/usr/share/terminfo") else []
    if machines:
        assert sorted(terminals) == machines
    nested = f"{launcher('bash')} -c '{script}'"
    assert world.run(launcher("bash"), "-c", nested, user=user, **variables).stdout.splitlines() == [*terminals, locales]


def test_a_time_zone_is_seen_though_its_file_is_not(world: World) -> None:
    if not os.path.exists("/etc/localtime"):
        pytest.skip("this machine has no time zone")
    (said,) = world.shell("cat /etc/localtime > /dev/null && echo there")
    assert said == "there"


@pytest.mark.parametrize("user", [[], ORDINARY], ids=["self", "ordinary"])
def test_a_bare_shell_sees_its_folder_and_an_empty_home(world: World, user: list[str]) -> None:
    (world.folder / "home/secret").touch()
    said = world.shell("ls -A ~; pwd; ls; ls /; touch ~/mine && ls ~; echo ${variable-unset}", "--bare", "--plain", user=user)
    assert said[0] == str(world.folder / "work") and "shell.nix" in said
    top = {"bin", "dev", "etc", "lib", "nix", "proc", "sys", "tmp", "usr"}
    assert top <= set(said) and not {"home", "root", "var", "secret"} & set(said)
    assert said[-2:] == ["mine", "unset"]
    assert not (world.folder / "home/mine").exists()


def test_a_plain_shell_has_nothing_of_the_derivation(world: World) -> None:
    said = world.shell("env", "--plain", LEFT="over")
    assert "LEFT=over" in said and "PATH=/usr/bin:/usr/sbin:/usr/bin:/bin" in said
    assert not [line for line in said if line.startswith(("variable=", "usrFarm=", "TMPDIR=", "NIX_BUILD_TOP="))]


def test_what_is_no_farm(world: World) -> None:
    for farm in ("/", "/usr", str(world.folder)):
        answer = world.run(*NIX_SHELL, "-E", f'derivation {{ name = "x"; system = builtins.currentSystem; builder = "x"; usrFarm = "{farm}"; }}')
        assert answer.returncode == 1 and "error[shell]: `usrFarm` names no input" in answer.stderr


def test_a_farm_without_a_shell(world: World) -> None:
    text = f'derivation {{ name = "x"; system = builtins.currentSystem; builder = "x"; usrFarm = builtins.storePath {world.farm}; }}'
    answer = world.run(*NIX_SHELL, "-E", text, "--run", "true", NIX_BUILD_SHELL="/usr/bin/gone", TMPDIR=str(world.folder))
    assert answer.returncode == 1 and answer.stderr.startswith("error[shell]: cannot start `/usr/bin/gone`"), answer.stderr
    assert not list(world.folder.glob("nix-shell-*"))


def test_where_namespaces_are_not_allowed(world: World) -> None:
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    answer = world.run("unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *NIX_SHELL, "--run", "true")
    assert answer.returncode == 1 and "error[namespace-unavailable]" in answer.stderr, answer.stderr


# ---------------------------------------------------------------------------------------------------- launchers


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that launchers are run by, by this machine's compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    program = tmp_path_factory.mktemp("launch") / "launch"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-static", "-O1", "-o", program, LAUNCH], check=True)
    return program


@pytest.fixture
def launcher(world: World, launch: Path, tmp_path: Path) -> Launcher:
    """A launcher for a program of the farm."""

    def make(name: str, program: str = "") -> str:
        place = tmp_path / name
        place.write_text(f"#!{launch}\nfarm {world.farm}\nnix {world.folder}/root/nix\nprogram {program or f'/usr/bin/{name}'}\n")
        place.chmod(0o755)
        return str(place)

    return make


@pytest.mark.parametrize("user", [[], ORDINARY], ids=["self", "ordinary"])
def test_a_launcher_becomes_its_program(world: World, launcher: Launcher, user: list[str]) -> None:
    bash = launcher("bash")
    script = f"""
        pwd; id -u; echo "$0|$*"; cat; test /usr -ef {world.farm}/usr && echo same; cat /etc/only-here; echo; readlink /etc/passwd /etc/hosts
        readlink /etc/ssl /etc/ssl/certs; test -e /etc/ld.so.cache || echo no cache; ls /; type -P ls; touch /usr/x 2>&1 || exit 7
    """
    command = [*user, bash, "-c", script, "zero", "a  b", "c"]
    answer = subprocess.run(command, cwd=world.folder / "work", env=world.env, input="given\n", capture_output=True, text=True, check=False)
    said = answer.stdout.splitlines()
    assert answer.returncode == 7, answer.stderr
    uid = "65534" if user else str(os.geteuid())
    assert said[:6] == [str(world.folder / "work"), uid, "zero|a  b c", "given", "same", "the farm's"]
    assert said[6:8] == ["/.etc/passwd", "/.etc/hosts"] and "no cache" in said
    assert "/usr/bin/ls" in said and "Read-only file system" in said[-1]
    # The same as a shell shows.
    shown = world.shell("ls /; ls -A /etc | cat", user=user)
    assert (
        subprocess.run([*user, bash, "-c", "ls /; ls -A /etc | cat"], env=world.env, capture_output=True, text=True, check=True).stdout.split()
        == shown
    )


def test_launchers_in_launchers_and_shells(world: World, launcher: Launcher) -> None:
    bash, other = launcher("bash"), launcher("readlink")
    script = f"{other} /etc/passwd; {bash} -c '{bash} -c pwd; {other} /etc/hosts'"
    expected = ["/.etc/passwd", str(world.folder / "work"), "/.etc/hosts"]
    assert world.run(bash, "-c", script).stdout.splitlines() == expected
    assert world.shell(script, user=ORDINARY) == expected


def test_a_launcher_is_named_by_its_own_place(world: World, launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(launcher("bash"))
    assert world.run(str(tmp_path / "link"), "-c", 'echo "$0"').stdout == f"{tmp_path}/link\n"
    # A script's interpreter, too.
    script = tmp_path / "script"
    script.write_text(f'#!{launcher("bash")}\necho "script: $1"\n')
    script.chmod(0o755)
    assert world.run(str(script), "word").stdout == "script: word\n"


def test_signals_and_statuses_are_the_programs(world: World, launcher: Launcher) -> None:
    bash = launcher("bash")
    assert world.run(bash, "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    command = [bash, "-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do read -t 0.1; done"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, env=world.env, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "caught\n"
        assert running.wait() == 9
    # The terminal is the caller's.
    number, terminal = pty.openpty()
    done = subprocess.run([bash, "-c", "test -t 0 && test -t 1"], stdin=terminal, stdout=terminal, env=world.env, check=False)
    os.close(number)
    os.close(terminal)
    assert done.returncode == 0


def test_launchers_that_cannot_work(world: World, launch: Path, launcher: Launcher, tmp_path: Path) -> None:
    for text, status, message in (
        ("", 126, "this is no launcher"),
        (f"farm {tmp_path}/gone\nprogram /usr/bin/x\n", 126, "store path that a launcher needs is not there"),
        (f"nix {tmp_path}/gone\nprogram /usr/bin/x\n", 126, "store that a launcher needs is not there"),
    ):
        (tmp_path / "bad").write_text(f"#!{launch}\n{text}")
        (tmp_path / "bad").chmod(0o755)
        answer = world.run(str(tmp_path / "bad"))
        assert answer.returncode == status and message in answer.stderr
    gone = launcher("gone")
    assert world.run(gone).returncode == 127
    assert world.run(str(launch)).returncode == 2
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all "$@"'
    answer = world.run("unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", launcher("true"))
    assert answer.returncode == 126 and "error[namespace-unavailable]" in answer.stderr
    # A working directory that is out of sight.
    assert subprocess.run([launcher("pwd")], cwd="/usr/share", env=world.env, capture_output=True, text=True, check=True).stdout == "/\n"


def test_a_launcher_takes_little(world: World, launcher: Launcher) -> None:
    program = launcher("true")
    times = []
    for _ in range(10):
        started = time.monotonic()
        subprocess.run([program], check=True, env=world.env)
        times.append(time.monotonic() - started)
    assert min(times) < 0.06, times


# ---------------------------------------------------------------------------------------------------- a profile's front


@pytest.mark.parametrize("user", [[], ORDINARY], ids=["self", "ordinary"])
@pytest.mark.parametrize("has_launcher", [True, False], ids=["launcher", "nivalis"])
def test_commands_of_a_moved_profile_run_outside(world: World, launch: Path, user: list[str], has_launcher: bool, tmp_path: Path) -> None:
    shell = shutil.which("busybox") or pytest.skip("no static shell")
    package = tmp_path / "package"
    (package / "bin").mkdir(parents=True)
    (package / "nix-support").mkdir()
    shutil.copy(shell, package / "bin/busybox")
    layout = StoreLayout.under(tmp_path / "root")
    with Store.open(layout) as store:
        starter = store.add_path(launch, "launcher")
        if has_launcher:
            (package / "nix-support/launcher").write_text(f"{starter}\n")
        paths = [store.add_path(package, "package-1")]
        (package / "bin/more").symlink_to("busybox")
        paths.append(store.add_path(package, "package-2"))
        environments: list[str] = []
        for path in paths:
            tree = tmp_path / f"environment-{len(environments)}"
            (tree / "bin").mkdir(parents=True)
            for name in os.listdir(store.real_path(f"{path}/bin")):
                (tree / "bin" / name).symlink_to(f"{path}/bin/{name}")
            environments.append(store.add_path(tree, "user-environment"))
        profile = Profile(layout.profiles_dir / "default", layout)
        for environment in environments:
            profile.switch_to_path(store, environment)
    front = front_of(profile.path) / "bin"
    assert sorted(os.listdir(front)) == ["busybox", "more"]
    script = f'[ -x {paths[1]}/bin/busybox ] && echo "seen $1 $(pwd)"; exit 5'
    command = [*user, str(front / "busybox"), "sh", "-c", script, "sh", "a  b"]
    variables = {**world.env, "NIX_REMOTE": ""}
    answer = subprocess.run(command, cwd=world.folder, env=variables, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout) == (5, f"seen a  b {world.folder}\n"), answer.stderr
    profile.switch_to()
    assert os.listdir(front) == ["busybox"]
    # Nothing is left of the one before.
    assert len([name for name in os.listdir(profile.path.parent) if "-front" in name]) == 2


def test_a_profile_in_its_place_has_no_front(tmp_path: Path) -> None:
    layout = StoreLayout("/nix/store", Path("/nix/store"), tmp_path, tmp_path)
    update_front(layout, tmp_path / "profile", "/nix/store/x")
    profile = Profile(tmp_path / "profile", layout)
    profile._point_at(tmp_path / "profile-1-link")
    assert sorted(os.listdir(tmp_path)) == ["profile"]


def test_enter(world: World) -> None:
    for user in ([], ORDINARY):
        answer = world.run(*NIVALIS, "enter", "--", "sh", "-c", f"test -e {world.farm} && echo seen $1; exit 4", "sh", "x y", user=user)
        assert (answer.returncode, answer.stdout) == (4, "seen x y\n"), answer.stderr
    assert world.run(*NIVALIS, "enter", "--", "no-such-program").returncode == 127
    assert world.run(*NIVALIS, "enter", SHELL="/bin/true").returncode == 0
