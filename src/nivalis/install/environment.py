"""The virtual environment of one version: made beside the one in use, of a wheel and of the dependencies that the wheel's lock names.

Each dependency is taken only with one of the hashes in the lock, from where pip is set to look, from the index that is named, or from a
folder of wheels, without a network.  Nothing is compiled or run while it is installed.

An environment is whole when it has the file `whole`, which is written last, after everything else is on the disk.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from nivalis.install.errors import InstallError
from nivalis.install.footprint import write_file
from nivalis.install.places import COMPLETIONS

__all__ = ["Source", "is_whole", "make_environment", "name_environment"]

_WHOLE = "whole"
# As `nivalis` with _NIVALIS_COMPLETE set would print it, but for that the shell need not be there.
_COMPLETION = """
import sys
from click.shell_completion import get_completion_class
from nivalis.cli.group import nivalis_group
shell = get_completion_class(sys.argv[1])(nivalis_group, {}, "nivalis", "_NIVALIS_COMPLETE")
print(shell.source_template % shell.source_vars())
"""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the dependencies come from: an index's address, a folder of wheels, or as pip is configured."""

    index_url: str | None = None
    find_links: Path | None = None

    def words(self) -> list[str]:
        if self.find_links is not None:
            return ["--no-index", "--find-links", str(self.find_links)]
        return [] if self.index_url is None else ["--index-url", self.index_url]


def name_environment(wheel: Path) -> str:
    """A name that tells environments apart that are made of something else."""
    version = wheel.name.split("-")[1]
    content = hashlib.sha256(wheel.read_bytes() + f"{sys.version} {sys.base_prefix}".encode())
    return f"{version}-{content.hexdigest()[:12]}"


def is_whole(folder: Path) -> bool:
    """Whether the environment was made to its end, and still works."""
    if not (folder / _WHOLE).exists():
        return False
    done = subprocess.run([folder / "bin/nix-store", "--version"], capture_output=True, check=False)
    return done.returncode == 0


def make_environment(folder: Path, wheel: Path, source: Source, profile: str) -> None:
    """Make the environment, in place of an unfinished one; `profile` is the text of its profile.sh.  Raises InstallError."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    pip = _pip_of(source)
    python = str(folder / "bin/python")
    _run([sys.executable, "-I", "-m", "venv", *([] if pip is None else ["--without-pip"]), str(folder)])
    # The commands are this user's, but others may run them.
    folder.chmod(0o755)
    lock = folder / "runtime.lock"
    lock.write_bytes(files("nivalis.install").joinpath("runtime.lock").read_bytes())
    install = [*(pip or [python, "-I", "-m", "pip"]), *(["--python", python] if pip else []), "install"]
    install += ["--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--only-binary", ":all:"]
    _run([*install, *source.words(), "--require-hashes", "--requirement", str(lock)])
    _run([*install, "--no-index", str(wheel)])
    shutil.copyfile(wheel, folder / wheel.name)
    (folder / "profile.sh").write_text(profile)
    (folder / "completions").mkdir()
    for shell in COMPLETIONS:
        (folder / "completions" / shell).write_text(_run([python, "-I", "-c", _COMPLETION, shell]))
    os.sync()
    write_file(folder / _WHOLE, "")


def _pip_of(source: Source) -> list[str] | None:
    """The command for a pip from elsewhere; None if the environment can bring its own."""
    if source.find_links is not None:
        wheels = sorted(source.find_links.glob("pip-*.whl"))
        if wheels:
            # A wheel of pip can be run as it is.
            return [sys.executable, "-I", f"{wheels[-1].absolute()}/pip"]
    if importlib.util.find_spec("ensurepip") is not None:
        return None
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip"]
    raise InstallError(
        "there is no pip, and Python has none to give",
        hint="install the package python3-venv, or name a folder with a wheel of pip by `--find-links`",
    )


def _run(words: list[str]) -> str:
    # A setting of the user's that would lead pip out of the environment.
    environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise InstallError(f"a step failed ({done.returncode}):\n{done.stdout.rstrip()}", where=" ".join(words))
    return done.stdout
