"""The client against the cloud of this machine: tokens, resources, states, and faults on the way."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from pathlib import Path

import pytest

from cloud.cloud_server import PATIENCE, Fault, RunningCloud
from nivalis.cloud.auth import MemoryTokens, Tokens
from nivalis.cloud.errors import (
    AuthenticationError,
    ConflictError,
    DeadlineError,
    FailedResourceError,
    GoneError,
    InvalidRequestError,
    LimitReachedError,
    MissingResourceError,
    UnavailableError,
    UnreachableError,
)
from nivalis.cloud.http import HttpDoor
from nivalis.cloud.models import Image
from nivalis.fetch.network import Network


def _image_file(folder: Path, size: int = 3 << 20) -> Path:
    file = folder / "disk.raw"
    file.write_bytes(bytes(range(256)) * (size // 256))
    return file


def _register(running: RunningCloud, folder: Path) -> Image:
    cloud, orbit = running.client(), running.orbit()
    orbit.upload("images", "disk.raw", _image_file(folder))
    image = cloud.images.register(http_url=orbit.temp_url("images", "disk.raw"), name="NixOS")
    assert image.status == "creating"
    return cloud.images.wait(image.id, {"available"}, deadline=PATIENCE)


def test_resources_of_a_new_cloud(running: RunningCloud) -> None:
    cloud = running.client()
    assert [zone.handle for zone in cloud.zones.list()] == ["gb1-a", "gb1-b"]
    assert cloud.accounts.mine().id == cloud.accounts.list()[0].id == "acc-local"
    (group,) = cloud.server_groups.list()
    assert group.default and group.firewall_policy is not None
    policy = cloud.firewall_policies.get(group.firewall_policy.id)
    assert [rule.source or rule.destination for rule in policy.rules] == ["any", "any", "any", group.id]
    assert {kind.handle: kind.ram for kind in cloud.server_types.list()}["1gb.ssd"] == 1024


def test_image_from_orbit(running: RunningCloud, tmp_path: Path) -> None:
    image = _register(running, tmp_path)
    assert (image.name, image.virtual_size, image.owner, image.source, image.arch) == ("NixOS", 3, "acc-local", "disk.raw", "x86_64")
    cloud = running.client()
    cloud.images.update(image.id, {"status": "deprecated"})
    assert cloud.images.get(image.id).status == "deprecated"
    cloud.images.lock(image.id)
    with pytest.raises(ConflictError, match="is locked"):
        cloud.images.destroy(image.id)
    cloud.images.unlock(image.id)
    cloud.images.destroy(image.id)
    assert cloud.images.wait(image.id, {"deleted"}, deadline=PATIENCE).id == image.id
    assert cloud.images.list() == []


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b" + bytes(2048), b"", b"QFI\xfb\0\0\0\3" + bytes(200)], ids=["compressed as a whole", "empty", "damaged"]
)
def test_import_that_fails(running: RunningCloud, tmp_path: Path, content: bytes) -> None:
    cloud, orbit = running.client(), running.orbit()
    file = tmp_path / "bad.img"
    file.write_bytes(content)
    orbit.upload("images", file.name, file)
    image = cloud.images.register(http_url=orbit.temp_url("images", file.name))
    with pytest.raises(FailedResourceError, match=f"`{image.id}` is failed"):
        cloud.images.wait(image.id, {"available"}, deadline=PATIENCE)


def test_image_that_names_another_file_is_refused(running: RunningCloud, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4096))
    made = tmp_path / "thief.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", made], check=True)
    orbit, cloud = running.orbit(), running.client()
    orbit.upload("images", made.name, made)
    image = cloud.images.register(http_url=orbit.temp_url("images", made.name))
    assert cloud.images.wait(image.id, {"failed"}, deadline=PATIENCE, failed=()).status == "failed"


def test_address_where_nothing_is(running: RunningCloud) -> None:
    cloud = running.client()
    image = cloud.images.register(http_url=f"{running.base}/1.0/nothing")
    with pytest.raises(FailedResourceError):
        cloud.images.wait(image.id, {"available"}, deadline=PATIENCE)


def test_life_of_a_server(running: RunningCloud, tmp_path: Path) -> None:
    cloud = running.client()
    image = _register(running, tmp_path)
    server = cloud.servers.launch(image.id, name="web", user_data=b"#!/bin/sh\n", cloud_ip=True)
    assert server.status == "creating" and server.interfaces[0].ipv4_address.startswith("10.")
    assert server.interfaces[0].mac_address.startswith("02:24:19:")
    server = cloud.servers.wait(server.id, {"active"}, deadline=PATIENCE)
    assert server.fqdn == f"{server.id}.gb1.brightbox.com" and server.hostname == server.id
    (address,) = cloud.cloud_ips.list()
    assert address.destination == server.id and address.status == "mapped"
    with pytest.raises(ConflictError):
        cloud.servers.act(server.id, "start")
    with pytest.raises(ConflictError, match="is mapped"):
        cloud.cloud_ips.destroy(address.id)
    # The answer shows the state before it.
    assert cloud.servers.act(server.id, "stop").status == "active"
    cloud.servers.wait(server.id, {"inactive"}, deadline=PATIENCE)
    assert cloud.servers.act(server.id, "start").status == "inactive"
    cloud.servers.wait(server.id, {"active"}, deadline=PATIENCE)
    snapshot = cloud.servers.snapshot(server.id)
    assert cloud.images.wait(snapshot, {"available"}, deadline=PATIENCE).source_type == "snapshot"
    cloud.servers.destroy(server.id)
    assert cloud.servers.wait(server.id, {"deleted"}, deadline=PATIENCE).deleted_at
    assert cloud.cloud_ips.get(address.id).status == "unmapped"
    cloud.cloud_ips.destroy(address.id)


def test_groups_and_firewall(running: RunningCloud, tmp_path: Path) -> None:
    cloud = running.client()
    group = cloud.server_groups.create({"name": "web"})
    policy = cloud.firewall_policies.create({"name": "web"})
    cloud.firewall_policies.apply(policy.id, group.id)
    with pytest.raises(ConflictError):
        cloud.firewall_policies.apply(policy.id, group.id)
    fields = {"firewall_policy": policy.id, "source": "any", "protocol": "tcp", "destination_port": "80,8000-8080"}
    rule = cloud.firewall_rules.create(fields)
    assert cloud.firewall_rules.get(rule.id).destination_port == "80,8000-8080"
    with pytest.raises(InvalidRequestError, match="Exactly one of source and destination"):
        cloud.firewall_rules.create({"firewall_policy": policy.id})
    cloud.firewall_rules.destroy(rule.id)
    server = cloud.servers.launch(_register(running, tmp_path).id, groups=[group.id])
    assert [one.id for one in cloud.server_groups.get(group.id).servers] == [server.id]
    with pytest.raises(ConflictError):
        cloud.server_groups.destroy(group.id)
    cloud.server_groups.change_servers(group.id, "remove_servers", [server.id])
    cloud.server_groups.destroy(group.id)
    default = next(one for one in cloud.firewall_policies.list() if one.default)
    with pytest.raises(InvalidRequestError, match="default policy"):
        cloud.firewall_policies.update(default.id, {"name": "other"})


# ---------------------------------------------------------------------------------------------------- tokens


def test_token_that_ends_in_the_middle_is_renewed(running: RunningCloud) -> None:
    cloud = running.client()
    cloud.zones.list()
    running.state.expire_tokens()
    group = cloud.server_groups.create({"name": "made once"})
    assert running.asked("POST", "/token") == 2
    assert [one.name for one in cloud.server_groups.list()] == ["default", "made once"] and group.name == "made once"


def test_user_with_a_password_and_then_by_refresh_token(running: RunningCloud) -> None:
    store = MemoryTokens()
    cloud = running.client(as_user=True, store=store)
    cloud.zones.list()
    first = store.load()
    assert first is not None and first.refresh
    running.state.expire_tokens()
    assert running.client(as_user=True, store=store, password="").users.list()[0].id == "usr-local"
    second = store.load()
    assert second is not None and second.refresh != first.refresh
    # Used up: without a password nobody can go on.
    store.save(Tokens("0" * 40, first.refresh))
    with pytest.raises(AuthenticationError, match="no password"):
        running.client(as_user=True, store=store, password="").zones.list()


def test_one_time_password(running: RunningCloud) -> None:
    from nivalis.cloud.auth import Authenticator, Credentials
    from nivalis.cloud.errors import OtpRequiredError
    from nivalis.cloud.local.oauth import APPLICATION
    from nivalis.cloud.local.state import USER

    running.state.remember("otp", "123456")
    credentials = Credentials(APPLICATION, running.state.secret(APPLICATION), "you@localhost", running.state.secret(USER))
    door = HttpDoor(Network({}))
    with pytest.raises(OtpRequiredError):
        Authenticator(door, running.base, credentials).token()
    assert len(Authenticator(door, running.base, credentials, ask_otp=lambda: "123456").token()) == 40
    with pytest.raises(OtpRequiredError):
        Authenticator(door, running.base, credentials, ask_otp=lambda: "654321").token()


@pytest.mark.parametrize("secret", ["wrong", ""])
def test_wrong_secret(running: RunningCloud, secret: str) -> None:
    running.state.remember("usr-local", "right")
    with pytest.raises(AuthenticationError):
        running.client(as_user=True, password=secret).zones.list()


def test_no_secret_is_told(running: RunningCloud) -> None:
    from nivalis.cloud.auth import Credentials
    from nivalis.cloud.config import ClientConfig

    shown = [repr(Credentials("cli-a", "s3cret", "you", "s3cret")), repr(Tokens("s3cret", "s3cret"))]
    shown += [repr(ClientConfig("a", "cli-a", "s3cret", password="s3cret")), repr(running.client()), repr(running.orbit())]
    assert [text for text in shown if "s3cret" in text] == []
    orbit = running.orbit()
    running.faults.append(
        Fault(
            "POST", "/1.0/images", 422, json.dumps({"error_name": "x", "errors": ["bad http://h/a?temp_url_sig=abcdef&temp_url_expires=1"]}).encode()
        )
    )
    with pytest.raises(InvalidRequestError) as caught:
        running.client().images.register(http_url=f"{running.base}/v1/acc-local/a/b?temp_url_sig=abcdef&temp_url_expires=1")
    assert "abcdef" not in str(caught.value) and "***" in str(caught.value)
    assert "secret" not in repr(orbit)


# ---------------------------------------------------------------------------------------------------- faults


def test_an_answer_waits_for_the_body_that_it_refuses(running: RunningCloud) -> None:
    connection = http.client.HTTPConnection(running.base.removeprefix("http://"), timeout=PATIENCE)
    connection.putrequest("POST", "/1.0/images")
    connection.putheader("Content-Length", "2000000")
    connection.putheader("Connection", "close")
    connection.endheaders()
    for _ in range(20):
        # Between two of them, a server that did not wait would have closed the connection.
        connection.send(b" " * 100_000)
        time.sleep(0.01)
    assert connection.getresponse().status == 401
    connection.close()


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (403, "account_limit_reached", LimitReachedError),
        (404, "missing_resource", MissingResourceError),
        (409, "resource_conflict", ConflictError),
        (410, "gone", GoneError),
        (422, "unprocessable_entity", InvalidRequestError),
        (503, "", UnavailableError),
    ],
)
def test_refusals_have_the_words_of_the_api(running: RunningCloud, status: int, name: str, kind: type[Exception]) -> None:
    body = json.dumps({"error_name": name, "errors": ["Name is too odd"]}).encode() if name else b"<html>"
    running.faults.append(Fault("POST", "/1.0/server_groups", status, body))
    with pytest.raises(kind) as caught:
        running.client().server_groups.create({"name": "a"})
    # Nothing but a GET is tried again.
    assert running.asked("POST", "/1.0/server_groups") == 1
    assert ("Name is too odd" in str(caught.value)) == bool(name)


def test_get_is_tried_again(running: RunningCloud) -> None:
    running.faults += [Fault("GET", "/1.0/zones", 503), Fault("GET", "/1.0/zones", 502), Fault("GET", "/1.0/zones", cut_after=0)]
    assert len(running.client().zones.list()) == 2
    assert running.asked("GET", "/1.0/zones") == 4


def test_post_whose_answer_is_lost_is_not_sent_again(running: RunningCloud) -> None:
    running.faults.append(Fault("POST", "/1.0/server_groups", cut_after=1))
    with pytest.raises(UnreachableError):
        running.client().server_groups.create({"name": "a"})
    assert running.asked("POST", "/1.0/server_groups") == 1


def test_post_that_did_not_arrive_is_sent_again(running: RunningCloud) -> None:
    cloud = running.client()
    cloud.zones.list()
    tries = []
    nowhere = running.client(sleep=tries.append)
    nowhere._base = "http://127.0.0.1:1/1.0/"
    with pytest.raises(UnreachableError) as caught:
        nowhere.server_groups.create({"name": "a"})
    assert caught.value.never_sent and len(tries) == 4


def test_deadline(running: RunningCloud, tmp_path: Path) -> None:
    image = _register(running, tmp_path)
    cloud = running.client()
    with pytest.raises(DeadlineError, match="is not deleted after 0 s"):
        cloud.images.wait(image.id, {"deleted"}, deadline=0)


def test_ftp_library_that_is_no_more(running: RunningCloud) -> None:
    running.cloud.library = ""
    with pytest.raises(GoneError) as caught:
        running.client().images.register(source="nixos.qcow2")
    assert "images register --file" in str(caught.value)
    with pytest.raises(GoneError):
        running.client().accounts.reset_ftp_password()
