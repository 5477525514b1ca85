"""Firewalls decided, frames read, and the metadata service's TCP against a peer that is made up; real guests are in test_servers."""

from __future__ import annotations

import ipaddress
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nivalis.cloud.local.firewall import OUTSIDE, Firewall, Flow, check_rule, policy_rules
from nivalis.cloud.local.metadata import MetadataWire
from nivalis.cloud.local.packets import IPV4, Packet, TcpHeader, change_address, make_tcp, read_packet, read_tcp
from nivalis.cloud.local.state import Document, State

TCP, UDP, ICMP = 6, 17, 1


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "state.sqlite")
    yield made
    made.close()


def _firewall(state: State, *rules: Document, clock: list[float] | None = None) -> Firewall:
    group = state.add("server_group", "grp", {"name": "g", "default": False})
    policy = state.add("firewall_policy", "fwp", {"name": "p", "default": False, "server_group": group["id"]})
    for rule in rules:
        assert check_rule(rule) == ""
        state.add("firewall_rule", "fwr", {"firewall_policy": policy["id"], **rule})
    times = clock or [0.0]
    firewall = Firewall(lambda: times[0])
    firewall.set_rules(policy_rules(state, {"server_groups": [group["id"]]}))
    return firewall


def test_default_policy(state: State) -> None:
    (group,) = state.all("server_group")
    firewall = Firewall()
    firewall.set_rules(policy_rules(state, {"server_groups": [group["id"]]}))
    assert firewall.passes(Flow(TCP, OUTSIDE, 50000, 80), inbound=True)
    assert not firewall.passes(Flow(TCP, OUTSIDE, 50000, 8080), inbound=True)
    assert not firewall.passes(Flow(UDP, OUTSIDE, 50000, 80), inbound=True)
    assert firewall.passes(Flow(ICMP, OUTSIDE, 8, 8), inbound=True)
    assert not firewall.passes(Flow(ICMP, OUTSIDE, 5, 5), inbound=True)
    assert firewall.open_ports(TCP) == [(22, 22), (80, 80), (443, 443)]


def test_answers_pass_for_as_long_as_a_flow_is_remembered(state: State) -> None:
    clock = [0.0]
    firewall = _firewall(state, {"destination": "any"}, clock=clock)
    flow = Flow(UDP, "192.0.2.1", 123, 40000)
    assert not firewall.passes(flow, inbound=True)
    assert firewall.passes(flow, inbound=False) and firewall.passes(flow, inbound=True)
    clock[0] = 100.0
    assert not firewall.passes(flow, inbound=True)
    # A ping's answer is of another type than its question.
    assert firewall.passes(Flow(ICMP, "192.0.2.1", 8, 8), inbound=False)
    assert firewall.passes(Flow(ICMP, "192.0.2.1", 0, 0), inbound=True)
    assert not firewall.passes(Flow(ICMP, "192.0.2.2", 0, 0), inbound=True)


def test_flows_outlive_a_change_of_rules_that_still_accepts_them(state: State) -> None:
    (group,) = state.all("server_group")
    firewall = Firewall()
    server = {"server_groups": [group["id"]]}
    firewall.set_rules(policy_rules(state, server))
    download, page = Flow(TCP, "192.0.2.1", 443, 40000), Flow(TCP, OUTSIDE, 50000, 80)
    assert firewall.passes(download, inbound=False) and firewall.passes(page, inbound=True)
    state.remove(next(rule["id"] for rule in state.all("firewall_rule") if rule.get("destination_port") == "22,80,443"))
    firewall.set_rules(policy_rules(state, server))
    assert firewall.passes(download, inbound=True) and not firewall.passes(page, inbound=True)


def test_rules_by_address_port_and_resource(state: State) -> None:
    interface = state.add("interface", "int", {"ipv4_address": "10.1.2.6", "ipv6_address": "2a02:1348:110::6"})
    server = state.add("server", "srv", {"status": "active", "server_groups": [], "interface": interface["id"]})
    firewall = _firewall(
        state,
        {"source": "192.0.2.0/24", "protocol": "tcp", "destination_port": "8000-8080,9000"},
        {"source": server["id"], "protocol": "udp", "source_port": "53"},
        {"destination": "198.51.100.7", "protocol": "tcp", "destination_port": "25"},
        {"source": "127.0.0.0/8", "protocol": "tcp", "destination_port": "7000"},
    )
    assert firewall.passes(Flow(TCP, "192.0.2.9", 1, 8040), inbound=True) and firewall.passes(Flow(TCP, "192.0.2.9", 1, 9000), inbound=True)
    assert not firewall.passes(Flow(TCP, "192.0.3.9", 1, 8040), inbound=True)
    assert firewall.passes(Flow(UDP, "10.1.2.6", 53, 40000), inbound=True)
    assert firewall.passes(Flow(UDP, "2a02:1348:110::6", 53, 40000), inbound=True)
    assert not firewall.passes(Flow(UDP, "10.1.2.7", 53, 40000), inbound=True)
    assert firewall.passes(Flow(TCP, "198.51.100.7", 25, 40000), inbound=False)
    assert not firewall.passes(Flow(TCP, "198.51.100.7", 80, 40000), inbound=False)
    assert firewall.open_ports(TCP) == [(7000, 7000)]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"source": "any", "destination": "any"},
        {"source": "somewhere"},
        {"source": "300.1.1.1"},
        {"source": "any", "protocol": "carrier-pigeon"},
        {"source": "any", "protocol": "tcp", "destination_port": "80-"},
        {"source": "any", "protocol": "tcp", "icmp_type_name": "echo-request"},
        {"source": "any", "protocol": "icmp", "icmp_type_name": "hello"},
    ],
)
def test_rules_that_are_none(rule: Document) -> None:
    assert check_rule(rule)


@given(st.binary(max_size=120))
def test_any_frame_is_read_or_passed_over(frame: bytes) -> None:
    for kind in (b"\x08\x00\x45", b"\x86\xdd\x60", b"\x08\x06"):
        made = frame[:12].ljust(12, b"\0") + kind + frame[12:]
        packet = read_packet(made)
        if packet is not None and packet.protocol == TCP:
            read_tcp(made, packet)


# ---------------------------------------------------------------------------------------------------- metadata

_GUEST = bytes.fromhex("022419010206")
_SYN, _FIN, _ACK = 2, 1, 16


class Guest:
    """The asking half of TCP: what it gets is put together in order; of the frames of data a part of `loses` gets lost."""

    def __init__(self, body: bytes, *, window: int = 65535, loses: float = 0) -> None:
        self.clock = [0.0]
        self.wire = MetadataWire(lambda path: body if path == "/here" else None, self._receive, lambda: self.clock[0])
        self.received = b""
        self.is_closed = False
        self._window = window
        self._loses = loses
        self._chance = random.Random(1)
        self._next = 0
        self._sent = 1000
        self._answers: list[TcpHeader] = []

    def ask(self, text: bytes) -> bytes:
        self._put(_SYN, b"")
        self._sent += 1
        self._drain()
        for start in range(0, len(text), 7):
            piece = text[start : start + 7]
            self._put(_ACK, piece)
            self._sent += len(piece)
        for _ in range(2000):
            if self._answers:
                self._drain()
            elif self.is_closed:
                break
            else:
                self.clock[0] += 1.5
                self.wire.tick()
        return self.received

    def _put(self, flags: int, data: bytes) -> None:
        asked = Packet(bytes.fromhex("022419000001"), IPV4, TCP, "169.254.169.254", "10.1.2.6", 80, 40000)
        frame = make_tcp(asked, _GUEST, TcpHeader(self._sent, self._next, flags, self._window, data))
        packet = read_packet(frame)
        assert packet is not None and packet.destination_port == 80
        self.wire.receive(frame, packet)

    def _receive(self, frame: bytes) -> None:
        packet = read_packet(frame)
        assert packet is not None
        header = read_tcp(frame, packet)
        assert header is not None
        assert len(frame) <= 1514 and len(header.data) <= self._window
        self._answers.append(header)

    def _drain(self) -> None:
        answers, self._answers = self._answers, []
        for header in answers:
            if header.data and self._chance.random() < self._loses:
                continue
            if header.flags & _SYN:
                self._next = (header.sequence + 1) & 0xFFFFFFFF
            elif header.sequence == self._next:
                self._next = (self._next + len(header.data) + (header.flags & _FIN)) & 0xFFFFFFFF
                self.received += header.data
                self.is_closed |= bool(header.flags & _FIN)
            if header.data or header.flags & (_SYN | _FIN):
                self._put(_ACK, b"")


@pytest.mark.parametrize(("window", "loses"), [(65535, 0), (2000, 0), (100, 0), (8000, 0.2), (65535, 0.3)])
def test_metadata_over_tcp(window: int, loses: float) -> None:
    body = bytes(range(256)) * 300
    guest = Guest(body, window=window, loses=loses)
    head, _, received = guest.ask(b"GET /here HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and f"Content-Length: {len(body)}".encode() in head
    assert received == body


@pytest.mark.parametrize(
    ("request_line", "status"),
    [(b"GET /nowhere HTTP/1.0", 404), (b"PUT /latest/api/token HTTP/1.1", 404), (b"nonsense", 400), (b"HEAD /here HTTP/1.1", 200)],
)
def test_other_requests(request_line: bytes, status: int) -> None:
    head, _, body = Guest(b"data").ask(request_line + b"\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()) and body == b""


@given(st.ip_addresses(v=4), st.booleans(), st.binary(max_size=9))
def test_changed_addresses_keep_check_sums(address: ipaddress.IPv4Address, of_source: bool, data: bytes) -> None:
    asked = Packet(_GUEST, IPV4, TCP, "10.1.2.6", "10.1.2.5", 40000, 53)
    frame = make_tcp(asked, _GUEST, TcpHeader(1, 2, _ACK, 3, data))
    packet = read_packet(frame)
    assert packet is not None
    changed = change_address(frame, packet, str(address), of_source=of_source)
    found = read_packet(changed)
    assert found is not None and (found.source if of_source else found.destination) == str(address)
    _check_sums(changed)


def test_checksums_are_those_of_the_internet() -> None:
    asked = Packet(_GUEST, IPV4, TCP, "10.1.2.6", "169.254.169.254", 40000, 80)
    _check_sums(make_tcp(asked, _GUEST, TcpHeader(1, 2, _ACK, 3, b"odd")))


def _check_sums(frame: bytes) -> None:
    def total(data: bytes) -> int:
        data += bytes(len(data) % 2)
        value = sum(struct.unpack(f"!{len(data) // 2}H", data))
        while value >> 16:
            value = (value & 0xFFFF) + (value >> 16)
        return value

    # With its own check sum in it, a header adds up to ones.
    assert total(frame[14:34]) == 0xFFFF
    assert total(frame[26:34] + struct.pack("!HH", TCP, len(frame) - 34) + frame[34:]) == 0xFFFF
