"""The errors of configuration."""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = ["ConfigurationError", "SettingError"]


class ConfigurationError(NivalisError):
    """A configuration file has a line that says nothing, or includes a file that is not there."""

    default_code = "invalid-configuration"


class SettingError(NivalisError):
    """An option has a value that it cannot have."""

    default_code = "invalid-setting"
