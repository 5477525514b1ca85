"""`nix-prefetch-url` beside CppNix's."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fetch_server import Server, serve
from nivalis.cli.downloading import DownloadProgress
from nivalis.cli.nix_prefetch_url import nix_prefetch_url
from nivalis.errors import NivalisError
from oracle import cppnix28

EXPRESSION = """
  { file ? "one.tar.gz", name ? "one.tar.gz" }: {
    flat = { urls = [ "file://DIR/${file}" ]; outputHashMode = "flat"; inherit name; };
    unpacked = { urls = [ "file://DIR/${file}" "http://other/" ]; outputHashMode = "recursive"; inherit name; };
    plain = { urls = [ "file://DIR/${file}" ]; name = "plain"; };
    mirrored = { urls = [ "mirror://here/one.tar.gz" ]; outputHashMode = "flat"; inherit name; };
    empty.urls = [ ];
    lost.urls = [ "mirror://nowhere/x" ];
  }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, members in {"one": ["top/file", "top/more"], "two": ["file", "more"], "none": []}.items():
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            for member in members:
                info = tarfile.TarInfo(member)
                info.size = 2
                archive.addfile(info, io.BytesIO(b"x\n"))
    (tmp_path / "default.nix").write_text(EXPRESSION.replace("DIR", str(tmp_path)))
    mirrors = tmp_path / "pkgs/pkgs/build-support/fetchurl/mirrors.nix"
    mirrors.parent.mkdir(parents=True)
    mirrors.write_text(f'{{ here = [ "file://{tmp_path}/" ]; }}')
    return tmp_path


@pytest.fixture
def ours(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """What the program writes to stdout and stderr."""
    monkeypatch.chdir(folder)
    for name in ("NIX_PATH", "PRINT_PATH", "QUIET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NIX_REMOTE", f"local?root={folder}/root")

    def run(*words: str) -> tuple[str, str]:
        assert nix_prefetch_url(words) == 0
        said = capsys.readouterr()
        return said.out, said.err

    return run


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve()


@pytest.mark.parametrize(
    "words",
    [
        "file://DIR/one.tar.gz",
        "file://DIR/one.tar.gz --print-path",
        "file://DIR/one.tar.gz --print-path --type md5",
        "file://DIR/one.tar.gz --print-path --type sha1 --unpack",
        "file://DIR/one.tar.gz --print-path --type sha512 --executable",
        "file://DIR/two.tar.gz --unpack --print-path --name foo",
        "--quiet file://DIR/one.tar.gz",
        "-A flat --print-path",
        "-A flat --print-path --argstr file two.tar.gz --argstr name two.tar.gz DIR/default.nix",
        "-A unpacked --print-path",
        "-A mirrored --print-path -I nixpkgs=DIR/pkgs",
        "--print-path mirror://here/one.tar.gz -I nixpkgs=DIR/pkgs",
    ],
)
def test_beside_cppnix(words: str, ours: Callable[..., tuple[str, str]], folder: Path) -> None:
    oracle, reason = cppnix28()
    if oracle is None:
        pytest.skip(reason)
    line = words.replace("DIR", str(folder)).split()
    answer = oracle.run("nix-prefetch-url", line, store=folder / "theirs", cwd=folder)
    assert answer.status == 0, answer.stderr
    assert ours(*line) == (answer.stdout, answer.stderr)


def test_a_name_in_an_expression_counts(ours: Callable[..., tuple[str, str]]) -> None:
    assert ours("-A", "flat", "--print-path", "--argstr", "name", "q")[0].endswith("-q\n")
    out, err = ours("-A", "plain", "--print-path")
    assert out.endswith("-plain\n") and "does not look like" in err


def test_with_its_hash_nothing_is_fetched_twice(ours: Callable[..., tuple[str, str]], server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/x?query"] = b"hello\n"
    monkeypatch.setenv("PRINT_PATH", "1")
    first, err = ours(f"{server.address}/x?query")
    digest, path = first.split()
    assert err == "" and path.endswith("-x")
    assert ours(f"{server.address}/x", digest)[0] == first
    assert ours(f"{server.address}/x", f"sha256:{digest}")[0] == first
    assert server.asked == [("/x?query", 200)]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("file:///DIR/none", "not-found"),
        ("file://DIR/one.tar.gz 0000000000000000000000000000000000000000000000000000", "hash-mismatch"),
        ("file://DIR/one.tar.gz 00", "invalid-hash"),
        ("file://DIR/default.nix --unpack", "invalid-archive"),
        ("file://DIR/none.tar.gz --unpack", "invalid-archive"),
        ("file://DIR", "download-failed"),
        ("file://host/x", "download-failed"),
        ("file:///", "download-failed"),
        ("DIR/one.tar.gz", "download-failed"),
        ("ftp://x/y", "download-failed"),
        ("file://DIR/a%20b", "invalid-store-path"),
        ("-A empty", "usage"),
        ("-A lost -I nixpkgs=DIR/pkgs", "unknown-mirror"),
        ("-A flat.urls", "usage"),
        ("", "usage"),
        ("a b c", "usage"),
        ("--type crc x", "usage"),
        ("-L x", "usage"),
    ],
)
def test_errors(words: str, code: str, ours: Callable[..., tuple[str, str]], folder: Path) -> None:
    (folder / "a b").write_text("x")
    with pytest.raises(NivalisError) as caught:
        ours(*words.replace("DIR", str(folder)).split())
    assert caught.value.code == code


def test_progress() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, wanted in ((Terminal(), "\r\x1b[K[1.0/4.0 MiB, 0.1 MiB/s] x\r\x1b[K"), (io.StringIO(), "[1.0/4.0 MiB, 0.1 MiB/s] x\n")):
        now = [0.0]
        progress = DownloadProgress("x", stream, lambda now=now: now[0])  # type: ignore[misc]
        progress.advance(1, 4 << 20)
        now[0] = 10.5
        progress.advance(1 << 20, 4 << 20)
        progress.advance(2 << 20, 4 << 20)
        progress.close()
        assert stream.getvalue() == wanted
