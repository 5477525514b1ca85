"""`nix-hash` beside CppNix's."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from nivalis.cli.nix_hash import nix_hash
from nivalis.errors import HashError, NivalisError
from oracle import Oracle, cppnix28

DIGEST = {"md5": "d41d8cd98f00b204e9800998ecf8427e", "sha1": "e4fd8ba5f7bbeaea5ace89fe10255536cd60dab6"}


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    found, reason = cppnix28()
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("h")
    (top / "file").write_text("hi\n")
    (top / "run").write_text("hi\n")
    (top / "run").chmod(0o755)
    (top / "folder").mkdir()
    (top / "folder/link").symlink_to("nowhere")
    return top


@pytest.mark.parametrize("files", ["file", "folder run"])
@pytest.mark.parametrize("form", ["", "--base32"])
@pytest.mark.parametrize("flags", ["", "--type md5", "--type sha1", "--type sha256", "--type sha512", "--truncate --type sha256", "--truncate"])
def test_hashes(oracle: Oracle, place: Path, capsys: pytest.CaptureFixture[str], files: str, form: str, flags: str) -> None:
    words = [*flags.split(), *form.split(), *(str(place / name) for name in files.split())]
    assert nix_hash(words) == 0
    assert capsys.readouterr().out == oracle.run("nix-hash", words).stdout


def test_flat(oracle: Oracle, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--flat"], ["--flat", "--type", "sha256", "--base32"]):
        words = [*words, str(place / "file"), str(place / "run")]
        nix_hash(words)
        assert capsys.readouterr().out == oracle.run("nix-hash", words).stdout
    with pytest.raises(OSError):
        nix_hash(["--flat", str(place / "folder")])
    with pytest.raises(OSError):
        nix_hash([str(place / "nothing")])


def test_conversions(oracle: Oracle, capsys: pytest.CaptureFixture[str]) -> None:
    for algo, digest in DIGEST.items():
        for flag in ("--to-base32", "--to-base16"):
            words = ["--type", algo, flag, digest, digest]
            nix_hash(words)
            assert capsys.readouterr().out == oracle.run("nix-hash", words).stdout
    nix_hash(["--to-base32", DIGEST["md5"]])
    assert capsys.readouterr().out == "3y8bwfr609h3lh9ch0izcqq7fl\n"


def test_newer_forms(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CppNix 2.8 has neither base 64 nor SRI here, nor a flag for base 16; newer ones do."""
    digest = hashlib.sha256(b"hi\n").digest()
    text = base64.b64encode(digest).decode()
    for words, expected in (
        (["--flat", "--type", "sha256", "--sri", str(place / "file")], f"sha256-{text}"),
        (["--flat", "--type", "sha256", "--base64", str(place / "file")], text),
        (["--to-sri", f"sha256:{digest.hex()}"], f"sha256-{text}"),
        (["--to-base16", f"sha256-{text}"], digest.hex()),
        (["--to-base64", "--type", "sha256", digest.hex()], text),
        (["--flat", "--type", "sha256", "--base16", str(place / "file")], digest.hex()),
    ):
        nix_hash(words)
        assert capsys.readouterr().out == f"{expected}\n"
    nix_hash(["--truncate", "--sri", "--type", "sha256", str(place / "file")])
    assert capsys.readouterr().out.startswith("sha256-")


def test_errors(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--type", "sha3", "x"], ["--nonsense"], ["--type"]):
        with pytest.raises(NivalisError):
            nix_hash(words)
    for words in (["--to-base16", "zz"], ["--to-base16", "sha1-x"], ["--type", "sha1", "--to-base32", DIGEST["md5"]]):
        with pytest.raises(HashError):
            nix_hash(words)
    assert nix_hash(["--help"]) == 0 and nix_hash([]) == 0 and nix_hash(["--version"]) == 0
    assert os.path.exists(place)
