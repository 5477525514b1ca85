"""The guide of the first server, on real machines: deployed, changed, destroyed, by its commands.

Only with a suite in NIVALIS_DEBIAN (`debian:bookworm`); a folder in NIVALIS_DEBIAN_STORE keeps what is built.  The servers are QEMU's, emulated, so
it takes minutes.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

BEFORE = """{ modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];
}
"""
AFTER = BEFORE.replace(
    " ];\n",
    """ ];
  networking.firewall.allowedTCPPorts = [ 80 ];
  services.lighttpd.enable = true;
  services.lighttpd.document-root = "/srv/www";
""",
)
# A machine that is emulated beside much other work.
PATIENCE = "3600"


class Guide:
    """A user with a home, a channel, a key and a cloud."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder
        home = folder / "home"
        (home / ".ssh").mkdir(parents=True)
        key = home / ".ssh/id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "NIVALIS_CLOUD": str(folder / "cloud"),
            "NIX_REMOTE": f"local?root={os.environ.get('NIVALIS_DEBIAN_STORE') or folder / 'store'}",
            # ssh asks the machine, and not HOME, where home is.
            "NIX_SSHOPTS": f"-i {key} -o UserKnownHostsFile={home}/.ssh/known_hosts",
        }
        for name in ("NIX_PATH", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            self._environment.pop(name, None)
        self.run("channel", "add", "nixos", suite)
        self.run("channel", "update", "nixos")
        self.run("cloud", "local", "start", "--accelerator", "tcg")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "nivalis"), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment, cwd=self.folder)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done

    def deploy(self, configuration: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "configuration.nix").write_text(configuration)
        return self.run("deploy", "configuration.nix", "--name", "web", "--cloud-ip", "--timeout", PATIENCE)

    def plan(self) -> dict[str, object]:
        found = json.loads(self.run("deploy", "configuration.nix", "--name", "web", "--cloud-ip", "--dry-run", "--json").stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture
def guide(tmp_path: Path) -> Iterator[Guide]:
    suite = os.environ.get("NIVALIS_DEBIAN")
    if not suite:
        pytest.skip("no suite in NIVALIS_DEBIAN")
    for program in ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")
    made = Guide(tmp_path, suite)
    try:
        yield made
    finally:
        made.run("cloud", "local", "stop")


def test_the_guide(guide: Guide) -> None:
    done = guide.deploy(BEFORE)
    assert "upload" in done.stderr and done.stderr.endswith("web is what its configuration says\n")
    login = shlex.split(done.stdout)

    def on_server(script: str) -> str:
        server = json.loads(guide.run("cloud", "--json", "servers", "list").stdout)[0]["id"]
        command = [*login[:-1], "-o", f"HostKeyAlias={server}", "-o", "BatchMode=yes", login[-1], script]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first = guide.plan()
    assert first["plan"] == {"steps": [], "notes": []}
    assert on_server("cat /etc/nixos/configuration.nix") == BEFORE
    assert on_server("nixos-rebuild build").strip() == first["toplevel"]
    assert "nothing to do" in guide.deploy(BEFORE).stderr

    done = guide.deploy(AFTER)
    assert "the following new units were started: lighttpd.service" in done.stderr and "store paths copied" in done.stderr
    second = guide.plan()
    assert second["plan"] == {"steps": [], "notes": []} and second["toplevel"] != first["toplevel"]
    on_server("mkdir -p /srv/www; echo hello > /srv/www/index.html")
    status = json.loads(guide.run("cloud", "--json", "local", "status").stdout)
    (port,) = {(lead["address"], lead["port"]) for lead in status["servers"][0]["ports"] if lead["server_port"] == 80}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{port[0]}:{port[1]}/", timeout=120) as page:
        assert page.read() == b"hello\n"
    assert [row["current"] for row in json.loads(on_server("nixos-rebuild list-generations --json"))] == [True, False]

    guide.run("destroy", "web", "--yes")
    assert json.loads(guide.run("cloud", "--json", "cloudips", "list").stdout) == []
    # An image that is asked to go takes its time.
    images = json.loads(guide.run("cloud", "--json", "images", "list").stdout)
    assert {image["status"] for image in images} <= {"deleting", "deleted"}
