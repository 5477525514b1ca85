"""The metadata service of a server: what it answers, and the little of TCP and HTTP that it takes to answer.

Guests ask http://169.254.169.254, in the manner of EC2: versions `latest`, `2009-04-04` and `2011-01-01`, and OpenStack's address of user
data.  Frames for it are taken off the server's wire by `network`, so that nobody but that server can ask, and nothing listens on this
machine.

The TCP is the answering half: a request that comes in order, an answer that is sent as far as the guest's window goes, sent again after a
second without progress, and closed.  It is no general implementation: out of order means asked for again, and a request is at most 16 KiB.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus

from nivalis.cloud.local.packets import Packet, TcpHeader, make_tcp, read_tcp
from nivalis.cloud.local.state import Document, State

__all__ = ["METADATA", "MetadataWire", "answer_metadata"]

METADATA = "169.254.169.254"
_MAC = bytes.fromhex("022419000001")
_VERSIONS = ("2009-04-04", "2011-01-01", "latest")
_FIN, _SYN, _RST, _PUSH, _ACK = 1, 2, 4, 8, 16
_LONGEST = 16 << 10
_SEGMENT = 1400
_AGAIN, _FORGOTTEN = 1.0, 60.0


def answer_metadata(state: State, server: Document, path: str) -> str | bytes | None:
    """What is at a path, a listing for a folder, or None for nothing."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if not parts:
        return "\n".join(_VERSIONS)
    user_data = base64.b64decode(server["user_data"]) if server.get("user_data") else None
    if parts[0] == "openstack":
        return user_data if parts[1:] == ["latest", "user_data"] else None
    if parts[0] not in _VERSIONS:
        return None
    match parts[1:]:
        case []:
            return "meta-data/" + ("\nuser-data" if user_data is not None else "")
        case ["user-data"]:
            return user_data
        case ["meta-data", *rest]:
            return _find(_make_tree(state, server), rest)
    return None


_Tree = dict[str, "_Tree | str"]


def _make_tree(state: State, server: Document) -> _Tree:
    addresses = [one["address"] for one in state.all("cloud_ip") if one["interface"] == server["interface"]]
    keys = [line.strip() for key in server.get("ssh_keys", ()) for line in key.splitlines() if line.strip()]
    tree: _Tree = {
        "ami-id": server["image"],
        "hostname": server["fqdn"],
        "instance-id": server["id"],
        "instance-type": state.get(server["server_type"])["handle"],
        "local-hostname": server["fqdn"],
        "local-ipv4": state.get(server["interface"])["ipv4_address"],
        "placement": {"availability-zone": state.get(server["zone"])["handle"]},
    }
    if addresses:
        tree |= {"public-ipv4": addresses[0], "public-hostname": f"public.{server['fqdn']}"}
    if keys:
        tree["public-keys"] = {str(number): {"openssh-key": key} for number, key in enumerate(keys)}
    return tree


def _find(tree: _Tree, parts: list[str]) -> str | None:
    found: _Tree | str | None = tree
    for part in parts:
        found = found.get(part) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return found
    if parts == ["public-keys"]:
        # EC2's listing of keys is of its own kind.
        return "\n".join(f"{number}=key-{number}" for number in found)
    return "\n".join(f"{name}/" if isinstance(value, dict) else name for name, value in found.items())


class MetadataWire:
    """The service on the wire of one server: `send` puts frames there, `answer` gives what is at a path."""

    def __init__(
        self, answer: Callable[[str], str | bytes | None], send: Callable[[bytes], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._answer = answer
        self._send = send
        self._clock = clock
        self._connections: dict[int, _Connection] = {}

    mac = _MAC

    def receive(self, frame: bytes, packet: Packet) -> None:
        """A frame of TCP to port 80 of the service."""
        header = read_tcp(frame, packet)
        if header is None:
            return
        if header.flags & _RST:
            self._connections.pop(packet.source_port, None)
            return
        if header.flags & _SYN:
            self._connections[packet.source_port] = _Connection(packet, header, self._send, self._answer, self._clock)
            return
        connection = self._connections.get(packet.source_port)
        if connection is None:
            refusal = TcpHeader(header.acknowledged, 0, _RST, 0, b"")
            self._send(make_tcp(packet, _MAC, refusal))
        else:
            connection.receive(header)
            if connection.is_over:
                del self._connections[packet.source_port]

    def tick(self) -> None:
        """To be called about once a second: what got lost is sent again, and who has gone is forgotten."""
        for port, connection in list(self._connections.items()):
            connection.tick()
            if connection.is_over:
                del self._connections[port]


class _Connection:
    """One request and its answer.  Sequence numbers are kept as offsets from the first, and wrap when they are sent."""

    def __init__(
        self,
        packet: Packet,
        header: TcpHeader,
        send: Callable[[bytes], object],
        answer: Callable[[str], str | bytes | None],
        clock: Callable[[], float],
    ) -> None:
        self._packet = packet
        self._send_frame = send
        self._answer = answer
        self._clock = clock
        self._next = (header.sequence + 1) & 0xFFFFFFFF
        self._first = secrets.randbits(32)
        self._request = b""
        self._data: bytes | None = None
        # What is acknowledged, sent since it was last begun with, and sent at all.
        self._acknowledged = self._sent = self._highest = 0
        self._window = header.window
        self._heard = self._progress = clock()
        self.is_over = False
        # The largest segment that a guest of ours sends; its own limit is that of Ethernet.
        self._send(TcpHeader(self._first, self._next, _SYN | _ACK, 65535, b""), b"\2\4" + (1460).to_bytes(2, "big"))

    def receive(self, header: TcpHeader) -> None:
        self._heard = self._clock()
        self._window = header.window
        if header.flags & _ACK:
            offset = (header.acknowledged - self._first - 1) & 0xFFFFFFFF
            if self._acknowledged < offset <= self._highest:
                self._acknowledged, self._progress = offset, self._heard
                # The guest kept what came after a gap.
                self._sent = max(self._sent, offset)
        if header.data or header.flags & _FIN:
            if header.sequence == self._next:
                self._next = (self._next + len(header.data) + (header.flags & _FIN)) & 0xFFFFFFFF
                if self._data is None:
                    self._request += header.data
                    self._read_request()
            self._send(self._segment(self._sent, b""))
        self._push()
        if self._data is not None and self._acknowledged == len(self._data) + 1 and header.flags & (_FIN | _ACK):
            self.is_over = bool(header.flags & _FIN) or self.is_over

    def tick(self) -> None:
        now = self._clock()
        if now - self._heard > _FORGOTTEN:
            self.is_over = True
        elif self._data is not None and self._acknowledged < self._highest and now - self._progress >= _AGAIN:
            self._sent, self._progress = self._acknowledged, now
            self._push()

    def _read_request(self) -> None:
        if b"\r\n\r\n" not in self._request and len(self._request) < _LONGEST:
            return
        words = self._request.partition(b"\r\n")[0].decode("ascii", "replace").split(" ")
        method, path = (words[0], words[1]) if len(words) == 3 else ("", "")
        found = self._answer(path) if method in ("GET", "HEAD") else None
        status = HTTPStatus.OK if found is not None else HTTPStatus.NOT_FOUND if method else HTTPStatus.BAD_REQUEST
        body = found.encode() if isinstance(found, str) else found or b""
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self._data = head.encode() + (b"" if method == "HEAD" else body)

    def _push(self) -> None:
        """Send what the window has room for, and the end after all of it."""
        if self._data is None:
            return
        while self._sent <= len(self._data):
            room = self._window - (self._sent - self._acknowledged)
            piece = self._data[self._sent : self._sent + max(0, min(room, _SEGMENT))]
            is_last = self._sent + len(piece) == len(self._data)
            if not piece and not is_last:
                return
            self._send(self._segment(self._sent, piece, _PUSH | (_FIN if is_last else 0)))
            self._sent += len(piece) + is_last
            self._highest = max(self._highest, self._sent)

    def _segment(self, offset: int, data: bytes, flags: int = 0) -> TcpHeader:
        return TcpHeader((self._first + 1 + offset) & 0xFFFFFFFF, self._next, _ACK | flags, 65535, data)

    def _send(self, header: TcpHeader, options: bytes = b"") -> None:
        self._send_frame(make_tcp(self._packet, _MAC, header, options))
