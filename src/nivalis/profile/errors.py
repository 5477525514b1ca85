"""What can go wrong with a shell; apart from the modules that raise it, since a shell that starts loads no error.

ShellError        shell: there is no such Bash, it cannot be executed, its variables are too large
NamespaceError    namespace-unavailable: the machine does not let the store be seen where its paths say
"""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = ["NamespaceError", "ShellError"]


class ShellError(NivalisError):
    """A shell cannot be started."""

    default_code = "shell"


class NamespaceError(NivalisError):
    """A store cannot be seen at its logical place."""

    default_code = "namespace-unavailable"
