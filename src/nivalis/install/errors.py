"""The errors of installing."""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = ["InstallError"]


class InstallError(NivalisError):
    """nivalis cannot be installed, upgraded or removed as it was asked for."""

    default_code = "install"
