"""Indices: checked, decompressed within bounds, read and joined."""

from __future__ import annotations

import gzip
import hashlib
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from debian_archive import stanza
from nivalis.debian.errors import ArchiveIndexError
from nivalis.debian.index import check_index, join_pockets, read_packages
from nivalis.debian.release import IndexFile

TEXT = "".join(stanza(f"package{number}", depends="a,\n b (>= 1)") for number in range(500)).encode()


@pytest.mark.parametrize(("path", "data"), [("Packages.xz", lzma.compress(TEXT)), ("Packages.gz", gzip.compress(TEXT)), ("Packages", TEXT)])
def test_every_compression(path: str, data: bytes) -> None:
    found = list(read_packages(data, f"main/binary-amd64/{path}", len(TEXT), "here"))
    assert [package["Package"] for package in found] == [f"package{number}" for number in range(500)]
    assert found[0]["Depends"] == "a,\n b (>= 1)"


@pytest.mark.parametrize("compress", [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_damaged_indices(compress: tuple[str, type]) -> None:
    kind, pack = compress
    data = pack(TEXT)
    for broken in (data[: len(data) // 2], data[:-4], b"<html>", b""):
        with pytest.raises(ArchiveIndexError) as caught:
            list(read_packages(broken, f"Packages{kind}", len(TEXT), "here"))
        assert caught.value.code == "index-invalid"


@pytest.mark.parametrize("compress", [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_a_bomb_is_not_unpacked(compress: tuple[str, type]) -> None:
    kind, pack = compress
    with pytest.raises(ArchiveIndexError) as caught:
        list(read_packages(pack(bytes(200 << 20)), f"Packages{kind}", 1 << 20, "here"))
    assert caught.value.code == "index-mismatch"


def test_who_reads_no_further_leaves_no_thread_waiting() -> None:
    reader = read_packages(lzma.compress(TEXT * 200), "Packages.xz", len(TEXT) * 200, "here")
    assert next(reader)["Package"] == "package0"
    reader.close()  # type: ignore[attr-defined]


def test_size_and_hash() -> None:
    wanted = IndexFile("x", 3, hashlib.sha256(b"abc").hexdigest())
    check_index(b"abc", wanted, "here")
    for other in (b"abd", b"ab", b"abcd"):
        with pytest.raises(ArchiveIndexError) as caught:
            check_index(other, wanted, "here")
        assert caught.value.code == "index-mismatch"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("Package: a", "Package: ../a"), "not a package's name"),
        (("Version: ", "Version: ../"), "a version that cannot be"),
        (("Filename: pool", "Filename: ../pool"), "a file that cannot be"),
        (("Filename: pool", "Filename: /pool"), "a file that cannot be"),
        (("\nSize: ", "\nSize: -"), "a file that cannot be"),
        (("SHA256: ", "MD5sum: "), "no field `SHA256`"),
    ],
)
def test_stanzas_that_cannot_be(change: tuple[str, str], match: str) -> None:
    with pytest.raises(ArchiveIndexError, match=match):
        list(read_packages(stanza("a").replace(*change, 1).encode(), "/Packages", 10000, "here"))


def test_newest_wins_and_other_architectures_stay_out() -> None:
    def read(*stanzas: str) -> list[dict[str, str]]:
        return list(read_packages("".join(stanzas).encode(), "/Packages", 1 << 20, "here"))

    main = read(stanza("a", "1.9"), stanza("b", "2", architecture="all"), stanza("c", architecture="i386"), stanza("e", "1"), stanza("e", "2"))
    security = read(stanza("a", "1.10"), stanza("b", "2~"), stanza("d"))
    joined = join_pockets([main, security], "amd64")
    assert {name: package["Version"] for name, package in joined.items()} == {"a": "1.10", "b": "2", "d": "1.0-1", "e": "2"}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for kind in ("", ".xz", ".gz"):
        try:
            list(read_packages(data, f"/Packages{kind}", 1000, "here"))
        except ArchiveIndexError:
            continue
