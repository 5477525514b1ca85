"""install.sh in a home of its own: what it makes, what it leaves alone, and that nothing is left in the end.

The wheel is the one in dist/ (`./dev wheel`), if it is of this state of the code; the dependencies come from where pip is set to look.  What
takes a machine (packages, build users, /nix, logins) is tried by tests/bare_install.sh.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import nivalis
from nivalis.install.footprint import Addition, Footprint

# Ends as a power cut would, right before what a rename would do; `sys.argv` is the wheel, the number of that rename, and the words.
CUT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from nivalis.install.program import main
left, rename = int(sys.argv[2]), os.rename
def counted(*words):
    global left
    left -= 1
    if left == 0: os._exit(9)
    rename(*words)
os.rename = counted
main(sys.argv[3:])
"""


def tree(folder: Path) -> dict[str, str | bytes | None]:
    """Every place below a folder, and what is there; not what is in environments, which are many files that come and go as one."""
    found: dict[str, str | bytes | None] = {}
    for parent, folders, files in os.walk(folder):
        for place in (Path(parent, name) for name in [*folders, *files]):
            found[str(place)] = os.readlink(place) if place.is_symlink() else place.read_bytes() if place.is_file() else None
        folders[:] = [name for name in folders if name != "versions"]
    return found


# ---------------------------------------------------------------------------------------------------- lines in files of others


@pytest.mark.parametrize("text", [None, "", "export A=1\n", "export A=1", "a\n\n"])
def test_lines_are_taken_away_to_the_byte(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "folder/.profile"
    if text is not None:
        file.parent.mkdir()
        file.write_text(text)
    before = tree(tmp_path)
    footprint = Footprint(additions={str(file): Addition("B=2\n")})
    footprint.look()
    footprint.apply()
    assert "\nB=2\n" in file.read_text()
    assert file.read_text().startswith(text or "")
    footprint.apply()
    assert file.read_text().count("B=2") == 1
    footprint.write(tmp_path / "manifest")
    again = Footprint.read(tmp_path / "manifest")
    assert again is not None and again == footprint
    again.remove_all_but(Footprint(), tmp_path / "lib")
    again.remove_folders()
    (tmp_path / "manifest").unlink()
    assert tree(tmp_path) == before


def test_what_was_written_behind_the_lines_stays(tmp_path: Path) -> None:
    file = tmp_path / ".profile"
    footprint = Footprint(additions={str(file): Addition("B=2\n")})
    footprint.look()
    footprint.apply()
    file.write_text(file.read_text() + "C=3\n")
    footprint.remove_all_but(Footprint(), tmp_path)
    assert file.read_text() == "C=3\n"


def test_a_dotfile_that_is_a_link_stays_one_and_keeps_its_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles", tmp_path / ".profile"
    real.write_text("A=1\n")
    real.chmod(0o600)
    link.symlink_to("dotfiles")
    footprint = Footprint(additions={str(link): Addition("B=2\n")})
    footprint.look()
    footprint.apply()
    assert link.is_symlink() and "B=2" in real.read_text() and real.stat().st_mode & 0o777 == 0o600
    footprint.remove_all_but(Footprint(), tmp_path)
    assert link.is_symlink() and real.read_text() == "A=1\n"


def test_it_runs_without_the_kernel() -> None:
    # Out of a wheel the kernel cannot be loaded.
    code = "import sys; sys.modules['nivalis._native'] = None; import nivalis.install.program"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""


# ---------------------------------------------------------------------------------------------------- the whole


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    wheels = sorted((checkout / "dist").glob(f"nivalis-*_{os.uname().machine}.whl"))
    if not wheels:
        pytest.skip("dist/ has no wheel: run ./dev wheel")
    package = Path(nivalis.__file__).parent
    with zipfile.ZipFile(wheels[-1]) as archive:
        for file in (package / "install").glob("*.py"):
            name = f"nivalis/install/{file.name}"
            if name not in archive.namelist() or archive.read(name) != file.read_bytes():
                pytest.skip("the wheel in dist/ is of another state of the code: run ./dev wheel")
    return wheels[-1]


class Machine:
    """A home, and what is installed in it."""

    def __init__(self, checkout: Path, wheel: Path, folder: Path) -> None:
        self.wheel = wheel
        self.home = folder / "home"
        self.home.mkdir()
        (self.home / ".profile").write_text("export MINE=1")
        (self.home / ".cache").mkdir()
        (folder / "etc").mkdir()
        self._script = checkout / "install.sh"
        self.environment = {name: text for name, text in os.environ.items() if name.startswith(("PIP_", "SSL_", "http", "HTTP", "no_proxy"))}
        self.environment |= {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "LANG": "C.UTF-8"}
        self.environment |= {"NIX_CONF_DIR": str(folder / "etc"), "NIX_CONFIG": "substituters ="}
        self.lib = self.home / ".local/lib/nivalis"
        self.store = self.home / ".local/share/nix/root/nix/store"

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("sh", str(self._script), "--user", "--wheel", str(self.wheel), *words)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, env=self.environment, cwd=self.home, capture_output=True, text=True, check=False)

    def login(self, command: str) -> str:
        """What a command says in a login shell."""
        done = self.run("sh", "-lc", command)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def machine(checkout: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """A home with nivalis in it.  Tests leave it as it is."""
    machine = Machine(checkout, wheel, tmp_path_factory.mktemp("machine"))
    before = tree(machine.home)
    done = machine.install()
    if "No matching distribution" in done.stderr:
        assert tree(machine.home) == before
        pytest.skip("pip finds no packages here")
    assert done.returncode == 0, done.stderr
    return machine


def test_a_login_finds_the_commands_and_all_work_on_the_store_at_home(machine: Machine) -> None:
    assert machine.login("nivalis --version") == f"nivalis {nivalis.__version__}\n"
    assert machine.login("command -v nix-build").strip() == str(machine.home / ".local/bin/nix-build")
    path = machine.login("nix-store --add .profile").strip()
    assert (machine.store / Path(path).name).read_text() == (machine.home / ".profile").read_text()
    assert machine.login("nix-store --gc") != ""


def test_the_wheel_has_the_channel_and_the_licence(machine: Machine) -> None:
    found = machine.run(str(machine.lib / "current/bin/python"), "-c", "import nivalis; print(nivalis.channel_place())").stdout.strip()
    assert (Path(found) / "lib/default.nix").is_file()
    with zipfile.ZipFile(machine.wheel) as archive:
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_completions(machine: Machine, shell: str) -> None:
    assert "_NIVALIS_COMPLETE" in (machine.lib / "current/completions" / shell).read_text()


def test_again_there_is_nothing_to_do(machine: Machine) -> None:
    before = tree(machine.home)
    done = machine.install()
    assert (done.returncode, "up to date already" in done.stderr) == (0, True)
    after = tree(machine.home)
    assert {place for place in before.keys() | after.keys() if before.get(place, 0) != after.get(place, 0)} == set()


def test_another_store_is_refused(machine: Machine) -> None:
    before = tree(machine.home)
    done = machine.install("--store", str(machine.home / "other"))
    assert done.returncode == 1 and "error[install]: another store is set already" in done.stderr
    after = tree(machine.home)
    assert {place for place in before.keys() | after.keys() if before.get(place, 0) != after.get(place, 0)} == set()


def test_what_is_not_ours_is_not_overwritten(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    other = Machine(checkout, wheel, tmp_path)
    (other.home / ".local/bin").mkdir(parents=True)
    (other.home / ".local/bin/nix-env").write_text("another's")
    before = tree(other.home)
    done = other.install()
    assert done.returncode == 1 and "something else stands where nivalis would be" in done.stderr and "hint:" in done.stderr
    assert tree(other.home) == before


def test_a_first_installation_that_fails_leaves_nothing(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    other = Machine(checkout, wheel, tmp_path)
    (tmp_path / "empty").mkdir()
    before = tree(other.home)
    done = other.install("--find-links", str(tmp_path / "empty"))
    assert done.returncode == 1 and "error[install]: a step failed" in done.stderr
    assert tree(other.home) == before


@pytest.mark.parametrize("moment", [1, 2, 3, 9, 16])
def test_after_a_power_cut_it_is_made_whole_and_can_be_removed(machine: Machine, checkout: Path, wheel: Path, tmp_path: Path, moment: int) -> None:
    other = Machine(checkout, wheel, tmp_path)
    before = tree(other.home)
    words = ["install", "--wheel", str(wheel), "--user"]
    # What takes long is there already, in the other home.
    version = (machine.lib / "current").resolve()
    (other.lib / "versions").mkdir(parents=True)
    (other.lib / "versions" / version.name).symlink_to(version)
    cut = other.run(sys.executable, "-I", "-c", CUT, str(wheel), str(moment), *words)
    assert cut.returncode == 9, cut.stderr
    done = other.install()
    assert done.returncode == 0, done.stderr
    assert other.login("nix-store --version") != ""
    done = other.run("sh", str(checkout / "install.sh"), "--user", "--remove", "--delete-store")
    assert done.returncode == 0, done.stderr
    left = tree(other.home)
    # These were there before the installer could see that they were not.
    for folder in (other.lib.parent, other.lib.parent.parent):
        left.pop(str(folder), None)
    assert left == before


def test_uninstall_outside_an_installation_says_so() -> None:
    done = subprocess.run([Path(sys.executable).parent / "nivalis", "uninstall"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "error[install]: nivalis is not installed below" in done.stderr


def test_removed_it_leaves_nothing(checkout: Path, wheel: Path, machine: Machine, tmp_path: Path) -> None:
    other = Machine(checkout, wheel, tmp_path)
    before = tree(other.home)
    assert other.install().returncode == 0
    other.login("nix-instantiate --eval -E '1 + 1'")
    other.login("nivalis uninstall --delete-store")
    assert tree(other.home) == before
