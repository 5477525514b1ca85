"""The channel's packages: names, derivations, errors, builders, and that CppNix 2.8 makes the same .drv files of them.

Most of it is over a snapshot of twenty packages that is made here.  With NIVALIS_DEBIAN=debian:bookworm (or another suite) programs in C and in
Python are built from their sources as well, twice, over the real archive.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import oracle
from debian_archive import stanza
from debian_packages import Builder, make_snapshot
from nivalis.build import BuildSettings, realise
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.debian.index import join_pockets, read_packages
from nivalis.debian.release import Release
from nivalis.debian.resolve import Resolver
from nivalis.debian.snapshot import shard_of, write_snapshot
from nivalis.errors import EvalError
from nivalis.lang import EvalSettings, Evaluator
from nivalis.store import Store, StoreLayout

CHANNEL = Path(__file__).resolve().parents[2] / "channel"
SETUP = CHANNEL / "pkgs/stdenv/build/setup"
SYSTEM = "x86_64-linux"
# What `stdenv` is made of.
TOOLS = [
    *("base-files", "base-passwd", "bzip2", "coreutils", "dash", "debianutils", "diffutils", "file", "findutils", "gawk", "grep", "gzip"),
    *("hostname", "libc-bin", "make", "ncurses-base", "patch", "patchelf", "procps", "sed", "tar", "util-linux", "xz-utils", "binutils"),
    *("gcc", "g++", "libc6-dev", "pkgconf"),
]
PACKAGES = [
    *(stanza(name, depends="libc6") for name in TOOLS),
    stanza("bash", "1:5.2~rc1-2+b1", depends="libc6", homepage="https://example.org/bash", section="shells"),
    stanza("libc6", "2.36-9", depends="libgcc-s1"),
    stanza("libgcc-s1", "12.2", source="gcc-12 (12.2.0)", depends="libc6"),
    stanza("curl", "7.88.1-10", depends="libc6, libcurl4, mail-agent"),
    stanza("libcurl4", depends="libc6"),
    stanza("exim4", provides="mail-agent"),
    stanza("libssl-dev"),
    stanza("openssl"),
    stanza("zlib1g-dev", depends="libc6"),
    stanza("fd-find"),
    stanza("libstdc++6", "12.2"),
    stanza("7zip"),
    stanza("broken", depends="never"),
    stanza("docker"),
    stanza("docker.io"),
    stanza("python3", "3.11.2-1", depends="libc6"),
    *(stanza(f"python3-{name}", depends="python3") for name in ("requests", "yaml", "pip", "wheel", "setuptools", "zope.interface")),
    stanza("nonfree", pool="pool/non-free"),
]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = "".join(PACKAGES).encode()
    packages = join_pockets([read_packages(text, "main/binary-amd64/Packages", len(text), "test")], "amd64")
    release = Release("stable", "testix", 1_700_000_000, None, ("amd64",), ("main",), False, "0" * 64, {})
    folder = tmp_path_factory.mktemp("snapshot") / "testix"
    write_snapshot(str(folder), [(release, ["main"])], dict(sorted(packages.items())), Resolver(packages, "amd64").resolve(), "amd64")
    return folder


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    with Evaluator(None, EvalSettings(system=SYSTEM)) as made:
        yield made


class Channel:
    def __init__(self, evaluator: Evaluator, snapshot: Path) -> None:
        self._evaluator = evaluator
        self.text = f"import {CHANNEL} {{ snapshot = {snapshot}; }}"

    def eval(self, text: str) -> object:
        return self._evaluator.eval(f"let pkgs = {self.text}; in with pkgs; {text}").to_python()

    def fail(self, text: str) -> EvalError:
        with pytest.raises(EvalError) as caught:
            self.eval(f"let v = ({text}); in builtins.deepSeq v v")
        return caught.value


@pytest.fixture
def channel(evaluator: Evaluator, snapshot: Path) -> Channel:
    return Channel(evaluator, snapshot)


# ---------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("curl", "curl-7.88.1-10"),
        ("bash", "bash-5.2-rc1-2+b1"),
        ('pkgs."libstdc++6"', "libstdc++6-12.2"),
        ("libstdc__6", "libstdc++6-12.2"),
        ("_7zip", "7zip-1.0-1"),
        ("virtual.mail-agent", "exim4-1.0-1"),
        ("gnumake", "make-1.0-1"),
        ("fd", "fd-find-1.0-1"),
        ("zlib", "zlib1g-dev-1.0-1"),
        ("openssl.dev", "libssl-dev-1.0-1"),
        ("openssl", "openssl-1.0-1"),
        ("lib.getDev zlib", "zlib1g-dev-1.0-1"),
        ("docker", "docker.io-1.0-1"),
        ("debian.docker", "docker-1.0-1"),
        ("python3Packages.requests", "python3-requests-1.0-1"),
        ("python3.pkgs.pyyaml", "python3-yaml-1.0-1"),
        ("python3Packages.zope_interface", "python3-zope.interface-1.0-1"),
    ],
)
def test_names(channel: Channel, text: str, name: str) -> None:
    assert channel.eval(f"({text}).name") == name
    assert channel.eval(f"lib.isDerivation ({text})") is True


def test_near_names_are_suggested(channel: Channel) -> None:
    assert "`curl`" in (channel.fail("pkgs.curll").hint or "")
    assert "`requests`" in (channel.fail("python3Packages.request").hint or "")


def test_rows_are_sorted_by_meaning(evaluator: Evaluator) -> None:
    """No name stands for itself, and none has something that no Debian package could be called."""
    names = evaluator.eval(f"import {CHANNEL}/pkgs/names.nix").to_python()
    for table, rows in names.items():
        for name, row in rows.items():
            for target in row if isinstance(row, list) else [row]:
                assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", target), (table, name)
                assert table == "dev" or row != name, (table, name)


# ---------------------------------------------------------------------------------------------------- packages


def test_the_derivation_of_a_package(channel: Channel) -> None:
    drv = 'removeAttrs curl.drvAttrs [ "depends" "sources" ]'
    expected = {"name": "curl-7.88.1-10", "system": SYSTEM, "builder": "builtin:debian-package", "format": "2", "packages": "curl"}
    assert channel.eval(drv) == expected
    assert channel.eval("map (one: one.name) curl.drvAttrs.depends") == ["exim4-1.0-1", "libc6-2.36-9", "libcurl4-1.0-1"]
    deb = channel.eval("(builtins.head curl.drvAttrs.sources).drvAttrs")
    assert isinstance(deb, dict) and re.fullmatch("[0-9a-f]{64}", str(deb.pop("outputHash")))
    assert deb == {
        "name": "curl_7.88.1-10_amd64.deb",
        "system": "builtin",
        "builder": "builtin:debian-fetch",
        "path": "pool/main/c/curl/curl_7.88.1-10_amd64.deb",
        "outputHashMode": "flat",
        "outputHashAlgo": "sha256",
        "preferLocalBuild": True,
    }


def test_a_circle_is_one_derivation(channel: Channel) -> None:
    assert channel.eval("[ libc6.name libgcc-s1.name ]") == ["libc6-2.36-9", "libgcc-s1-12.2"]
    assert channel.eval("libc6.outPath == libgcc-s1.outPath") is True
    assert channel.eval("libc6.drvAttrs.packages") == "libc6 libgcc-s1"
    assert channel.eval("builtins.length libc6.drvAttrs.sources") == 2


def test_what_is_known_of_a_package(channel: Channel) -> None:
    assert channel.eval("{ inherit (bash) pname version outputs type system; }") == {
        "pname": "bash",
        "version": "1:5.2~rc1-2+b1",
        "outputs": ["out"],
        "type": "derivation",
        "system": SYSTEM,
    }
    meta = channel.eval("bash.meta")
    assert isinstance(meta, dict)
    assert meta["homepage"] == "https://example.org/bash" and meta["description"] == "bash for tests" and meta["section"] == "shells"
    assert channel.eval("[ libgcc-s1.meta.source libgcc-s1.meta.sourceVersion ]") == ["gcc-12", "12.2.0"]
    assert channel.eval("[ bash.meta.license.free nonfree.meta.license.free ]") == [True, False]


def test_what_cannot_be_had(channel: Channel) -> None:
    assert channel.eval("[ broken.name broken.meta.broken ]") == ["broken-1.0-1", True]
    error = channel.fail("broken.drvPath")
    assert error.code == "thrown" and "never" in error.message


def test_one_package_reads_few_files(snapshot: Path) -> None:
    with Evaluator(None, EvalSettings(system=SYSTEM), record=True) as evaluator:
        assert evaluator.eval(f"(import {CHANNEL} {{ snapshot = {snapshot}; }}).exim4.outPath").to_python()
        read = set(re.findall(r"packages/(...)\.json", repr(evaluator.recording())))
    assert read == {shard_of("exim4")}


# ---------------------------------------------------------------------------------------------------- changes


def test_overriding(channel: Channel) -> None:
    assert channel.eval("(curl.overrideAttrs (old: { meta = old.meta // { x = 1; }; })).meta.x") == 1
    assert channel.eval("(curl.overrideAttrs { passthru.y = 2; }).y") == 2
    for change in ("overrideAttrs (old: { patches = [ ]; })", "override { patches = true; }"):
        error = channel.fail(f"(curl.{change}).drvPath")
        assert "binary package of Debian" in error.message and "patches" in error.message and "mkDerivation" in error.message
    built = '(callPackage ({ stdenv, fd, x ? "1" }: stdenv.mkDerivation (final: { pname = "a"; version = x; v = final.version; })) { })'
    assert channel.eval(f"{built}.v") == "1"
    assert channel.eval(f'({built}.override {{ x = "2"; }}).v') == "2"
    assert channel.eval(f'({built}.overrideAttrs {{ version = "3"; }}).v') == "3"
    assert channel.eval(f'({built}.overrideAttrs (old: {{ version = old.version + "0"; }})).name') == "a-10"


def test_overlays_and_configuration(channel: Channel, tmp_path: Path) -> None:
    text = channel.text.removesuffix(" }")
    overlays = "overlays = [ (final: prev: { curl = prev.fd; two = final.curl; }) ]"
    assert channel.eval(f"({text} {overlays}; }}).two.pname") == "fd-find"
    assert channel.eval(f"({text} config.packageOverrides = pkgs: {{ mine = pkgs.curl; }}; }}).mine.pname") == "curl"
    assert channel.eval("(extend (final: prev: { curl = 1; })).curl") == 1
    # Binary packages keep what they were built with.
    assert channel.eval("(extend (final: prev: { libc6 = 1; })).curl.drvPath == curl.drvPath") is True
    folder = tmp_path / ".config/nixpkgs"
    (folder / "overlays").mkdir(parents=True)
    (folder / "config.nix").write_text("{ pkgs }: { packageOverrides = prev: { configured = pkgs.fd; }; }")
    (folder / "overlays/a.nix").write_text("final: prev: { laid = prev.configured; }")
    with Evaluator(None, EvalSettings(system=SYSTEM, environment={"HOME": str(tmp_path)})) as evaluator:
        assert evaluator.eval(f"({channel.text}).laid.pname").to_python() == "fd-find"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('fetchurl { url = "https://example.org/x"; }', "needs the hash"),
        ('(fetchurl { url = "mirror://never/x"; hash = ""; }).drvPath', "no mirrors are known"),
        ('(fetchPypi { pname = "a"; version = "1"; }).drvPath', "needs the hash"),
        ('fetchFromGitHub { owner = "a"; repo = "b"; rev = "c"; fetchSubmodules = true; }', "submodules"),
        ('(stdenv.mkDerivation { pname = "a"; }).name', "no `version`"),
        ("(stdenv.mkDerivation { }).name", "needs `pname` and `version`"),
        ('(stdenv.mkDerivation { name = "a"; }).override { }', "callPackage"),
        ("callPackage ({ curll }: 1) { }", "did you mean `curl`"),
    ],
)
def test_errors_say_what_to_do(channel: Channel, text: str, message: str) -> None:
    assert message in channel.fail(text).message


def test_arguments_that_cannot_be(channel: Channel, tmp_path: Path) -> None:
    text = channel.text.removesuffix(" }")
    assert "--arch" in channel.fail(f'({text} system = "aarch64-linux"; }}).curl').message
    assert "crossSystem" in channel.fail(f'({text} crossSystem = "aarch64-linux"; }}).curl').message
    copy = shutil.copytree(CHANNEL, tmp_path / "channel")
    assert "nivalis channel add" in channel.fail(f"(import {copy} {{ }}).curl").message


def test_sources_of_python_packages(channel: Channel) -> None:
    source = channel.eval('(fetchPypi { pname = "Ruamel.YAML_x"; version = "0.18"; sha512 = ""; }).drvAttrs')
    assert isinstance(source, dict) and re.fullmatch("sha256-A{43}=", str(source.pop("outputHash")))
    assert source == {
        "name": "Ruamel.YAML_x-0.18.tar.gz",
        "system": "builtin",
        "builder": "builtin:pypi-fetch",
        "project": "ruamel-yaml-x",
        "file": "Ruamel.YAML_x-0.18.tar.gz",
        "outputHashMode": "flat",
        "outputHashAlgo": "sha256",
        "preferLocalBuild": True,
    }
    wheel = 'fetchPypi { pname = "six"; version = "1.16.0"; format = "wheel"; dist = "py3"; python = "py3"; sha256 = ""; }'
    assert channel.eval(f"({wheel}).file") == "six-1.16.0-py3-none-any.whl"


# ---------------------------------------------------------------------------------------------------- builders

EXPRESSION = """
{ snapshot }: with import CHANNEL { inherit snapshot; config = { }; overlays = [ ]; };
rec {
  inherit curl libc6 fd;
  text = writeText "hello.txt" "hello ${curl}\\n";
  script = writeShellScriptBin "hi" "echo hi";
  application = writeShellApplication { name = "app"; runtimeInputs = [ curl ]; text = "curl"; };
  run = runCommand "run" { x = [ curl fd ]; } "echo $x > $out";
  links = linkFarm "links" { a = bash; "b/c" = coreutils; };
  join = symlinkJoin { name = "join"; paths = [ bash coreutils ]; postBuild = "rm $out/bin/x"; };
  env = buildEnv { name = "env"; paths = [ bash (lib.hiPrio coreutils) greet ]; };
  bins = buildEnv { name = "bins"; paths = [ bash ]; pathsToLink = [ "/bin" ]; };
  greet = stdenv.mkDerivation {
    pname = "greet"; version = "1"; outputs = [ "out" "dev" ]; src = fetchurl { url = "mirror://gnu/x.tar.gz"; hash = ""; };
    buildInputs = [ zlib openssl ]; nativeBuildInputs = [ makeWrapper null ]; propagatedBuildInputs = [ curl ]; doCheck = true;
    configureFlags = [ "--a" ]; env.NIX_CFLAGS_COMPILE = "-g"; meta.description = "greets"; passthru.tests = 1;
  };
  uses = stdenv.mkDerivation { name = "uses"; buildInputs = [ greet ]; src = fetchFromGitHub { owner = "a"; repo = "b"; rev = "c"; sha256 = ""; }; };
  python = python3.withPackages (ps: [ ps.requests ]);
  application3 = python3Packages.buildPythonApplication { pname = "x"; version = "1"; src = python; dependencies = [ python3Packages.pyyaml ]; };
  shell = mkShell { packages = [ fd ]; inputsFrom = [ greet ]; shellHook = "echo"; };
  bare = mkShellNoCC { packages = [ fd ]; };
}
"""


@pytest.fixture(scope="module")
def expression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("expression") / "default.nix"
    file.write_text(EXPRESSION.replace("CHANNEL", str(CHANNEL)))
    return file


def test_derivations_are_those_of_cppnix(snapshot: Path, expression: Path, tmp_path: Path) -> None:
    nix, reason = oracle.cppnix28()
    if nix is None:
        pytest.skip(reason)
    answer = nix.instantiate([str(expression), "--arg", "snapshot", str(snapshot)], store=tmp_path / "cppnix")
    assert answer.status == 0, answer.stderr
    theirs = sorted(line.partition("!")[0] for line in answer.stdout.splitlines())
    with Store.open(StoreLayout.under(tmp_path / "ours")) as store, Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        text = f"builtins.mapAttrs (_: one: one.drvPath) (import {expression} {{ snapshot = {snapshot}; }})"
        found = evaluator.eval(text).to_python()
    assert sorted(str(path) for path in found.values()) == theirs


def test_what_a_build_sees(channel: Channel, expression: Path, snapshot: Path) -> None:
    def farm(name: str) -> set[str]:
        text = f"map (one: one.debian.name) (import {expression} {{ snapshot = {snapshot}; }}).{name}.drvAttrs.usrFarm.drvAttrs.packages"
        found = channel.eval(text)
        assert isinstance(found, list)
        return set(map(str, found))

    assert {"gcc", "make", "bash", "zlib1g-dev", "openssl", "libssl-dev", "curl"} <= farm("greet")
    # What an input propagates is there, what it was built from is not.
    assert "curl" in farm("uses") and "zlib1g-dev" not in farm("uses")
    assert "gcc" not in farm("bare") and "fd-find" in farm("bare")
    assert {"gcc", "fd-find", "zlib1g-dev"} <= farm("shell")


def in_setup(script: str, folder: Path, **variables: str) -> str:
    """What a script prints in which `setup` is, run by this machine's Bash."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no Bash on this machine")
    environment = {"PATH": os.environ["PATH"], "NIX_STORE": "/nix/store", "out": str(folder / "out"), "NIX_BUILD_TOP": str(folder), **variables}
    done = subprocess.run([bash, "-ec", f"source {SETUP}\n{script}"], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_substitute(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one & @two@ \\ three\n")
    in_setup("substitute a b --replace-fail one '&x' --subst-var two; substituteInPlace b --replace three '$4'", tmp_path, two="/2")
    assert (tmp_path / "b").read_text() == "&x & /2 \\ $4\n"
    assert "fine" in in_setup("substitute a b --replace-fail four x || echo fine", tmp_path)


def test_phases_and_hooks(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/Makefile").write_text("install:\n\tmkdir -p $(out)/bin\n\tprintf '#!/bin/sh\\n' > $(out)/bin/x\n")
    subprocess.run(["tar", "-czf", "source.tar.gz", "source"], cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / "source")
    said = in_setup(
        "preInstallHooks+=(hook); hook() { echo hooked; }; buildPhase() { runHook preBuild; echo mine; }; genericBuild; pwd",
        tmp_path,
        src=str(tmp_path / "source.tar.gz"),
        preBuild="echo before",
        installPhase="",
        dontFixup="1",
    )
    lines = said.splitlines()
    assert [line for line in lines if line in ("before", "mine", "hooked", str(tmp_path / "source"))] == [
        "before",
        "mine",
        "hooked",
        str(tmp_path / "source"),
    ]
    assert (tmp_path / "out/bin/x").exists()


def test_link_tree(tmp_path: Path) -> None:
    for name in ("a/bin/x", "b/bin/y", "b/bin/x", "b/.hidden/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "b/lib").symlink_to("bin")
    in_setup(f"linkTree {tmp_path}/a out; linkTree {tmp_path}/b out", tmp_path)
    found = {path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"bin/x": "a/bin/x", "bin/y": "b/bin/y", ".hidden/z": "b/.hidden/z", "lib/x": "b/bin/x", "lib/y": "b/bin/y"}
    assert not (tmp_path / "out/bin").is_symlink()


def test_make_wrapper(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$A|$B|$C|$PATHS|$*"\n')
    program.chmod(0o755)
    hook = CHANNEL / "pkgs/stdenv/make-wrapper.sh"
    words = "--set A \"it's\" --set-default B b --unset C --prefix PATHS : /1 --suffix PATHS : /3 --add-flags '-x y' --append-flags z"
    # There is no farm here from which the wrapper's interpreter could come.
    in_setup(f"source {hook}; _inStore() {{ command -v bash; }}; wrapProgram ./program {words}", tmp_path)
    done = subprocess.run(
        ["./program", "w"], cwd=tmp_path, env={**os.environ, "B": "c", "C": "c", "PATHS": "/2"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "it's|c||/1:/2:/3|-x y w z\n"


# ---------------------------------------------------------------------------------------------------- the real archive

SOURCES = {
    "greet": {
        "configure.ac": "AC_INIT([greet],[1.0])\nAM_INIT_AUTOMAKE([foreign])\nLT_INIT\nAC_PROG_CC\nAC_CHECK_LIB([z],[zlibVersion])\n"
        "AC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
        "Makefile.am": "lib_LTLIBRARIES = libgreet.la\nlibgreet_la_SOURCES = greet.c\ninclude_HEADERS = greet.h\nbin_PROGRAMS = greet\n"
        "greet_SOURCES = main.c\ngreet_LDADD = libgreet.la\n",
        "greet.h": "const char *greet(void);\n",
        "greet.c": '#include "greet.h"\n#include <zlib.h>\nconst char *greet(void) { return zlibVersion(); }\n',
        "main.c": '#include <stdio.h>\n#include "greet.h"\nint main(void) { printf("greet %s\\n", greet()); return 0; }\n',
    },
    "hi": {
        "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "hi"\nversion = "1.0"\n'
        '[project.scripts]\nhi = "hi:main"\n[tool.setuptools]\npy-modules = ["hi"]\n',
        "hi.py": "import requests\ndef main():\n    print('hi', bool(requests.__version__))\n",
    },
}
REAL = """
with import CHANNEL { snapshot = SNAPSHOT; config = { }; overlays = [ ]; };
rec {
  inherit curl;
  greet = stdenv.mkDerivation {
    pname = "greet"; version = "1.0"; src = builtins.path { name = "greet"; path = SOURCES/greet; };
    outputs = [ "out" "dev" ]; nativeBuildInputs = [ autoconf automake libtool ]; propagatedBuildInputs = [ zlib ]; preConfigure = "autoreconf -fi";
  };
  uses = stdenv.mkDerivation {
    name = "uses"; dontUnpack = true; buildInputs = [ greet ]; nativeBuildInputs = [ makeWrapper ];
    buildPhase = "printf '#include <greet.h>\\n#include <zlib.h>\\n#include <stdio.h>\\nint main() { puts(greet()); puts(zlibVersion()); }' > a.c
      gcc -o a a.c -lgreet -lz";
    installPhase = "install -D a $out/bin/a; wrapProgram $out/bin/a --set X y";
  };
  hi = python3Packages.buildPythonApplication {
    pname = "hi"; version = "1.0"; src = builtins.path { name = "hi"; path = SOURCES/hi; };
    dependencies = [ python3Packages.requests ]; pythonImportsCheck = [ "hi" ];
  };
}
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str]]:
    suite = os.environ.get("NIVALIS_DEBIAN")
    if not suite:
        pytest.skip("no suite in NIVALIS_DEBIAN")
    try:
        check_available()
    except SandboxError as error:
        pytest.skip(str(error))
    sources = tmp_path_factory.mktemp("sources")
    for folder, files in SOURCES.items():
        (sources / folder).mkdir()
        for name, text in files.items():
            (sources / folder / name).write_text(text)
    with Store.open(StoreLayout.under(tmp_path_factory.mktemp("root"))) as store:
        snapshot = str(make_snapshot(store, suite).folder)
        yield store, REAL.replace("CHANNEL", str(CHANNEL)).replace("SNAPSHOT", snapshot).replace("SOURCES", str(sources))


AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def run_alone(store: Store, path: str, program: str) -> str:
    """A program with nothing visible but its closure, and the authorities of a farm in it, which every machine has at this place."""
    command = ["bwrap", "--unshare-all", "--clearenv", "--proc", "/proc", "--dev", "/dev"]
    closure = sorted(store.database.closure([path]))
    for one in closure:
        command += ["--ro-bind", store.real_path(one), one]
    # Trixie's python3-requests reads them as soon as it is imported.
    bundles = [bundle for bundle in (f"{one}{AUTHORITIES}" for one in closure) if os.path.exists(store.real_path(bundle))]
    for bundle in bundles[:1]:
        command += ["--symlink", bundle, AUTHORITIES]
    done = subprocess.run([*command, f"{path}/{program}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("name", "program", "said"), [("greet", "bin/greet", "greet 1."), ("uses", "bin/a", "1."), ("hi", "bin/hi", "hi True")])
def test_programs_from_sources(real: tuple[Store, str], name: str, program: str, said: str) -> None:
    store, text = real
    Builder(store, text).build(name)
    with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        path, drv_path = map(str, evaluator.eval(f"with ({text}).{name}; [ outPath drvPath ]").to_python())
    assert run_alone(store, path, program).startswith(said)
    names = {one[44:] for one in store.database.closure([path])}
    assert not [one for one in names if one.startswith(("binutils", "cpp-", "libc6-dev", "make-"))], "a compiler is in the closure"
    again = BuildSettings.make(SYSTEM, os.environ, {})._replace(mode="check")
    realise(store, [drv_path], again).check()


def test_one_package_of_thousands_takes_little(real: tuple[Store, str]) -> None:
    store, text = real
    times = []
    for _ in range(3):
        with Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
            # What others do on this machine does not count.
            started = time.process_time()
            assert evaluator.eval(f"({text}).curl.drvPath").to_python()
            times.append(time.process_time() - started)
    assert min(times) < 0.5
    print(json.dumps(times))
