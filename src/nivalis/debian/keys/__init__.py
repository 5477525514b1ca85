"""The keys that sign Debian's archives, as Debian's package debian-archive-keyring (2025.1) has them.

The table states the fingerprints; a file that holds another certificate than the table says is not used, so a changed file is an error
and never a new authority.  The Release of a suite is signed by several of them, old and new, so that whoever knows one can go on.

Adding a suite's keys is adding their files and their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from nivalis.errors import InternalError

if TYPE_CHECKING:
    from pysequoia import Cert

__all__ = ["DEBIAN_KEYS", "Key", "debian_keys"]


class Key(NamedTuple):
    """One certificate: its file here, its fingerprint, and who it is."""

    file: str
    fingerprint: str
    owner: str


DEBIAN_KEYS = (
    Key(
        "debian-archive-bullseye-automatic.asc",
        "1F89983E0081FDE018F3CC9673A4F27B8DD47936",
        "Debian Archive Automatic Signing Key (11/bullseye)",
    ),
    Key(
        "debian-archive-bullseye-security-automatic.asc",
        "AC530D520F2F3269F5E98313A48449044AAD5C5D",
        "Debian Security Archive Automatic Signing Key (11/bullseye)",
    ),
    Key("debian-archive-bullseye-stable.asc", "A4285295FC7B1A81600062A9605C66F00D6C9793", "Debian Stable Release Key (11/bullseye)"),
    Key(
        "debian-archive-bookworm-automatic.asc",
        "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
        "Debian Archive Automatic Signing Key (12/bookworm)",
    ),
    Key(
        "debian-archive-bookworm-security-automatic.asc",
        "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
        "Debian Security Archive Automatic Signing Key (12/bookworm)",
    ),
    Key("debian-archive-bookworm-stable.asc", "4D64FEC119C2029067D6E791F8D2585B8783D481", "Debian Stable Release Key (12/bookworm)"),
    Key(
        "debian-archive-trixie-automatic.asc",
        "04B54C3CDCA79751B16BC6B5225629DF75B188BD",
        "Debian Archive Automatic Signing Key (13/trixie)",
    ),
    Key(
        "debian-archive-trixie-security-automatic.asc",
        "5E04A1E3223A19A20706E20F9904613D4CCE68C6",
        "Debian Security Archive Automatic Signing Key (13/trixie)",
    ),
    Key("debian-archive-trixie-stable.asc", "41587F7DB8C774BCCF131416762F67A0B2C39DE4", "Debian Stable Release Key (13/trixie)"),
)


@cache
def debian_keys() -> Sequence[Cert]:
    """The certificates of the table.  Raises InternalError if a file is not what its row says."""
    from pysequoia import Cert

    folder = files(__name__)
    found = []
    for key in DEBIAN_KEYS:
        cert = Cert.from_bytes((folder / key.file).read_bytes())
        if cert.fingerprint.upper() != key.fingerprint:
            raise InternalError(f"a key of Debian is not the one that the table states: `{key.file}` has {cert.fingerprint.upper()}")
        found.append(cert)
    return tuple(found)
