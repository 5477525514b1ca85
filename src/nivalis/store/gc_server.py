"""The collector's ear: a socket on which others tell it, while it works, what they are going to use.

A client sends a line with a store path and waits for the answer `1`.  From then on the path, and whatever begins with its hash part, is
safe.  If the path is being deleted at this very moment the answer waits until that is done: the client will find it gone, and make it
again, but never half of it.  That is CppNix's protocol; `nivalis.store.temproots` is the client.

Deleting works in batches: `claim` takes of a batch what nobody has asked for and announces it, `release` ends that.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from types import TracebackType

__all__ = ["RootServer"]

_HASH_LENGTH = 32
# A store path is never longer; somebody who sends more is not a client.
_MAX_LINE = 4096


class RootServer:
    """Listens from `__enter__` to `__exit__`.  `roots` are the hash parts that are safe from the beginning."""

    def __init__(self, state_dir: str, store_dir: str, roots: Iterable[str] = ()) -> None:
        self._folder = f"{state_dir}/gc-socket"
        self._prefix = f"{store_dir}/"
        self._roots = set(roots)
        self._claimed: frozenset[str] = frozenset()
        self._changed = threading.Condition()
        self._listener: socket.socket | None = None
        self._clients: set[socket.socket] = set()
        self._is_closing = False

    def __enter__(self) -> RootServer:
        os.makedirs(self._folder, mode=0o755, exist_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # An address holds no more than 107 bytes, so it is made relative to the folder.
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._folder}/socket")
                listener.bind(f"/proc/self/fd/{folder}/socket")
            finally:
                os.close(folder)
            # Whoever may use the store may tell what it uses.
            os.chmod(f"{self._folder}/socket", 0o666)
            listener.listen(64)
        except BaseException:
            listener.close()
            raise
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="gc-roots", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._is_closing = True
            self._claimed = frozenset()
            self._changed.notify_all()
            clients = list(self._clients)
        assert self._listener is not None
        # Clients that wait see the end of the stream, and start again without a collector.
        for one in (self._listener, *clients):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def add(self, hash_parts: Iterable[str]) -> None:
        """Make more hash parts safe."""
        with self._changed:
            self._roots.update(hash_parts)

    def roots(self) -> set[str]:
        """The hash parts that are safe now."""
        with self._changed:
            return set(self._roots)

    def claim(self, hash_parts: Collection[str]) -> set[str]:
        """Announce the deletion of all of `hash_parts`, unless some are safe: then nothing is announced, and those are returned."""
        with self._changed:
            safe = self._roots.intersection(hash_parts)
            if not safe:
                self._claimed = frozenset(hash_parts)
            return safe

    def release(self) -> None:
        """What was announced is done."""
        with self._changed:
            self._claimed = frozenset()
            self._changed.notify_all()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                if self._is_closing:
                    client.close()
                    return
                self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), name="gc-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as lines:
                while line := lines.readline(_MAX_LINE):
                    if not line.endswith(b"\n"):
                        return
                    self._take(os.fsdecode(line[:-1]))
                    client.sendall(b"1")
        except OSError:
            return
        finally:
            with self._changed:
                self._clients.discard(client)

    def _take(self, path: str) -> None:
        if not path.startswith(self._prefix):
            return
        part = path[len(self._prefix) :][:_HASH_LENGTH]
        with self._changed:
            self._roots.add(part)
            while part in self._claimed:
                self._changed.wait()
