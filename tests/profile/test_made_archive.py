"""From an archive that is made here to shells and installed commands: the whole way, without the network.

Its packages hold a few programs of this machine, with the libraries that they need, and a script with its data; what is a compiler there
has the launchers' program ready.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

import oracle
from debian_archive import stanza
from debian_debs import Entry, file, link, make_deb
from fetch_server import serve
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.debian.index import join_pockets, read_packages
from nivalis.debian.release import Release
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import write_snapshot

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = "usr/lib/x86_64-linux-gnu"
FACE = "from nivalis.cli.start import {0}; {0}()"
PROGRAMS = {name: [sys.executable, "-c", FACE.format(name.replace("-", "_"))] for name in ("nix-env", "nix-shell")}
PROGRAMS["nivalis"] = [sys.executable, "-c", "from nivalis.cli import main; main()"]
# Of what stdenv is made; most have nothing to do here.
TOOLS = [
    *("base-files", "base-passwd", "bzip2", "dash", "debianutils", "diffutils", "file", "findutils", "gawk", "grep", "gzip", "hostname", "libc-bin"),
    *(
        "make",
        "ncurses-base",
        "patch",
        "patchelf",
        "procps",
        "sed",
        "tar",
        "util-linux",
        "xz-utils",
        "binutils",
        "gcc",
        "g++",
        "libc6-dev",
        "pkgconf",
    ),
]
COMMANDS = ("basename", "cat", "dirname", "id", "ln", "ls", "mkdir", "printenv", "readlink", "rm", "true")
GREET = b'#!/bin/sh\nread -r greeting < /usr/share/greet/greeting\necho "$greeting, ${1-you}"\n'
# Stands for a C compiler: what it has to make is made already.
COMPILER = r"""
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>
extern const char made[], end[];
__asm__(".section .rodata\nmade: .incbin \"MADE\"\nend:\n");
int main(int count, char **words) {
    for (int i = 1; i + 1 < count; i++)
        if (!strcmp(words[i], "-o")) {
            int out = open(words[i + 1], O_WRONLY | O_CREAT, 0755);
            return write(out, made, end - made) != end - made;
        }
    return 1;
}
"""


def _libraries(*programs: str) -> dict[str, bytes]:
    """What the machine's programs are linked with, by name."""
    found = {}
    for program in programs:
        for place in re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout):
            found[os.path.basename(place)] = Path(place).read_bytes()
    return found


def _make_packages(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Each package's .deb, and its dependencies."""
    bash, *commands = (shutil.which(name) or pytest.skip(f"no {name}") for name in ("bash", *COMMANDS))
    for source, program in ((ROOT / "channel/pkgs/launcher/launch.c", "launch"), (folder / "tcc.c", "tcc")):
        if program == "tcc":
            source.write_text(COMPILER.replace("MADE", str(folder / "launch")))
        subprocess.run(["gcc", "-static", "-O1", "-o", folder / program, source], check=True)

    def program(name: str, data: bytes) -> Entry:
        return file(f"usr/bin/{name}", data, mode=0o755)

    contents: dict[str, tuple[list[Entry], str]] = {name: ([file(f"usr/share/doc/{name}/copyright")], "libc6") for name in TOOLS}
    contents |= {
        "libc6": ([file(f"{LIBRARIES}/{name}", data, mode=0o755) for name, data in _libraries(bash, *commands).items()], ""),
        "bash": ([program("bash", Path(bash).read_bytes())], "libc6"),
        "dash": ([program("dash", Path(bash).read_bytes()), link("usr/bin/sh", "dash")], "libc6"),
        "coreutils": ([program(Path(place).name, Path(place).read_bytes()) for place in commands], "libc6"),
        "greet": ([program("greet", GREET), file("usr/share/greet/greeting", b"hello\n")], "dash"),
        "plain": ([program("plain", Path(shutil.which("true") or "").read_bytes()), program("show", b"#!/bin/sh\necho $0\n")], "libc6"),
        "perl": ([program("perl", Path(bash).read_bytes()), file("usr/share/perl/greeting", b"hello\n")], "libc6"),
        "tcc": ([program("tcc", (folder / "tcc").read_bytes())], ""),
        "musl-dev": ([file("usr/lib/x86_64-linux-musl/libc.a")], "gcc"),
    }
    return {name: (make_deb(entries, name=name), depends) for name, (entries, depends) in contents.items()}


class World:
    def __init__(self, folder: Path, mirror: str, snapshot: Path) -> None:
        self.folder = folder
        for name in ("work", "home/.config/nivalis"):
            (folder / name).mkdir(parents=True)
        (folder / "home/.config/nivalis/debian.json").write_text(json.dumps({"mirrors": [mirror]}))
        self.env = {
            "HOME": str(folder / "home"),
            "NIX_CONFIG": "substituters =\nbuild-users-group =\n",
            "NIX_PATH": f"nixpkgs={ROOT}/channel:debian-snapshot={snapshot}",
            "NIX_REMOTE": f"local?root={folder}/root",
            "PATH": "/usr/bin:/bin",
        }

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*PROGRAMS.get(program, [program]), *words]
        return subprocess.run(command, cwd=self.folder / "work", env=self.env, capture_output=True, text=True, check=False)

    def say(self, program: str, *words: str) -> str:
        answer = self.run(program, *words)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.rstrip("\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    if not all(map(shutil.which, ("gcc", "ldd"))) or os.uname().machine != "x86_64":
        pytest.skip("no compiler for the launchers, or another machine")
    folder = tmp_path_factory.mktemp("made")
    packages = _make_packages(folder)
    for server in serve():
        text = ""
        for name, (deb, depends) in packages.items():
            entry = stanza(name, "1.0-1", **({"depends": depends} if depends else {}))
            entry = re.sub("Size: .*\nSHA256: .*", f"Size: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}", entry)
            (place,) = re.findall("Filename: (.*)", entry)
            server.files[f"/debian/{quote(place)}"] = deb
            text += entry
        data = text.encode()
        index = join_pockets([read_packages(data, "main/binary-amd64/Packages", len(data), "test")], "amd64")
        release = Release("stable", "testix", 1_700_000_000, None, ("amd64",), ("main",), False, "0" * 64, {})
        write_snapshot(str(folder / "testix"), [(release, ["main"])], dict(sorted(index.items())), Resolver(index, "amd64").resolve(), "amd64")
        yield World(folder / "world", f"{server.address}/debian", folder / "testix")


def test_shells(world: World) -> None:
    assert world.say("nix-shell", "-p", "greet", "--run", "greet; type -P greet") == "hello, you\n/usr/bin/greet"
    assert world.say("nivalis", "shell", "greet", "plain", "-c", "greet me; plain; show") == "hello, me\n/usr/bin/show"
    assert world.say("nivalis", "shell", "--pure", "greet", "-c", "ls -A ~; greet; printenv PATH") == "hello, you\n/usr/bin:/usr/sbin"
    (world.folder / "work/shell.nix").write_text(
        'with import <nixpkgs> { }; mkShell { packages = [ greet ]; WORD = "word"; shellHook = "echo hook"; }'
    )
    assert world.say("nix-shell", "--run", "greet $WORD") == "hook\nhello, word"
    # The same from the cache.
    assert world.say("nix-shell", "--run", "greet $WORD") == "hook\nhello, word"


def test_what_is_installed_is_plain_data(world: World, tmp_path: Path) -> None:
    nix, reason = oracle.cppnix28()
    if nix is None:
        pytest.skip(reason)
    file = tmp_path / "default.nix"
    file.write_text(
        f"with import {ROOT}/channel {{ snapshot = {world.folder.parent}/testix; config = {{ }}; overlays = [ ]; }};"
        '[ greet.inProfile plain.inProfile (buildEnv { name = "x"; paths = [ greet plain ]; }).inProfile'
        ' (stdenvNoCC.mkDerivation { name = "own"; nativeBuildInputs = [ perl ]; }).inProfile (stdenv.mkDerivation { name = "bare"; }).inProfile ]'
    )
    theirs = nix.instantiate([str(file)], store=tmp_path / "cppnix")
    assert theirs.status == 0, theirs.stderr
    ours = subprocess.run([sys.executable, "-c", FACE.format("nix_instantiate"), file], env=world.env, capture_output=True, text=True, check=True)
    assert ours.stdout.split() == [line for line in theirs.stdout.split() if line.endswith(".drv")]


def test_run(world: World) -> None:
    assert world.say("nivalis", "run", "greet", "--", "a  b") == "hello, a  b"
    assert world.say("nivalis", "run", "plain", "--program", "show") == "/usr/bin/show"
    answer = world.run("nivalis", "run", "coreutils")
    assert answer.returncode == 127 and "error[no-program]" in answer.stderr and "printenv" in answer.stderr
    assert "attribute 'gret'" in world.run("nivalis", "run", "gret").stderr


def test_installed_commands(world: World) -> None:
    profile = world.folder / "root/nix/var/nix/profiles/mine"
    world.say("nix-env", "-p", str(profile), "-f", "<nixpkgs>", "-iA", "greet", "plain")
    assert world.say("nix-env", "-p", str(profile), "-q") == "greet-1.0-1\nplain-1.0-1"
    front = f"{profile}-front/bin"
    assert sorted(os.listdir(front)) == ["greet", "plain", "show"]
    assert world.say(f"{front}/greet", "a  b") == "hello, a  b"
    assert world.say(f"{front}/plain") == ""
    inside = world.say("nivalis", "enter", "--", "sh", "-c", "cd /nix/var/nix/profiles/mine/bin; readlink -f plain; ./greet")
    assert inside.splitlines()[0].endswith("-plain-1.0-1/usr/bin/plain") and inside.splitlines()[1] == "hello, you"
    world.say("nix-env", "-p", str(profile), "-e", "greet")
    assert sorted(os.listdir(front)) == ["plain", "show"]
    world.say("nix-env", "-p", str(profile), "--rollback")
    assert world.say(f"{front}/greet") == "hello, you"
    # Whatever kinds of commands there are, they start quickly.
    for words in (["-iA", "plain"], ["-e", "greet"]):
        world.say("nix-env", "-p", str(profile), "-f", "<nixpkgs>", *words)
        assert Path(front, "plain").read_text().splitlines()[1].startswith("nix ")
    # An environment of one's own has them, too.
    text = 'with import <nixpkgs> { }; { tools = buildEnv { name = "tools"; paths = [ greet plain ]; }; }'
    (world.folder / "work/tools.nix").write_text(text)
    world.say("nix-env", "-p", f"{profile}-2", "-f", "tools.nix", "-iA", "tools")
    assert world.say(f"{profile}-2-front/bin/greet", "there") == "hello, there"
