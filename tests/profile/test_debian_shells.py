"""Shells and profiles over the real archive: what people do in them, each once.

The packages come from the mirrors that this machine is set to use, which takes minutes and some 300 MB; so only with NIVALIS_DEBIAN=debian:bookworm
or another suite.
"""

from __future__ import annotations

import datetime
import functools
import http.server
import ipaddress
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from debian_packages import make_snapshot
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.store import Store, StoreLayout

CHANNEL = Path(__file__).resolve().parents[2] / "channel"
FACE = "from nivalis.cli.start import {0}; {0}()"
PROGRAMS = {name: [sys.executable, "-c", FACE.format(name.replace("-", "_"))] for name in ("nix-env", "nix-shell", "nix-store")}
PROGRAMS["nivalis"] = [sys.executable, "-c", "from nivalis.cli import main; main()"]
# What others do on this machine does not count.
MEASURE = """
import os, subprocess
times = []
for _ in range(9):
    started = os.times()
    subprocess.run(["git", "version"], stdout=subprocess.DEVNULL, check=True)
    ended = os.times()
    times.append(ended.children_user + ended.children_system - started.children_user - started.children_system)
print(min(times))
"""
SELF: list[str] = []
ORDINARY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
USERS = pytest.mark.parametrize("user", [SELF, ORDINARY], ids=["self", "ordinary"])
MACHINES_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

PACKAGES = [
    *("python3", "python3-numpy", "python3-requests", "perl", "libjson-xs-perl", "libwww-perl", "git", "gcc", "locales-all", "curl", "ruby"),
    *("ca-certificates", "man-db"),
]
DEEDS = {
    "python with extension modules": ("python3 -c 'import numpy; print(round(numpy.linalg.det(numpy.diag([2, 3, 7]))))'", "42"),
    "python's byte code": (
        "python3 -c 'import json, numpy, os; print(*(\"bytecode\" in os.path.realpath(one.__cached__) for one in (json, numpy)))'",
        "True True",
    ),
    "perl modules": ("perl -MJSON::XS -MLWP::UserAgent -e 'print JSON::XS->new->encode([6 * 7])'", "[42]"),
    "ruby": ("ruby -rjson -e 'puts [6 * 7].to_json'", "[42]"),
    "a program from its source": ("echo 'int main(void) { return puts(\"built\") < 0; }' | gcc -w -include stdio.h -x c -o ./a - && ./a", "built"),
    "a locale": ("LC_ALL=de_DE.UTF-8 date -d 2024-03-01 +%A,%B", "Freitag,März"),
    "the locale that is always there": ("LC_ALL=C.UTF-8 locale charmap", "UTF-8"),
    "iconv": ("printf 'あ' | iconv -f UTF-8 -t EUC-JP | od -An -tx1", " a4 a2"),
    "the bundle of certificates": ("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt | sed 's/^[0-9]*[0-9][0-9][0-9]$/many/'", "many"),
    "who one is": ("id -un", "{user}"),
    "names of machines": ("getent hosts localhost | grep -c localhost", "1"),
    "a script": ("printf '#!/usr/bin/env python3\\nprint(42)' > script; chmod +x script; ./script", "42"),
    "alternatives": ("awk 'BEGIN { print 6 * 7 }'", "42"),
}


class World:
    """A store with a snapshot or two."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        for name in ("home", "project", "channels"):
            (folder / name).mkdir()
        self.env = {
            "HOME": str(folder / "home"),
            "LANG": "C.UTF-8",
            "NIX_CONFIG": "substituters =\nbuild-users-group =\n",
            "NIX_REMOTE": f"local?root={folder}/root",
            "PATH": "/usr/bin:/bin",
        }
        self.env |= {name: text for name, text in os.environ.items() if name.lower().endswith("_proxy")}
        self.add("nixpkgs", suite)

    def add(self, name: str, suite: str) -> None:
        """A suite as the channel of this name."""
        with Store.open(StoreLayout.under(self.folder / "root")) as store:
            snapshot = str(make_snapshot(store, suite).folder)
        expression = f"{{ ... }}@args: import {CHANNEL} ({{ snapshot = {snapshot}; config = {{ }}; overlays = [ ]; }} // args)"
        (self.folder / "channels" / name).mkdir()
        (self.folder / "channels" / name / "default.nix").write_text(expression)
        self.env["NIX_PATH"] = str(self.folder / "channels")

    def run(self, program: str, *words: str, user: list[str] = SELF, **more: str) -> subprocess.CompletedProcess[str]:
        command = [*user, *PROGRAMS.get(program, [program]), *words]
        return subprocess.run(command, cwd=self.folder / "project", env={**self.env, **more}, capture_output=True, text=True, check=False)

    def say(self, program: str, *words: str, user: list[str] = SELF, **more: str) -> str:
        answer = self.run(program, *words, user=user, **more)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.rstrip("\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    suite = os.environ.get("NIVALIS_DEBIAN")
    if not suite:
        pytest.skip("no suite in NIVALIS_DEBIAN")
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    return World(tmp_path_factory.mktemp("world"), suite)


@USERS
@pytest.mark.parametrize("deed", DEEDS)
def test_deeds(world: World, deed: str, user: list[str]) -> None:
    script, expected = DEEDS[deed]
    name = subprocess.run([*user, "id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    said = world.say("nix-shell", "-p", *PACKAGES, "--run", script, user=user)
    assert said == expected.format(user=name)


def test_a_projects_shell(world: World) -> None:
    (world.folder / "project/shell.nix").write_text(
        'with import <nixpkgs> { }; mkShell { packages = [ python3 ]; buildInputs = [ zlib ]; shellHook = "export HOOKED=1"; WORD = "word"; }'
    )
    script = "echo $HOOKED $WORD; echo 'int main(void) { puts(zlibVersion()); }' | gcc -w -include stdio.h -include zlib.h -x c - -lz && ./a.out"
    said = world.say("nix-shell", "--pure", "--run", script).splitlines()
    assert said[0] == "1 word" and said[1].startswith("1.")


def test_nivalis_shell_and_run(world: World) -> None:
    assert world.say("nivalis", "shell", "python3", "git", "-c", "python3 -c 'print(42)'; git --version | cut -c1-11") == "42\ngit version"
    (world.folder / "home/mine").touch()
    said = world.say("nivalis", "shell", "--pure", "python3", "-c", "ls ~; type -P python3; echo ${HOME:+home} ${LEFT-gone}; ls /", LEFT="over")
    # Of the machine's folders there are those in which the project is, and none that only others need.
    assert said.splitlines()[:2] == ["/usr/bin/python3", "home gone"] and not {"boot", "media", "mnt", "srv"} & set(said.split())
    assert world.say("nivalis", "run", "python3", "--", "-c", "import sys; print(sys.argv[1:])", "a  b") == "['a  b']"
    assert world.say("nivalis", "run", "python3Packages.requests", "--program", "python3", "--", "-c", "import requests; print(42)") == "42"
    wrong = world.run("nivalis", "run", "coreutils")
    assert wrong.returncode == 127 and "error[no-program]" in wrong.stderr and "sha256sum" in wrong.stderr
    assert "pythn3" in world.run("nivalis", "run", "pythn3").stderr


def test_a_shell_is_ready_in_half_a_second(world: World) -> None:
    # Of processor time: what others do on this machine does not count.
    for command in (["nix-shell", "-p", "python3", "git", "gcc", "--run", "true"], ["nivalis", "run", "hello"]):
        world.say(*command)
        times = []
        for _ in range(5):
            started = os.times()
            world.say(*command)
            ended = os.times()
            times.append(ended.children_user + ended.children_system - started.children_user - started.children_system)
        print(command, times)
        assert min(times) < 0.5


# ---------------------------------------------------------------------------------------------------- the network


class Server:
    """A server that speaks TLS, with a certificate of its own authority."""

    def __init__(self, folder: Path) -> None:
        self.files = folder / "served"
        self.files.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.authority = certificate.public_bytes(serialization.Encoding.PEM)
        pem = folder / "server.pem"
        pem.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + self.authority
        )
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(self.files))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"https://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("server"))
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def trusting(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How to start a command where the machine trusts the server's authority."""
    if not os.path.exists(MACHINES_BUNDLE):
        pytest.skip(f"this machine has its certificates elsewhere than in {MACHINES_BUNDLE}")
    bundle = tmp_path_factory.mktemp("trust") / "bundle"
    bundle.write_bytes(Path(MACHINES_BUNDLE).read_bytes() + server.authority)
    mount = f'mount --bind {bundle} {MACHINES_BUNDLE} && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]


def test_the_machines_authorities_are_trusted(world: World, server: Server, trusting: list[str]) -> None:
    (server.files / "file").write_text("served")
    for tool, script in {
        "curl": f"curl -sS {server.address}/file",
        "python3": f"python3 -c 'import urllib.request as r; print(r.urlopen(\"{server.address}/file\").read().decode())'",
        "libwww-perl liblwp-protocol-https-perl perl": f"perl -MLWP::Simple -e 'print get(\"{server.address}/file\")'",
    }.items():
        words = ["-p", *tool.split(), "--run", script]
        assert world.say("nix-shell", *words, user=trusting) == "served", tool
        assert "served" not in world.run("nix-shell", *words).stdout


def test_git_submodules_over_https(world: World, server: Server, trusting: list[str]) -> None:
    git = "git -c user.name=a -c user.email=b -c init.defaultBranch=main -c protocol.file.allow=always"
    script = f"""
        set -ex
        for name in inner outer; do {git} init -q --bare $name.git; {git} clone -q $name.git $name; done
        (cd inner; echo inner > file; git add file; {git} commit -qm inner; git push -q origin HEAD)
        cd outer
        {git} submodule --quiet add {server.files}/inner.git sub
        git config -f .gitmodules submodule.sub.url {server.address}/inner.git
        {git} commit -qam outer; git push -q origin HEAD
        for name in inner outer; do git -C ../$name.git update-server-info; done
    """
    subprocess.run(["bash", "-c", script], cwd=server.files, check=True, capture_output=True)
    clone = f"rm -rf cloned; git clone -q --recurse-submodules {server.address}/outer.git cloned && cat cloned/sub/file"
    assert world.say("nix-shell", "-p", "git", "--run", clone, user=trusting) == "inner"


# ---------------------------------------------------------------------------------------------------- profiles


def in_profile(world: World, profile: str, script: str, user: list[str] = SELF) -> str:
    """What a script says on a machine whose /nix the store is, with the profile's commands."""
    place = f"/nix/var/nix/profiles/{profile}/bin"
    view = ["unshare", "--user", "--map-root-user", "--mount"] if os.geteuid() else ["unshare", "--mount"]
    if not os.path.isdir("/nix"):
        pytest.skip("there is no folder /nix to put a store on")
    mount = f'mount --bind {world.folder}/root/nix /nix && exec "$@"'
    return world.say(*view, "sh", "-c", mount, "sh", *user, "sh", "-c", script, PATH=f"{place}:/usr/bin:/bin", NIX_REMOTE="")


def install(world: World, profile: str, *words: str, channel: str = "nixpkgs") -> None:
    place = f"{world.folder}/root/nix/var/nix/profiles/{profile}"
    world.say("nix-env", "-p", place, "-f", f"<{channel}>", *words)


@USERS
def test_installed_commands_work_on_the_machine(world: World, user: list[str]) -> None:
    install(world, "tools", "-iA", "hello", "git", "python3", "perl", "ripgrep", "curl", "man-db")
    assert (
        in_profile(world, "tools", "hello -g hi; git --version | cut -c1-11; python3 -c 'import json, ssl; print(42)'", user) == "hi\ngit version\n42"
    )
    assert in_profile(world, "tools", "perl -MPOSIX -e 'print floor(42.5)'; echo; rg -c root /etc/passwd | wc -l", user) == "42\n1"
    # What needs no farm sees the machine's own /usr, and what does, its own and the profile's commands.
    machines = in_profile(world, "tools", "readlink -f $(command -v rg)", user)
    assert "/usr/bin/rg" in machines
    assert in_profile(world, "tools", "git -c alias.x='!hello -g within' x; echo given | python3 -c 'print(input())'", user) == "within\ngiven"
    # A script that asks for the profile's interpreter, and a virtual environment by it.
    script = "printf '#!/usr/bin/env python3\\nimport sys; print(sys.argv[1])' > s; chmod +x s; ./s word; rm -rf v; python3 -m venv --without-pip v"
    assert in_profile(world, "tools", f"{script}; v/bin/python -c 'import sys; print(sys.prefix)'", user) == f"word\n{world.folder}/project/v"
    assert in_profile(world, "tools", "python3 -c 'import os; os.kill(os.getpid(), 15)'; echo $?", user) == "143"


OWN = """
with import <nixpkgs> { }; {
  # Scripts in languages whose interpreters look for their parts in /usr; one calls the other by its path.
  scripts = stdenvNoCC.mkDerivation {
    pname = "scripts"; version = "1"; dontUnpack = true;
    buildInputs = [ python3 python3Packages.yaml ]; nativeBuildInputs = [ perl ];
    installPhase = ''
      mkdir -p $out/bin $out/share
      printf '#!/usr/bin/env python3\\nimport json, yaml; print(json.dumps(yaml.safe_load("a: 42")))\\n' > $out/bin/of-python
      printf '#!/usr/bin/perl\\nuse POSIX; print floor(42.5), "\\\\n"; system("'$out'/bin/of-python");\\n' > $out/bin/of-perl
      chmod +x $out/bin/*
      echo 42 > $out/share/data
    '';
  };
  plain = stdenv.mkDerivation {
    pname = "plain"; version = "1"; dontUnpack = true; buildInputs = [ zlib ];
    installPhase = "mkdir -p $out/bin; echo 'int main() { return 42; }' | gcc -x c -o $out/bin/plain -";
  };
}
"""


@USERS
def test_scripts_that_were_built_here_work_on_the_machine(world: World, user: list[str]) -> None:
    (world.folder / "project/own.nix").write_text(OWN)
    place = f"{world.folder}/root/nix/var/nix/profiles/own"
    world.say("nix-env", "-p", place, "-f", "own.nix", "-iA", "scripts", "plain")
    assert in_profile(world, "own", "of-python; of-perl; plain; echo $?", user) == '{"a": 42}\n42\n{"a": 42}\n42'
    machines = in_profile(world, "own", "readlink -f $(command -v plain); cat /nix/var/nix/profiles/own/share/data", user).splitlines()
    assert machines[0].endswith("-plain-1/bin/plain") and machines[1] == "42"
    assert world.say("nix-env", "-p", place, "-q") == "plain-1\nscripts-1"


def test_the_commands_of_a_launcher_start_quickly(world: World) -> None:
    install(world, "quick", "-iA", "git")
    (world.folder / "project/measure.py").write_text(MEASURE)
    took = float(in_profile(world, "quick", f"{sys.executable} measure.py"))
    print(took)
    assert took < 0.06


def test_versions_side_by_side_upgrades_and_rollback(world: World) -> None:
    suites = ["debian:trixie", "debian:bookworm"]
    world.add("other", next(suite for suite in suites if suite != os.environ["NIVALIS_DEBIAN"]))
    install(world, "one", "-iA", "python3")
    install(world, "two", "-iA", "python3", channel="other")
    version = "python3 -c 'import sys, json; print(sys.version_info[1])'"
    one, two = (in_profile(world, profile, version) for profile in ("one", "two"))
    assert one != two
    # In two shells, too; what was built in one profile goes on in the other.
    for channel, expected in {"nixpkgs": one, "other": two}.items():
        assert world.say("nivalis", "shell", "--channel", channel, "python3", "-c", version) == expected
    both = f"{version}; /nix/var/nix/profiles/two/bin/{version}"
    assert in_profile(world, "one", both) == f"{one}\n{two}"
    older, newer = ("one", "two") if int(one) < int(two) else ("two", "one")
    install(world, older, "-uA", "python3", channel="other" if older == "one" else "nixpkgs")
    assert in_profile(world, older, version) == max(one, two, key=int)
    world.say("nix-env", "-p", f"{world.folder}/root/nix/var/nix/profiles/{older}", "--rollback")
    assert in_profile(world, older, version) == min(one, two, key=int)
    assert in_profile(world, newer, version) == max(one, two, key=int)


@USERS
def test_commands_of_a_store_at_home(world: World, user: list[str]) -> None:
    install(world, "mine", "-iA", "git", "hello")
    front = f"{world.folder}/root/nix/var/nix/profiles/mine-front/bin"
    assert world.say(f"{front}/hello", "-g", "hi", user=user) == "hi"
    assert world.say(f"{front}/git", "init", "-q", "made", user=user) == "" and (world.folder / "project/made/.git").is_dir()
    assert world.say("nivalis", "enter", "--", "/nix/var/nix/profiles/mine/bin/git", "--version", user=user).startswith("git version")
