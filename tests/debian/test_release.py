"""The signed Release: who signed it, what it says, and when."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysequoia import SignatureMode, sign

from debian_archive import certificate, make_key
from nivalis.debian.errors import ReleaseError
from nivalis.debian.keys import DEBIAN_KEYS, debian_keys
from nivalis.debian.release import Relaxed, Release, check_suite, check_time, read_release, verify

TEXT = b"""Suite: stable
Codename: testix
Date: Sat, 21 Nov 2026 00:53:02 UTC
Valid-Until: Sat, 28 Nov 2026 00:53:02 UTC
Acquire-By-Hash: yes
Architectures: amd64 arm64
Components: updates/main contrib
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855        0 main/binary-amd64/Packages
"""
DATE, UNTIL = 1795222382, 1795827182


def _signed(text: bytes = TEXT, owner: str = "Test Archive <archive@example.org>") -> bytes:
    return sign(make_key(owner).signer(), text, mode=SignatureMode.CLEAR)


def _code(data: bytes, *owners: str) -> str:
    with pytest.raises(ReleaseError) as caught:
        verify(data, [certificate(owner) for owner in owners] or [certificate()], "here")
    return caught.value.code


def test_debians_keys_are_those_of_the_table() -> None:
    assert [key.fingerprint.upper() for key in debian_keys()] == [key.fingerprint for key in DEBIAN_KEYS]
    for key, cert in zip(DEBIAN_KEYS, debian_keys(), strict=True):
        assert str(cert.user_ids[0]).startswith(key.owner)
        assert not cert.is_revoked


def test_what_is_signed_is_what_counts() -> None:
    text = verify(_signed(), [certificate("Another <other@example.org>"), certificate()], "here")
    assert read_release(text, "here").date == DATE
    around = b"Codename: evil\n\n" + _signed() + b"\nCodename: evil\n"
    assert verify(around, [certificate()], "here") == text


def test_each_way_to_be_wrong_has_its_code() -> None:
    assert _code(_signed(), "Another <other@example.org>") == "unknown-key"
    assert _code(_signed().replace(b"testix", b"testiy")) == "bad-signature"
    assert _code(_signed().replace(b"testix", b"testiy"), "Another <other@example.org>") == "unknown-key"
    assert _code(b"<!DOCTYPE html><html>Log in</html>") == "release-invalid"
    assert _code(b"") == "release-invalid"
    assert _code(TEXT) == "release-invalid"
    for length in (100, len(_signed()) // 2, len(_signed()) - 80):
        assert _code(_signed()[:length]) == "release-invalid"


def test_one_byte_anywhere_in_the_text() -> None:
    data = bytearray(_signed())
    start = data.index(b"Suite:")
    for place in range(start, start + len(TEXT) - 1, 7):
        changed = data.copy()
        changed[place] ^= 1
        assert _code(bytes(changed)) in ("bad-signature", "release-invalid")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for text in (data, b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + data):
        assert _code(text) in ("release-invalid", "unknown-key", "bad-signature")


def test_fields() -> None:
    release = read_release(TEXT, "here")
    assert (release.suite, release.codename, release.date, release.valid_until) == ("stable", "testix", DATE, UNTIL)
    assert (release.components, release.architectures, release.by_hash) == (("main", "contrib"), ("amd64", "arm64"), True)
    assert release.files["main/binary-amd64/Packages"].size == 0


@pytest.mark.parametrize(
    "change", [(b"Date: Sat", b"Xate: Sat"), (b"21 Nov", b"41 Nov"), (b"        0 ", b" -1 "), (b"e3b0", b""), (b"\nSHA", b"\n\nSHA")]
)
def test_fields_that_cannot_be(change: tuple[bytes, bytes]) -> None:
    with pytest.raises(ReleaseError) as caught:
        read_release(TEXT.replace(*change), "here")
    assert caught.value.code == "release-invalid"


def _check(now: float, last: int | None = None, **relaxed: bool) -> str:
    try:
        check_time(read_release(TEXT, "here"), now, "here", last=last, relaxed=Relaxed(**relaxed))
    except ReleaseError as error:
        return error.code
    return ""


def test_times() -> None:
    assert [_check(now) for now in (DATE, UNTIL, DATE - 60)] == ["", "", ""]
    assert _check(UNTIL + 1) == "release-expired" and _check(UNTIL + 1, expired=True) == ""
    assert _check(DATE - 7200) == "release-from-future" and _check(DATE - 7200, future=True) == ""
    assert _check(DATE, DATE) == "" and _check(DATE, DATE - 1) == ""
    assert _check(DATE, DATE + 1) == "release-downgrade" and _check(DATE, DATE + 1, downgrade=True) == ""
    assert _check(UNTIL + 1, future=True, downgrade=True) == "release-expired", "each check is relaxed by its own name only"


def test_suites() -> None:
    release: Release = read_release(TEXT, "here")
    check_suite(release, "testix", "here")
    check_suite(release, "stable", "here")
    with pytest.raises(ReleaseError) as caught:
        check_suite(release, "testix-security", "here")
    assert caught.value.code == "release-mismatch"


def test_a_key_that_has_expired_signs_no_more() -> None:
    key = make_key("Old <old@example.org>")
    expired = key.extract_certificate().set_expiration(datetime.fromtimestamp(time.time() - 1, UTC), key.certifier())
    with pytest.raises(ReleaseError) as caught:
        verify(_signed(owner="Old <old@example.org>"), [expired], "here")
    assert caught.value.code == "bad-signature"
