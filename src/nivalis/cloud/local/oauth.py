"""The token endpoint, and whether a request has a token: the errors are those of the real one, word for word as recorded.

Two kinds of clients: `cli-local` with its secret (client_credentials), and the application `app-local` with the user's name and password
(password, refresh_token).  Their secrets are made at the first start and shown to their owner only, by the configuration that `control`
writes.  A one-time password is wanted too when the state has the secret `otp`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nivalis.cloud.local.state import CLIENT, USER, State

__all__ = ["APPLICATION", "TOKEN_LIFE", "check_token", "is_same", "issue_token"]

APPLICATION = "app-local"
TOKEN_LIFE = 7200
_REFRESH_LIFE = 30 * 86400
_REALM = "api.gb1.brightbox.com"


def is_same(given: str, wanted: str) -> bool:
    """Compare secrets, in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), wanted.encode())


async def issue_token(request: Request, state: State) -> Response:
    """Answer POST /token, whose body is JSON or a form."""
    client, secret = _read_basic(request)
    fields = _read_body(await request.body(), request.headers.get("content-type", ""))
    if client not in (CLIENT, APPLICATION):
        return _refuse(400, "invalid_client")
    if not is_same(secret, state.secret(client)):
        return _refuse(401, "invalid_client")
    match client, fields.get("grant_type"):
        case ("cli-local", "client_credentials"):
            return _grant(state, client, has_refresh=False)
        case ("app-local", "password"):
            names = (USER, state.get(USER)["email_address"])
            if fields.get("username") not in names or not is_same(str(fields.get("password", "")), state.secret(USER)):
                return _refuse(401, "invalid_client")
            wanted = state.recall("otp")
            if wanted and not is_same(request.headers.get("x-brightbox-otp", ""), wanted):
                return _refuse(401, "invalid_client", {"X-Brightbox-OTP": "required"})
            return _grant(state, client, has_refresh=True)
        case ("app-local", "refresh_token"):
            token = str(fields.get("refresh_token", ""))
            found = state.token(token, is_refresh=True)
            if found is None or found[1] < state.clock():
                return _refuse(400, "invalid_grant")
            state.remove_token(token)
            return _grant(state, client, has_refresh=True)
    return _refuse(400, "unauthorized_client")


def check_token(request: Request, state: State) -> Response | None:
    """The refusal of a request without a valid token, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    # Older clients say OAuth.
    found = state.token(token.strip()) if scheme.lower() in ("bearer", "oauth") else None
    if found is None:
        return _refuse_token("invalid_token", "The token is invalid")
    if found[1] < state.clock():
        return _refuse_token("expired_token", "The token has expired")
    return None


def _read_basic(request: Request) -> tuple[str, str]:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return client, secret


def _read_body(body: bytes, kind: str) -> dict[str, Any]:
    if "json" not in kind:
        return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _grant(state: State, client: str, *, has_refresh: bool) -> Response:
    body = {
        "access_token": state.add_token(client, TOKEN_LIFE),
        "token_type": "Bearer",
        "scope": "infrastructure, orbit",
        "expires_in": TOKEN_LIFE,
    }
    if has_refresh:
        body["refresh_token"] = state.add_token(client, _REFRESH_LIFE, is_refresh=True)
    return JSONResponse(body, headers={"Cache-Control": "no-store", "X-Oauth-Scopes": "infrastructure, orbit"})


def _refuse(status: int, error: str, more: dict[str, str] | None = None) -> Response:
    headers = {"WWW-Authenticate": f'Basic realm="{_REALM}"'} if status == 401 else {}
    return JSONResponse({"error": error}, status, headers | (more or {}))


def _refuse_token(error: str, text: str) -> Response:
    return JSONResponse({"error": error, "error_description": text}, 401, {"WWW-Authenticate": f'OAuth error="{error}"'})
