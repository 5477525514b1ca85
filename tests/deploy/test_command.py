"""`nivalis deploy` as a command, as far as it goes without building: configurations over a small archive, against the local cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.cloud_server import RunningCloud, run_cloud
from nivalis.cloud.config import ClientConfig, ConfigFile
from nivalis.cloud.local.state import CLIENT
from nixos_systems import CHANNEL, make_archive

CONFIGURATION = """{ modulesPath, ... }: {
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];
  networking.firewall.allowedTCPPorts = [ 80 ];
}
"""


class Commands:
    """Commands with a home, a store, a channel and a cloud of their own."""

    def __init__(self, running: RunningCloud, folder: Path, snapshot: Path) -> None:
        self.running = running
        self.folder = folder
        config = ConfigFile(folder / "home/.brightbox")
        config.put(ClientConfig("test", CLIENT, running.state.secret(CLIENT), running.base, running.base, f"{running.base}/v1"))
        config.put(ClientConfig("wrong", CLIENT, "guessed", running.base, running.base, f"{running.base}/v1"))
        config.set_default("test")
        config.write()
        self._environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "NIVALIS_CLOUD": str(folder / "none"),
            "NIX_PATH": f"nixpkgs={CHANNEL}:debian-snapshot={snapshot}",
            "NIX_REMOTE": f"local?root={folder / 'store'}",
        }
        (folder / "my web.nix").write_text(CONFIGURATION)

    def deploy(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "nivalis"), "deploy", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment, cwd=self.folder)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("archive") / "snapshot")


@pytest.fixture
def commands(tmp_path: Path, snapshot: Path) -> Iterator[Commands]:
    with run_cloud(tmp_path / "cloud") as running:
        yield Commands(running, tmp_path, snapshot)


def test_a_plan_changes_nothing(commands: Commands) -> None:
    done = commands.deploy("my web.nix", "--name", "web", "--cloud-ip", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == ["upload", "create", "create", "map", "wait"]
    assert {method for method, path in commands.running.requests if path != "/token"} == {"GET"}
    found = json.loads(commands.deploy("my web.nix", "--name", "web", "--dry-run", "--json", "--zone", "gb1-a").stdout)
    assert found["server"] is None and not found["done"] and found["toplevel"].endswith("-nixos-system-unnamed-12.20231114")
    assert [(step["verb"], step["kind"], step["more"]) for step in found["plan"]["steps"]][1:] == [
        ("create", "server", "1gb.ssd, gb1-a"),
        ("wait", "ssh", ""),
    ]
    # A name of the file is no part of the system.
    (commands.folder / "other.nix").write_text(CONFIGURATION)
    again = json.loads(commands.deploy("other.nix", "--name", "web", "--dry-run", "--json").stdout)
    assert (again["toplevel"], again["image"]) == (found["toplevel"], found["image"])


def test_what_cannot_be_deployed(commands: Commands) -> None:
    (commands.folder / "plain.nix").write_text("{ boot.isContainer = true; }")
    done = commands.deploy("plain.nix", "--name", "web")
    assert done.returncode == 1 and "error[no-image]" in done.stderr and "brightbox-image.nix" in done.stderr
    done = commands.deploy("my web.nix", "--name", "we b")
    assert done.returncode == 1 and "error[deploy-name]" in done.stderr
    assert commands.deploy("my web.nix").returncode == 2
    done = commands.deploy("my web.nix", "--name", "web", "--cloud-ip", "--address", "cip-12345")
    assert done.returncode == 2 and "which Cloud IP" in done.stderr
    assert commands.deploy("none.nix", "--name", "web").returncode == 2


def test_whose_cloud_it_is(commands: Commands) -> None:
    done = commands.deploy("my web.nix", "--name", "web", "-c", "wrong")
    assert done.returncode == 111 and "error[cloud-authentication]" in done.stderr
    done = commands.deploy("my web.nix", "--name", "web", "-c", "none")
    assert done.returncode == 1 and "error[cloud-configuration]" in done.stderr
