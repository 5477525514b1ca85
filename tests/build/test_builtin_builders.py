"""Builtin builders, in their sandbox, beside CppNix's."""

from __future__ import annotations

import base64
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_prelude import PRELUDE
from fetch_server import serve
from nivalis.build import builtin_builders, realise, sandbox
from oracle import Result

PACKAGES = """
  pkg = n: script: sh n "mkdir -p $out; cd $out; ${script}";
  a = pkg "a" "mkdir -p bin share/x nix-support lib; echo a > bin/a; echo a > share/x/a; ln -s /no lib/dead
    echo ${c} > nix-support/propagated-user-env-packages";
  b = pkg "b" "mkdir -p bin share; echo b > bin/b; echo b > share/b; ln -s ${d}/lib lib; mkdir .hidden";
  c = pkg "c" "mkdir -p bin share/x/deep; echo c > bin/a; echo c > bin/c; echo c > share/x/deep/c";
  d = pkg "d" "mkdir lib; echo d > lib/d; echo d > manifest.nix";
  env = derivations: derivation {
    name = "env"; system = "builtin"; builder = "builtin:buildenv"; inherit derivations; manifest = builtins.toFile "manifest" "[ ]";
  };
"""


def _with_packages(text: str) -> str:
    return f"let {PACKAGES} in {text}"


def _links(place: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for parent, folders, files in os.walk(place):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            found[os.path.relpath(path, place)] = os.readlink(path) if os.path.islink(path) else None
    return found


def test_buildenv(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    text = _with_packages('env [ "true" 5 1 a "true" 5 1 b "false" 5 1 c "true" 7 1 d ]')
    place = workshop.build(text)
    (tmp_path / "t.nix").write_text(PRELUDE + text)
    answer = cpp_build(tmp_path / "theirs", "nix-build", str(tmp_path / "t.nix"), "--no-out-link")
    assert answer.status == 0, answer.stderr
    assert _links(place) == _links(f"{tmp_path}/theirs{answer.stdout.strip()}")
    assert "bin/c" in _links(place)


def test_buildenv_collision(workshop: Any) -> None:
    error = workshop.fail(_with_packages('env [ "true" 5 1 a "true" 5 1 c ]'))
    assert error.code == "collision"
    shown = str(error)
    assert "-a/bin/a" in shown and "-c/bin/a" in shown and "priority" in shown


def test_buildenv_priority(workshop: Any) -> None:
    place = workshop.build(_with_packages('env [ "true" 5 1 a "true" 4 1 c ]'))
    assert os.readlink(f"{place}/bin/a").endswith("-c/bin/a")


def test_buildenv_sees_nothing_but_its_inputs(workshop: Any) -> None:
    """Links are followed as in a sandbox: to inputs and to the few files that are everywhere, not to what this machine has."""
    text = """
      other = sh "other" "mkdir $out; echo > $out/file";
      odd = n: sh "odd" "mkdir -p $out/top; cd $out/top; echo ${n} > file; ln -s /usr usr; ln -s /dev/null masked; ln -s ./.././top/file same
        ln -s loop loop; ln -s ${builtins.storeDir} store; ln -s file/../file none; ln -s ${other} far; ln -s /usr/..${other} around
        ln -s $(echo ${other} | sed s/.-other/0-other/) away";
    """
    place = workshop.build(f'let {PACKAGES} {text} in env [ "true" 5 1 (odd "1") "true" 6 1 (odd "2") ]')
    assert _links(place).keys() == {"manifest.nix", "top", "top/file", "top/masked", "top/same", "top/far", "top/far/file"}


def test_buildenv_is_checked(workshop: Any) -> None:
    drv_path = workshop.instantiate(_with_packages('env [ "true" 5 1 a ]'))
    workshop.realise(drv_path).check()
    workshop.realise(drv_path, mode="check").check()


def test_buildenv_needs_no_sandbox(workshop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drv_paths = [workshop.instantiate(_with_packages(f'env [ "true" {priority} 1 a ]')) for priority in (5, 6, 7)]
    workshop.build(_with_packages("a"))
    monkeypatch.setattr(sandbox, "_PROGRAM", "no-such-program")
    # One is made at once, several by the scheduler.
    for wanted in (drv_paths[:1], drv_paths):
        realised = realise(workshop.store, wanted, workshop.settings())
        realised.check()
        assert len(realised.paths) == len(wanted)


@pytest.mark.parametrize("words", ['"true" 5', '"true" "x" 1 a', '"true" 5 2 a', '"true" 5 1 "/etc"', '"true" 5 1 "${a}/../../etc"'])
def test_buildenv_of_nonsense(workshop: Any, words: str) -> None:
    assert workshop.fail(_with_packages(f"env [ {words} ]")).code == "build-failed"


def test_buildenv_of_folders_without_end(workshop: Any) -> None:
    around = 'around = n: sh n "mkdir $out; ln -s . $out/x; ln -s . $out/y";'
    error = workshop.fail(f'let {PACKAGES} {around} in env [ "true" 5 1 (around "a") "true" 6 1 (around "b") ]')
    assert error.code == "build-failed" and "too deep" in str(error)


def _archive(file: Path) -> None:
    with tarfile.open(file, "w:xz") as archive:
        member = tarfile.TarInfo("nixexprs-1/default.nix")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"{}"))


def test_unpack_channel(workshop: Any, tmp_path: Path, cpp_build: Callable[..., Result]) -> None:
    _archive(tmp_path / "x.tar.xz")
    attributes = 'name = "channel"; system = "builtin"; builder = "builtin:unpack-channel"; channelName = "nixos";'
    text = f"derivation {{ {attributes} src = {tmp_path}/x.tar.xz; }}"
    place = workshop.build(text)
    assert Path(place, "nixos/default.nix").read_text() == "{}"
    (tmp_path / "t.nix").write_text(text)
    answer = cpp_build(tmp_path / "theirs", "nix-build", str(tmp_path / "t.nix"), "--no-out-link")
    assert answer.stdout.strip() == workshop.build_all(text)[0]


def _fetch(address: str) -> str:
    return f'import <nix/fetchurl.nix> {{ url = "{address}"; sha256 = builtins.hashString "sha256" "hello\\n"; name = "file"; }}'


def test_fetchurl_sees_no_files_of_this_machine(workshop: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello\n")
    assert "no such file" in str(workshop.fail(_fetch(f"file://{tmp_path}/file")))


def test_fetchurl(workshop: Any, server: Any, tmp_path: Path) -> None:
    _archive(tmp_path / "x.tar.xz")
    server.files = {"/file": b"hello\n", "/x.tar.xz": (tmp_path / "x.tar.xz").read_bytes()}
    assert workshop.fail(_fetch(f"{server.address}/x.tar.xz")).code == "hash-mismatch"
    assert Path(workshop.build(_fetch(f"{server.address}/file"))).read_text() == "hello\n"
    # The hash of a tree is not known here, but is in the error of a wrong one.
    for more in ("unpack = true;", "executable = true;"):
        text = f'import <nix/fetchurl.nix> {{ url = "{server.address}/x.tar.xz"; {more} name = "t"; hash = "HASH"; }}'
        error = workshop.fail(text.replace("HASH", "sha256-" + "A" * 43 + "="))
        found = str(error).partition("got:")[2].split()[0]
        place = Path(workshop.build(text.replace("HASH", found)))
        assert (place / "default.nix").exists() if "unpack" in more else os.access(place, os.X_OK)
    text = f'builder = "builtin:fetchurl"; url = "{server.address}/x.tar.xz"; unpack = true; stripRoot = false; outputHashMode = "recursive";'
    text = f'derivation {{ name = "t"; system = "builtin"; {text} outputHashAlgo = "sha256"; outputHash = "HASH"; }}'
    found = str(workshop.fail(text.replace("HASH", "sha256-" + "A" * 43 + "="))).partition("got:")[2].split()[0]
    (top,) = os.listdir(workshop.build(text.replace("HASH", found)))
    assert top != "default.nix"
    gone = workshop.fail(f'import <nix/fetchurl.nix> {{ url = "{server.address}/gone"; sha256 = "{"0" * 64}"; }}')
    assert "not-found" in str(gone)


def test_fetchurl_says_who_one_is(workshop: Any, server: Any, tmp_path: Path) -> None:
    server.files = {"/file": b"hello\n"}
    server.authorization = "Basic " + base64.b64encode(b"me:se:cret").decode()
    netrc = tmp_path / "netrc"
    assert "HTTP 401" in str(workshop.fail(_fetch(f"{server.address}/file"), netrc_file=str(netrc)))
    netrc.write_text("machine 127.0.0.1 login me password se:cret\n")
    netrc.chmod(0o600)
    assert Path(workshop.build(_fetch(f"{server.address}/file"), netrc_file=str(netrc))).read_text() == "hello\n"
    # A derivation cannot ask for it.
    text = 'sh "n" "echo $NIVALIS_NETRC $NETRC > $out"'
    assert "se:cret" not in Path(workshop.build(text, netrc_file=str(netrc))).read_text()


def test_a_builder_can_be_added(workshop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "added_builder.py").write_text("from pathlib import Path\ndef build(environment, out): Path(out).write_text(environment['TEXT'])\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(builtin_builders, "_BUILDERS", dict(builtin_builders._BUILDERS))
    builtin_builders.register("added", "added_builder:build")
    text = 'derivation { name = "x"; system = "builtin"; builder = "builtin:added"; TEXT = "here"; PYTHONPATH = "/nonsense"; }'
    assert Path(workshop.build(text)).read_text() == "here"


@pytest.fixture
def server() -> Any:
    yield from serve()
