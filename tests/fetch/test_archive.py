"""Archives, hostile ones among them: what is made, and that nothing is made elsewhere."""

from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.errors import NivalisError
from nivalis.fetch.archive import unpack

Entry = tuple[str, dict[str, Any], bytes]


def _tar(*entries: Entry, form: int = tarfile.GNU_FORMAT) -> bytes:
    """Members with these fields of a TarInfo, and their bytes."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, fields, data in entries:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def _unpack(folder: Path, data: bytes) -> Path:
    (folder / "archive").write_bytes(data)
    (folder / "target").mkdir()
    unpack(str(folder / "archive"), str(folder / "target"))
    return folder / "target"


def _refuse(folder: Path, data: bytes) -> str:
    outside = folder / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    with pytest.raises(NivalisError) as caught:
        _unpack(folder, data)
    assert caught.value.code == "invalid-archive"
    assert sorted(os.listdir(folder)) == ["archive", "outside", "target"]
    assert os.listdir(outside) == ["file"] and (outside / "file").read_text() == "kept"
    return str(caught.value)


LINK = {"type": tarfile.SYMTYPE}
HARD = {"type": tarfile.LNKTYPE}
HOSTILE: dict[str, list[Entry]] = {
    "above": [("../outside/x", {}, b"x")],
    "above, later": [("a/../../outside/x", {}, b"x")],
    "absolute": [("/tmp/x", {}, b"x")],
    "through a link": [("a", {**LINK, "linkname": "../outside"}, b""), ("a/file", {}, b"x")],
    "through a link to a file": [("a", {**LINK, "linkname": "../outside/file"}, b""), ("a/x", {}, b"x")],
    "folder over a link": [("a", {**LINK, "linkname": "../outside"}, b""), ("a", {"type": tarfile.DIRTYPE}, b""), ("a/x", {}, b"x")],
    "hard link above": [("a", {**HARD, "linkname": "../outside/file"}, b"")],
    "hard link to the root": [("a", {**HARD, "linkname": "/etc/passwd"}, b"")],
    "hard link through a link": [("a", {**LINK, "linkname": "../outside"}, b""), ("b", {**HARD, "linkname": "a/file"}, b"")],
    "hard link to a link": [("a", {**LINK, "linkname": "../outside/file"}, b""), ("b", {**HARD, "linkname": "a"}, b"")],
    "hard link to nothing": [("a", {**HARD, "linkname": "none"}, b"")],
    "device": [("a", {"type": tarfile.BLKTYPE, "devmajor": 8}, b"")],
    "character device": [("a", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b"")],
    "pipe": [("a", {"type": tarfile.FIFOTYPE}, b"")],
    "file over a folder": [("a/b", {}, b"x"), ("a", {}, b"x")],
    "link over a folder": [("a/b", {}, b"x"), ("a", {**LINK, "linkname": "/tmp"}, b"")],
    "link to nothing": [("a", {**LINK, "linkname": ""}, b"")],
    "link to a long name": [("a", {**LINK, "linkname": "x" * 5000}, b"")],
    "deep": [("a/" * 300 + "x", {}, b"x")],
    "long name": [("n" * 300, {}, b"x")],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE)
def test_hostile(entries: list[Entry], tmp_path: Path) -> None:
    _refuse(tmp_path, _tar(*entries))


def test_sizes_that_are_claimed(tmp_path: Path) -> None:
    def lie(kind: bytes, size: int) -> bytes:
        member = tarfile.TarInfo("a")
        member.type, member.size = kind, size
        return member.tobuf(tarfile.GNU_FORMAT) + b"x" * 2000

    for number, (kind, size) in enumerate(
        [(tarfile.REGTYPE, 1 << 40), (tarfile.REGTYPE, 4000), (tarfile.GNUTYPE_LONGNAME, 1 << 40), (tarfile.XHDTYPE, 1 << 30), (tarfile.REGTYPE, -5)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        _refuse(folder, lie(kind, size))


def test_special_bits_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    entries: list[Entry] = [("d", {"type": tarfile.DIRTYPE, "mode": 0o7000}, b"")]
    entries += [(f"d/{mode:o}", {"mode": mode, "uid": 1234, "gid": 1234}, b"x") for mode in (0o6755, 0o4711, 0o2600, 0o1000)]
    place = _unpack(tmp_path, _tar(*entries))
    for file in [place / "d", *(place / "d").iterdir()]:
        found = file.stat()
        assert not stat.S_IMODE(found.st_mode) & 0o7000 and found.st_uid == os.geteuid()
    assert [os.access(place / "d" / name, os.X_OK) for name in ("6755", "4711", "2600", "1000")] == [True, True, False, False] or os.geteuid() == 0
    assert stat.S_IMODE((place / "d/6755").stat().st_mode) & 0o111 and not stat.S_IMODE((place / "d/2600").stat().st_mode) & 0o111


def test_links_are_kept_and_never_followed(tmp_path: Path) -> None:
    entries: list[Entry] = [
        ("a", {**LINK, "linkname": "/etc/passwd"}, b""),
        ("b", {}, b"one"),
        ("c", {**HARD, "linkname": "b"}, b""),
        ("b", {}, b"two"),
        ("a", {}, b"a file in place of the link"),
    ]
    place = _unpack(tmp_path, _tar(*entries))
    assert {file.name: file.read_text() for file in place.iterdir()} == {"a": "a file in place of the link", "b": "two", "c": "one"}
    assert not (place / "a").is_symlink()


def test_names_of_any_bytes(tmp_path: Path) -> None:
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        folder = tmp_path / str(number)
        folder.mkdir()
        name = os.fsdecode(b"d/\xff\xfe" + b"l" * 150)
        place = _unpack(folder, _tar((name, {}, b"x"), form=form))
        assert (place / name).read_bytes() == b"x"


def test_zstd(tmp_path: Path) -> None:
    zstd: Any = import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    data = zstd.compress(_tar(("d/x", {}, b"x" * 100_000)))
    (tmp_path / "good").mkdir()
    assert (_unpack(tmp_path / "good", data) / "d/x").stat().st_size == 100_000
    for number, damaged in enumerate((data[: len(data) // 2], data[:20] + b"\0\0\0\0" + data[24:], zstd.compress(b"no archive"))):
        (tmp_path / str(number)).mkdir()
        _refuse(tmp_path / str(number), damaged)


def _zip(*entries: tuple[str, int, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, mode, data in entries:
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, data)
    return stream.getvalue()


def test_zip(tmp_path: Path) -> None:
    data = _zip(("d/", 0o40755, b""), ("d/run", 0o104755, b"#!"), ("d/link", 0o120777, b"run"), ("d/plain", 0, b"x"))
    place = _unpack(tmp_path, data) / "d"
    assert os.readlink(place / "link") == "run" and stat.S_IMODE((place / "run").stat().st_mode) & 0o7111 == 0o111
    assert not stat.S_IMODE((place / "plain").stat().st_mode) & 0o111


@pytest.mark.parametrize(
    "data",
    [
        _zip(("../outside/file", 0o644, b"x")),
        _zip(("/tmp/x", 0o644, b"x")),
        _zip(("a", 0o120777, b"../outside"), ("a/file", 0o644, b"x")),
        _zip(("a", 0o120777, b"x" * 5000)),
        _zip(("a", 0o644, b"x")).replace(b"\x14\x00\x00\x00\x00\x00", b"\x14\x00\x01\x00\x00\x00"),
        _zip(("a", 0o644, b"x" * 100)).replace(b"x" * 100, b"y" * 100),
        _zip(("a", 0o644, b"x"))[:-5],
    ],
    ids=["above", "absolute", "through a link", "long link", "encrypted", "checksum", "cut short"],
)
def test_hostile_zip(data: bytes, tmp_path: Path) -> None:
    _refuse(tmp_path, data)


@given(data=st.data())
def test_mutated_archives_stay_inside(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = bytearray(_tar(("d/a", {"mode": 0o755}, b"x" * 600), ("d/l", {**LINK, "linkname": "a"}, b""), ("d/h", {**HARD, "linkname": "d/a"}, b"")))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, 3000))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("m")
    try:
        place = _unpack(folder, bytes(whole))
    except NivalisError as error:
        assert error.code == "invalid-archive"
        place = folder / "target"
    assert sorted(os.listdir(folder)) == ["archive", "target"]
    for file in place.rglob("*"):
        assert stat.S_IFMT(file.lstat().st_mode) in (stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK)
