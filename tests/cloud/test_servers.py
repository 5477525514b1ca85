"""Servers that really run: metadata, Cloud IPs, firewalls, neighbours, ends; emulated, so that it is the same everywhere."""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud.cloud_server import PATIENCE, RunningCloud, run_cloud
from cloud.guest import make_guest, missing
from nivalis.cloud.local.machines import QemuMachines
from nivalis.cloud.models import Server

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "")

KEY = "ssh-ed25519 AAAA you@here"

HELLO = """
mkdir -p /www; echo hello >/www/index.html
for path in latest/meta-data/hostname 2009-04-04/meta-data/instance-id latest/meta-data/local-ipv4 latest/meta-data/ \\
    latest/meta-data/placement/availability-zone 2011-01-01/meta-data/public-keys/0/openssh-key openstack/latest/user_data; do
    wget -q -O /answer http://169.254.169.254/$path && echo "GUEST $path $(cat /answer | tr '\\n' ' ')" | cut -c 1-120
done
wget -q -O /answer http://169.254.169.254/latest/nothing || echo "GUEST nothing there"
echo "GUEST $(cat /etc/resolv.conf)"
httpd -p 80 -h /www; httpd -p 8080 -h /www
"""


class Servers:
    """A running cloud with the guest's image in it."""

    def __init__(self, running: RunningCloud, machines: QemuMachines) -> None:
        self.running = running
        self.machines = machines
        self.cloud = running.client(sleep=lambda seconds: time.sleep(0.2))
        self.cloud.users.update("usr-local", {"ssh_key": KEY})
        orbit = running.orbit()
        orbit.upload("images", "guest.img", make_guest())
        image = self.cloud.images.register(http_url=orbit.temp_url("images", "guest.img"), name="guest")
        self.image = self.cloud.images.wait(image.id, {"available"}, deadline=PATIENCE).id

    def launch(self, script: str, **options: Any) -> Server:
        options.setdefault("server_type", "typ-nano0")
        return self.cloud.servers.launch(self.image, user_data=script.encode(), **options)

    def console(self, server: Server) -> str:
        try:
            return self.running.cloud.places.console(server.id).read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_for(self, server: Server, text: str, times: int = 1) -> str:
        wait_until(lambda: self.console(server).count(text) >= times, lambda: self.console(server))
        return self.console(server)

    def port(self, address: str, wanted: int) -> int:
        """Where a port of a Cloud IP is on this machine."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [
                port
                for server in self.cloud.servers.list()
                for lead, port in self.machines.forwards(server.id)
                if (lead.address, lead.wanted) == (address, wanted)
            ]
            return bool(found)

        wait_until(look)
        return found[0]


def wait_until(is_true: Callable[[], bool], describe: Callable[[], str] = str) -> None:
    end = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < end, describe()
        time.sleep(0.2)


def fetch(address: str, port: int) -> str:
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made: list[QemuMachines] = []

    def machines(cloud: Any, api: Any) -> QemuMachines:
        made.append(QemuMachines(cloud, accelerator="tcg", grace=0.5))
        return made[0]

    with run_cloud(tmp_path / "cloud", machines=machines, library=False) as running:
        yield Servers(running, made[0])
    assert [line for line in running.log if "passed over" in line] == []


def test_metadata_cloud_ip_and_firewall(servers: Servers) -> None:
    cloud = servers.cloud
    server = servers.launch(HELLO, name="web", cloud_ip=True)
    cloud.servers.wait(server.id, {"active"}, deadline=PATIENCE)
    said = servers.wait_for(server, "GUEST ready")
    ipv4 = server.interfaces[0].ipv4_address
    assert f"GUEST serial {server.fqdn}" in said
    assert f"inet {ipv4}/30" in said
    assert f"GUEST latest/meta-data/hostname {server.fqdn}" in said
    assert f"GUEST 2009-04-04/meta-data/instance-id {server.id}" in said
    assert f"GUEST latest/meta-data/local-ipv4 {ipv4}" in said
    assert "GUEST latest/meta-data/placement/availability-zone gb1-a" in said
    assert f"GUEST 2011-01-01/meta-data/public-keys/0/openssh-key {KEY}" in said
    assert "GUEST openstack/latest/user_data  mkdir -p /www" in said
    assert "GUEST nothing there" in said
    # The gateway, as in the real cloud.
    assert f"GUEST nameserver {ipaddress.ip_address(ipv4) - 1}" in said

    (address,) = cloud.cloud_ips.list()
    page = servers.port(address.public_ip, 80)
    wait_until(lambda: fetch(address.public_ip, page) == "hello")
    # A rule more, and its port is open; one less, and it is closed.
    (group,) = cloud.server_groups.list()
    assert group.firewall_policy is not None
    policy = cloud.firewall_policies.get(group.firewall_policy.id)
    fields = {"firewall_policy": policy.id, "source": "any", "protocol": "tcp", "destination_port": "8080"}
    # It is another program's here, so it is moved.
    with socket.create_server((address.public_ip, 8080)):
        rule = cloud.firewall_rules.create(fields)
        port = servers.port(address.public_ip, 8080)
    assert port == 18080
    wait_until(lambda: fetch(address.public_ip, port) == "hello")
    cloud.firewall_rules.destroy(rule.id)
    wait_until(lambda: fetch(address.public_ip, port) == "ConnectionRefusedError")
    cloud.cloud_ips.unmap(address.id)
    wait_until(lambda: servers.machines.forwards(server.id) == [])

    cloud.servers.destroy(server.id)
    cloud.servers.wait(server.id, {"deleted"}, deadline=PATIENCE)
    assert not servers.running.cloud.places.server(server.id).exists()


def test_neighbours_and_the_firewall_between_them(servers: Servers) -> None:
    cloud = servers.cloud
    closed = cloud.server_groups.create({"name": "closed"})
    policy = cloud.firewall_policies.create({"name": "closed", "server_group": closed.id})
    cloud.firewall_rules.create({"firewall_policy": policy.id, "destination": "any"})
    web = servers.launch(HELLO)
    other = servers.launch(HELLO, groups=[closed.id])
    first, second = (one.interfaces[0].ipv4_address for one in (web, other))
    for one in (web, other):
        servers.wait_for(one, "GUEST ready")
    # What can be reached is asked for until it is: an address of IPv6 is tried for a moment, whether it is anybody else's.
    reach = "until timeout 15 wget -q -O /page http://{}/ && grep hello /page; do sleep 1; done; echo GUEST reached {}\n"
    fail = "timeout 15 wget -q -O /page http://{}/ || echo GUEST no way to {}\n"
    third = f"[{web.interfaces[0].ipv6_address}]"
    asker = servers.launch(reach.replace("{}", first) + fail.replace("{}", second) + reach.replace("{}", third))
    said = servers.wait_for(asker, "GUEST ready")
    assert f"GUEST reached {first}" in said and f"GUEST no way to {second}" in said and f"GUEST reached {third}" in said


def test_power(servers: Servers) -> None:
    cloud = servers.cloud
    server = servers.launch("echo GUEST boot; sleep 1; poweroff -f")
    # A guest that powers off by itself is a server that is inactive.
    cloud.servers.wait(server.id, {"inactive"}, deadline=PATIENCE)
    snapshot = cloud.servers.snapshot(server.id)
    assert cloud.images.wait(snapshot, {"available"}, deadline=PATIENCE).virtual_size == 4096
    cloud.servers.update(server.id, {"user_data": "ZWNobyBHVUVTVCBhZ2Fpbgo="})
    cloud.servers.act(server.id, "start")
    servers.wait_for(server, "GUEST again")
    running = cloud.servers.snapshot(server.id)
    assert cloud.images.wait(running, {"available"}, deadline=PATIENCE).ancestor is not None
    cloud.servers.act(server.id, "reset")
    wait_until(lambda: servers.console(server).count("GUEST again") == 2)
    servers.wait_for(server, "GUEST ready", 2)
    cloud.servers.act(server.id, "shutdown")
    cloud.servers.wait(server.id, {"inactive"}, deadline=PATIENCE)
    assert "GUEST power button" in servers.console(server)


def test_machine_that_cannot_start(servers: Servers) -> None:
    server = servers.launch("")
    servers.cloud.servers.wait(server.id, {"active"}, deadline=PATIENCE)
    servers.cloud.servers.act(server.id, "stop")
    servers.cloud.servers.wait(server.id, {"inactive"}, deadline=PATIENCE)
    os.unlink(servers.running.cloud.places.server(server.id) / "disk.qcow2")
    servers.cloud.servers.act(server.id, "start")
    # It stays what it was, and the log says why.
    wait_until(lambda: any("disk.qcow2" in line for line in servers.running.log))
    assert servers.cloud.servers.get(server.id).status == "inactive"
