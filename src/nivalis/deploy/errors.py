"""What can go wrong with a deployment, beside what a cloud and a build say themselves.

DeployError                    deploy, and more codes of its own
├── SilentServerError          server-silent: a server does not come up, or lets nobody in
├── RemoteError                remote-command: a command on a server failed
└── SwitchError                remote-switch: a server has not, or not in all, become its new system
"""

from __future__ import annotations

from nivalis.errors import NivalisError

__all__ = ["DeployError", "RemoteError", "SilentServerError", "SwitchError"]


class DeployError(NivalisError):
    """What is in the account, or what was asked for, cannot be gone on with."""

    default_code = "deploy"


class SilentServerError(DeployError):
    """A server does not answer, or lets nobody in.  `console` is what it has said last."""

    default_code = "server-silent"

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None, console: str = "") -> None:
        super().__init__(message, where=where, hint=hint)
        self.console = console

    def __str__(self) -> str:
        if not self.console:
            return super().__str__()
        lines = "\n".join(f"    {line}" for line in self.console.splitlines())
        return f"{super().__str__()}\n  the last lines of its console:\n{lines}"


class RemoteError(DeployError):
    """A command on a server failed; `where` is what to paste."""

    default_code = "remote-command"


class SwitchError(DeployError):
    """A server has not become its new system, or not in all; `status` is that of its switch."""

    default_code = "remote-switch"

    def __init__(self, message: str, *, status: int = 1, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
