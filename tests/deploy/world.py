"""A deployment's world: the local cloud in this process, a store with systems, and a server that is a folder.

The server is spoken to by a program in place of ssh, which runs what it is told in bubblewrap, with the folder as the root and this checkout's own
commands: what a real server would do with its store and its profile is done for real.  Its systems are small; to switch to one is to set a link.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cloud.cloud_server import RunningCloud, run_cloud
from nivalis.build.errors import SandboxError
from nivalis.build.sandbox import check_available
from nivalis.cloud.models import Server
from nivalis.deploy.account import look_up
from nivalis.deploy.apply import Address, Deployment, Tools
from nivalis.deploy.plan import Plan, Target, make_plan
from nivalis.store import Store, StoreLayout
from nivalis.system.configuration import Configuration
from system_data import make_data, make_system

CHECKOUT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
# What `switch-to-configuration` of these systems does.  Its files lie where no checkout is: this one is mounted at its own path, whatever that is.
_SWITCH = """#!/bin/sh
system=$(dirname "$(dirname "$0")")
echo "$1 ${system##*-}" >> /run/asked-of-systems
case $1 in
    check) exit "$(cat /run/answer-of-check 2>/dev/null || echo 0)" ;;
    switch)
        echo "activating the configuration..."
        ln -sfn "$system" /run/current-system
        exit "$(cat /run/answer-of-switch 2>/dev/null || echo 0)" ;;
esac
"""
# Its last word is the script; a file named `refuse` says that nobody is there, one named `cut` that a stream ends early.
_SSH = """#!/bin/sh
for script; do :; done
case " $* " in *" -O exit "*) exit 0 ;; esac
echo "$script" >> {folder}/asked
if [ -e {folder}/refuse ]; then echo "ssh: connect to host: Connection refused" >&2; exit 255; fi
run() {{ {bwrap} /bin/sh -c "$script"; }}
case $script in
    *--import) if [ -e {folder}/cut ]; then rm {folder}/cut; head -c 6000 | run; echo "Connection reset" >&2; exit 255; fi ;;
esac
run
"""


class FolderServer:
    """A server that is a folder: what it has, and the program that leads to it."""

    def __init__(self, folder: Path) -> None:
        try:
            bwrap = check_available()
        except SandboxError as error:
            pytest.skip(str(error))
        self.folder = folder
        self.root = folder / "root"
        for name in ("nix/store", "nix/var/nix/profiles", "run/nixos", "etc/nixos", "root", "tmp", "usr", "dev", "proc"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        (self.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        places = [str(place) for place in {Path(sys.prefix), Path(sys.base_prefix), CHECKOUT}]
        command = [bwrap, "--unshare-user", "--unshare-pid", "--uid", "0", "--gid", "0", "--bind", str(self.root), "/", "--ro-bind", "/usr", "/usr"]
        command += ["--proc", "/proc", "--dev", "/dev", *(word for place in sorted(places) for word in ("--ro-bind", place, place))]
        command += ["--clearenv", "--setenv", "HOME", "/root", "--setenv", "PATH", f"{sys.prefix}/bin:/usr/bin", "--chdir", "/root"]
        self.ssh = folder / "ssh"
        self.ssh.write_text(_SSH.format(folder=shlex.quote(str(folder)), bwrap=shlex.join(command)))
        self.ssh.chmod(0o755)

    def boot(self, toplevel: str) -> None:
        """Have it run a system, as one that was made from an image does."""
        for link in (self.root / "run/current-system", self.root / "nix/var/nix/profiles/system-1-link"):
            link.unlink(missing_ok=True)
            link.symlink_to(toplevel)
        profile = self.root / "nix/var/nix/profiles/system"
        profile.unlink(missing_ok=True)
        profile.symlink_to("system-1-link")

    def set(self, name: str, text: str = "") -> None:
        """Change how it behaves: `refuse` and `cut` of the way to it; the statuses `root/run/answer-of-check` and `answer-of-switch`."""
        (self.folder / name).write_text(text)

    def unset(self, name: str) -> None:
        (self.folder / name).unlink()

    @property
    def toplevel(self) -> str:
        return os.readlink(self.root / "run/current-system")

    @property
    def profile(self) -> str:
        folder = self.root / "nix/var/nix/profiles"
        return os.readlink(folder / os.readlink(folder / "system"))

    @property
    def log(self) -> list[str]:
        """What its systems' programs were asked to do."""
        file = self.root / "run/asked-of-systems"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def asked(self) -> list[str]:
        """The scripts that came by ssh."""
        return (self.folder / "asked").read_text().splitlines()


@dataclass
class Recorded:
    """Who is told: keeps it."""

    said: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def line(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def progress(self, what: str) -> Iterator[Recorded]:
        yield self

    def advance(self, done: int, size: int | None) -> None:
        assert size is None or done <= size

    def retry(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def waiting(self, what: str) -> Iterator[Callable[[str], object]]:
        yield lambda state: self.waited.append(f"{what}: {state}")


class World:
    """All of it; `clock` goes on by what is slept."""

    def __init__(self, running: RunningCloud, store: Store, folder: Path) -> None:
        self.running = running
        self.cloud = running.client()
        self.store = store
        self.folder = folder
        self.server = FolderServer(folder / "server")
        self.talk = Recorded()
        self.builds: list[str] = []
        self.image = bytes(range(256)) * (MIB // 256)
        self.address: Address | None = Address("server.example", 22)
        self.console = ""
        self.cloud.users.update("usr-local", {"ssh_key": "ssh-ed25519 AAAA you@here"})

    def make_system(self, name: str) -> str:
        """A system in the store here, with something that it refers to; its toplevel."""
        folder = self.folder / f"toplevel-{name}"
        if not folder.exists():
            (folder / "bin").mkdir(parents=True)
            (folder / "bin/switch-to-configuration").write_text(_SWITCH)
            (folder / "bin/switch-to-configuration").chmod(0o755)
            (folder / "system.json").write_text(json.dumps(make_data(label=name)))
        parts = [self.store.add_bytes(f"part-{number}", f"{name} {number}".encode() * 500) for number in range(3)]
        (folder / "parts").write_text("\n".join(parts))
        return self.store.add_path(folder, f"nixos-system-{name}", references=parts)

    def target(self, name: str, toplevel: str, **options: Any) -> Target:
        image = toplevel.replace("nixos-system", "nixos-qcow2")
        return Target(name, Configuration(f"{toplevel}.drv", toplevel, make_system()), image, f"{image}.drv", **options)

    def tools(self, **changes: Any) -> Tools:
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds
            threading.Event().wait(0.01)

        options: dict[str, Any] = {
            "cloud": self.cloud,
            "orbit": self.running.orbit,
            "talk": self.talk,
            "store": self.store,
            "build": self.build,
            "locate": self.locate,
            "console": lambda server: self.console,
            "ssh_program": str(self.server.ssh),
            "sleep": sleep,
            "clock": lambda: now[0],
            "patience": 60.0,
        }
        return Tools(**{**options, **changes})

    def build(self, derivation: str, path: str) -> Path:
        self.builds.append(path)
        if "qcow2" not in path:
            return Path(self.store.real_path(path))
        folder = self.folder / "image"
        folder.mkdir(exist_ok=True)
        (folder / "nixos.qcow2").write_bytes(self.image)
        return folder

    def locate(self, server: Server) -> Address | None:
        return self.address if server.cloud_ips else None

    def plan(self, target: Target) -> Plan:
        with Deployment(target, self.tools()) as deployment:
            found = look_up(self.cloud, target.name)
            return make_plan(target, found, deployment.look(found))

    def deploy(self, target: Target, **changes: Any) -> Plan:
        """Do all; what was planned."""
        with Deployment(target, self.tools(**changes)) as deployment:
            found = look_up(self.cloud, target.name)
            plan = make_plan(target, found, deployment.look(found))
            if plan.steps:
                deployment.apply(plan)
        return plan

    def resources(self) -> tuple[int, int, int, int]:
        """How many servers, images, Cloud IPs and objects there are; an image that is asked to go takes its time."""
        servers = [one for one in self.cloud.servers.list() if one.status != "deleted"]
        images = [one for one in self.cloud.images.list() if one.status not in ("deleting", "deleted")]
        orbit = self.running.orbit()
        objects = [name for container in ("nivalis", "nivalis_segments") for name in orbit.list(container)]
        return len(servers), len(images), len(self.cloud.cloud_ips.list()), len(objects)


@contextmanager
def open_world(folder: Path) -> Iterator[World]:
    with run_cloud(folder / "cloud") as running, Store.open(StoreLayout.under(folder / "store")) as store:
        yield World(running, store, folder)
