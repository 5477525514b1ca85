"""The signed Release of a suite: whether it may be believed, and what it says (Debian's repository format, apt-secure(8)).

`InRelease` is a text signed in clear.  What counts is the text that the signature covers, as the verifier hands it back, and never the file: what
stands around the signed part is not looked at.  One good signature by a key that is trusted is enough; Debian signs with old and new keys at once.

A signature says nothing about time, so time is asked for separately: a Release that says until when it is good is refused after that, none
comes from the future, and none is older than the one that was used before (else a mirror could bring back holes that were mended).  The
clock is handed in, and each of these checks is relaxed by its own name only.  Whether a key has expired is judged by when it signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from nivalis.debian.deb822 import paragraphs
from nivalis.debian.errors import ControlError, ReleaseError

if TYPE_CHECKING:
    from pysequoia import Cert

__all__ = ["MOST_BYTES", "STRICT", "IndexFile", "Relaxed", "Release", "check_suite", "check_time", "read_release", "read_time", "show_time", "verify"]

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
# Clocks differ; by an hour, one is wrong.
_AHEAD = 3600
# Bullseye's was the largest so far, with 0.2 MB.
MOST_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Which checks of time are left out, because somebody said so."""

    expired: bool = False
    future: bool = False
    downgrade: bool = False


STRICT = Relaxed()


@dataclass(frozen=True, slots=True)
class IndexFile:
    """One file that a Release names: its size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Release:
    """What a Release says.  Times are seconds since 1970; `sha256` is that of the signed text."""

    suite: str
    codename: str
    date: int
    valid_until: int | None
    architectures: tuple[str, ...]
    components: tuple[str, ...]
    by_hash: bool
    sha256: str
    files: Mapping[str, IndexFile] = field(repr=False)


def verify(data: bytes, keys: Sequence[Cert], place: str) -> bytes:
    """The text of an InRelease that one of `keys` has signed; `place` is where it came from.

    Raises ReleaseError with the code `release-invalid`, `unknown-key` or `bad-signature`.
    """
    import pysequoia

    if _BEGIN not in data[:4096]:
        what = "an HTML page" if data.lstrip()[:1] == b"<" else "something else"
        raise ReleaseError(
            f"not a signed Release, but {what}: `{place}`", hint="is that the address of a Debian mirror, and is no portal in the way?"
        )
    asked: list[str] = []

    def find(fingerprints: list[str]) -> list[Cert]:
        asked.extend(fingerprints)
        return list(keys)

    try:
        done = pysequoia.verify(data, store=find)
    except Exception as error:  # the library raises whatever its parser meets
        reason = str(error).split("\n", 1)[0]
        if not asked:
            raise ReleaseError(f"not a signed Release: `{place}` ({reason})", hint="it may have ended early; try again, or another mirror") from error
        if not _is_known(asked, keys):
            raise _unknown(asked, place) from error
        raise ReleaseError(
            f"signature does not belong to the Release: `{place}`",
            code="bad-signature",
            hint="something has changed it on the way; try again, or another mirror",
        ) from error
    if not done.valid_sigs or done.bytes is None:
        raise _unknown(asked, place)
    return done.bytes


def _unknown(asked: Sequence[str], place: str) -> ReleaseError:
    return ReleaseError(
        f"Release is signed by keys that are not trusted: `{place}` ({', '.join(key.upper() for key in asked)})",
        code="unknown-key",
        hint="trusted are Debian's own archive keys",
    )


def _is_known(asked: Sequence[str], keys: Sequence[Cert]) -> bool:
    """Whether one of the keys that signed belongs to a certificate of `keys`, as its own or a subkey."""
    from pysequoia import packet

    known = {str(one.fingerprint).lower() for key in keys for one in packet.PacketPile.from_bytes(bytes(key)) if one.fingerprint}
    return any(fingerprint.lower() in known for fingerprint in asked)


def read_release(text: bytes, place: str) -> Release:
    """What a verified text says.  Raises ReleaseError."""
    try:
        (fields,) = paragraphs(text.decode("utf-8"))
        valid_until = fields.get("valid-until")
        return Release(
            suite=fields.get("suite", ""),
            codename=fields.get("codename", ""),
            date=_read_date(fields["date"]),
            valid_until=None if valid_until is None else _read_date(valid_until),
            architectures=tuple(fields.get("architectures", "").split()),
            components=tuple(word.rpartition("/")[2] for word in fields.get("components", "").split()),
            by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
            sha256=hashlib.sha256(text).hexdigest(),
            files=_read_files(fields.get("sha256", "")),
        )
    except (ValueError, KeyError, ControlError) as error:
        raise ReleaseError(f"Release cannot be understood: `{place}` ({error})") from error


def _read_date(text: str) -> int:
    date = parsedate_to_datetime(text)
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())


def _read_files(text: str) -> dict[str, IndexFile]:
    found = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        digest, size, path = words
        if len(digest) != 64 or not size.isdecimal():
            raise ValueError(f"not a line of checksums: {line}")
        found[path] = IndexFile(path, int(size), digest.lower())
    return found


def check_suite(release: Release, suite: str, place: str) -> None:
    """Raises ReleaseError if it is another suite's: a mirror, or who sits before it, cannot pass one off for another."""
    if suite not in (release.suite, release.codename):
        raise ReleaseError(
            f"Release is of another suite than was asked for: `{place}` is of `{release.codename or release.suite}`, not `{suite}`",
            code="release-mismatch",
        )


def check_time(release: Release, now: float, place: str, *, last: int | None = None, relaxed: Relaxed = STRICT) -> None:
    """Whether a Release is of now.  `last` is the date of the one before.  Raises ReleaseError."""
    if release.valid_until is not None and now > release.valid_until and not relaxed.expired:
        raise ReleaseError(
            f"Release was good until {show_time(release.valid_until)}: `{place}`",
            code="release-expired",
            hint="the mirror is behind, or this machine's clock ahead; `--allow-expired` takes it all the same",
        )
    if release.date > now + _AHEAD and not relaxed.future:
        raise ReleaseError(
            f"Release is from the future, {show_time(release.date)}: `{place}`",
            code="release-from-future",
            hint="set this machine's clock; `--allow-future` takes it all the same",
        )
    if last is not None and release.date < last and not relaxed.downgrade:
        raise ReleaseError(
            f"Release of {show_time(release.date)} is older than the last one, of {show_time(last)}: `{place}`",
            code="release-downgrade",
            hint="the mirror is behind, try another; `--allow-downgrade` takes it all the same",
        )


def show_time(seconds: int) -> str:
    """As people and snapshots write it: `2026-07-11T10:16:37Z`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> int:
    """The reverse of `show_time`.  Raises ValueError."""
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
