"""The FTP image library: `incoming/`, into which the account's owner puts images that are then registered by their names.

The password is the one that `reset_ftp_password` of the API sets; before that there is none that fits.  It speaks without TLS, as it
listens on this machine's loopback address only.
"""

from __future__ import annotations

import logging

import aioftp

from nivalis.cloud.local.core import LocalCloud
from nivalis.cloud.local.oauth import is_same
from nivalis.cloud.local.state import ACCOUNT

__all__ = ["Library"]

_BLOCK = 1 << 18
# How long a client may say nothing, in seconds.
_IDLE = 300.0


class _Owner(aioftp.AbstractUserManager):
    """The one user, with the password of now."""

    def __init__(self, cloud: LocalCloud) -> None:
        super().__init__()
        self._cloud = cloud
        self._user = aioftp.User(ACCOUNT, base_path=cloud.places.incoming.parent)

    async def get_user(self, login: str) -> tuple[aioftp.AbstractUserManager.GetUserResponse, aioftp.User | None, str]:
        # Whoever it is, nothing is said before the password.
        user = self._user if login == ACCOUNT else aioftp.User(login)
        return self.GetUserResponse.PASSWORD_REQUIRED, user, "password required"

    async def authenticate(self, user: aioftp.User, password: str) -> bool:
        return user is self._user and is_same(password, self._cloud.state.secret("library"))


class Library:
    """The server, from `start` to `close`."""

    def __init__(self, cloud: LocalCloud) -> None:
        logging.getLogger("aioftp").setLevel(logging.CRITICAL)
        self._server = aioftp.Server(
            _Owner(cloud), block_size=_BLOCK, idle_timeout=_IDLE, wait_future_timeout=_IDLE, maximum_connections=64, welcome_message="image library"
        )

    async def start(self, host: str, port: int) -> str:
        """Listen; the address.  Raises OSError."""
        await self._server.start(host, port)
        return f"{self._server.server_host}:{self._server.server_port}"

    async def close(self) -> None:
        await self._server.close()
