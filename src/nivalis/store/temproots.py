"""Temporary roots: what this process uses must not be collected, by CppNix's protocol.

A process keeps a file in `temproots/` with the store paths that it uses, each followed by a zero byte, and holds an exclusive
`flock` on it for as long as it lives.  A collector reads all such files after it has taken `gc.lock` exclusively; a file whose
lock it can get belongs to the dead, so it removes the file and writes a byte to it.  Whoever has added roots to its file tries for
a shared lock of `gc.lock`; where that cannot be had, a collector is at work, which may have read the file before, and must be told
through the socket `gc-socket/socket`: a line with the path, answered by `1` when the path is safe.

CppNix names the file by the process's number alone, and takes one that exists for stale.  Here a random part follows, which
collectors ignore: two stores in one process, and processes with the same number in two namespaces, do not take each other's file.

A root must be added *before* the path is looked for or written; what was valid earlier may be gone.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time

TYPE_CHECKING = False  # a program that only looks an answer up pays for every import here
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

# Unanswered lines must fit the socket's buffers, or both sides would wait for each other.
_LINES_AT_ONCE = 64


class TempRoots:
    """The temporary roots of this process in the store with this state folder.  Nothing is created before the first root."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._file: int | None = None
        self._name = ""
        self._owner = 0
        self._gc_lock: int | None = None
        self._socket: socket.socket | None = None
        self._known: set[str] = set()
        # Threads share the descriptors.
        self._mutex = threading.RLock()

    def add(self, paths: Iterable[str]) -> None:
        """Make `paths` roots until `close`.  Waits for no collector longer than the deletion of these very paths takes."""
        with self._mutex:
            if self._owner != os.getpid():
                self._forget()
            new = [path for path in dict.fromkeys(paths) if path not in self._known]
            if not new:
                return
            file = self._open_file()
            # In the file first: a collector that begins from now on reads it.  One that is at work already is told, and nothing lies between.
            _write_all(file, b"".join(path.encode() + b"\0" for path in new))
            holds_off = self._hold_off_collector(new)
            if holds_off is not None:
                fcntl.flock(holds_off, fcntl.LOCK_UN)
            self._known.update(new)

    def outlive(self) -> None:
        """Let the roots hold until this process has ended, whatever program it becomes, and those that it starts from then on.

        They are no business of this object any more.
        """
        with self._mutex:
            if self._file is not None and self._owner == os.getpid():
                os.set_inheritable(self._file, True)
                self._file = None
            self._forget()

    def close(self) -> None:
        """Give the roots up."""
        with self._mutex:
            if self._file is not None and self._owner == os.getpid():
                try:  # noqa: SIM105  (contextlib is one of those imports)
                    os.unlink(self._name)
                except OSError:
                    pass
            self._forget()

    def _forget(self) -> None:
        # After a fork these are the parent's: the file must stay, and the child needs one of its own.
        for descriptor in (self._file, self._gc_lock):
            if descriptor is not None:
                os.close(descriptor)
        if self._socket is not None:
            self._socket.close()
        self._file = self._gc_lock = self._socket = None
        self._known = set()

    def _open_file(self) -> int:
        if self._file is not None:
            return self._file
        self._owner = os.getpid()
        while True:
            name = f"{self._state_dir}/temproots/{self._owner}-{os.urandom(4).hex()}"
            try:
                descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_size == 0:
                self._file, self._name = descriptor, name
                return descriptor
            # A collector came between the creation and the lock, and removed the file.
            os.close(descriptor)

    def _hold_off_collector(self, paths: list[str]) -> int | None:
        """The shared lock of `gc.lock`, which says that no collector is at work; None if one is, and knows all of `paths` now."""
        if self._gc_lock is None:
            self._gc_lock = os.open(f"{self._state_dir}/gc.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(self._gc_lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._tell_collector(paths):
                    return None
                continue
            return self._gc_lock

    def _tell_collector(self, paths: list[str]) -> bool:
        """Whether a running collector knows all of `paths` now; if not, it has ended and everything must be tried again."""
        import socket  # only where a collector runs

        try:
            if self._socket is None:
                # An address holds no more than 107 bytes, so it is made relative to the folder.
                folder = os.open(f"{self._state_dir}/gc-socket", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
                    self._socket.connect(f"/proc/self/fd/{folder}/socket")
                finally:
                    os.close(folder)
            for start in range(0, len(paths), _LINES_AT_ONCE):
                lines = paths[start : start + _LINES_AT_ONCE]
                self._socket.sendall("".join(f"{path}\n" for path in lines).encode())
                missing = len(lines)
                while missing:
                    answer = self._socket.recv(missing)
                    if not answer:
                        raise ConnectionResetError
                    missing -= len(answer)
            return True
        except (ConnectionError, FileNotFoundError):
            # It has ended, or has the lock but not yet the socket.
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            time.sleep(0.05)
            return False


def is_stale(descriptor: int) -> bool:
    """Whether the process is dead whose temporary roots are in an open file; if so, the file is locked by now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_stale(descriptor: int, file: str) -> None:
    """Remove a file that is stale."""
    try:  # noqa: SIM105
        os.unlink(file)
    except OSError:
        pass
    # Somebody who has just made it, and waits for the lock, sees by this that it is gone.
    try:  # noqa: SIM105
        os.write(descriptor, b"d")
    except OSError:
        pass


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
