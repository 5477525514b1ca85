"""A static HTTP server that costs next to nothing, so that a benchmark measures who asks: all files in memory, one loop, kept connections.

`server.py FOLDER DELAY` prints its port.  Each answer leaves DELAY seconds after its request has come, however many there are.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, files: dict[bytes, bytes], delay: float) -> None:
        self.files = files
        self.delay = delay
        self.received = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            method, path, *_ = self.received[:end].split(b" ", 2)
            self.received = self.received[end + 4 :]
            body = self.files.get(path.partition(b"?")[0])
            status = b"404 Not Found" if body is None else b"200 OK"
            answer = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body or b""))
            if body is not None and method != b"HEAD":
                answer += body
            asyncio.get_running_loop().call_later(self.delay, self.answer, answer)

    def answer(self, data: bytes) -> None:
        assert self.transport is not None
        if not self.transport.is_closing():
            self.transport.write(data)


async def serve(folder: Path, delay: float) -> None:
    files = {f"/{file.relative_to(folder)}".encode(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    server = await asyncio.get_running_loop().create_server(lambda: Connection(files, delay), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
