"""What can go wrong with fetching.

FetchError                download-failed: the server, the network, the address
├── NotThereError         not-found: the server says that there is no such thing
├── FetchedHashError      hash-mismatch: what came is not what was wanted
├── ArchiveError          invalid-archive: damaged, of a kind that is not known, or leaving its folder
└── GitError              git-failed
"""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = ["ArchiveError", "FetchError", "FetchedHashError", "GitError", "NotThereError"]


class FetchError(NivalisError):
    """Something cannot be fetched."""

    default_code = "download-failed"


class NotThereError(FetchError):
    """There is no such thing at the address."""

    default_code = "not-found"


class FetchedHashError(FetchError):
    """What was fetched has another hash than it should."""

    default_code = "hash-mismatch"


class ArchiveError(FetchError):
    """An archive that cannot be unpacked."""

    default_code = "invalid-archive"


class GitError(FetchError):
    """Git failed."""

    default_code = "git-failed"
