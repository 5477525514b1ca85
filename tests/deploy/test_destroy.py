"""Destroying: all that belongs to a name and nothing else, asked for first, and gone on with."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.cloud_server import Fault
from deploy.world import World
from nivalis.cloud.config import ClientConfig, ConfigFile
from nivalis.cloud.errors import ConflictError
from nivalis.cloud.local.state import CLIENT
from nivalis.cloud.models import Volume
from nivalis.deploy.account import find_objects, look_up
from nivalis.deploy.apply import CloudTools
from nivalis.deploy.destroy import apply_destruction, plan_destruction
from nivalis.deploy.lock import hold, locks_folder


def _tools(world: World, **changes: Any) -> CloudTools:
    tools = world.tools()
    return CloudTools(**{"cloud": world.cloud, "orbit": tools.orbit, "talk": world.talk, "sleep": tools.sleep, "clock": tools.clock, **changes})


def _destroy(world: World, name: str) -> None:
    apply_destruction(plan_destruction(name, look_up(world.cloud, name, dying=True), world.running.orbit()), _tools(world))


def _deploy(world: World, name: str, **options: Any) -> None:
    system = world.make_system("one")
    world.server.boot(system)
    world.deploy(world.target(name, system, **{"cloud_ip": "new", **options}))


def test_all_that_belongs_to_a_name(world: World) -> None:
    _deploy(world, "web-2")
    _deploy(world, "web")
    # Of an upload that was given up.
    orbit, file = world.running.orbit(), world.folder / "rest"
    file.write_bytes(bytes(3 << 20))
    orbit.upload("nivalis", f"web/{'0' * 32}.qcow2", file, segment=1 << 20)
    orbit.upload("nivalis", f"web-2/{'0' * 32}.qcow2", file)
    what = plan_destruction("web", look_up(world.cloud, "web"), orbit)
    assert [step.kind for step in what.steps] == ["server", "cloud ip", "image", *["object"] * 4]
    apply_destruction(what, _tools(world))
    assert world.resources() == (1, 1, 1, 1)
    assert look_up(world.cloud, "web-2").server is not None and find_objects(orbit, "web") == []
    assert plan_destruction("web", look_up(world.cloud, "web"), orbit).steps == []


def test_an_address_that_was_given_stays(world: World) -> None:
    given = world.cloud.cloud_ips.create({"name": "front"})
    _deploy(world, "web", cloud_ip=given.id)
    _destroy(world, "web")
    assert world.resources() == (0, 0, 1, 0) and world.cloud.cloud_ips.get(given.id).destination == ""


def test_volumes_that_a_server_boots_from(world: World) -> None:
    _deploy(world, "web")
    found = look_up(world.cloud, "web")
    assert found.server is not None
    # The cloud of this machine has none, and says so; another one may have destroyed them with the server.
    volumes = (Volume(id="vol-boots", boot=True, size=40960), Volume(id="vol-given"))
    what = plan_destruction("web", replace(found, server=replace(found.server, volumes=volumes)), world.running.orbit())
    assert [step.name for step in what.steps if step.kind == "volume"] == ["vol-boots"]
    apply_destruction(what, _tools(world))
    assert world.running.asked("DELETE", "/1.0/volumes/vol-boots") == 1 and world.running.asked("DELETE", "/1.0/volumes/vol-given") == 0
    assert world.resources() == (0, 0, 0, 0)


def test_what_passes(world: World) -> None:
    _deploy(world, "web")
    for method, path, status in (("DELETE", "/1.0/servers", 503), ("DELETE", "/1.0/cloud_ips", 409), ("DELETE", "/1.0/images", 503)):
        world.running.faults.append(Fault(method, path, status))
    _destroy(world, "web")
    assert world.running.faults == [] and world.resources() == (0, 0, 0, 0)


def test_what_is_locked_is_said_and_the_rest_can_be_gone_on_with(world: World) -> None:
    _deploy(world, "web")
    (image,) = world.cloud.images.list()
    world.cloud.images.lock(image.id)
    with pytest.raises(ConflictError, match="is locked"):
        _destroy(world, "web")
    assert world.resources() == (0, 1, 0, 0)
    world.cloud.images.unlock(image.id)
    _destroy(world, "web")
    assert world.resources() == (0, 0, 0, 0)


def test_interrupted_at_any_request_it_is_gone_on_with(world: World) -> None:
    _deploy(world, "web")
    ask = world.cloud.ask
    left = [0]

    def counted(*words: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return ask(*words)

    world.cloud.ask = counted
    for number in range(1000):
        left[0] = number
        try:
            _destroy(world, "web")
        except KeyboardInterrupt:
            continue
        break
    else:
        raise AssertionError("it never ends")
    world.cloud.ask = ask
    assert world.resources() == (0, 0, 0, 0)


def _environment(world: World) -> dict[str, str]:
    """A user's of the test's cloud."""
    home = world.folder / "home"
    if not home.exists():
        config = ConfigFile(home / ".brightbox")
        base = world.running.base
        config.put(ClientConfig("test", CLIENT, world.running.state.secret(CLIENT), base, base, f"{base}/v1"))
        config.write()
    return {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "NIVALIS_CLOUD": str(world.folder / "none")}


def _run(world: World, *words: str, typed: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command against the cloud of the test; with `typed`, somebody sits at a terminal and types that."""
    environment = _environment(world)
    command = [str(Path(sys.executable).parent / "nivalis"), *words]
    if typed is None:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_command_asks_first(world: World) -> None:
    _deploy(world, "web")
    shown = _run(world, "destroy", "web", "--dry-run")
    assert shown.returncode == 0 and [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["destroy", "server"],
        ["destroy", "cloud"],
        ["destroy", "image"],
    ]
    unasked = _run(world, "destroy", "web")
    assert unasked.returncode == 1 and "error[deploy-unasked]" in unasked.stderr and "destroy  server" in unasked.stderr
    for typed in ("n\n", "\n", "\x04"):
        refused = _run(world, "destroy", "web", typed=typed)
        assert refused.returncode == 1 and "Destroy all that?" in refused.stderr and "destroying" not in refused.stderr
    assert world.resources() == (1, 1, 1, 0)
    done = _run(world, "destroy", "web", "--json", typed="y\n")
    assert done.returncode == 0 and '"done": true' in done.stdout, done.stderr
    assert world.resources() == (0, 0, 0, 0)
    again = _run(world, "destroy", "web")
    assert (again.returncode, again.stderr) == (0, "there is nothing of `web`\n")
    assert "there is nothing" in _run(world, "destroy", "web", "--yes").stderr
    assert "error[deploy-name]" in _run(world, "destroy", "we/b").stderr


def test_one_at_a_time(world: World) -> None:
    _deploy(world, "web")
    environment = _environment(world)
    command = [str(Path(sys.executable).parent / "nivalis"), "destroy", "web", "--yes"]
    with hold(locks_folder(environment), world.running.base, "web", lambda process: None):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
        assert process.stderr is not None
        assert process.stderr.readline() == f"waiting for process {os.getpid()}, which is deploying or destroying web\n"
        # To look is allowed.
        assert "destroy  server" in _run(world, "destroy", "web", "--dry-run").stdout
        assert world.resources() == (1, 1, 1, 0)
    with process:
        assert "destroying server" in process.communicate()[1] and process.returncode == 0
    assert world.resources() == (0, 0, 0, 0)
