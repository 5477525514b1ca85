"""Orbit over files: the part of Swift's API that uploading images needs, and a little more.

Authentication of the first kind, containers, objects, ranges, static large objects, and temporary addresses.  An object is a file whose
name is the quoted name of the object, so that no name leads anywhere else; beside it, in JSON, its MD5 sum, or the segments that it
consists of.  It is put in its place whole, when all that was announced has come.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from nivalis.cloud.local.core import LocalCloud
from nivalis.cloud.local.oauth import TOKEN_LIFE, is_same
from nivalis.cloud.local.state import ACCOUNT, CLIENT, USER

__all__ = ["OrbitServer"]

_PIECE = 1 << 20
_LARGEST = 5 << 30
_MOST_SEGMENTS = 1000
_SMALLEST_SEGMENT = 1 << 20
_LONGEST_PAGE = 10_000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class OrbitServer:
    """The storage of the one account."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._state = cloud.state
        self._folder = cloud.places.orbit
        self._prefix = f"/v1/{ACCOUNT}"

    def routes(self) -> list[Route]:
        return [
            Route("/v1", self._authenticate, methods=["GET"]),
            Route(self._prefix, self._account, methods=["GET", "HEAD", "POST"]),
            Route(self._prefix + "/{container}", self._container, methods=["GET", "HEAD", "PUT", "POST", "DELETE"]),
            Route(self._prefix + "/{container}/{name:path}", self._object, methods=["GET", "HEAD", "PUT", "DELETE"]),
        ]

    # ---- who is asking ----

    async def _authenticate(self, request: Request) -> Response:
        user, key = request.headers.get("x-auth-user", ""), request.headers.get("x-auth-key", "")
        if user == CLIENT:
            is_known = is_same(key, self._state.secret(CLIENT))
        else:
            is_known = user in (USER, self._state.get(USER)["email_address"]) and is_same(key, self._state.secret(USER))
        if not is_known:
            return _refuse(401)
        token = self._state.add_token(CLIENT, TOKEN_LIFE)
        headers = {"X-Auth-Token": token, "X-Storage-Token": token, "X-Storage-Url": self._cloud.base + self._prefix}
        return Response(status_code=200, headers=headers)

    def _has_token(self, request: Request) -> bool:
        found = self._state.token(request.headers.get("x-auth-token", ""))
        return found is not None and found[1] >= self._state.clock()

    def _has_signature(self, request: Request, method: str) -> bool:
        signature, expires = request.query_params.get("temp_url_sig"), request.query_params.get("temp_url_expires", "")
        key = self._account_data().get("key")
        if not signature or not key or not expires.isdecimal() or int(expires) < self._state.clock():
            return False
        # As it was asked for: a name may be quoted in more than one way.
        path = request.scope.get("raw_path", b"").decode("ascii", "replace").partition("?")[0]
        # What may be fetched may be asked about.
        methods = (method, "GET") if method == "HEAD" else (method,)
        texts = [f"{one}\n{expires}\n{path}".encode() for one in methods]
        wanted = [hmac.new(key.encode(), text, hashlib.sha1).hexdigest() for text in texts]
        return any(is_same(signature, one) for one in wanted)

    # ---- account and containers ----

    def _account_data(self) -> dict[str, str]:
        try:
            return dict(json.loads((self._folder / "account.json").read_text()))
        except FileNotFoundError:
            return {}

    async def _account(self, request: Request) -> Response:
        if not self._has_token(request):
            return _refuse(401)
        if request.method == "POST":
            key = request.headers.get("x-account-meta-temp-url-key")
            if key:
                _write(self._folder / "account.json", json.dumps({"key": key}).encode())
            return Response(status_code=204)
        key = self._account_data().get("key")
        if request.method == "HEAD":
            return Response(status_code=204, headers={"X-Account-Meta-Temp-Url-Key": key} if key else {})
        names = sorted(unquote(one.name) for one in self._folder.iterdir() if one.is_dir())
        return _list_names(request, [{"name": name} for name in names])

    async def _container(self, request: Request) -> Response:
        if not self._has_token(request):
            return _refuse(401)
        folder = self._folder / quote(request.path_params["container"], safe="")
        if request.method == "PUT":
            is_new = not folder.exists()
            folder.mkdir(mode=0o700, exist_ok=True)
            return Response(status_code=201 if is_new else 202)
        if not folder.is_dir():
            return _refuse(404)
        if request.method == "DELETE":
            if any(folder.iterdir()):
                return _refuse(409)
            folder.rmdir()
            return Response(status_code=204)
        if request.method == "POST":
            return Response(status_code=204)
        files = [one for one in folder.iterdir() if one.suffix != ".json" and not one.name.startswith(".")]
        prefix, marker = request.query_params.get("prefix", ""), request.query_params.get("marker", "")
        names = {unquote(one.name[:-1]): one for one in files}
        wanted = sorted(name for name in names if name.startswith(prefix) and name > marker)[:_LONGEST_PAGE]
        metas = {name: _read_meta(names[name]) for name in wanted}
        return _list_names(request, [{"name": name, "bytes": _size_of(meta), "hash": meta["etag"]} for name, meta in metas.items()])

    # ---- objects ----

    def _file(self, container: str, name: str) -> Path:
        # The dot at the end keeps it apart from the metadata beside it, whatever its name.
        return self._folder / quote(container, safe="") / f"{quote(name, safe='')}."

    async def _object(self, request: Request) -> Response:
        method = request.method
        if not self._has_token(request) and not self._has_signature(request, method):
            return _refuse(401)
        container, name = request.path_params["container"], request.path_params["name"]
        file = self._file(container, name)
        if not file.parent.is_dir():
            return _refuse(404)
        if method == "PUT":
            if len(file.name) > 240:
                return PlainTextResponse("name is too long", 400)
            if request.query_params.get("multipart-manifest") == "put":
                return await self._put_manifest(request, file)
            return await self._put(request, file)
        if not file.is_file():
            return _refuse(404)
        meta = _read_meta(file)
        if method == "DELETE":
            if request.query_params.get("multipart-manifest") == "delete":
                for segment in meta.get("segments", ()):
                    _remove(self._file(*_split(segment["path"])))
            _remove(file)
            return Response(status_code=204)
        return self._get(request, file, meta)

    async def _put(self, request: Request, file: Path) -> Response:
        announced = request.headers.get("content-length", "")
        part = file.with_name(f".{secrets.token_hex(8)}.part")
        digest, size = hashlib.md5(usedforsecurity=False), 0
        try:
            with open(part, "xb") as stream:
                async for piece in request.stream():
                    stream.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    if size > _LARGEST:
                        return _refuse(413)
            wanted = request.headers.get("etag", "").strip('"')
            if announced.isdecimal() and int(announced) != size:
                return _refuse(499)
            if wanted and wanted != digest.hexdigest():
                return _refuse(422)
            _write(_meta_of(file), json.dumps({"etag": digest.hexdigest(), "size": size}).encode())
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
        return Response(status_code=201, headers={"ETag": digest.hexdigest()})

    async def _put_manifest(self, request: Request, file: Path) -> Response:
        try:
            given = [(str(one["path"]), one.get("etag"), one.get("size_bytes")) for one in json.loads(await request.body())]
        except (KeyError, TypeError, ValueError):
            return PlainTextResponse("manifest is not valid", 400)
        if not 0 < len(given) <= _MOST_SEGMENTS:
            return PlainTextResponse("too many segments", 413)
        segments, digest = [], hashlib.md5(usedforsecurity=False)
        for number, (path, etag, size) in enumerate(given):
            segment = self._file(*_split(path))
            if not segment.is_file():
                return PlainTextResponse(f"no such segment: {path}", 400)
            meta = _read_meta(segment)
            is_too_small = meta["size"] < _SMALLEST_SEGMENT and number < len(given) - 1
            if is_too_small or (etag is not None and etag != meta["etag"]) or (size is not None and size != meta["size"]):
                return PlainTextResponse(f"segment is not what the manifest says: {path}", 400)
            digest.update(meta["etag"].encode())
            segments.append({"path": path, "size": meta["size"]})
        _write(_meta_of(file), json.dumps({"etag": digest.hexdigest(), "size": 0, "segments": segments}).encode())
        _write(file, b"")
        return Response(status_code=201, headers={"ETag": f'"{digest.hexdigest()}"'})

    def _get(self, request: Request, file: Path, meta: dict[str, Any]) -> Response:
        size = _size_of(meta)
        headers = {"ETag": f'"{meta["etag"]}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        start, end, status = 0, size, 200
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        if match is not None and request.headers.get("if-range", headers["ETag"]) == headers["ETag"] and any(match.groups()):
            first, last = match.groups()
            start, end = (int(first), min(int(last) + 1, size) if last else size) if first else (max(0, size - int(last)), size)
            if start >= end:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        parts = [(file, meta["size"])]
        if "segments" in meta:
            parts = [(self._file(*_split(one["path"])), one["size"]) for one in meta["segments"]]
        return StreamingResponse(iterate_in_threadpool(_read_range(parts, start, end)), status, headers)


def _read_range(parts: list[tuple[Path, int]], start: int, end: int) -> Iterator[bytes]:
    at = 0
    for path, size in parts:
        first, last = max(start - at, 0), min(end - at, size)
        at += size
        if first < last:
            with open(path, "rb") as stream:
                stream.seek(first)
                while first < last and (piece := stream.read(min(_PIECE, last - first))):
                    first += len(piece)
                    yield piece


def _split(path: str) -> tuple[str, str]:
    container, _, name = path.lstrip("/").partition("/")
    return container, name


def _meta_of(file: Path) -> Path:
    return file.with_name(file.name + "json")


def _read_meta(file: Path) -> dict[str, Any]:
    return dict(json.loads(_meta_of(file).read_text()))


def _size_of(meta: dict[str, Any]) -> int:
    return sum(one["size"] for one in meta["segments"]) if "segments" in meta else int(meta["size"])


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    _meta_of(file).unlink(missing_ok=True)


def _write(file: Path, data: bytes) -> None:
    part = file.with_name(f".{secrets.token_hex(8)}.part")
    part.write_bytes(data)
    os.replace(part, file)


def _list_names(request: Request, rows: list[dict[str, Any]]) -> Response:
    if request.query_params.get("format") == "json" or "json" in request.headers.get("accept", ""):
        return JSONResponse(rows)
    return PlainTextResponse("".join(f"{row['name']}\n" for row in rows), 200 if rows else 204)


def _refuse(status: int) -> Response:
    return PlainTextResponse({401: "Unauthorized", 404: "Not Found", 409: "Conflict"}.get(status, "Refused"), status)
