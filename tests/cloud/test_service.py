"""The service as a process, by the commands that users give: started, found, stopped, killed; and the walk's steps, verbatim."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud.cloud_server import PATIENCE
from cloud.guest import make_guest, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "")


class User:
    """Somebody with a home, who gives commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.places = home / ".local/share/nivalis/cloud"
        foreign = ("BRIGHTBOX_", "NIVALIS_CLOUD", "XDG_DATA_HOME", "CLIENT", "ACCOUNT")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {"HOME": str(home)}

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        module = {"nivalis": "nivalis.cli", "brightbox": "nivalis.cli.brightbox"}[program]
        code = f"import sys; sys.argv[0] = {program!r}; from {module} import main; main()"
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def ok(self, program: str, *arguments: str) -> str:
        done = self.run(program, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *options: str) -> dict[str, object]:
        return dict(json.loads(self.ok("nivalis", "cloud", "local", "start", "--accelerator", "tcg", "--json", *options)))

    def machines(self) -> list[str]:
        """The processes of machines whose files are in this home."""
        found = []
        for process in Path("/proc").iterdir():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"qemu-system-x86_64") and any(str(self.places).encode() in word for word in words):
                found.append(process.name)
        return found

    def wait_for(self, server: str, text: str, times: int = 1) -> None:
        end = time.monotonic() + PATIENCE
        console = self.places / "servers" / server / "console.log"
        while not console.exists() or console.read_text(errors="replace").count(text) < times:
            assert time.monotonic() < end
            time.sleep(0.3)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_ed25519.pub").write_text("ssh-ed25519 AAAA you@here\n")
    made = User(tmp_path)
    yield made
    made.run("nivalis", "cloud", "local", "stop")
    assert made.machines() == []


def _first_word(table: str) -> str:
    return table.split("\t")[0]


def test_walk(user: User, tmp_path: Path) -> None:
    """Steps 4 to 6: upload by FTP, register, create, map."""
    status = user.start()
    assert user.start()["pid"] == status["pid"]
    disk = tmp_path / "nixos.qcow2"
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", make_guest(), disk], check=True)
    rows = user.ok("brightbox", "-s", "accounts", "reset_ftp_password", "acc-local")
    password = dict(line.split("\t") for line in rows.splitlines())["library_ftp_password"]
    if shutil.which("curl"):
        address = f"ftp://acc-local:{password}@{status['library']}/incoming/"
        subprocess.run(["curl", "-sS", "--noproxy", "*", "-T", disk, address], check=True, timeout=PATIENCE)
        shown = user.ok("brightbox", "images", "register", "-a", "x86_64", "-n", "NixOS", "-s", "nixos.qcow2")
        assert shown.splitlines()[1].split() == ["id", "owner", "type", "created_on", "status", "size", "arch", "name"]
        assert shown.splitlines()[3].split()[-1] == "NixOS"
    image = user.ok("brightbox", "-s", "images", "register", "-a", "x86_64", "-n", "again", "--file", str(disk))
    assert image.split("\t")[4:7] == ["private", "32", "x86_64"]
    assert "again" in user.ok("brightbox", "image", "list")

    script = "mkdir /www; echo hello >/www/index.html; httpd -h /www"
    made = user.ok("brightbox", "-s", "servers", "create", _first_word(image), "-n", "web", "-t", "nano", "-z", "gb1-a", "-m", script)
    server = _first_word(made)
    address = _first_word(user.ok("brightbox", "-s", "cloudips", "create", "-n", "web"))
    mapped = user.ok("brightbox", "-s", "cloudips", "map", address, server)
    assert mapped.split("\t")[1] == "mapped" and mapped.split("\t")[3] == server
    user.wait_for(server, "GUEST ready")
    (found,) = json.loads(user.ok("nivalis", "cloud", "local", "status", "--json"))["servers"]
    lead = next(one for one in found["ports"] if one["wanted"] == 80)
    page = subprocess.run(["curl", "-sS", "--noproxy", "*", f"http://{lead['address']}:{lead['port']}/"], capture_output=True, text=True, check=True)
    assert page.stdout == "hello\n"
    assert "GUEST ready" in user.ok("nivalis", "cloud", "console", server)
    shown = user.ok("brightbox", "servers", "show", server)
    assert f"hostname: {server}\n" in shown and "type_handle: nano\n" in shown

    # It ends with its servers, and starts with them, where it was.
    user.ok("nivalis", "cloud", "local", "stop")
    assert user.machines() == []
    again = user.start()
    assert again["url"] == status["url"]
    user.wait_for(server, "GUEST ready", 2)
    assert user.ok("brightbox", "-s", "servers").split("\t")[1] == "active"

    # Killed, it leaves nothing behind.
    pid = int(str(again["pid"]))
    assert len(user.machines()) == 1
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while user.machines():
        assert time.monotonic() < end
        time.sleep(0.1)
    done = user.run("nivalis", "cloud", "local", "status")
    assert done.returncode == 1 and "error[local-cloud]: no cloud is running" in done.stderr
    user.start()
    user.wait_for(server, "GUEST ready", 3)
    user.ok("brightbox", "servers", "destroy", server)


def test_two_do_not_collide(user: User, tmp_path: Path) -> None:
    first = user.start()
    other = User(tmp_path / "other")
    other.home.mkdir()
    try:
        second = other.start()
        assert second["url"] != first["url"]
        assert other.ok("brightbox", "-s", "zones") != user.ok("brightbox", "-s", "zones")
    finally:
        other.ok("nivalis", "cloud", "local", "stop")


def test_two_starts_at_once_are_one_service(user: User) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda number: user.start(), range(3)))
    assert len({status["pid"] for status in found}) == 1


def test_library_that_is_gone(user: User) -> None:
    user.start("--no-library")
    done = user.run("brightbox", "images", "register", "-a", "x86_64", "-n", "NixOS", "-s", "nixos.qcow2")
    assert done.returncode == 1
    assert "error[cloud-gone]" in done.stderr and "HTTP 410" in done.stderr
    assert "`nivalis cloud images register --file FILE` uploads one and registers it" in done.stderr
    assert done.stdout == ""


def test_commands(user: User) -> None:
    user.start()
    group = _first_word(user.ok("brightbox", "-s", "groups", "create", "-n", "web"))
    policy = _first_word(user.ok("brightbox", "-s", "firewall-policies", "create", group, "-n", "web"))
    rule = user.ok("brightbox", "-s", "firewall-rules", "create", policy, "-p", "tcp", "-s", "any", "-e", "80,443")
    assert rule.rstrip("\n").split("\t")[1:] == ["tcp", "any", "-", "-", "80,443", "-", "-"]
    assert user.ok("brightbox", "-s", "firewall-rules", "list", policy) == rule
    assert user.ok("brightbox", "-s", "firewall-policy", "show", policy).splitlines()[0] == f"id\t{policy}"
    user.ok("brightbox", "firewall-rules", "destroy", _first_word(rule))
    assert json.loads(user.ok("nivalis", "cloud", "users", "list", "--json"))[0]["ssh_key"] == "ssh-ed25519 AAAA you@here"
    assert [one["handle"] for one in json.loads(user.ok("nivalis", "cloud", "--json", "zones"))] == ["gb1-a", "gb1-b"]
    (client,) = json.loads(user.ok("brightbox", "config", "client_list", "--json"))
    assert client["alias"] == "local" and client["secret"] == "***"
    assert len(user.ok("brightbox", "token", "--format", "token").strip()) == 40
    done = user.run("brightbox", "servers", "show", "srv-nowhe")
    assert done.returncode == 1 and "error[cloud-missing-resource]" in done.stderr
    user.ok("brightbox", "config", "client_add", "cli-wrong", "s3cret", str(client["api_url"]), "-a", "wrong")
    done = user.run("brightbox", "-c", "wrong", "zones")
    assert done.returncode == 111 and "s3cret" not in done.stderr
    wrong = [
        ("server", "nonsense"),
        ("images", "register", "-a", "x86_64"),
        ("cloudips", "create", "-t", "80"),
        ("servers", "create", "i", "-t", "x"),
    ]
    wrong += [("servers", "create", "i", "-m", "*", "--no-base64")]
    for words in wrong:
        done = user.run("brightbox", *words)
        assert done.returncode == 2 and "Error: " in done.stderr and "Traceback" not in done.stderr
    done = user.run("brightbox", "servers", "create", "img-a", "-m", "x" * 60000)
    assert done.returncode == 1 and "error[cloud-invalid-request]: user data is too long" in done.stderr
