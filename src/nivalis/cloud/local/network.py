"""The network of servers: a switch between each server's NIC and QEMU's user network, in this process.

    guest's NIC  <-- stream -->  Wire  <-- stream -->  user network (DHCP, router advertisements, DNS, the way out and in)

Both ends are sockets of the server's QEMU, which carry frames behind their lengths (four bytes, the most significant first).  The user
network gives the guest the address plan of the real cloud: a network of four addresses, and a /64 of IPv6.  In between this module does
what it cannot: metadata are answered, servers of the cloud reach each other, and every packet is shown to the firewall.

What comes from this machine (through a mapped Cloud IP) has the gateway for its source, and counts as 127.0.0.1 to the firewall.  A guest
that connects to its gateway reaches this machine's loopback address, as usual with QEMU.  IPv6 works as far as this machine has it,
outwards and between servers; from this machine to a server it does not.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import suppress

from nivalis.cloud.local.core import MachineSpec
from nivalis.cloud.local.firewall import OUTSIDE, Firewall, Flow
from nivalis.cloud.local.metadata import METADATA, MetadataWire
from nivalis.cloud.local.packets import ARP, IPV4, Packet, answer_arp, change_address, change_macs, change_nameserver, read_packet

__all__ = ["Networks", "Wire", "user_network_options"]

_TCP, _UDP, _ICMPV6 = 6, 17, 58
# Router and neighbour discovery.
_DISCOVERY = range(133, 138)
_LONGEST, _PIECE = 1 << 18, 1 << 18
_MOST_WAITING = 4 << 20


def gateway_of(spec: MachineSpec) -> str:
    return str(ipaddress.ip_address(spec.ipv4) - 1)


def user_network_options(spec: MachineSpec) -> str:
    """The options of QEMU's user network for a server."""
    address = ipaddress.ip_interface(f"{spec.ipv4}/30")
    network6 = ipaddress.ip_interface(f"{spec.ipv6}/64").network
    options = {"net": str(address.network), "host": gateway_of(spec), "dhcpstart": spec.ipv4, "dns": str(address.network[3])}
    options |= {"ipv6-prefix": str(network6.network_address), "ipv6-prefixlen": "64", "ipv6-host": str(network6[2]), "ipv6-dns": str(network6[3])}
    return ",".join(f"{name}={value}" for name, value in options.items())


class Networks:
    """All wires, by the addresses of their servers."""

    def __init__(self) -> None:
        self._wires: dict[str, Wire] = {}

    def add(self, wire: Wire) -> None:
        for address in (wire.spec.ipv4, wire.spec.ipv6):
            self._wires[address] = wire

    def remove(self, wire: Wire) -> None:
        for address in (wire.spec.ipv4, wire.spec.ipv6):
            self._wires.pop(address, None)

    def find(self, address: str) -> Wire | None:
        return self._wires.get(address)


class Wire:
    """One server's: its two ends, its firewall, its metadata."""

    def __init__(self, spec: MachineSpec, networks: Networks, metadata: Callable[[str], str | bytes | None], say: Callable[[str], object]) -> None:
        self.spec = spec
        self.firewall = Firewall()
        self._networks = networks
        self._say = say
        self._metadata = MetadataWire(metadata, self._to_guest)
        self._mac = bytes.fromhex(spec.mac.replace(":", ""))
        self._gateway = gateway_of(spec)
        # The nameserver is the gateway, as in the real cloud.  The user network wants another address for it, and there is but one left, to which
        # nobody can send.
        self._resolver = str(ipaddress.ip_address(spec.ipv4) + 1)
        self._network6 = ipaddress.ip_interface(f"{spec.ipv6}/64").network
        self._resolver6 = str(self._network6[3])
        self._router_mac = b""
        self._ends: list[asyncio.StreamWriter] = []
        self._waiting: tuple[list[bytes], list[bytes]] = ([], [])
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, nic: str, uplink: str) -> None:
        """Connect to both sockets, and begin.  Raises OSError."""
        from_guest, to_guest = await asyncio.open_unix_connection(nic)
        self._ends.append(to_guest)
        from_uplink, to_uplink = await asyncio.open_unix_connection(uplink)
        self._ends.append(to_uplink)
        self._networks.add(self)
        loop = asyncio.get_running_loop()
        works = (self._pump(from_guest, self.from_guest), self._pump(from_uplink, self.from_uplink), self._tick())
        self._tasks = [loop.create_task(work) for work in works]

    async def close(self) -> None:
        self._networks.remove(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends:
            end.close()
        self._ends.clear()

    # ---- frames ----

    def from_guest(self, frame: bytes) -> None:
        packet = read_packet(frame)
        # A guest has one address of Ethernet, and does not speak as another one.
        if packet is None or packet.source_mac != self._mac:
            return
        if packet.kind == ARP:
            answer = answer_arp(frame, METADATA, self._metadata.mac)
            if answer is not None:
                self._to_guest(answer)
            else:
                self._to_uplink(frame)
            return
        if packet.destination == METADATA:
            if packet.protocol == _TCP and packet.destination_port == 80:
                self._metadata.receive(frame, packet)
            return
        if packet.destination == self._gateway and packet.destination_port == 53:
            self._to_uplink(change_address(frame, packet, self._resolver, of_source=False))
            return
        if self._is_housekeeping(packet, packet.destination):
            self._to_uplink(frame)
            return
        if not self._has_own_address(packet):
            return
        flow = Flow(packet.protocol, self._outside(packet.destination), packet.destination_port, packet.source_port)
        if not self.firewall.passes(flow, inbound=False):
            return
        neighbour = self._networks.find(packet.destination)
        if neighbour is not None:
            neighbour.from_neighbour(frame, packet)
        else:
            self._to_uplink(frame)

    def from_uplink(self, frame: bytes) -> None:
        packet = read_packet(frame)
        if packet is None:
            return
        self._router_mac = packet.source_mac
        if packet.source_port == 53 and packet.source in (self._resolver, self._gateway):
            # By UDP it answers with the gateway's address already.
            self._to_guest(change_address(frame, packet, self._gateway, of_source=True))
            return
        if packet.protocol == _UDP and packet.source_port == 67:
            self._to_guest(change_nameserver(frame, packet, self._gateway))
            return
        if packet.kind == ARP or self._is_housekeeping(packet, packet.source):
            self._to_guest(frame)
            return
        flow = Flow(packet.protocol, self._outside(packet.source), packet.source_port, packet.destination_port)
        if self.firewall.passes(flow, inbound=True):
            self._to_guest(frame)

    def from_neighbour(self, frame: bytes, packet: Packet) -> None:
        """A packet of another server of the cloud."""
        flow = Flow(packet.protocol, packet.source, packet.source_port, packet.destination_port)
        # Before its router has said anything, a server cannot have an address to answer from.
        if self._router_mac and self.firewall.passes(flow, inbound=True):
            self._to_guest(change_macs(frame, self._mac, self._router_mac))

    def _is_housekeeping(self, packet: Packet, router: str) -> bool:
        """DHCP, DNS over IPv6, and the discovery of neighbours and routers: between a server and the cloud itself."""
        if packet.protocol in (_TCP, _UDP):
            ports = (packet.source_port, packet.destination_port)
            return ports == (68, 67) or (53 in ports and router == self._resolver6)
        return packet.protocol == _ICMPV6 and packet.source_port in _DISCOVERY

    def _has_own_address(self, packet: Packet) -> bool:
        if packet.kind == IPV4:
            return packet.source == self.spec.ipv4
        source = ipaddress.ip_address(packet.source)
        return source in self._network6 or source.is_link_local

    def _outside(self, address: str) -> str:
        return OUTSIDE if address == self._gateway else address

    # ---- ends ----

    def _to_guest(self, frame: bytes) -> None:
        self._write(0, frame)

    def _to_uplink(self, frame: bytes) -> None:
        self._write(1, frame)

    def _write(self, end: int, frame: bytes) -> None:
        # A network loses what nobody takes.
        if len(self._ends) < 2 or self._ends[end].transport.get_write_buffer_size() > _MOST_WAITING:
            return
        if not any(self._waiting):
            # Frames come many at once, and a call of the system for each would cost more than all else that is done with them.
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting[end].extend((len(frame).to_bytes(4, "big"), frame))

    def _flush(self) -> None:
        for end, frames in zip(self._ends, self._waiting, strict=False):
            if frames:
                end.write(b"".join(frames))
        for frames in self._waiting:
            frames.clear()

    async def _pump(self, reader: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
        data = bytearray()
        with suppress(ConnectionError):
            while piece := await reader.read(_PIECE):
                data += piece
                at = 0
                while (end := at + 4 + int.from_bytes(data[at : at + 4], "big")) <= len(data):
                    try:
                        take(bytes(data[at + 4 : end]))
                    except Exception as error:
                        # One frame of a guest's must not end its network.
                        self._say(f"{self.spec.id}: frame is passed over: {type(error).__name__}: {error}")
                    at = end
                del data[:at]
                if len(data) > _LONGEST:
                    return

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._metadata.tick()
