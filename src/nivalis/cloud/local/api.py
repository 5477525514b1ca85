"""The API over HTTP: routes, tokens, and documents in and out.

`make_app` is the whole of what listens on the cloud's port: the API below `/1.0/`, the token endpoint, and Orbit below `/v1`.  All of it runs
in the event loop, for a question to SQLite takes less time than another thread; what takes longer is done later, or in a thread by who
does it.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nivalis.cloud.local.answers import Problem
from nivalis.cloud.local.core import LocalCloud
from nivalis.cloud.local.oauth import check_token, issue_token
from nivalis.cloud.local.orbit import OrbitServer
from nivalis.cloud.local.resources import Accounts, CloudIps, FirewallPolicies, FirewallRules, Groups, Images, Kind, Users
from nivalis.cloud.local.servers import Servers
from nivalis.cloud.local.state import ACCOUNT, USER, Document
from nivalis.fetch.network import Network

__all__ = ["Api", "make_app"]

# A user data's 64 KiB and some fields.
_LONGEST_BODY = 1 << 20
# Asynchronous, as the real one's.
_ACCEPTED = 202


class Api:
    """The kinds of resources behind their collections."""

    def __init__(self, cloud: LocalCloud, network: Network) -> None:
        self.cloud = cloud
        self.images = Images(cloud, network)
        self.servers = Servers(cloud)
        self._kinds: dict[str, Kind] = {
            "accounts": Accounts(cloud),
            "cloud_ips": CloudIps(cloud),
            "firewall_policies": FirewallPolicies(cloud),
            "firewall_rules": FirewallRules(cloud),
            "images": self.images,
            "interfaces": Kind(cloud, "interface"),
            "server_groups": Groups(cloud),
            "server_types": Kind(cloud, "server_type"),
            "servers": self.servers,
            "users": Users(cloud),
            "volumes": Kind(cloud, "volume"),
            "zones": Kind(cloud, "zone"),
        }

    def routes(self) -> list[Route]:
        return [
            Route("/token", self._token, methods=["POST"]),
            Route("/token/", self._token, methods=["POST"]),
            Route("/1.0/account", self._account, methods=["GET"]),
            Route("/1.0/account/{action}", self._account_action, methods=["POST"]),
            Route("/1.0/user", self._user, methods=["GET"]),
            Route("/1.0/{collection}", self._collection, methods=["GET", "POST"]),
            Route("/1.0/{collection}/{identifier}", self._resource, methods=["GET", "PUT", "DELETE"]),
            Route("/1.0/{collection}/{identifier}/{action}", self._action, methods=["POST", "PUT"]),
        ]

    def resume(self) -> None:
        """Go on with what a service that ended has left half done, and start the servers that ran."""
        state, cloud = self.cloud.state, self.cloud
        for image in state.all("image"):
            if image["status"] == "creating" and not image.get("snapshot_of"):
                self.images.begin_import(image)
            elif image["status"] == "creating":
                cloud.change(image, "failed")
            elif image["status"] == "deleting":
                cloud.later(self.images.finish_destroying(image), f"destroying {image['id']}")
        for server in state.all("server"):
            match server["status"]:
                case "creating":
                    cloud.later(self.servers.build(server), f"building {server['id']}")
                case "active":
                    cloud.later(self.servers.power_on(server), f"starting {server['id']}")
                case "deleting":
                    cloud.later(self.servers.finish_destroying(server), f"destroying {server['id']}")

    # ---- endpoints ----

    async def _token(self, request: Request) -> Response:
        return await issue_token(request, self.cloud.state)

    async def _account(self, request: Request) -> Response:
        return check_token(request, self.cloud.state) or self._show(self.cloud.state.get(ACCOUNT))

    async def _user(self, request: Request) -> Response:
        return check_token(request, self.cloud.state) or self._show(self.cloud.state.get(USER))

    async def _account_action(self, request: Request) -> Response:
        refused = check_token(request, self.cloud.state)
        return refused or self._act(self._kinds["accounts"], self.cloud.state.get(ACCOUNT), request.path_params["action"], {})

    async def _collection(self, request: Request) -> Response:
        refused = check_token(request, self.cloud.state)
        if refused is not None:
            return refused
        kind = self._kind(request)
        if request.method == "GET":
            return JSONResponse([self.cloud.shapes.listed(one) for one in kind.list()])
        document = kind.create(await _read_fields(request))
        return self._show(document, kind.created, {"Location": self.cloud.shapes.url(document)})

    async def _resource(self, request: Request) -> Response:
        refused = check_token(request, self.cloud.state)
        if refused is not None:
            return refused
        kind = self._kind(request)
        document = self._document(request, kind)
        match request.method:
            case "PUT":
                return self._show(kind.update(document, await _read_fields(request)), kind.updated)
            case "DELETE":
                shown = self.cloud.shapes.full(document)
                changed = kind.destroy(document)
                return JSONResponse({**shown, "status": changed["status"]} if "status" in changed else shown, kind.destroyed)
            case _:
                return self._show(document)

    async def _action(self, request: Request) -> Response:
        refused = check_token(request, self.cloud.state)
        if refused is not None:
            return refused
        kind, action = self._kind(request), request.path_params["action"]
        document = self._document(request, kind)
        if request.method == "PUT":
            if action not in ("lock_resource", "unlock_resource") or "locked" not in document:
                raise _missing()
            return self._show(kind.lock(document, action == "lock_resource"))
        return self._act(kind, document, action, await _read_fields(request))

    # ---- what they share ----

    def _act(self, kind: Kind, document: Document, action: str, fields: Document) -> Response:
        if action not in kind.actions:
            raise _missing()
        changed = getattr(kind, action)(document, fields)
        if action == "reset_ftp_password":
            password = self.cloud.state.remember("library", secrets.token_urlsafe(9))
            return JSONResponse({**self.cloud.shapes.full(changed), "library_ftp_password": password})
        # What a snapshot becomes is in a header: the answer is the server.
        headers = {}
        if action == "snapshot":
            image = self.cloud.state.all("image")[-1]
            headers["Link"] = f"<{self.cloud.shapes.url(image)}>; rel=snapshot"
        return self._show(changed, _ACCEPTED, headers)

    def _kind(self, request: Request) -> Kind:
        kind = self._kinds.get(request.path_params["collection"])
        if kind is None:
            raise _missing()
        return kind

    def _document(self, request: Request, kind: Kind) -> Document:
        document = self.cloud.state.find(request.path_params["identifier"])
        if document is None or document["resource_type"] != kind.name:
            raise _missing()
        return document

    def _show(self, document: Document, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse(self.cloud.shapes.full(document), status, headers)


def make_app(api: Api) -> Starlette:
    """All that is answered over HTTP."""
    cloud = api.cloud

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return JSONResponse({"error_name": error.name, "errors": list(error.words)}, error.status)

    def fail(request: Request, error: Exception) -> Response:
        cloud.say(f"{request.method} {request.url.path}: {type(error).__name__}: {error}")
        return JSONResponse({"error_name": "internal_server_error", "errors": []}, 500)

    app = Starlette(
        routes=[*api.routes(), *OrbitServer(cloud).routes()],
        middleware=[Middleware(_AnswerAfterBody)],
        exception_handlers={Problem: refuse, Exception: fail},
    )
    app.router.redirect_slashes = False
    return app


class _AnswerAfterBody:
    """Reads what is left of a request's body before the answer is sent.

    A connection that is closed while data arrives is reset, and a client that still sends then sees the reset in place of the answer
    (RFC 9112, section 9.6).  A client that waits to be told to continue has sent nothing, and is not told to.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_more = scope["type"] == "http" and (b"expect", b"100-continue") not in scope["headers"]

        async def receive_next() -> Message:
            nonlocal has_more
            message = await receive()
            has_more = has_more and bool(message.get("more_body"))
            return message

        async def send_last(message: Message) -> None:
            while has_more:
                await receive_next()
            await send(message)

        await self._app(scope, receive_next, send_last)


def _missing() -> Problem:
    return Problem(404, "missing_resource", "Resource not found")


async def _read_fields(request: Request) -> dict[str, Any]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_BODY:
            raise Problem(422, "unprocessable_entity", "Body is too long")
    if not body.strip():
        return {}
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Problem(422, "unprocessable_entity", "Body is no JSON") from error
    if not isinstance(found, dict):
        raise Problem(422, "unprocessable_entity", "Body is no object")
    return found
