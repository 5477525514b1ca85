"""Ethernet frames, as far as a switch in front of one server has to understand them.

Formats: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200, without extension headers, which pass as protocols of their own), TCP
(RFC 9293), UDP and ICMP.  A frame that is cut short or of another kind is None, never an error: it comes from a guest.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

__all__ = [
    "ARP",
    "IPV4",
    "IPV6",
    "Packet",
    "TcpHeader",
    "answer_arp",
    "change_address",
    "change_macs",
    "change_nameserver",
    "make_tcp",
    "read_packet",
    "read_tcp",
]

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
_HEADER = 14


class Packet(NamedTuple):
    """What a frame carries; `payload` is where, in the frame, the transport's header begins.  Ports of ICMP are its type, of others 0."""

    source_mac: bytes
    kind: int
    protocol: int = 0
    source: str = ""
    destination: str = ""
    source_port: int = 0
    destination_port: int = 0
    payload: int = 0
    end: int = 0


class TcpHeader(NamedTuple):
    sequence: int
    acknowledged: int
    flags: int
    window: int
    data: bytes


def read_packet(frame: bytes) -> Packet | None:
    """What a frame is, or None for what has no place here."""
    if len(frame) < _HEADER:
        return None
    kind = int.from_bytes(frame[12:14], "big")
    mac = frame[6:12]
    if kind == ARP:
        return Packet(mac, kind)
    if kind == IPV4 and len(frame) >= _HEADER + 20 and frame[_HEADER] >> 4 == 4:
        start = _HEADER + (frame[_HEADER] & 15) * 4
        end = min(len(frame), _HEADER + int.from_bytes(frame[16:18], "big"))
        protocol = frame[_HEADER + 9]
        source, destination = socket.inet_ntop(socket.AF_INET, frame[26:30]), socket.inet_ntop(socket.AF_INET, frame[30:34])
        # Only the first fragment has ports; without it the others are of no use to anybody.
        is_rest = bool(int.from_bytes(frame[20:22], "big") & 0x1FFF)
    elif kind == IPV6 and len(frame) >= _HEADER + 40 and frame[_HEADER] >> 4 == 6:
        start, end = _HEADER + 40, min(len(frame), _HEADER + 40 + int.from_bytes(frame[18:20], "big"))
        protocol = frame[_HEADER + 6]
        source, destination = socket.inet_ntop(socket.AF_INET6, frame[22:38]), socket.inet_ntop(socket.AF_INET6, frame[38:54])
        is_rest = False
    else:
        return None
    ports = (0, 0)
    if protocol in (TCP, UDP) and not is_rest:
        if end < start + 4:
            return None
        ports = struct.unpack_from("!HH", frame, start)
    elif protocol in (ICMP, ICMPV6) and end > start:
        ports = (frame[start], frame[start])
    return Packet(mac, kind, 0 if is_rest else protocol, source, destination, *ports, start, end)


def change_macs(frame: bytes, destination: bytes, source: bytes) -> bytes:
    """The same frame between others."""
    return destination + source + frame[12:]


def answer_arp(frame: bytes, address: str, mac: bytes) -> bytes | None:
    """The answer to a question for `address`, or None for any other."""
    if len(frame) < 42 or frame[20:22] != b"\0\1" or socket.inet_ntop(socket.AF_INET, frame[38:42]) != address:
        return None
    asker_mac, asker = frame[22:28], frame[28:32]
    return asker_mac + mac + frame[12:20] + b"\0\2" + mac + frame[38:42] + asker_mac + asker


def change_address(frame: bytes, packet: Packet, address: str, *, of_source: bool) -> bytes:
    """The same packet of IPv4 from or to another address; its check sums follow (RFC 1624)."""
    changed = bytearray(frame)
    place = 26 if of_source else 30
    old, new = frame[place : place + 4], socket.inet_aton(address)
    changed[place : place + 4] = new
    sums = [24]
    if packet.protocol == TCP and packet.end >= packet.payload + 18:
        sums.append(packet.payload + 16)
    elif packet.protocol == UDP and packet.end >= packet.payload + 8 and frame[packet.payload + 6 : packet.payload + 8] != b"\0\0":
        sums.append(packet.payload + 6)
    for at in sums:
        words = struct.unpack("!HHHH", old + new)
        total = 0xFFFF ^ int.from_bytes(changed[at : at + 2], "big")
        total += sum(0xFFFF ^ word for word in words[:2]) + sum(words[2:])
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        changed[at : at + 2] = (0xFFFF ^ total).to_bytes(2, "big")
    return bytes(changed)


def change_nameserver(frame: bytes, packet: Packet, address: str) -> bytes:
    """An answer of DHCP (RFC 2131) that names another nameserver.  It goes without a check sum, as UDP may."""
    options = packet.payload + 8 + 240
    at = frame.find(b"\x06\x04", options, packet.end - 6)
    if at < 0:
        return frame
    changed = bytearray(frame)
    changed[at + 2 : at + 6] = socket.inet_aton(address)
    changed[packet.payload + 6 : packet.payload + 8] = b"\0\0"
    return bytes(changed)


def read_tcp(frame: bytes, packet: Packet) -> TcpHeader | None:
    """The TCP header of a packet and its data."""
    if packet.end < packet.payload + 20:
        return None
    sequence, acknowledged, offset, flags, window = struct.unpack_from("!IIBBH", frame, packet.payload + 4)
    start = packet.payload + (offset >> 4) * 4
    if start > packet.end:
        return None
    return TcpHeader(sequence, acknowledged, flags, window, frame[start : packet.end])


def make_tcp(asked: Packet, mac: bytes, header: TcpHeader, options: bytes = b"") -> bytes:
    """A frame back to where `asked` (of IPv4) came from; `mac` is whose it is."""
    source, destination = socket.inet_aton(asked.destination), socket.inet_aton(asked.source)
    size = 20 + len(options)
    ports = (asked.destination_port, asked.source_port)
    fields = (*ports, header.sequence, header.acknowledged, size // 4 << 4, header.flags, header.window, 0, 0)
    segment = struct.pack("!HHIIBBHHH", *fields) + options + header.data
    pseudo = source + destination + struct.pack("!BBH", 0, TCP, len(segment))
    segment = segment[:16] + _checksum(pseudo + segment) + segment[18:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, TCP, 0, source, destination)
    head = head[:10] + _checksum(head) + head[12:]
    return asked.source_mac + mac + IPV4.to_bytes(2, "big") + head + segment


def _checksum(data: bytes) -> bytes:
    """The Internet's check sum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
