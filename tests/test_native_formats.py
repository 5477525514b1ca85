"""The formats through their Python face: types, errors, files, and Ctrl-C.  What they compute is tested in the crate."""

from __future__ import annotations

import io
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis import _native, errors
from nivalis._native import Hash, NarInfo

STORE = "/nix/store"
PATH = f"{STORE}/7g9fy9hn0lknbrl7a4p13p3y7mfvk3xp-x"
OTHER = f"{STORE}/6g9fy9hn0lknbrl7a4p13p3y7mfvk3xp-y"


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (errors.HashError, lambda: Hash.parse("zz")),
        (errors.HashError, lambda: Hash("sha256", b"")),
        (errors.HashError, lambda: _native.hash_bytes("crc", b"")),
        (errors.Base32Error, lambda: _native.base32_decode("e0")),
        (errors.StorePathError, lambda: _native.parse_store_path("/nix/store/x", STORE)),
        (errors.StorePathError, lambda: _native.check_store_path_name("ä")),
        (errors.DerivationError, lambda: _native.parse_derivation(b"Derive(", STORE)),
        (errors.NarError, lambda: _native.restore_nar(io.BytesIO(b"x"), "/nowhere")),
        (errors.NarInfoError, lambda: NarInfo.parse(b"x", STORE)),
        (errors.StoreContentError, lambda: _native.hash_nar("/dev/null")),
        (FileNotFoundError, lambda: _native.hash_nar("/nowhere")),
        (FileNotFoundError, lambda: _native.hash_file("md5", "/nowhere")),
        (IsADirectoryError, lambda: _native.hash_file("md5", "/")),
        (ValueError, lambda: _native.dump_nar("/", -1)),
        (OSError, lambda: _native.dump_nar(__file__, 1_000_000)),
        (ValueError, lambda: _native.make_fixed_output_path("x", "git", Hash("sha1", bytes(20)), [], STORE)),  # type: ignore[arg-type]
    ],
)
def test_errors_have_their_classes(kind, call) -> None:
    with pytest.raises(kind) as caught:
        call()
    if issubclass(kind, errors.NivalisError):
        assert caught.value.code == kind.default_code and caught.value.message


def test_hash() -> None:
    hash = _native.hash_bytes("sha256", memoryview(bytearray(b"hello")))
    assert str(hash) == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert hash == Hash.parse(hash.format("nix32"), "sha256") == eval(repr(hash)) == pickle.loads(pickle.dumps(hash)) == Hash(hash.algo, hash.digest)
    assert len({hash, Hash.parse(hash.format("sri"))}) == 1
    assert _native.base32_decode(_native.base32_encode(hash.compressed())) == hash.compressed()


def test_nar_by_every_door(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_bytes(os.urandom(3_000_000))
    (tree / "sub/link").symlink_to("../file")
    expected = _native.hash_nar(tree)
    buffer = io.BytesIO()
    assert _native.dump_nar(tree, buffer) == expected
    assert _native.hash_bytes("sha256", buffer.getvalue()) == expected[0] and len(buffer.getvalue()) == expected[1]
    with open(tmp_path / "nar", "wb") as file:
        assert _native.dump_nar(tree, file.fileno()) == expected
    with open(tmp_path / "nar", "rb") as file:
        assert _native.restore_nar(file.fileno(), tmp_path / "a") == expected
    buffer.seek(0)
    assert _native.restore_nar(buffer, tmp_path / "b", canonical=True) == expected
    assert _native.copy_path(tree, tmp_path / "c") == expected
    for name in "abc":
        assert _native.hash_nar(tmp_path / name) == expected
    data = (tree / "file").read_bytes()
    assert _native.hash_nar_of_bytes(data) == _native.hash_nar(tree / "file")


def test_errors_of_callbacks_come_through(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/x").write_text("x")

    def fail(*arguments: object) -> bool:
        raise KeyError("mine")

    class Broken:
        read = write = fail

    for call in (
        lambda: _native.hash_nar(tmp_path / "tree", filter=fail),
        lambda: _native.copy_path(tmp_path / "tree", tmp_path / "copy", filter=fail),
        lambda: _native.dump_nar(tmp_path / "tree", Broken()),
        lambda: _native.restore_nar(Broken(), tmp_path / "restored"),
    ):
        with pytest.raises(KeyError, match="mine"):
            call()


def test_ctrl_c_ends_long_work(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        file.truncate(200 * 2**30)
    for call in (
        lambda: _native.hash_nar(tmp_path / "large"),
        lambda: _native.hash_file("md5", tmp_path / "large"),
    ):
        sent: list[float] = []
        threading.Timer(0.2, lambda sent=sent: (sent.append(time.monotonic()), signal.raise_signal(signal.SIGINT))).start()
        with pytest.raises(KeyboardInterrupt):
            call()
        assert time.monotonic() - sent[0] < 1


def test_references() -> None:
    assert _native.scan_bytes(b"see " + PATH.encode() + b"/bin", [PATH, OTHER], STORE) == [PATH]


def test_narinfo() -> None:
    nar_hash = Hash("sha256", bytes(32))
    info = NarInfo(store_path=PATH, url="x.nar", compression="none", nar_hash=nar_hash, nar_size=8, references=[OTHER, PATH], store_dir=STORE)
    again = NarInfo.parse(info.print().encode(), STORE)
    assert again == info and again.references == [OTHER, PATH] and again.deriver is None
    assert info.fingerprint == f"1;{PATH};{nar_hash.format_prefixed('nix32')};8;{OTHER},{PATH}"


text = st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape"))


@given(st.lists(text), st.dictionaries(text, text), text)
def test_derivations_keep_every_byte(args: list[str], env: dict[str, str], builder: str) -> None:
    parts = ({"out": (PATH, "", "")}, {f"{OTHER}.drv": ["dev", "out"]}, [OTHER], "x86_64-linux", builder, args, env)
    data = _native.unparse_derivation(*parts, STORE)
    assert _native.parse_derivation(data, STORE) == parts
    assert _native.derivation_outputs(data, STORE) == [("out", PATH)]
    assert _native.derivation_references(data, STORE) == [OTHER, f"{OTHER}.drv"]
