"""Serving: a store, or a folder that is a cache already, as a binary cache over HTTP.

Of a store everything is made when it is asked for: narinfos from its database, signed by the keys that are handed in beside the store's
own signatures, and NARs from its files.  Only valid paths lead there: no name that comes from a client is looked for on disk.  A NAR is
named by its hash, as `push` names it, so what a client remembers from earlier holds on, whichever compression is announced now.

While a NAR is sent its path is a temporary root, and no longer; where the store may not be written, who collects it breaks the download
off.  A client that goes away, or takes nothing for `STALL` seconds, ends what is done for it.

What this does not do: TLS, passwords, limits for single clients.  A server in front of it does these, and so it is best on loopback.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import ContentStream, FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from nivalis._native import Hash
from nivalis.cache.cache import CacheInfo
from nivalis.cache.compression import SUFFIXES
from nivalis.cache.errors import CacheInfoError, ListenError
from nivalis.cache.keys import SecretKey
from nivalis.cache.nar_stream import NarStream, pack_nar
from nivalis.cache.narinfo import make_narinfo
from nivalis.errors import HashError, InvalidPathError, NivalisError
from nivalis.store.database import Database, PathInfo
from nivalis.store.logs import find_log, read_log
from nivalis.store.store import Store
from nivalis.store.temproots import TempRoots

__all__ = ["COMPRESSIONS", "PRIORITY", "STALL", "address_of", "listen", "make_folder_app", "make_server", "make_store_app", "serve"]

# What NARs are compressed with while they are sent; the others that are known cost more than they save.
COMPRESSIONS = ("none", "zstd", "xz")
# Before cache.nixos.org, which has 40.
PRIORITY = 30
# For so many seconds a client may take nothing of what it has asked for.
STALL = 60
# So long what goes on may take to its end when the server is to end.
_GRACE = 10
# Longer than clients keep connections that they do not use.
_KEEP_ALIVE = 75
_BACKLOG = 1024
# So many NARs are made at once, each by a thread that mostly waits for its client.
_STREAMS = 256
# No larger NAR is sent from memory.
_WHOLE = 1 << 18

_DIGIT = "[0-9a-df-np-sv-z]"
_HASH_PART = re.compile(f"{_DIGIT}{{32}}")
_NAR_NAME = re.compile(rf"({_DIGIT}{{52}})\.nar(\.xz|\.zst|)")
_DRV_NAME = re.compile(rf"{_DIGIT}{{32}}-[0-9a-zA-Z+._?=-]+\.drv")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
# What a cache consists of; whatever else lies in its folder is nobody's business.
_FILE_NAME = re.compile(rf"nix-cache-info|{_DIGIT}{{32}}\.(narinfo|ls)|(nar|log|realisations|debuginfo)(/[0-9a-zA-Z+_?=!:-][0-9a-zA-Z+._?=!:-]*)+")

_COMPRESSION_OF = {SUFFIXES[name]: name for name in COMPRESSIONS}

_Report = Callable[[Exception], object]


def make_store_app(
    store: Store,
    report: _Report,
    *,
    keys: Collection[SecretKey] = (),
    compression: str = "none",
    priority: int = PRIORITY,
    wants_mass_query: bool = False,
) -> ASGIApp:
    """The application that serves `store`; `report` is told of what it cannot send, from any thread.

    Uncompressed NARs have a known length and can be resumed; compressed ones are announced without the hash and the size of the file.
    """
    server = _StoreServer(store, report, keys, compression, CacheInfo(store.store_dir, priority, wants_mass_query))
    return _make_app(
        [
            Route("/nix-cache-info", server.cache_info),
            Route("/{part}.narinfo", server.narinfo),
            Route("/nar/{name}", server.nar),
            Route("/log/{name}", server.log),
        ],
        report,
    )


def make_folder_app(folder: str, report: _Report) -> ASGIApp:
    """The application that serves the files of the cache in `folder`.  Raises CacheInfoError if there is none, OSError."""
    try:
        with open(f"{folder}/nix-cache-info", "rb") as file:
            CacheInfo.parse(file.read())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CacheInfoError(
            f"there is no binary cache in the folder: `{folder}`", hint="it has no file `nix-cache-info`; `nivalis cache push` makes one"
        ) from error
    except CacheInfoError as error:
        error.where = folder
        raise
    return _make_app([Mount("/", _CacheFiles(directory=folder))], report)


def listen(address: str) -> socket.socket:
    """A socket that listens at `ADDRESS:PORT`; the port 0 is any that is free.  Raises ListenError."""
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise ListenError(f"not an address to listen at: `{address}`", hint="such as `127.0.0.1:5000` or `[::1]:5000`")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ListenError(f"cannot listen at `{address}`: {getattr(error, 'strerror', error)}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: the kernel ends those whose other side takes nothing.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL * 1000)
        listener.bind(place)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen at `{address}`: {error.strerror}", hint="another address is chosen with `--listen ADDRESS:PORT`") from error
    return listener


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Where it listens: the address, and the port that was found."""
    host, port = listener.getsockname()[:2]
    return str(host), int(port)


def serve(app: ASGIApp, listener: socket.socket) -> None:
    """Answer what comes until SIGTERM, which ends this function when what goes on has ended, and until Ctrl-C, which raises KeyboardInterrupt."""
    # Each download takes a few of them.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = make_server(app)
    if threading.current_thread() is not threading.main_thread():
        server.run(sockets=[listener])
        return
    # When it has ended, the server sends itself the signal that it was sent, for this handler.
    before = signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        server.run(sockets=[listener])
    except _Terminated:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


def make_server(app: ASGIApp) -> uvicorn.Server:
    """The server of `serve`, for whoever starts and ends it otherwise."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            # What there is to be said is said to `report`.
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
    )


class _Terminated(BaseException):
    """SIGTERM came."""


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _make_app(routes: list[Route | Mount], report: _Report) -> ASGIApp:
    def fail(request: Request, error: Exception) -> Response:
        report(error)
        return PlainTextResponse("Internal Server Error", 500)

    app = Starlette(routes=routes, exception_handlers={NivalisError: fail, OSError: fail, Exception: fail})
    app.router.redirect_slashes = False
    return app


class _StoreServer:
    """What is answered.  Starlette runs these functions in threads, as they ask the database and the disk."""

    def __init__(self, store: Store, report: _Report, keys: Collection[SecretKey], compression: str, info: CacheInfo) -> None:
        self._store = store
        self._report = report
        self._keys = keys
        self._compression = compression
        self._info = info
        self._index = _NarIndex(store.database)
        self._executor = ThreadPoolExecutor(_STREAMS, "nar")

    def cache_info(self, request: Request) -> Response:
        text = f"StoreDir: {self._info.store_dir}\nWantMassQuery: {self._info.wants_mass_query:d}\nPriority: {self._info.priority}\n"
        return Response(text, media_type="text/x-nix-cache-info")

    def narinfo(self, request: Request) -> Response:
        part, store_dir = request.path_params["part"], self._store.store_dir
        path = self._store.database.path_of_hash_part(store_dir, part) if _HASH_PART.fullmatch(part) else None
        try:
            info = None if path is None else self._store.path_info(path)
        except InvalidPathError:  # collected just now
            info = None
        if info is None:
            raise HTTPException(404)
        self._index.learn(info)
        is_plain = self._compression == "none"
        narinfo = make_narinfo(
            info,
            store_dir,
            url=f"nar/{info.nar_hash.format('base32')}.nar{SUFFIXES[self._compression]}",
            compression=self._compression,
            file_hash=info.nar_hash if is_plain else None,
            file_size=info.nar_size if is_plain else None,
            keys=self._keys,
        )
        return Response(narinfo.print(), media_type="text/x-nix-narinfo")

    def nar(self, request: Request) -> Response:
        name = request.path_params["name"]
        match = _NAR_NAME.fullmatch(name)
        if match is None:
            raise HTTPException(404)
        try:
            nar_hash = Hash.parse(match[1], "sha256")
        except HashError as error:
            raise HTTPException(404) from error
        compression = _COMPRESSION_OF[match[2]]
        with ExitStack() as held:
            info = self._hold(nar_hash, held)
            if info is None:
                raise HTTPException(404)
            headers = {"content-type": "application/x-nix-nar", "etag": f'"{name}"'}
            if compression == "none":
                return self._plain_nar(request, info, headers, held)
            if request.method == "HEAD":
                return _Streamed(iter(()), self._report, headers)
            return self._send(info, compression, held, headers)

    def log(self, request: Request) -> Response:
        name = request.path_params["name"]
        file = find_log(self._store.layout, name) if _DRV_NAME.fullmatch(name) else None
        if file is None:
            raise HTTPException(404)
        pieces: Iterator[bytes] = iter(()) if request.method == "HEAD" else read_log(file)
        return _Streamed(pieces, self._report, {"content-type": "text/plain; charset=utf-8"})

    def _hold(self, nar_hash: Hash, held: ExitStack) -> PathInfo | None:
        """A valid path with that NAR, which is a temporary root for as long as `held` is."""
        for find in (self._index.find, self._index.find_anew):
            path = find(nar_hash)
            if path is None:
                break
            if not self._store.read_only:
                # Roots are given up all at once, so each download has its own.
                roots = TempRoots(str(self._store.layout.state_dir))
                held.callback(roots.close)
                roots.add([path])
            try:
                info = self._store.path_info(path)
            except InvalidPathError:
                continue
            if info.nar_hash == nar_hash:
                return info
        return None

    def _plain_nar(self, request: Request, info: PathInfo, headers: dict[str, str], held: ExitStack) -> Response:
        start, end, status = 0, info.nar_size, 200
        headers["accept-ranges"] = "bytes"
        if request.method == "HEAD":
            return Response(headers={**headers, "content-length": str(info.nar_size)})
        part = _range_of(request.headers, info.nar_size, headers["etag"])
        if part is not None:
            start, end = part
            status = 206
            headers["content-range"] = f"bytes {start}-{end - 1}/{info.nar_size}"
        headers["content-length"] = str(end - start)
        return self._send(info, "none", held, headers, start, end - start, status)

    def _send(
        self,
        info: PathInfo,
        compression: str,
        held: ExitStack,
        headers: Mapping[str, str],
        start: int = 0,
        length: int | None = None,
        status: int = 200,
    ) -> Response:
        place = self._store.real_path(info.path)
        if info.nar_size <= _WHOLE:
            return Response(pack_nar(place, compression, start, length), status, headers)
        stream = NarStream(place, compression, self._executor, start, length)
        held.callback(stream.close)
        return _Streamed(stream, self._report, headers, status=status, held=held.pop_all())


class _NarIndex:
    """Paths by the hashes of their NARs, for which the database has no index.  What it finds may have been collected since."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._paths: dict[str, str] = {}
        self._last_row = 0
        self._mutex = threading.Lock()

    def learn(self, info: PathInfo) -> None:
        with self._mutex:
            self._paths[str(info.nar_hash)] = info.path

    def find(self, nar_hash: Hash) -> str | None:
        with self._mutex:
            if str(nar_hash) not in self._paths:
                self._read()
            return self._paths.get(str(nar_hash))

    def find_anew(self, nar_hash: Hash) -> str | None:
        """As `find`, for a path that has turned out to be no more: another one may have the same NAR."""
        with self._mutex:
            self._paths.clear()
            self._last_row = 0
            self._read()
            return self._paths.get(str(nar_hash))

    def _read(self) -> None:
        for row, nar_hash, path in self._database.nar_hashes(after=self._last_row):
            self._paths[nar_hash] = path
            self._last_row = row


class _Streamed(StreamingResponse):
    """What is made while it is sent; `held` is given up afterwards, however it ends."""

    def __init__(
        self, content: ContentStream, report: _Report, headers: Mapping[str, str], *, status: int = 200, held: ExitStack | None = None
    ) -> None:
        super().__init__(content, status, headers)
        self._report = report
        self._held = held or ExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # It has begun, so it cannot become an error any more: the server closes the connection of a response that does not end.
        with self._held:
            try:
                await super().__call__(scope, receive, send)
            except Exception as error:
                self._report(error)


class _CacheFiles(StaticFiles):
    """The files of a cache, and no others of the folder."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if _FILE_NAME.fullmatch(path) else ("", None)

    def file_response(self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        if stat_result.st_size > _WHOLE or not isinstance(response, FileResponse) or "range" in Headers(scope=scope):
            return response
        # Most files are small, and to hand one to threads piece by piece costs more than it does.
        with open(full_path, "rb") as file:
            return Response(file.read(), headers={**response.headers, "content-length": str(os.fstat(file.fileno()).st_size)})


def _range_of(headers: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """The part of a file that is asked for (RFC 9110, 14.2), from a byte up to before another; None for all of it.  Several parts are not given."""
    match = _RANGE.fullmatch(headers.get("range", ""))
    if match is None or headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        return None
    if start >= size:
        raise HTTPException(416, headers={"content-range": f"bytes */{size}"})
    return start, end
