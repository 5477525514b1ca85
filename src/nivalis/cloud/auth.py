"""Who is asking: OAuth2 tokens of Brightbox, fetched, kept and renewed.

An API client (`cli-xxxxx`) authenticates by its id and secret alone; a user by an application's id and secret and a user's name and
password, once, and from then on by the refresh token that came along, which each use replaces.  A user with a second factor is asked for
the one-time password when the cloud says that it wants one.

Names and secrets leave in headers and bodies of requests to the token endpoint only; here they are in no repr and no message.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from nivalis.cloud.answers import make_error
from nivalis.cloud.errors import AnswerError, AuthenticationError, OtpRequiredError, UnreachableError
from nivalis.cloud.http import Answer, HttpDoor

__all__ = ["Authenticator", "Credentials", "MemoryTokens", "TokenStore", "Tokens"]

# A token that is about to end would end on the way.
_MARGIN = 30.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """An API client, or an application and the user whom it serves."""

    client_id: str
    secret: str = field(repr=False)
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_user(self) -> bool:
        return bool(self.username)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the token endpoint gave; `expires` in seconds since 1970, 0 where that is not known."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    expires: float = 0


class TokenStore(Protocol):
    """Where tokens are kept from one command to the next."""

    def load(self) -> Tokens | None: ...

    def save(self, tokens: Tokens | None) -> None: ...


class MemoryTokens:
    """Tokens that end with the process."""

    def __init__(self) -> None:
        self._tokens: Tokens | None = None

    def load(self) -> Tokens | None:
        return self._tokens

    def save(self, tokens: Tokens | None) -> None:
        self._tokens = tokens


class Authenticator:
    """The token of one client.  `ask_password` and `ask_otp` are asked when the cloud wants them; without them it is an error."""

    def __init__(
        self,
        door: HttpDoor,
        auth_url: str,
        credentials: Credentials,
        store: TokenStore | None = None,
        *,
        ask_password: Callable[[], str] | None = None,
        ask_otp: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._door = door
        self._url = auth_url.rstrip("/") + "/token"
        self._credentials = credentials
        self._store = store or MemoryTokens()
        self._ask_password = ask_password
        self._ask_otp = ask_otp
        self._clock = clock
        self._sleep = sleep

    @property
    def credentials(self) -> Credentials:
        return self._credentials

    def token(self) -> str:
        """The token that is kept, or a new one.  Raises CloudError."""
        tokens = self._store.load()
        if tokens is not None and tokens.access and (not tokens.expires or tokens.expires - _MARGIN > self._clock()):
            return tokens.access
        return self.renew()

    def renew(self) -> str:
        """A new token, by the refresh token if there is one.  Raises CloudError."""
        tokens = self._store.load()
        if tokens is not None and tokens.refresh:
            try:
                return self._fetch({"grant_type": "refresh_token", "refresh_token": tokens.refresh})
            except AuthenticationError:
                # It is used up or too old: the user is asked again.
                self._store.save(None)
        if not self._credentials.is_user:
            return self._fetch({"grant_type": "client_credentials"})
        return self.log_in()

    def log_in(self) -> str:
        """A new token by the user's password, and one-time password if that is wanted.  Raises CloudError."""
        password = self._credentials.password or (self._ask_password() if self._ask_password is not None else "")
        if not password:
            raise AuthenticationError(
                f"no password for `{self._credentials.username}`", hint="log in again: `nivalis cloud login`; or set BRIGHTBOX_PASSWORD"
            )
        body = {"grant_type": "password", "username": self._credentials.username, "password": password}
        try:
            return self._fetch(body)
        except OtpRequiredError:
            if self._ask_otp is None:
                raise
            return self._fetch(body, otp=self._ask_otp())

    def _fetch(self, body: dict[str, str], *, otp: str = "") -> str:
        basic = base64.b64encode(f"{self._credentials.client_id}:{self._credentials.secret}".encode()).decode()
        secrets = {"Authorization": f"Basic {basic}"} | ({"X-Brightbox-OTP": otp} if otp else {})
        answer = self._send(json.dumps(body).encode(), secrets)
        if answer.status == 401 and answer.headers.get("x-brightbox-otp", "").lower() == "required":
            raise OtpRequiredError("one-time password is wanted", status=401, name="invalid_client", where=answer.request)
        if answer.status >= 400:
            raise make_error(answer)
        found = answer.json()
        access = found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(access, str) or not access:
            raise AnswerError(f"answer has no token: `{answer.request}`")
        lasts = found.get("expires_in")
        expires = self._clock() + lasts if isinstance(lasts, int | float) else 0
        self._store.save(Tokens(access, str(found.get("refresh_token") or ""), expires))
        return access

    def _send(self, body: bytes, secrets: dict[str, str]) -> Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        for pause in (0.5, 2.0):
            try:
                return self._door.send("POST", self._url, headers=headers, secrets=secrets, body=body)
            except UnreachableError as error:
                # A refresh token that did arrive is used up.
                if not error.never_sent:
                    raise
                self._sleep(pause)
        return self._door.send("POST", self._url, headers=headers, secrets=secrets, body=body)
