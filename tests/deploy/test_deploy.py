"""Deploying: a first time, again, something else; and what may go wrong on the way, after which the same command goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from cloud.cloud_server import PATIENCE, Fault
from deploy.world import World
from nivalis.cloud.errors import CloudError, InvalidRequestError, UnavailableError, UnreachableError
from nivalis.deploy.account import look_up
from nivalis.deploy.apply import create_once
from nivalis.deploy.errors import DeployError, RemoteError, SilentServerError, SwitchError
from nivalis.deploy.plan import Step
from nivalis.store.paths import base_name


def _verbs(steps: tuple[Step, ...]) -> list[str]:
    return [f"{step.verb} {step.kind}" for step in steps]


FIRST = ["upload image", "create server", "create cloud ip", "map cloud ip", "wait ssh"]


def test_first_time_and_again(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    target = world.target("web", system, cloud_ip="new", server_type="nano", zone="gb1-b")
    assert _verbs(world.deploy(target).steps) == FIRST
    found = look_up(world.cloud, "web")
    assert found.server is not None and found.server.zone is not None and found.server.zone.handle == "gb1-b"
    assert [one.name for one in found.images] == [target.image_name] and found.images[0].description == system
    assert [one.destination for one in found.addresses] == [found.server.id]
    assert world.resources() == (1, 1, 1, 0)
    assert world.builds == [target.image] and world.server.log == []

    asked = len(world.running.requests)
    assert world.deploy(target).steps == ()
    assert {method for method, _ in world.running.requests[asked:]} <= {"GET", "POST"}
    assert not any(method == "POST" and path != "/token" for method, path in world.running.requests[asked:])
    assert world.resources() == (1, 1, 1, 0)


def test_another_configuration_goes_by_ssh(world: World) -> None:
    one, two = world.make_system("one"), world.make_system("two")
    world.server.boot(one)
    world.deploy(world.target("web", one, cloud_ip="new"))
    plan = world.deploy(world.target("web", two, cloud_ip="new", definition=b"{ two = 2; }"))
    assert plan.steps == (Step("switch", "system", base_name(two), f"from {base_name(one)}"),)
    assert (world.server.toplevel, world.server.profile) == (two, two)
    assert world.server.log == ["check two", "switch two"]
    assert world.talk.lines == ["activating the configuration..."]
    assert "4 store paths copied" in world.talk.said
    assert (world.server.root / "etc/nixos/configuration.nix").read_text() == "{ two = 2; }"
    assert world.resources() == (1, 1, 1, 0)
    assert world.plan(world.target("web", two)).steps == ()

    # And back: the paths are there still, and so is what the server had for its definition.
    world.deploy(world.target("web", one, definition=b"{ }"))
    assert world.server.toplevel == one
    assert (world.server.root / "etc/nixos/configuration.nix.old").read_text() == "{ two = 2; }"


def test_a_copy_that_breaks_off_is_gone_on_with(world: World) -> None:
    one, two = world.make_system("one"), world.make_system("two")
    world.server.boot(one)
    world.deploy(world.target("web", one, cloud_ip="new"))
    world.server.set("cut")
    world.deploy(world.target("web", two))
    assert world.server.toplevel == two
    imports = [script for script in world.server.asked if "--import" in script]
    assert len(imports) == 2


def test_a_switch_that_fails(world: World) -> None:
    one, two = world.make_system("one"), world.make_system("two")
    world.server.boot(one)
    world.deploy(world.target("web", one, cloud_ip="new"))
    world.server.set("root/run/answer-of-check", "1")
    with pytest.raises(SwitchError, match="stays what it was") as refused:
        world.deploy(world.target("web", two))
    assert refused.value.status == 1 and world.server.profile == one and world.server.log == ["check two"]
    world.server.unset("root/run/answer-of-check")
    world.server.set("root/run/answer-of-switch", "4")
    with pytest.raises(SwitchError, match="not all went well") as failed:
        world.deploy(world.target("web", two))
    assert failed.value.status == 4 and world.server.profile == two


def test_an_interrupted_switch_is_done_again(world: World) -> None:
    one, two = world.make_system("one"), world.make_system("two")
    world.server.boot(one)
    world.deploy(world.target("web", one, cloud_ip="new"))
    world.server.set("root/run/nixos/switch.json", "{}")
    assert world.plan(world.target("web", one)).steps == (Step("switch", "system", base_name(one), "a switch was interrupted"),)
    world.server.unset("root/run/nixos/switch.json")
    # The profile was set, and then the power went.
    world.deploy(world.target("web", two))
    (world.server.root / "run/current-system").unlink()
    (world.server.root / "run/current-system").symlink_to(one)
    world.deploy(world.target("web", two))
    assert world.server.toplevel == two


# ---- faults ----


def _expire(world: World) -> None:
    world.running.state.expire_tokens()


FAULTS: dict[str, Callable[[World], Any]] = {
    "images 503": lambda world: world.running.faults.append(Fault("POST", "/1.0/images", 503)),
    "servers 503": lambda world: world.running.faults.append(Fault("POST", "/1.0/servers", 503)),
    "addresses 503": lambda world: world.running.faults.append(Fault("POST", "/1.0/cloud_ips", 503)),
    "listing 503": lambda world: world.running.faults.extend(Fault("GET", "/1.0/servers", 503) for _ in range(3)),
    "image cut": lambda world: world.running.faults.append(Fault("POST", "/1.0/images", cut_after=0)),
    "upload cut": lambda world: world.running.faults.append(Fault("PUT", "/v1/acc-local/nivalis/web", cut_after=MANY)),
    "upload 503": lambda world: world.running.faults.append(Fault("PUT", "/v1/acc-local/nivalis/web", 503)),
    "map 409": lambda world: world.running.faults.extend(Fault("POST", "/1.0/cloud_ips/", 409) for _ in range(2)),
}
MANY = 100_000


@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_is_not_even_an_error(world: World, fault: str) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    FAULTS[fault](world)
    world.deploy(world.target("web", system, cloud_ip="new"))
    assert world.running.faults == []
    assert world.resources() == (1, 1, 1, 0)


@pytest.mark.parametrize("path", ["/1.0/images", "/1.0/servers", "/1.0/cloud_ips"])
def test_a_token_that_ends_in_the_middle(world: World, path: str) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    ask, ended = world.cloud.ask, []

    def expire_before(method: str, asked: str, *rest: Any) -> Any:
        if method == "POST" and f"/1.0/{asked}" == path and not ended:
            ended.append(asked)
            world.running.state.expire_tokens()
        return ask(method, asked, *rest)

    world.cloud.ask = expire_before
    world.deploy(world.target("web", system, cloud_ip="new"))
    assert ended and world.resources() == (1, 1, 1, 0)


def test_a_request_that_is_refused_leaves_what_was_done(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    world.running.faults.append(Fault("POST", "/1.0/servers", 422, b'{"error_name": "unprocessable_entity", "errors": ["Zone is full"]}'))
    with pytest.raises(InvalidRequestError, match="Zone is full"):
        world.deploy(world.target("web", system, cloud_ip="new"))
    assert world.resources() == (0, 1, 0, 0)
    assert _verbs(world.deploy(world.target("web", system, cloud_ip="new")).steps) == FIRST[1:]
    assert world.builds == [world.target("web", system).image]


def test_an_import_that_fails(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    whole, world.image = world.image, b"\x1f\x8b" + bytes(4096)
    target = world.target("web", system, cloud_ip="new")
    with pytest.raises(DeployError, match="could not import the image") as error:
        world.deploy(target)
    assert error.value.code == "deploy-import"
    world.image = whole
    plan = world.deploy(target)
    assert _verbs(plan.steps) == ["destroy image", *FIRST]
    assert world.resources() == (1, 1, 1, 0)


def test_a_request_whose_answer_got_lost_is_not_made_twice(world: World) -> None:
    made: list[str] = []

    def create() -> Any:
        made.append("address")
        world.cloud.cloud_ips.create({"name": "web"})
        raise UnreachableError("connection broke off")

    def find() -> Any:
        return next(iter(world.cloud.cloud_ips.list()), None)

    assert create_once(world.tools(), create, find).name == "web"
    assert made == ["address"]

    def fail() -> Any:
        made.append("none")
        raise UnavailableError("not now", status=503)

    with pytest.raises(UnavailableError):
        create_once(world.tools(), fail, lambda: None)
    assert made.count("none") == 5


def test_interrupted_at_any_request_it_is_gone_on_with(world: World) -> None:
    """Ctrl-C at the first request of the first run, the second of the second ...: each gets further, and nothing is made twice."""
    system = world.make_system("one")
    world.server.boot(system)
    target = world.target("web", system, cloud_ip="new")
    ask, orbit = world.cloud.ask, world.running.orbit
    left = [0]

    def count() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt

    def counted_ask(*words: Any) -> Any:
        # Before it is sent, or after: the answer is lost then.
        if words[0] != "GET" and left[0] % 2:
            answer = ask(*words)
            count()
            return answer
        count()
        return ask(*words)

    def counted_orbit() -> Any:
        opened = orbit()
        for name in ("upload", "temp_url", "delete"):
            method = getattr(opened, name)

            def counted(*words: Any, method: Any = method, **options: Any) -> Any:
                count()
                return method(*words, **options)

            setattr(opened, name, counted)
        return opened

    world.cloud.ask = counted_ask
    for number in range(1000):
        left[0] = number
        try:
            world.deploy(target, orbit=counted_orbit)
        except KeyboardInterrupt:
            continue
        break
    else:
        raise AssertionError("it never ends")
    world.cloud.ask = ask
    assert number > 5 and world.resources() == (1, 1, 1, 0)
    assert world.plan(target).steps == ()


# ---- servers that are not as they should be ----


def test_a_server_that_never_answers(world: World) -> None:
    system = world.make_system("one")
    world.server.set("refuse")
    world.console = "".join(f"line {number}\r\n" for number in range(50)) + "\x1b[0;1;31mKernel panic\x1b[0m\r\n\r\n"
    target = world.target("web", system, cloud_ip="new")
    with pytest.raises(SilentServerError, match=r"has not let us in after 60 s.*Connection refused") as error:
        world.deploy(target)
    text = str(error.value)
    assert text.splitlines()[0].startswith("error[server-silent]: ") and "ssh root@server.example" in text
    assert text.splitlines()[-1].strip() == "Kernel panic" and "line 49" in text and "line 20" not in text
    # It may come up yet.
    world.server.unset("refuse")
    world.server.boot(system)
    assert world.deploy(target).steps == ()


def test_a_server_that_ends_before_it_answers(world: World) -> None:
    system = world.make_system("one")
    world.server.set("refuse")
    target = world.target("web", system, cloud_ip="new")
    stopped: list[str] = []

    def locate(server: Any) -> Any:
        if not stopped:
            stopped.append(server.id)
            world.cloud.servers.act(server.id, "stop")
            world.cloud.servers.wait(server.id, {"inactive"}, deadline=PATIENCE)
        return world.address

    with pytest.raises(SilentServerError, match="server is inactive before it has let us in"):
        world.deploy(target, locate=locate)
    world.server.unset("refuse")
    world.server.boot(system)
    assert _verbs(world.deploy(target).steps) == ["start server", "wait ssh", "switch system"]
    assert world.server.log == []


def test_a_server_without_an_address(world: World) -> None:
    system = world.make_system("one")
    with pytest.raises(SilentServerError, match="no address that this machine can reach") as error:
        world.deploy(world.target("web", system))
    assert "--cloud-ip" in str(error.value)
    world.server.boot(system)
    assert _verbs(world.deploy(world.target("web", system, cloud_ip="new")).steps)[:2] == ["create cloud ip", "map cloud ip"]


def test_a_server_of_another_kind(world: World) -> None:
    world.server.boot("/nothing")
    (world.server.root / "nix/var/nix/profiles/system").unlink()
    (world.server.root / "run/current-system").unlink()
    with pytest.raises(DeployError, match="no system of this kind"):
        world.deploy(world.target("web", world.make_system("one"), cloud_ip="new"))


def test_a_server_without_our_programs(world: World) -> None:
    one, two = world.make_system("one"), world.make_system("two")
    world.server.boot(one)
    world.deploy(world.target("web", one, cloud_ip="new"))
    text = world.server.ssh.read_text()
    world.server.ssh.write_text(text.replace(f"{sys.prefix}/bin:/usr/bin", "/own"))
    (world.server.root / "own").mkdir()
    (world.server.root / "own/readlink").symlink_to("/usr/bin/readlink")
    with pytest.raises(RemoteError, match="not found") as error:
        world.deploy(world.target("web", two))
    assert "ssh" in (error.value.where or "")


def test_what_cannot_be_told_apart(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    world.deploy(world.target("web", system, cloud_ip="new"))
    image = world.cloud.images.list()[0]
    other = world.cloud.servers.launch(image.id, name="web", server_type="typ-nano0")
    with pytest.raises(DeployError, match="2 servers have this name") as error:
        world.plan(world.target("web", system))
    assert error.value.code == "deploy-ambiguous"
    world.cloud.servers.update(other.id, {"name": "web-2"})
    assert world.plan(world.target("web", system)).steps == ()


def test_what_is_chosen_when_a_server_is_made(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    with pytest.raises(DeployError, match="no such type") as error:
        world.deploy(world.target("web", system, server_type="huge"))
    assert "`1gb.ssd`" in str(error.value)
    world.deploy(world.target("web", system, cloud_ip="new", server_type="nano"))
    plan = world.plan(world.target("web", system, server_type="1gb.ssd", zone="gb1-b"))
    assert plan.steps == () and len(plan.notes) == 2 and "type nano" in plan.notes[0]


def test_network_storage(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    with pytest.raises(DeployError, match=r"has a disk of its own: `1gb.ssd`") as error:
        world.deploy(world.target("web", system, cloud_ip="new", volume_size=50_000))
    assert "`2gb.nbs`" in str(error.value) and world.resources() == (0, 0, 0, 0)
    for name, size, wanted in (("web", 50_000, 50_000), ("web-2", 0, 40_960)):
        world.deploy(world.target(name, system, cloud_ip="new", server_type="2gb.nbs", volume_size=size))
        server = look_up(world.cloud, name).server
        assert server is not None and world.running.state.get(server.id)["disk_size"] == wanted


def test_a_server_that_would_let_nobody_in(world: World) -> None:
    world.cloud.users.update("usr-local", {"ssh_key": ""})
    with pytest.raises(DeployError, match="let nobody in") as error:
        world.deploy(world.target("web", world.make_system("one"), cloud_ip="new"))
    assert error.value.code == "deploy-no-key" and world.resources() == (0, 0, 0, 0) and world.builds == []


def test_groups_and_an_address_that_was_there(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    group = world.cloud.server_groups.create({"name": "front"})
    given = world.cloud.cloud_ips.create({"name": "front"})
    target = world.target("web", system, cloud_ip=given.id, groups=(group.id,))
    world.deploy(target)
    server = look_up(world.cloud, "web").server
    assert server is not None and [one.id for one in server.server_groups] == [group.id]
    assert world.plan(target).steps == () and world.resources()[2] == 1
    default = next(one for one in world.cloud.server_groups.list() if one.default)
    assert _verbs(world.deploy(world.target("web", system, groups=(default.id,))).steps) == ["change groups"]
    with pytest.raises(DeployError, match="Cloud IP leads elsewhere"):
        world.deploy(world.target("other", system, cloud_ip=given.id))


def test_a_server_that_has_failed(world: World) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    world.deploy(world.target("web", system, cloud_ip="new"))
    server = look_up(world.cloud, "web").server
    assert server is not None
    world.running.state.change(server.id, status="failed")
    with pytest.raises(DeployError, match="server is failed") as error:
        world.plan(world.target("web", system))
    assert "nivalis destroy web" in str(error.value)


def test_a_server_that_cannot_be_made(world: World) -> None:
    async def fail(spec: Any) -> None:
        raise OSError("no room")

    system = world.make_system("one")
    world.server.boot(system)
    machines = world.running.cloud.machines
    create, machines.create = machines.create, fail
    with pytest.raises(DeployError, match="could not make the server") as error:
        world.deploy(world.target("web", system, cloud_ip="new"))
    assert error.value.code == "deploy-server" and "nivalis destroy web" in str(error.value)
    machines.create = create


def test_what_is_missing_here(world: World) -> None:
    system = world.make_system("one")
    target = world.target("web", system, cloud_ip="new")
    with pytest.raises(DeployError, match="makes no disk") as error:
        world.deploy(target, build=lambda derivation, path: world.server.folder)
    assert error.value.code == "deploy-image" and world.resources() == (0, 0, 0, 0)
    with pytest.raises(DeployError, match="no `ssh` on this machine") as missing:
        world.deploy(target, ssh_program="/nowhere/ssh")
    assert missing.value.code == "no-ssh" and world.resources() == (0, 0, 0, 0)


def test_no_connection_to_the_cloud(world: World) -> None:
    world.running.faults += [Fault("GET", "/1.0/servers", 500) for _ in range(6)]
    with pytest.raises(CloudError):
        world.plan(world.target("web", world.make_system("one")))
