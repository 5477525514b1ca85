"""The shapes of the real API, by its published clients and recorded answers: the local cloud shows the same fields, the client reads them."""

from __future__ import annotations

import ipaddress
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cloud_server import PATIENCE, RunningCloud
from nivalis.cloud import models
from nivalis.cloud.errors import AnswerError

SERVER = """id resource_type url name status locked hostname created_at started_at deleted_at user_data fqdn compatibility_mode console_url
console_token console_token_expires disk_encrypted snapshots_schedule snapshots_schedule_next_at snapshots_retention account image server_type
zone cloud_ips interfaces snapshots server_groups volumes"""
NESTED_SERVER = "id resource_type url name status locked hostname fqdn created_at started_at deleted_at"
IMAGE = """id resource_type url name status locked username description source arch created_at official public compatibility_mode source_type
source_trigger disk_size virtual_size min_ram owner licence_name ancestor"""
NESTED_IMAGE = "id resource_type url name username status locked description source source_trigger arch created_at official public owner"
CLOUD_IP = """id resource_type url status public_ip public_ipv4 public_ipv6 fqdn reverse_dns port_translators name mode account interface server
load_balancer server_group database_server"""
TYPE = "id resource_type url name status cores ram disk_size handle storage_type"
GROUP = "id resource_type url name description created_at default fqdn account firewall_policy servers"
POLICY = "id resource_type url default name created_at description server_group rules"
RULE = """id resource_type url firewall_policy protocol source source_port destination destination_port icmp_type_name description created_at"""


def _get(running: RunningCloud, path: str) -> Any:
    token = running.state.add_token("cli-local", 7200)
    # Older clients call the scheme so.
    request = urllib.request.Request(f"{running.base}/1.0/{path}", headers={"Authorization": f"OAuth {token}"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def test_fields_of_the_local_cloud(running: RunningCloud, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(bytes(1 << 20))
    cloud, orbit = running.client(), running.orbit()
    orbit.upload("images", "disk.raw", file)
    image = cloud.images.wait(cloud.images.register(http_url=orbit.temp_url("images", "disk.raw")).id, {"available"}, deadline=PATIENCE)
    server = cloud.servers.launch(image.id, cloud_ip=True)
    cloud.servers.wait(server.id, {"active"}, deadline=PATIENCE)
    shown = _get(running, f"servers/{server.id}")
    assert set(shown) == set(SERVER.split())
    assert set(_get(running, "servers")[0]) == set(SERVER.split()) - {"user_data", "console_url", "console_token", "console_token_expires"}
    assert set(shown["image"]) == set(NESTED_IMAGE.split())
    assert set(shown["server_type"]) == set(TYPE.split())
    assert set(_get(running, f"images/{image.id}")) == set(IMAGE.split())
    (address,) = _get(running, "cloud_ips")
    assert set(address) == set(CLOUD_IP.split()) and set(address["server"]) == set(NESTED_SERVER.split())
    group = _get(running, "server_groups")[0]
    assert set(group) == set(GROUP.split())
    policy = _get(running, f"firewall_policies/{group['firewall_policy']['id']}")
    assert set(policy) == set(POLICY.split())
    assert set(_get(running, f"firewall_rules/{policy['rules'][0]['id']}")) == set(RULE.split())
    # Everything has its own address.
    assert _get(running, shown["url"].partition("/1.0/")[2])["id"] == server.id


def test_addresses_follow_the_plan_of_recorded_servers(running: RunningCloud, tmp_path: Path) -> None:
    file = tmp_path / "disk.raw"
    file.write_bytes(bytes(1 << 20))
    cloud, orbit = running.client(), running.orbit()
    orbit.upload("images", "disk.raw", file)
    image = cloud.images.wait(cloud.images.register(http_url=orbit.temp_url("images", "disk.raw")).id, {"available"}, deadline=PATIENCE)
    for _ in range(5):
        (interface,) = cloud.servers.launch(image.id, server_type="typ-nano0").interfaces
        numbers = [int(part) for part in interface.ipv4_address.split(".")]
        assert numbers[0] == 10 and numbers[3] % 4 == 2
        assert interface.mac_address == "02:24:19:" + ":".join(f"{part:02x}" for part in numbers[1:])
        one, two, three = numbers[1:]
        number = one << 16 | two << 8 | three
        host = f"24:19ff:fe{one:02x}:{two:02x}{three:02x}"
        wanted = f"2a02:1348:{0x110 + (number >> 18):x}:{number >> 2 & 0xFFFF:x}:{host}"
        assert interface.ipv6_address == str(ipaddress.ip_address(wanted))


# Answers of the real API, with what is not of use left out and identifiers made up.
RECORDED_SERVER = """
{"id":"srv-dfg8h","resource_type":"server","url":"https://api.gb1.brightbox.com/1.0/servers/srv-dfg8h","name":"","status":"creating","locked":false,
"hostname":"srv-dfg8h","created_at":"2022-02-10T10:11:12.000Z","started_at":null,"deleted_at":null,"user_data":null,"fqdn":"srv-dfg8h.gb1.brightbox.com",
"compatibility_mode":false,"console_url":null,"console_token":null,"console_token_expires":null,"disk_encrypted":false,"snapshots_schedule":null,
"snapshots_schedule_next_at":null,"snapshots_retention":null,"account":{"id":"acc-abcde","resource_type":"account","url":"x","name":"a","status":"active"},
"image":{"id":"img-abcde","resource_type":"image","url":"x","name":"ubuntu","username":"ubuntu","status":"available","locked":false,"description":"",
"source":"a.img","source_trigger":"manual","arch":"x86_64","created_at":"2022-02-09T00:00:00Z","official":true,"public":true,"owner":"acc-43ks4"},
"server_type":{"id":"typ-w0hf9","resource_type":"server_type","url":"x","name":"SSD","status":"available","cores":2,"ram":1024,"disk_size":30720,
"handle":"1gb.ssd","storage_type":"local"},"zone":{"id":"zon-6mxqw","resource_type":"zone","url":"x","handle":"gb1-a"},"cloud_ips":[],
"interfaces":[{"id":"int-ds42k","resource_type":"interface","url":"x","mac_address":"02:24:19:00:00:ee","ipv4_address":"10.0.0.238",
"ipv6_address":"2a02:1348:110:3b:24:19ff:fe00:ee"}],"snapshots":[],"server_groups":[{"id":"grp-aaaaa","resource_type":"server_group","url":"x",
"name":"default","description":null,"created_at":"2011-10-01T00:00:00Z","default":true,"fqdn":"grp-aaaaa.gb1.brightbox.com"}],"volumes":[],
"something_new":{"a":[1]}}
"""


def test_recorded_server() -> None:
    server = models.decode(models.Server, json.loads(RECORDED_SERVER))
    assert server.image is not None and server.image.official
    assert server.server_type is not None and server.server_type.cores == 2
    assert server.interfaces[0].ipv4_address == "10.0.0.238"
    assert server.user_data == "" and server.server_groups[0].default


def test_oddities_that_are_recorded() -> None:
    # Numbers as strings, an account as its identifier, fields that are null or not there any more.
    translators = [{"incoming": "443", "outgoing": "2443", "protocol": "tcp"}]
    address = models.decode(models.CloudIp, {"id": "cip-aaaaa", "port_translators": translators, "name": None, "interface": {"id": "int-aaaaa"}})
    assert address.port_translators[0].outgoing == 2443 and address.name == "" and address.destination == "int-aaaaa"
    account = models.decode(models.Account, {"id": "acc-aaaaa", "library_ftp_host": None, "ram_limit": 1024})
    assert account.library_ftp_host == "" and account.ram_limit == 1024
    assert models.decode(models.User, {"id": "usr-a", "default_account": "acc-a"}).default_account == models.Account(id="acc-a")


@pytest.mark.parametrize("value", [None, [], "srv-aaaaa", {}, {"id": None}, {"id": ""}, {"id": "a", "cores": "many"}, {"id": "a", "ram": [1]}])
def test_what_is_no_answer(value: object) -> None:
    with pytest.raises(AnswerError):
        models.decode(models.ServerType, value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(SERVER.split()), inner),
)


@given(_json)
def test_any_json_is_read_or_refused(value: object) -> None:
    try:
        assert models.decode(models.Server, value).id
    except AnswerError as error:
        assert re.match(r"answer (is|has) no ", error.message)
