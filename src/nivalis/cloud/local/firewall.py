"""Firewall policies, decided: which packet a server may get and send.

A server's policies are those of its groups; a rule accepts, and what no rule accepts is dropped.  A rule has exactly one of source and
destination: the other side is the server.  Answers to what was accepted pass, in both directions, as long as the connection lives.

It decides only; `network` asks it, and knows how packets look.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from nivalis.cloud.local.state import Document, State

__all__ = ["OUTSIDE", "Firewall", "Flow", "Rule", "check_rule", "policy_rules"]

# What asks from this machine has this address.
OUTSIDE = "127.0.0.1"
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}
_ICMP = {"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8, "time-exceeded": 11}
_ICMP |= {"parameter-problem": 12, "timestamp-request": 13, "timestamp-reply": 14}
_RESOURCE = re.compile(r"(srv|grp|lba)-[a-z0-9]+")
_PORT = re.compile(r"\d{1,5}([-:]\d{1,5})?")
# How long a flow is remembered that nothing passes through, in seconds: a connection's keep-alive is two hours.
_TCP_IDLE, _OTHER_IDLE = 2.5 * 3600, 30.0
_MOST_FLOWS = 4096

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Flow(NamedTuple):
    """A packet as a firewall sees it: `protocol` is IP's number; for ICMP both ports are the type."""

    protocol: int
    remote: str
    remote_port: int
    local_port: int


class Rule(NamedTuple):
    """A rule, with addresses for what it names.  `networks` None is any; `protocol` None is any."""

    inbound: bool
    networks: tuple[Network, ...] | None
    protocol: int | None
    source_ports: tuple[tuple[int, int], ...]
    destination_ports: tuple[tuple[int, int], ...]
    icmp_type: int | None

    def accepts(self, flow: Flow) -> bool:
        """Whether it lets the first packet of a flow pass, in its own direction."""
        # ICMPv6 is version 6's ICMP to a rule.
        protocol = 1 if flow.protocol == 58 else flow.protocol
        if self.protocol is not None and self.protocol != protocol:
            return False
        if self.icmp_type is not None and flow.local_port != self.icmp_type:
            return False
        if self.networks is not None:
            address = ipaddress.ip_address(flow.remote)
            if not any(address in network for network in self.networks):
                return False
        source, destination = (flow.remote_port, flow.local_port) if self.inbound else (flow.local_port, flow.remote_port)
        return _matches(self.source_ports, source) and _matches(self.destination_ports, destination)


def _matches(ranges: Sequence[tuple[int, int]], port: int) -> bool:
    return not ranges or any(first <= port <= last for first, last in ranges)


class _Known(NamedTuple):
    """A flow until `end`, the packet that was accepted, and in which direction that went."""

    end: float
    first: Flow
    inbound: bool


class Firewall:
    """One server's: its rules, and the flows that were accepted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rules: tuple[Rule, ...] = ()
        self._flows: dict[Flow, _Known] = {}

    def set_rules(self, rules: Iterable[Rule]) -> None:
        """Rules from now on; flows that none of them accepts end."""
        self._rules = tuple(rules)
        self._flows = {flow: known for flow, known in self._flows.items() if self._is_accepted(known.first, known.inbound)}

    def passes(self, flow: Flow, *, inbound: bool) -> bool:
        """Whether a packet may pass, to the server or from it."""
        time_now = self._clock()
        end = time_now + (_TCP_IDLE if flow.protocol == _PROTOCOLS["tcp"] else _OTHER_IDLE)
        known = self._flows.get(flow)
        if known is not None and known.end > time_now:
            self._flows[flow] = known._replace(end=end)
            return True
        if not self._is_accepted(flow, inbound):
            return False
        answer = flow
        if flow.protocol in (1, 58):
            # The answer to an echo request is of another type.
            kind = {8: 0, 128: 129}.get(flow.local_port, flow.local_port)
            answer = flow._replace(remote_port=kind, local_port=kind)
        self._flows[answer] = _Known(end, flow, inbound)
        if len(self._flows) > _MOST_FLOWS:
            self._flows = {one: known for one, known in self._flows.items() if known.end > time_now}
        return True

    def _is_accepted(self, flow: Flow, inbound: bool) -> bool:
        return any(rule.inbound == inbound and rule.accepts(flow) for rule in self._rules)

    def open_ports(self, protocol: int) -> list[tuple[int, int]]:
        """The ranges of ports that somebody on this machine may reach."""
        ranges = []
        for rule in self._rules:
            outside = ipaddress.ip_address(OUTSIDE)
            reaches = rule.networks is None or any(outside in network for network in rule.networks)
            if rule.inbound and reaches and rule.protocol in (None, protocol):
                ranges += list(rule.destination_ports) or [(1, 65535)]
        return ranges


def check_rule(document: Document) -> str:
    """What is wrong with a rule, or an empty string."""
    source, destination = document.get("source"), document.get("destination")
    if bool(source) == bool(destination):
        return "Exactly one of source and destination is required"
    if not _RESOURCE.fullmatch(str(source or destination)) and _network(str(source or destination)) is False:
        return f"Address is invalid: {source or destination}"
    protocol = document.get("protocol")
    if protocol and str(protocol) not in _PROTOCOLS and not (str(protocol).isdecimal() and int(protocol) < 256):
        return "Protocol is invalid"
    if document.get("icmp_type_name") and protocol != "icmp":
        return "Icmp type name is for the protocol icmp only"
    if document.get("icmp_type_name") and not str(document["icmp_type_name"]).isdecimal() and document["icmp_type_name"] not in _ICMP:
        return "Icmp type name is invalid"
    for name in ("source_port", "destination_port"):
        if document.get(name) and not _ranges(str(document[name])):
            return f"{name.replace('_', ' ').capitalize()} is invalid"
    return ""


def policy_rules(state: State, server: Document) -> list[Rule]:
    """The rules of all groups of a server."""
    policies = {one["id"] for one in state.all("firewall_policy") if one["server_group"] in server["server_groups"]}
    return [_make_rule(state, one) for one in state.all("firewall_rule") if one["firewall_policy"] in policies]


def _make_rule(state: State, document: Document) -> Rule:
    inbound = bool(document.get("source"))
    address = str(document.get("source") or document.get("destination"))
    found = _network(address)
    named = tuple(_addresses_of(state, address)) if found is False else (found,)
    networks = None if found is None else tuple(one for one in named if one)
    protocol, icmp = document.get("protocol"), document.get("icmp_type_name")
    return Rule(
        inbound,
        networks,
        None if not protocol else _PROTOCOLS.get(str(protocol)) or int(protocol),
        tuple(_ranges(str(document.get("source_port") or ""))),
        tuple(_ranges(str(document.get("destination_port") or ""))),
        None if not icmp else _ICMP[icmp] if icmp in _ICMP else int(icmp),
    )


def _addresses_of(state: State, identifier: str) -> Iterable[Network]:
    for server in state.all("server"):
        if server["status"] != "deleted" and (server["id"] == identifier or identifier in server["server_groups"]):
            interface: dict[str, Any] = state.get(server["interface"])
            yield ipaddress.ip_network(interface["ipv4_address"])
            yield ipaddress.ip_network(interface["ipv6_address"])


def _network(text: str) -> Network | Literal[False] | None:
    """A network; None for any; False for what is none."""
    if text == "any":
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False


def _ranges(text: str) -> list[tuple[int, int]]:
    found = []
    for word in text.split(",") if text else []:
        if not _PORT.fullmatch(word.strip()):
            return []
        first, _, last = word.strip().replace(":", "-").partition("-")
        found.append((int(first), int(last or first)))
    return found
