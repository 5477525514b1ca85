"""The house itself: that the kernel loads on an old C library, that locks pin without naming a place, that imports go down.

Nothing here tests what nivalis does; only what is true of every part of it.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import click
import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

import nivalis
from nivalis.cli import group

# Debian 10's, and that of every enterprise distribution still maintained.
OLDEST_GLIBC = (2, 28)
# What the C library itself consists of; anything more would have to be copied beside the kernel.
C_LIBRARY = re.compile(r"^(lib(c|m|dl|rt|pthread)\.so\.\d+|ld-linux.*)$")

# From the bottom up; a package imports its own storey and those below it, and errors are below everything.
STOREYS = [
    {"errors", "_native"},
    {"settings"},
    {"lang", "store", "fetch"},
    {"debian", "build", "cache", "image"},
    {"profile", "install"},
    {"system", "cloud"},
    {"deploy"},
    {"cli"},
]


# ---------------------------------------------------------------------------------------------------- the kernel


@pytest.fixture(scope="module")
def kernel() -> Path:
    file = importlib.import_module("nivalis._native").__file__
    assert file is not None
    return Path(file)


def test_kernel_asks_for_no_newer_glibc_than_it_is_built_for(kernel: Path) -> None:
    with kernel.open("rb") as stream:
        wanted = {
            version.name
            for section in ELFFile(stream).iter_sections()
            if isinstance(section, GNUVerNeedSection)
            for _, versions in section.iter_versions()
            for version in versions
        }
    glibc = {name: tuple(map(int, name.removeprefix("GLIBC_").split("."))) for name in wanted if name.startswith("GLIBC_")}
    assert glibc, "no symbol versions at all: this is not the module that is meant"
    assert {name for name, version in glibc.items() if version > OLDEST_GLIBC} == set()
    assert set(glibc) == wanted, "versions of another library's symbols"


def test_kernel_needs_no_library_but_c(kernel: Path) -> None:
    with kernel.open("rb") as stream:
        needed = [
            tag.needed
            for section in ELFFile(stream).iter_sections()
            if isinstance(section, DynamicSection)
            for tag in section.iter_tags()
            if tag.entry.d_tag == "DT_NEEDED"
        ]
    assert [name for name in needed if not C_LIBRARY.match(name)] == []


def test_kernel_uses_the_stable_abi(kernel: Path) -> None:
    assert kernel.name == "_native.abi3.so"


# ---------------------------------------------------------------------------------------------------- locks and versions


@pytest.mark.parametrize("name", ["runtime", "dev"])
def test_lock_pins_with_hashes_and_names_no_place(checkout: Path, name: str) -> None:
    text = (checkout / "requirements" / f"{name}.lock").read_text()
    assert "://" not in text
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.lstrip().startswith("#")]
    assert requirements
    assert [line for line in requirements if not re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_lock_has_what_pyproject_asks_for(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())
    runtime, development = project["project"]["dependencies"], project["dependency-groups"]["dev"]
    for lock, wanted in {"runtime": runtime, "dev": runtime + development}.items():
        pinned = set(re.findall(r"^([a-z0-9-]+)==", (checkout / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE))
        assert {re.split(r"[<>=~!\[;]", requirement)[0] for requirement in wanted} <= pinned


def test_cargo_lock_names_only_the_standard_registry(checkout: Path) -> None:
    packages = tomllib.loads((checkout / "Cargo.lock").read_text())["package"]
    assert {package["source"] for package in packages if "source" in package} <= {"registry+https://github.com/rust-lang/crates.io-index"}


def test_locked_crates_build_with_the_oldest_rust_we_promise(checkout: Path) -> None:
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", f"{os.uname().machine}-unknown-linux-gnu"]
    answer = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    promised = tomllib.loads((checkout / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]

    def number(version: str) -> tuple[int, ...]:
        return tuple(map(int, version.split(".")))[:2]

    packages = json.loads(answer.stdout)["packages"]
    assert [package["id"] for package in packages if package["rust_version"] and number(package["rust_version"]) > number(promised)] == []


def test_one_version(checkout: Path) -> None:
    workspace = tomllib.loads((checkout / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    assert nivalis.__version__ == workspace == distribution("nivalis").version


# ---------------------------------------------------------------------------------------------------- imports


def _modules(checkout: Path) -> list[Path]:
    return sorted((checkout / "src" / "nivalis").rglob("*.py"))


def _imported(file: Path, package: str) -> set[str]:
    """The names directly under `nivalis` that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("nivalis.")}
    return found


def test_imports_go_down(checkout: Path) -> None:
    storey = {name: height for height, names in enumerate(STOREYS) for name in names}
    root = checkout / "src"
    upward = []
    for file in _modules(checkout):
        parts = file.relative_to(root).with_suffix("").parts
        if len(parts) < 2 or parts[1] == "__init__":
            continue
        package = ".".join(parts[:-1])
        for name in _imported(file, package):
            assert parts[1] in storey, f"{parts[1]} has no storey: give it one in this test and in docs/concepts/layers.md"
            if name in storey and storey[name] > storey[parts[1]]:
                upward.append(f"{file.relative_to(root)} imports {name}")
    assert upward == []


# ---------------------------------------------------------------------------------------------------- commands


def test_declared_programs_exist(checkout: Path) -> None:
    scripts = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["scripts"]
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_every_command_is_what_its_entry_says() -> None:
    for name, entry in group.COMMANDS.items():
        command = importlib.import_module(entry.module).command
        assert isinstance(command, click.Command)
        assert command.name == name
        assert command.get_short_help_str(limit=200) == entry.summary


def _cpu_seconds(run: Callable[[], object]) -> float:
    """What the processes that `run` starts and waits for spend on a processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _nivalis(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(Path(sys.executable).parent / "nivalis"), *arguments], capture_output=True, text=True, check=False)


def test_version_and_help() -> None:
    assert _nivalis("--version").stdout == f"nivalis {nivalis.__version__}\n"
    answer = _nivalis("--help")
    assert answer.returncode == 0
    assert answer.stdout.startswith("Usage: nivalis ")
    assert [name for name in group.COMMANDS if name not in answer.stdout] == []


def test_help_imports_no_command_and_no_kernel() -> None:
    code = (
        "import json, sys; from nivalis.cli.group import nivalis_group as main;"
        " main(['--help'], standalone_mode=False); print(json.dumps(sorted(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(answer.stdout.splitlines()[-1]))
    assert loaded & ({entry.module for entry in group.COMMANDS.values()} | {"nivalis._native", "nivalis.lang", "nivalis.store", "rich"}) == set()


def test_help_starts_fast() -> None:
    # Processor time, the best of several, and twice the goal of 100 ms: a busy machine is no fault of ours.
    assert min(_cpu_seconds(lambda: _nivalis("--help")) for _ in range(5)) < 0.2


# ---------------------------------------------------------------------------------------------------- ./dev


def test_dev_shows_its_commands_and_refuses_others(checkout: Path) -> None:
    answer = subprocess.run([checkout / "dev", "--help"], capture_output=True, text=True, check=True)
    assert [line.split()[1] for line in answer.stdout.splitlines()] == ["setup", "tour", "test", "bench", "check", "wheel"]
    assert subprocess.run([checkout / "dev", "fly"], capture_output=True, check=False).returncode == 2


def test_setup_with_nothing_to_do_is_quick_and_silent(checkout: Path) -> None:
    if not (checkout / ".dev" / "kernel").exists():
        pytest.skip("this checkout was not set up by ./dev")

    def setup() -> None:
        answer = subprocess.run([checkout / "dev", "setup"], capture_output=True, text=True, check=False)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")

    assert _cpu_seconds(setup) < 2
