"""What can go wrong between an archive and a snapshot.

DebianError                   invalid-suite, no-architecture: what was asked for cannot be
├── ReleaseError              the signed Release
│                             release-invalid: not a signed Release at all (an HTML page, a file that ends early)
│                             unknown-key, bad-signature
│                             release-expired, release-from-future, release-downgrade
│                             release-mismatch: another suite than was asked for, or without what was asked for
├── ArchiveIndexError         no-index; index-mismatch (not what the Release says), index-invalid
├── ControlError              invalid-control: a dependency or a version that cannot be read
├── MirrorError               no-mirror, mirror-failed, mirror-configuration
├── PackageGoneError          package-gone: no mirror has the file any more
├── UnknownPackageError       unknown-package
├── DebError                  a .deb that is not unpacked
│                             invalid-deb: no .deb, damaged, of a kind that is not known
│                             deb-escapes: a name that leads out of the package, or through what is no folder
│                             deb-device, deb-too-large, deb-duplicate, deb-reserved
├── PackageError              invalid-package: what a package is made of is missing, or of another kind
├── FarmError                 farm-collision: two packages have the same file
└── SnapshotError             not-a-snapshot, no-snapshot
"""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = [
    "ArchiveIndexError",
    "ControlError",
    "DebError",
    "DebianError",
    "FarmError",
    "MirrorError",
    "PackageError",
    "PackageGoneError",
    "ReleaseError",
    "SnapshotError",
    "UnknownPackageError",
]


class DebianError(NivalisError):
    """Something of a Debian archive is not what it has to be."""

    default_code = "debian"


class ReleaseError(DebianError):
    """The Release of a suite cannot be trusted, or is not the one that was asked for."""

    default_code = "release-invalid"


class ArchiveIndexError(DebianError):
    """An index is not what the Release says, or cannot be read."""

    default_code = "index-invalid"


class ControlError(DebianError):
    """A field of a package that cannot be read."""

    default_code = "invalid-control"


class MirrorError(DebianError):
    """There is no mirror, or none that answers."""

    default_code = "mirror-failed"


class PackageGoneError(DebianError):
    """A package that no mirror has any more."""

    default_code = "package-gone"


class UnknownPackageError(DebianError):
    """No package of that name in the snapshot."""

    default_code = "unknown-package"


class DebError(DebianError):
    """A .deb that cannot be unpacked, or must not."""

    default_code = "invalid-deb"


class PackageError(DebianError):
    """What a package or a farm is to be made of is not there, or is something else."""

    default_code = "invalid-package"


class FarmError(DebianError):
    """Packages that cannot be in one tree."""

    default_code = "farm-collision"


class SnapshotError(DebianError):
    """There is no snapshot, or what is there is none."""

    default_code = "not-a-snapshot"
