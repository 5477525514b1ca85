"""The steps of the tour, in the order in which they are taken; their numbers are those of the walk that a user takes.

Each step is a function that does it by the commands that a user would type, and then looks at what a user would see; one that sees something
else raises TourError, with the place to look.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nivalis.debian.mirror import read_mirrors
from tour.mirror import Mirror
from tour.server import Server, open_page
from tour.stage import CHECKOUT, Background, Stage, TourError, wait_until

__all__ = ["FULL", "SHORT", "Step", "Tour", "switch_again"]

_SUITE = "debian:bookworm"
_DEFINITION = CHECKOUT / "channel/nixos/modules/virtualisation/brightbox-config.nix"
_PAGE = "hello"
# How long something may take that is not a command, and for how long nobody must answer for a page to be gone.
_PATIENCE, _SILENCE = 900.0, 5.0

_SYSTEM = """\
{ modulesPath, pkgs, ... }:
{
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];

  environment.systemPackages = [ pkgs.git pkgs.htop ];
  services.nginx.enable = true;
  networking.firewall.allowedTCPPorts = [ 80 443 ];
  boot.blacklistedKernelModules = [ "pcspkr" ];
  fileSystems."/srv" = { device = "/dev/disk/by-label/data"; fsType = "ext4"; options = [ "nofail" ]; };
  users.users.alice = { isNormalUser = true; extraGroups = [ "wheel" ]; };
  containers.wiki = { autoStart = true; config = { services.lighttpd.enable = true; }; };
}
"""
_WEB = """\
{ modulesPath, ... }:
{
  imports = [ "${modulesPath}/virtualisation/brightbox-image.nix" ];
  networking.firewall.allowedTCPPorts = [ 80 ];
  services.lighttpd.enable = true;
  services.lighttpd.document-root = "/srv/www";
}
"""
# What a switch says that a user reads.
_TELLING = re.compile(
    r"switching from|copying path .*-lighttpd-|(stopping|starting|reloading) the |the following|removing (user|group)|created \d|updating GRUB"
)


@dataclass(slots=True)
class Tour:
    """The stage, and what has been made so far.  A short one has no upgrade, and ends with the rollback."""

    stage: Stage
    is_short: bool = False
    accelerator: str = ""
    image: str = ""
    made: Server | None = None
    mirror: Mirror | None = None
    cache: Cache | None = None
    preparation: Background | None = None

    @property
    def server(self) -> Server:
        assert self.made is not None, "no step has made a server"
        return self.made

    @property
    def with_page(self) -> int:
        """The generation of the server that has the page."""
        return 2 if self.is_short else 3


class Cache(NamedTuple):
    """A binary cache that is served here: its port, and its public key."""

    port: int
    key: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its number in the walk, what it is, and what takes it."""

    number: int
    title: str
    take: Callable[[Tour], object]


# ---------------------------------------------------------------------------------------------------- on this machine


def begin(tour: Tour) -> None:
    stage = tour.stage
    key = stage.home / ".ssh/id_ed25519"
    key.parent.mkdir(mode=0o700)
    stage.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tour", "-f", key, shown="")
    started = stage.run("nivalis", "cloud", "local", "start", "--json", f"--ssh-key={key}.pub", shown="nivalis cloud local start")
    status = json.loads(started.output)
    tour.accelerator = status["accelerator"]
    stage.show.good(f"a cloud at {status['url']}, its machines under {tour.accelerator}")
    stage.run("nivalis", "channel", "add", "nixpkgs", _SUITE)
    if tour.is_short:
        stage.run("nivalis", "channel", "update", "nixpkgs")
    else:
        stage.show.say("First the suite as it was released; what has been updated since comes in step 8.")
        user = stage.environment["USER"]
        stage.run(sys.executable, "-m", "tour.older", stage.root, stage.home, user, shown="", environment={"PYTHONPATH": str(CHECKOUT)})
    about = json.loads(stage.run("nix-instantiate", "--eval", "--json", "--strict", "-E", "(import <nixpkgs> { }).snapshot", shown="").output)
    stage.show.good(f"Debian {about['suites'][0]['codename']} of {about['date'][:10]}, verified from the archive's signature on")


def write_system(tour: Tour) -> None:
    stage = tour.stage
    (stage.home / "system.nix").write_text(_SYSTEM)
    stage.show.command("cat system.nix")
    stage.show.seen(_SYSTEM)
    environment = {"NIXOS_CONFIG": str(stage.home / "system.nix")}
    found = stage.run("nivalis", "options", "lighttpd", "document-root", environment=environment)
    _expect("services.lighttpd.document-root" in found.output, "the option is not found", found.log)
    stage.show.seen("\n".join(found.output.splitlines()[:4]))
    made = stage.run("nix-instantiate", "<nixpkgs/nixos>", "-A", "system", "--arg", "configuration", "./system.nix")
    _expect(made.output.strip().endswith(".drv"), "the system is not evaluated", made.log)
    stage.show.good(f"it evaluates, to {made.output.strip()}")


def build_image(tour: Tour) -> None:
    stage = tour.stage
    stage.show.command("export NIXOS_CONFIG=…/nixos/modules/virtualisation/brightbox-config.nix")
    words = ("nix-build", "<nixpkgs/nixos>", "-A", "config.system.build.brightboxImage", "--argstr", "system", "x86_64-linux")
    made = stage.run(*words, environment={"NIXOS_CONFIG": str(_DEFINITION)})
    file = stage.home / "result/nixos.qcow2"
    _expect(file.is_file(), "there is no result/nixos.qcow2", made.log)
    about = json.loads(stage.run("qemu-img", "info", "--output=json", file, shown="").output)
    _expect(about["format"] == "qcow2", "result/nixos.qcow2 is no qcow2", file)
    stage.show.good(f"result/nixos.qcow2: {file.stat().st_size >> 20} MiB, for a disk of {about['virtual-size'] >> 20} MiB or more")


def upload(tour: Tour) -> None:
    stage = tour.stage
    account = stage.run("brightbox", "accounts", "reset_ftp_password", "acc-local").output
    host, password = _find(r"library_ftp_host: (\S+)", account), _find(r"library_ftp_password: (\S+)", account)
    place = f"{host}/incoming/"
    shown = f"curl -T result/nixos.qcow2 ftp://acc-local:PASSWORD@{place}"
    stage.run("curl", "-sS", "-T", "result/nixos.qcow2", f"ftp://acc-local:{password}@{place}", shown=shown)
    file = stage.cloud / "library/incoming/nixos.qcow2"
    _expect(file.is_file() and file.stat().st_size == (stage.home / "result/nixos.qcow2").stat().st_size, "it is not in the library", file)
    stage.show.good("it is in the library")


def register(tour: Tour) -> None:
    stage = tour.stage
    said = stage.run("brightbox", "images", "register", "-a", "x86_64", "-n", "NixOS", "-s", "nixos.qcow2").output
    tour.image = _find(r"img-\w{5}", said)

    def status() -> str:
        return _find(r"status: (\S+)", stage.run("brightbox", "images", "show", tour.image, shown="").output)

    log = stage.cloud / "log"
    _expect(wait_until(lambda: status() != "creating", _PATIENCE), "the image is not imported", log)
    _expect(status() in ("private", "available"), f"the image is not imported: {status()}", log)
    stage.show.good(f"{tour.image} is imported")


def create(tour: Tour) -> None:
    stage = tour.stage
    made = stage.run("brightbox", "servers", "create", tour.image, "-n", "web", "-t", "2gb.ssd").output
    tour.made = Server(stage, _find(r"srv-\w{5}", made))
    address = _find(r"cip-\w{5}", stage.run("brightbox", "cloudips", "create").output)
    stage.run("brightbox", "cloudips", "map", address, tour.server.id)
    tour.server.find_ports()
    prepare(tour)
    tour.server.wait()
    _expect(tour.server.run("id -un").output == "root\n", "nobody is let in as root", tour.server.console)
    stage.show.good(f"{tour.server.id} lets root in, by the key from the metadata service")


def prepare(tour: Tour) -> None:
    """While the server boots: a signed cache and a mirror for it, and the packages of what it will become."""
    stage = tour.stage
    tour.mirror = Mirror(stage.folder / "mirror", read_mirrors(os.environ).all)
    tour.mirror.start()
    stage.at_end(tour.mirror.close)
    secret = stage.home / "cache-key"
    secret.touch(mode=0o600)
    secret.write_text(stage.run("nivalis", "cache", "key", "generate", "tour-1", shown="").output)
    served = stage.begin("nivalis", "cache", "serve", "--listen", "127.0.0.1:0", "-k", str(secret), "--json")
    _expect(wait_until(lambda: "\n" in served.output or served.has_ended, _PATIENCE) and not served.has_ended, "the cache is not served", served.log)
    about = json.loads(served.output)
    tour.cache = Cache(about["port"], about["publicKeys"][0])
    lines = ["nix-build '<nixpkgs>' -A lighttpd -o lighttpd"]
    if not tour.is_short:
        lines = ["nivalis channel update nixpkgs", "nix-build '<nixpkgs/nixos>' -A system -o next", *lines]
    tour.preparation = stage.begin("sh", "-euxc", "\n".join(lines), environment={"NIXOS_CONFIG": str(_DEFINITION)})


# ---------------------------------------------------------------------------------------------------- on the server


def look(tour: Tour) -> None:
    server = tour.server
    seen = server.run("nixos-version; cat /etc/nixos/configuration.nix", "nixos-version\ncat /etc/nixos/configuration.nix")
    tour.stage.show.seen(seen.output)
    _expect("${modulesPath}/virtualisation/brightbox-image.nix" in seen.output, "it does not know its own definition", seen.log)
    tour.stage.show.good("the server knows its own definition")
    # On a machine that is too busy, units miss their deadlines; that is no fault of theirs.
    failed = server.run("systemctl --failed --no-legend --plain", "").output.strip()
    if failed:
        tour.stage.show.say(f"Units have failed: {failed}")


def connect(tour: Tour) -> None:
    """Have the server use the cache and the mirror that are served here."""
    assert tour.mirror is not None and tour.cache is not None and tour.preparation is not None
    with tour.stage.show.waiting("building here what the cache is to have"):
        tour.preparation.wait()
    settings = [
        f"extra-substituters = http://$gateway:{tour.cache.port}",
        f"extra-trusted-public-keys = {tour.cache.key}",
        # An emulated server on a busy machine may be silent for long, and would give up a cache that is there.
        *("connect-timeout = 300", "stalled-download-timeout = 300", "http-connections = 6"),
        # To fetch a small file is less work, there, than to build it.
        "always-allow-substitutes = true",
    ]
    lines = [
        "set -eu",
        "gateway=$(ip -4 route show default | cut -d ' ' -f 3)",
        "mkdir -p ~/.config/nix ~/.config/nivalis",
        *("cat >~/.config/nix/nix.conf <<END", *settings, "END"),
        f"""echo '{{"mirrors": ["http://'$gateway':{tour.mirror.port}/debian"]}}' >~/.config/nivalis/debian.json""",
    ]
    tour.server.run("\n".join(lines), "")
    tour.stage.show.say("The server has been told of a signed cache on this machine (`nivalis cache serve`), and of this machine's mirrors.")


def upgrade(tour: Tour) -> None:
    stage, server = tour.stage, tour.server
    connect(tour)
    before = server.run("nixos-version", "").output.strip()
    switched = server.run("nixos-rebuild switch --upgrade")
    stage.show.seen(_telling(switched.said))
    now, toplevel = server.run("nixos-version; readlink -f /run/current-system", "").output.split()
    _expect(toplevel == _real(stage, "next"), f"it runs another system than was built here: {toplevel}", switched.log)
    _expect_generation(server, 2)
    copied = len(re.findall("^copying path", switched.said, re.MULTILINE))
    stage.show.good(f"from {before} to {now}: {copied} paths from the cache, and the very system that was built here")


def serve_page(tour: Tour) -> None:
    stage, server = tour.stage, tour.server
    if tour.is_short:
        connect(tour)
    stage.show.command(f"ssh root@{server.ports[22].address} $EDITOR /etc/nixos/configuration.nix")
    stage.show.seen(_WEB)
    write = f"cat >/etc/nixos/configuration.nix <<'END'\n{_WEB}END\nmkdir -p /srv/www\necho {_PAGE} >/srv/www/index.html"
    server.run(write, f"'mkdir -p /srv/www; echo {_PAGE} >/srv/www/index.html'")
    switched = server.run("nixos-rebuild switch")
    stage.show.seen(_telling(switched.said))
    _expect(re.search(r"^copying path \S+-lighttpd-\S+ from 'http", switched.said, re.MULTILINE), "lighttpd is not from the cache", switched.log)
    _expect_generation(server, tour.with_page)
    stage.show.good(f"generation {tour.with_page}; lighttpd is from the signed cache")


def open_it(tour: Tour) -> None:
    _expect_page(tour)


def roll_back(tour: Tour) -> None:
    stage, server = tour.stage, tour.server
    stage.show.say("With the network cut: what the server's firewall policy lets out is taken away.")
    rules = json.loads(stage.run("brightbox", "firewall-rules", "list", "--json", shown="").output)
    (way_out,) = [rule["id"] for rule in rules if rule["destination"] == "any" and not rule["source"]]
    stage.run("brightbox", "firewall-rules", "destroy", way_out)
    assert tour.cache is not None
    reach = f"timeout 20 bash -c 'exec 3<>/dev/tcp/'$(ip -4 route show default | cut -d ' ' -f 3)/{tour.cache.port} && echo reached"
    asked = server.run(reach, "", is_good=lambda status: True)
    _expect("reached" not in asked.output, "the server still reaches the cache", asked.log)
    switched = server.run("nixos-rebuild switch --rollback")
    stage.show.seen(_telling(switched.said))
    for words in (f"switching from generation {tour.with_page} to {tour.with_page - 1}", "removing user ‘lighttpd’", "lighttpd.service"):
        _expect(words in switched.said, f"the rollback does not say `{words}`", switched.log)
    _expect(not re.search(r"^(building '|copying path)", switched.said, re.MULTILINE), "the rollback builds or fetches", switched.log)
    _expect_generation(server, tour.with_page - 1)
    _expect_no_page(tour)
    policy = _find(r"fwp-\w{5}", stage.run("brightbox", "firewall-policies", "list", shown="").output)
    stage.run("brightbox", "firewall-rules", "create", policy, "-d", "any")


def switch_again(tour: Tour) -> None:
    switched = tour.server.run("nixos-rebuild switch")
    tour.stage.show.seen(_telling(switched.said))
    _expect_page(tour)
    tour.stage.show.good("/srv/www/index.html is still there")


def choose_older(tour: Tour) -> None:
    stage, server = tour.stage, tour.server
    before = server.run("cat /proc/sys/kernel/random/boot_id; readlink -f /nix/var/nix/profiles/system-1-link", "").output.split()
    entry = server.choose(1)
    stage.show.good(f"chosen in the menu: {re.sub('>$', '…', entry)}")
    server.wait(lambda boot: boot != before[0])
    now = server.run("readlink -f /run/booted-system; uname -r; nixos-version", "uname -r\nnixos-version").output.split()
    stage.show.seen("\n".join(now[1:]))
    _expect(now[0] == before[1], f"it has booted another system than that of generation 1: {now[0]}", server.console)
    _expect_generation(server, tour.with_page)
    stage.show.good(f"the server runs what it was made with; the next boot is generation {tour.with_page}'s")


# ---------------------------------------------------------------------------------------------------- looking


def _expect(is_so: object, what: str, place: Path) -> None:
    if not is_so:
        raise TourError(what, where=str(place))


def _expect_generation(server: Server, number: int) -> None:
    listed = server.run("nixos-rebuild list-generations --json", "")
    current = [row["generation"] for row in json.loads(listed.output) if row["current"]]
    _expect(current == [number], f"the current generation is {current}, and not {number}", listed.log)


def _expect_page(tour: Tour) -> None:
    server = tour.server
    tour.stage.show.command(f"curl {server.address}")
    found: str | None = None

    def is_there() -> bool:
        nonlocal found
        found = open_page(server.address, 60)
        return found == f"{_PAGE}\n"

    with tour.stage.show.waiting(f"opening {server.address}"):
        _expect(wait_until(is_there, _PATIENCE), f"the page is not there, but {found!r}", server.console)
    tour.stage.show.seen(_PAGE)
    tour.stage.show.good("the page, through the Cloud IP")


def _expect_no_page(tour: Tour) -> None:
    server = tour.server
    tour.stage.show.command(f"curl {server.address}")
    _expect(open_page(server.address, _SILENCE) is None, "the page is still there", server.console)
    seen = server.run("ss -Hltn 'sport = :80'; id lighttpd 2>&1; ls /srv/www", "", is_good=lambda status: True)
    _expect(":80" not in seen.output and "no such user" in seen.output, "lighttpd is still there", seen.log)
    _expect("index.html" in seen.output, "/srv/www/index.html is gone", seen.log)
    tour.stage.show.good("nobody answers: the port is blocked, lighttpd and its user are gone")


def _telling(said: str) -> str:
    """The lines of a switch that a user reads."""
    return "\n".join(line for line in said.splitlines() if _TELLING.search(line))


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise TourError(f"there is no `{pattern}` in what the command says", where=text.strip())
    return found[1] if found.re.groups else found[0]


def _real(stage: Stage, link: str) -> str:
    """The store path that a result of nix-build leads to."""
    place = str((stage.home / link).resolve())
    return place.removeprefix(str(stage.root))


_FIRST = (
    Step(3, "The image, by nix-build", build_image),
    Step(4, "Upload it to the image library", upload),
    Step(5, "Register it", register),
    Step(6, "A server, a Cloud IP, root by ssh", create),
    Step(7, "What the server knows of itself", look),
)
_PAGES = (
    Step(9, "A web server, by two lines", serve_page),
    Step(10, "The page", open_it),
    Step(11, "Roll back", roll_back),
)
FULL = (
    Step(1, "A cloud, and Debian as a channel", begin),
    Step(2, "Write a system", write_system),
    *_FIRST,
    Step(8, "Bring it up to date", upgrade),
    *_PAGES,
    Step(12, "And forward again", switch_again),
    Step(13, "An older generation, from the boot menu", choose_older),
)
SHORT = (FULL[0], *_FIRST, *_PAGES)
