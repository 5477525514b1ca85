"""A NAR of the store as a stream of pieces, compressed on the way: what the server of a store sends.

A thread makes the NAR and writes it into a pipe, which the event loop reads.  The pipe is all that is ever ahead of the client, so
memory is bounded however large the NAR and however slow the client is; and closing its reading end is what stops the thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import Executor, Future

from nivalis import _native
from nivalis.cache.compression import Compressor, make_compressor, pack_whole
from nivalis.errors import StoreContentError

__all__ = ["NarStream", "pack_nar"]

_PIECE = 1 << 17


def pack_nar(place: str, compression: str, start: int = 0, length: int | None = None) -> bytes:
    """What a `NarStream` would give, all at once: for small NARs.  Raises its errors."""
    pieces = _Pieces()
    _native.write_nar(place, pieces)
    nar = pack_whole(b"".join(pieces), compression)
    if length is None:
        return nar[start:]
    part = nar[start : start + length]
    if len(part) < length:
        raise _modified(place)
    return part


class NarStream:
    """The bytes of the NAR of `place`, from `start` on; `length` of them, or all that there are.

    Asynchronous iteration gives them, once; it raises OSError or NarError when what is in the store cannot be read, and
    StoreContentError when there is less of it than `length`.  `close` must be called in the end, wherever that is.
    """

    def __init__(self, place: str, compression: str, executor: Executor, start: int = 0, length: int | None = None) -> None:
        self._place = place
        self._left = length
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._maker: Future[None] = executor.submit(_fill, writer, place, compression, start)
        # One that never begins leaves its end of the pipe.
        self._maker.add_done_callback(lambda future: os.close(writer))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left is None or self._left > 0:
            try:
                piece = os.read(self._reader, _PIECE)
            except BlockingIOError:
                await self._wait()
                continue
            if not piece:
                await asyncio.wrap_future(self._maker)
                if self._left is not None:
                    raise _modified(self._place)
                return
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            yield piece

    def close(self) -> None:
        """Stop; the thread ends soon."""
        self._maker.cancel()
        os.close(self._reader)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._reader, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._reader)


class _Pieces(list[bytes]):
    def write(self, data: bytes, /) -> None:
        self.append(data)


class _Pipe:
    """Writes to a pipe all but the first `skipped` bytes."""

    def __init__(self, descriptor: int, skipped: int) -> None:
        self._descriptor = descriptor
        self._skipped = skipped

    def write(self, data: bytes, /) -> None:
        view = memoryview(data)[self._skipped :]
        self._skipped -= len(data) - len(view)
        while view:
            view = view[os.write(self._descriptor, view) :]


class _Packer:
    def __init__(self, compressor: Compressor, sink: _Pipe) -> None:
        self._compressor = compressor
        self._sink = sink

    def write(self, data: bytes, /) -> None:
        self._sink.write(self._compressor.compress(data))

    def finish(self) -> None:
        self._sink.write(self._compressor.flush())


def _fill(writer: int, place: str, compression: str, skipped: int) -> None:
    if compression == "none" and not skipped:
        _native.write_nar(place, writer)
        return
    sink = _Pipe(writer, skipped)
    compressor = make_compressor(compression)
    if compressor is None:
        _native.write_nar(place, sink)
        return
    packer = _Packer(compressor, sink)
    _native.write_nar(place, packer)
    packer.finish()


def _modified(place: str) -> StoreContentError:
    return StoreContentError(f"path was modified: `{place}`", where=place, hint="`nix-store --verify --check-contents --repair` may mend it")
