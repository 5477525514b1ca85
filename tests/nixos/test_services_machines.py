"""Services in machines of the real archive, talked to: from inside, and over the network from a place of its own outside.

Only with NIVALIS_DEBIAN, see `nixos_machines`.  A machine goes from configuration to configuration by its own `switch-to-configuration`, as it
would by `nixos-rebuild`, so each test says what it needs and leaves the rest as it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nixos_machines import Container, Factory, open_factory

ADDRESS, OUTSIDE = "10.77.0.2", "10.77.0.1"
BASE = """
  boot.isContainer = true;
  networking = { hostName = "box"; interfaces = {
    eth0.ipv4.addresses = [ { address = "10.77.0.2"; prefixLength = 24; } ];
    eth1.ipv4.addresses = [ { address = "10.88.0.2"; prefixLength = 24; } ];
  }; };
  environment.systemPackages = [ pkgs.socat pkgs.curl ];
"""
# What answers with what it hears, whatever the firewall thinks of it.
ECHO = """
  systemd.services = lib.listToAttrs (map (address: {
    name = "echo-${builtins.replaceStrings [ ":" ] [ "-" ] address}";
    value = { wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "${pkgs.socat}/bin/socat ${address},fork EXEC:cat"; };
  }) [ "TCP-LISTEN:7000" "TCP-LISTEN:7001" "TCP-LISTEN:7002" "UDP-LISTEN:5353" "UDP-LISTEN:5354" ]);
  networking.firewall = { allowedTCPPorts = [ 80 8080 7001 ]; allowedUDPPorts = [ 5353 ]; interfaces.eth1.allowedTCPPorts = [ 7002 ]; };
"""
WEB = """
  services.lighttpd = { enable = true; document-root = "/srv/www"; mod_status = true; enableModules = [ "mod_deflate" ];
    extraConfig = ''deflate.mimetypes = ( "text/" )''; };
  services.nginx = { enable = true; defaultHTTPListenPort = 8080; recommendedGzipSettings = true; recommendedProxySettings = true; statusPage = true;
    additionalModules = [ pkgs.debian.libnginx-mod-http-fancyindex ];
    virtualHosts.box = { default = true; root = "/srv/www";
      locations = { "/lighttpd/".proxyPass = "http://127.0.0.1:80/"; "/word".return = "200 one";
        "/list/" = { alias = "/srv/www/"; index = "none"; extraConfig = "fancyindex on;"; }; }; }; };
"""
DATABASE = """
  services.postgresql = { enable = true; enableTCPIP = true; ensureDatabases = [ "shop" ];
    ensureUsers = [ { name = "shop"; ensureDBOwnership = true; } ];
    initialScript = pkgs.writeText "initial.sql" "create table first (x int); insert into first values (7);";
    authentication = "host shop shop 10.77.0.0/24 trust"; };
  users.users.shop = { isNormalUser = true; };
  services.cron.systemCronJobs = [ "0 0 1 1 * shop echo 50% $(id -un) > /tmp/cronned" ];
"""
# Runs outside: prints what an address answers, or why it does not.
PROBE = """
import os, socket, struct, sys
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
# An echo request, its sum, and a number that no earlier one had: a firewall lets the same go on for half a minute.
number = os.getpid() % 0xf000
ping = struct.pack("!BBHHH", 8, 0, 0xffff - 0x800 - number, number, 0)
one = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0), "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMP)}[kind]
with socket.socket(socket.AF_INET, *one) as s:
    s.settimeout(2)
    try:
        s.connect((host, port))
        s.send(ping if kind == "icmp" else b"hello")
        print(s.recv(100)[-5:].decode("latin-1") if kind != "icmp" else "pong" if s.recv(100)[20] == 0 else "other")
    except TimeoutError:
        print("silence")
    except ConnectionRefusedError:
        print("refused")
"""


class Network:
    """A network namespace that stands for the world outside, with a link to a container for each of its addresses' networks."""

    def __init__(self, container: Container) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        for number, address in enumerate(("10.77.0.1/24", "10.88.0.1/24")):
            name = f"out{number}"
            self._wait_for_namespace()
            self.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"eth{number}", "netns", str(container.leader))
            self.run("ip", "address", "add", address, "dev", name)
            self.run("ip", "link", "set", name, "up")
        self.container = container

    def _wait_for_namespace(self) -> None:
        """`unshare` starts as a process of this one's namespace."""
        here = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self._holder.pid}/ns/net").readlink() == here:
            time.sleep(0.01)

    def command(self, *words: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--", *words]

    def run(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()

    def probe(self, kind: str, port: int = 0, host: str = ADDRESS) -> str:
        return self.run(sys.executable, "-c", PROBE, kind, host, str(port))

    def get(self, address: str) -> str:
        """What an address of the web answers."""
        text = "import sys, urllib.request as r; print(r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=10).read().decode())"
        return self.run(sys.executable, "-c", text, address)

    def wait(self) -> None:
        """Until the machine's interfaces have their addresses."""
        deadline = time.monotonic() + 60
        while self.probe("icmp") != "pong":
            assert time.monotonic() < deadline, self.container.run("ip address; networkctl; nft list ruleset", check=False)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class Machine:
    """A container, the world outside of it, and configurations that it is switched between."""

    def __init__(self, factory: Factory, folder: Path, configuration: str) -> None:
        self._factory = factory
        self.container = Container(factory, self._build(configuration), folder / "box")
        self.outside = Network(self.container)
        self.outside.wait()

    def _build(self, configuration: str) -> str:
        return self._factory.build(f"{{ pkgs, lib, ... }}: {{ imports = [ {{ {configuration} }} ]; }}")

    def run(self, script: str, check: bool = True) -> str:
        return self.container.run(script, check)

    def switch(self, configuration: str, status: int = 0) -> list[str]:
        """What a switch says."""
        said = self.run(f"exec 2>&1; {self._build(configuration)}/bin/switch-to-configuration test || echo status $?").splitlines()
        assert (said[-1:] == [f"status {status}"]) == (status != 0), said
        return said

    def pid(self, unit: str) -> str:
        return self.run(f"systemctl show --value --property=MainPID {unit}")

    def close(self) -> None:
        self.outside.close()
        self.container.stop()


ALL = BASE + ECHO + WEB + DATABASE


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    with open_factory(tmp_path_factory.mktemp("root")) as made:
        yield made


@pytest.fixture(scope="module")
def running(factory: Factory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(factory, tmp_path_factory.mktemp("machines"), ALL)
    machine.run("mkdir -p /srv/www; echo hello > /srv/www/index.html")
    yield machine
    machine.close()


@pytest.fixture
def box(running: Machine) -> Machine:
    """The machine with all of it, whatever a test before has made of it."""
    running.switch(ALL)
    return running


# ---------------------------------------------------------------------------------------------------- web servers and databases


def test_all_of_it_comes_up(running: Machine) -> None:
    assert running.run("systemctl is-system-running") == "running", running.run("systemctl --failed; journalctl -b -p err --no-pager")


def test_lighttpd_serves(box: Machine) -> None:
    assert box.outside.get(f"http://{ADDRESS}/") == "hello"
    assert "Uptime" in box.outside.get(f"http://{ADDRESS}/server-status?auto")
    assert "deflate<br" in box.run("curl -s localhost/server-config")
    assert box.run("curl -s 'http://[::1]/'") == "hello"
    assert box.run("ps -o user= -p $(systemctl show --value -p MainPID lighttpd)") == "lighttpd"


def test_nginx_serves_and_passes_on(box: Machine) -> None:
    assert box.outside.get(f"http://{ADDRESS}:8080/") == "hello"
    assert box.outside.get(f"http://{ADDRESS}:8080/lighttpd/") == "hello"
    assert "index.html" in box.outside.get(f"http://{ADDRESS}:8080/list/")
    assert "Active connections" in box.run("curl -s localhost:8080/nginx_status")
    assert box.run("ps -o user= -p $(systemctl show --value -p MainPID nginx)") == "nginx"


def _wait_for_word(box: Machine, word: str) -> None:
    """nginx's old workers answer until the new ones do."""
    deadline = time.monotonic() + 300
    while box.outside.get(f"http://{ADDRESS}:8080/word") != word:
        assert time.monotonic() < deadline


def test_nginx_is_reloaded(box: Machine) -> None:
    before = box.pid("nginx")
    assert box.switch(ALL.replace("200 one", "200 two")) == [
        "activating the configuration...",
        "setting up /etc...",
        "reloading the following units: nginx.service",
    ]
    _wait_for_word(box, "two")
    assert box.pid("nginx") == before


def test_a_configuration_that_nginx_refuses(box: Machine) -> None:
    before = box.pid("nginx")
    said = box.switch(ALL.replace("statusPage = true;", 'appendHttpConfig = "nonsense;";'), status=3)
    assert "reloading the following units: nginx.service" in said
    _wait_for_word(box, "one")
    assert box.pid("nginx") == before


def test_logs_are_rotated(box: Machine) -> None:
    (command,) = box.run("sed -n 's/^ExecStart=//p' /etc/systemd/system/logrotate.service").splitlines()
    box.outside.get(f"http://{ADDRESS}:8080/word")
    box.run(f"{command.replace('--state /var/lib', '--force --state /tmp')}")
    box.outside.get(f"http://{ADDRESS}:8080/")
    lines = [box.run(f"tail -n 1 /var/log/nginx/{name} | cut -d' ' -f7") for name in ("access.log.1", "access.log")]
    assert lines == ["/word", "/"]
    box.run("systemctl start logrotate")


def test_postgresql_answers(box: Machine) -> None:
    assert box.run("runuser -u postgres -- psql -tAc 'select 1'") == "1"
    assert box.run("psql -U postgres -tAc 'select x from first'") == "7"
    assert box.run("runuser -u shop -- psql -tAc 'select current_user'") == "shop"
    assert box.run("psql -h 10.77.0.2 -U shop shop -tAc 'select 2'") == "2"
    assert "no pg_hba.conf entry" in box.run("psql -h 10.88.0.2 -U shop shop -tAc 'select 2'", check=False)
    assert "Peer authentication failed" in box.run("runuser -u nobody -- psql -U postgres -tAc 'select 1'", check=False)


def test_a_further_database_restarts_no_server(box: Machine) -> None:
    before = box.pid("postgresql")
    said = box.switch(ALL.replace('ensureDatabases = [ "shop" ]', 'ensureDatabases = [ "shop" "more" ]'))
    assert said[0] == "stopping the following units: postgresql-setup.service" and not any("postgresql.service" in line for line in said)
    assert box.run("psql -U postgres -tAc \"select count(*) from pg_database where datname = 'more'\"") == "1"
    assert box.pid("postgresql") == before


def test_data_outlive_their_server(box: Machine) -> None:
    box.run("psql -U postgres shop -qc 'create table if not exists kept (x int)'")
    said = box.switch(BASE + ECHO)
    assert {"removing user ‘lighttpd’", "removing group ‘lighttpd’", "removing user ‘postgres’", "removing user ‘nginx’"} <= set(said)
    assert box.run("getent passwd lighttpd postgres nginx", check=False) == ""
    assert box.outside.probe("tcp", 80) == "refused"
    box.switch(ALL)
    assert box.outside.get(f"http://{ADDRESS}/") == "hello"
    assert box.run("runuser -u postgres -- psql shop -tAc 'select count(*) from kept'") == "0"


def test_lines_of_crontab_run(box: Machine) -> None:
    (timer,) = [line.split()[0] for line in box.run("systemctl list-units --plain --no-legend 'cron-*.timer'").splitlines()]
    box.run(f"systemctl start {timer.replace('.timer', '.service')}")
    assert box.run("cat /tmp/cronned") == "50% shop"


# ---------------------------------------------------------------------------------------------------- what every machine has

# A server of names that knows the same address for each.
NAMES = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("10.77.0.1", 53))
    print("up", flush=True)
    while True:
        asked, sender = s.recvfrom(512)
        end = asked.index(0, 12) + 5
        has = asked[end - 4 : end - 2] == b"\\0\\1"
        answer = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 55]) if has else b""
        s.sendto(asked[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([has]) + bytes(4) + asked[12:end] + answer, sender)
"""


def test_names_are_asked_for(box: Machine) -> None:
    with subprocess.Popen(box.outside.command(sys.executable, "-c", NAMES), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == "up\n"
            box.switch(ALL + 'networking.nameservers = [ "10.77.0.1" ];')
            assert box.run("getent ahostsv4 web.example.org | head -1 | cut -d' ' -f1") == "192.0.2.55"
            assert "nameserver 127.0.0.53" in box.run("cat /etc/resolv.conf")
        finally:
            server.kill()


def test_people_log_in(box: Machine) -> None:
    """By a key and by a password that are declared, with what is declared for them."""
    box.run("test -e /root/key || ssh-keygen -q -t ed25519 -N '' -f /root/key")
    key = box.run("cat /root/key.pub")
    said = box.switch(
        ALL
        + f"""
        services.openssh.enable = true;
        users.users.guest = {{ isNormalUser = true; password = "secret"; openssh.authorizedKeys.keys = [ "{key}" ]; }};
        security.pam.loginLimits = [ {{ domain = "guest"; type = "-"; item = "nofile"; value = "1234"; }} ];
        environment.variables.MINE = "mine";
        security.sudo.extraRules = [ {{ users = [ "guest" ]; commands = [ {{ command = "/usr/bin/id"; options = [ "NOPASSWD" ]; }} ]; }} ];
        """
    )
    assert "sshd.service" in said[-1]
    ssh = "ssh -i /root/key -o StrictHostKeyChecking=accept-new -o LogLevel=ERROR -o BatchMode=yes"
    assert box.run(f"{ssh} guest@localhost 'id -un; ulimit -n; sudo -n id -u; sudo -n whoami 2>/dev/null || echo no'").split() == [
        "guest",
        "1234",
        "0",
        "no",
    ]
    assert "Permission denied" in box.run(f"{ssh} shop@localhost id", check=False)
    assert box.run("echo secret | runuser -u nobody -- su - guest -c 'echo $MINE; ulimit -n' 2>/dev/null").split() == ["mine", "1234"]
    assert "uthentication failure" in box.run("echo wrong | runuser -u nobody -- su guest -c id", check=False)


def test_routes_and_hosts(box: Machine) -> None:
    route = '{ address = "192.0.2.0"; prefixLength = 24; via = "10.77.0.1"; }'
    box.switch(
        f"""{ALL} imports = [ {{ networking = {{ interfaces.eth0.ipv4.routes = [ {route} ]; defaultGateway = "10.88.0.1";
        hosts."192.0.2.7" = [ "db" ]; }}; }} ];"""
    )
    deadline = time.monotonic() + 120
    while "via 10.77.0.1" not in box.run("ip route get 192.0.2.9", check=False) or "via 10.88.0.1" not in box.run(
        "ip route get 198.51.100.1", check=False
    ):
        assert time.monotonic() < deadline, box.run("ip route; networkctl status eth0", check=False)
        time.sleep(0.2)
    assert box.run("getent hosts db | cut -d' ' -f1") == "192.0.2.7" and box.outside.get(f"http://{ADDRESS}/") == "hello"


def test_the_bus_starts_who_is_asked(box: Machine) -> None:
    before = box.pid("dbus")
    # Trixie says that a socket could start it again.
    assert box.run("systemctl stop systemd-hostnamed 2>/dev/null; hostnamectl hostname; systemctl is-active systemd-hostnamed") == "box\nactive"
    assert "(null)" not in box.run("busctl --system call org.freedesktop.DBus / org.freedesktop.DBus GetId") and box.pid("dbus") == before


def test_the_journal_keeps_what_is_said(box: Machine) -> None:
    box.run("logger -t mine -- kept; journalctl --sync")
    assert box.run("journalctl -t mine -o cat") == "kept"
    assert box.run("ls /var/log/journal/$(cat /etc/machine-id)/system.journal")
    said = box.switch(ALL + 'services.journald.extraConfig = "MaxLevelStore=warning";')
    assert "restarting the following units: systemd-journald.service" in said, said
    box.run("logger -t mine -p user.info -- lost; logger -t mine -p user.err -- found; journalctl --sync")
    assert box.run("journalctl -t mine -o cat").split() == ["kept", "found"]


# ---------------------------------------------------------------------------------------------------- the firewall, from outside


@pytest.mark.parametrize(
    ("kind", "port", "host", "answer"),
    [
        ("tcp", 7001, ADDRESS, "hello"),
        ("tcp", 7000, ADDRESS, "silence"),
        ("tcp", 7002, ADDRESS, "silence"),
        ("tcp", 7002, "10.88.0.2", "hello"),
        ("tcp", 7000, "10.88.0.2", "silence"),
        ("tcp", 5432, ADDRESS, "silence"),
        ("udp", 5353, ADDRESS, "hello"),
        ("udp", 5354, ADDRESS, "silence"),
        ("icmp", 0, ADDRESS, "pong"),
    ],
)
def test_what_is_reached_from_outside(box: Machine, kind: str, port: int, host: str, answer: str) -> None:
    assert box.outside.probe(kind, port, host) == answer


def test_nothing_is_refused_within(box: Machine) -> None:
    assert box.run("echo hello | socat -t 1 - TCP:127.0.0.1:7000; echo hello | socat -t 1 - TCP:10.77.0.2:7000") == "hello\nhello"


def test_connections_outlive_a_reload(box: Machine) -> None:
    text = """
import socket, sys
s = socket.create_connection((sys.argv[1], 7001), timeout=10)
for line in sys.stdin:
    s.sendall(line.encode()); print(s.recv(100).decode(), end="", flush=True)
"""
    held = subprocess.Popen(box.outside.command(sys.executable, "-c", text, ADDRESS), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert held.stdin is not None and held.stdout is not None
    try:
        for configuration in (ALL, ALL.replace("80 8080 7001", "80 8080")):
            box.switch(configuration)
            held.stdin.write("still\n")
            held.stdin.flush()
            assert held.stdout.readline() == "still\n"
        # Nobody else gets in any more.
        assert box.outside.probe("tcp", 7001) == "silence"
    finally:
        held.kill()
        held.wait()
        held.stdin.close()
        held.stdout.close()


def test_rules_that_are_wrong_leave_those_that_are_there(box: Machine) -> None:
    before = box.run("nft list ruleset")
    said = box.switch(ALL.replace("networking.firewall = {", 'networking.firewall = { extraInputRules = "nonsense";'), status=3)
    assert "reloading the following units: firewall.service" in said
    assert box.run("nft list ruleset") == before and box.outside.probe("tcp", 7000) == "silence"


def test_refusing_aloud(box: Machine) -> None:
    box.switch(ALL.replace("networking.firewall = {", "networking.firewall = { rejectPackets = true; allowPing = false;"))
    assert [box.outside.probe("tcp", 7000), box.outside.probe("udp", 5354), box.outside.probe("tcp", 7001)] == ["refused", "refused", "hello"]
    assert box.outside.probe("icmp") != "pong"


def test_a_forged_sender_is_not_heard(box: Machine) -> None:
    """One that is behind the other interface."""
    send = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("10.88.0.9", 9))
    s.sendto(b"x", ("10.77.0.2", 5353))
"""
    box.outside.run("ip", "address", "replace", "10.88.0.9/32", "dev", "lo")
    count = "nft list table inet counting | grep -o 'packets [0-9]*'"
    counter = "chain in { type filter hook input priority -10; udp sport 9 counter; }"
    own = f'networking.nftables.tables.counting = {{ family = "inet"; content = "{counter}"; }};'
    box.switch(ALL + own)
    box.outside.run(sys.executable, "-c", send)
    assert box.run(count) == "packets 0"
    box.switch(ALL.replace("networking.firewall = {", "networking.firewall = { checkReversePath = false;") + own)
    box.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0")
    box.outside.run(sys.executable, "-c", send)
    assert box.run(count) == "packets 1"


def test_without_a_firewall_no_table_is_left(box: Machine) -> None:
    nft = box.run("readlink -f $(command -v nft)")
    box.run("nft add table inet foreign")
    assert "stopping the following units: firewall.service" in box.switch(ALL + "networking.firewall.enable = false;")
    assert box.run(f"{nft} list tables") == "table inet foreign" and box.outside.probe("tcp", 7000) == "hello"
    box.switch(ALL)
    assert box.run("nft list tables").splitlines() == ["table inet foreign", "table inet nixos-fw"]
    box.run("nft delete table inet foreign")


# ---------------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("apt install htop -y", "environment.systemPackages = [ pkgs.htop ];"),
        ("apt-get update", "nixos-rebuild switch --upgrade"),
        ("apt remove htop", "take pkgs.htop out"),
        ("dpkg -i ./x.deb", "[ pkgs.NAME ]"),
        ("dpkg -l", "nix-store -qR /run/current-system"),
        ("update-alternatives --config editor", "options"),
        ("sudo apt search web", "nivalis search web"),
    ],
)
def test_commands_of_debian_explain_themselves(box: Machine, command: str, answer: str) -> None:
    said = box.run(f"{command} > /tmp/out || echo status $?; cat /tmp/out")
    assert answer in said and "status 1" in said and "/etc/nixos/configuration.nix" in said


def test_a_declared_dpkg_is_dpkg(box: Machine) -> None:
    box.switch(ALL.replace("pkgs.curl ]", "pkgs.curl pkgs.debian.dpkg ]"))
    assert box.run("dpkg --version | head -1").startswith("Debian 'dpkg'")


# ---------------------------------------------------------------------------------------------------- containers

HOST = (
    BASE
    + """
  boot.enableContainers = true;
  systemd.tmpfiles.rules = [ "d /srv/inside 0755 root root -" "f /srv/inside/index.html 0644 root root - within" ];
  networking.nat = { enable = true; internalInterfaces = [ "ve-+" ]; externalInterface = "eth0"; };
  containers = {
    web = {
      autoStart = true; privateNetwork = true; hostAddress = "10.99.0.1"; localAddress = "10.99.0.2";
      forwardPorts = [ { hostPort = 8081; containerPort = 80; } ];
      bindMounts."/srv/www".hostPath = "/srv/inside";
      config = { pkgs, ... }: {
        services.lighttpd = { enable = true; document-root = "/srv/www"; };
        networking.firewall.allowedTCPPorts = [ 80 ];
        environment.systemPackages = [ pkgs.socat ];
      };
    };
    shared = { autoStart = true; config.services.lighttpd = { enable = true; port = 8082; }; };
    idle.config = { };
  };
"""
)


@pytest.fixture(scope="module")
def host(factory: Factory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(factory, tmp_path_factory.mktemp("hosts"), HOST)
    yield machine
    machine.close()


def inside(host: Machine, name: str, script: str) -> str:
    command = f"nsenter -t $(cat /proc/$(systemctl show --value -p MainPID container@{name})/task/*/children) -a /bin/bash -lc"
    return host.run(f"{command} {json.dumps(script)}")


def test_containers_start_with_their_host(host: Machine) -> None:
    assert host.run("systemctl is-system-running") == "running", host.run("systemctl --failed; journalctl -b -p err --no-pager")
    assert host.run("systemctl is-active container@web container@shared container@idle", check=False).split() == ["active", "active", "inactive"]
    assert inside(host, "web", "hostname; systemctl is-system-running --wait") == "web\nrunning"
    assert host.run("machinectl list --no-legend | cut -d' ' -f1").split() == ["shared", "web"]


def test_a_container_is_reached(host: Machine) -> None:
    assert host.run("curl -s --retry 5 --retry-connrefused http://web.containers/") == "within"
    assert host.outside.get(f"http://{ADDRESS}:8081/") == "within"
    assert host.run(f"curl -s http://{ADDRESS}:8081/") == "within"
    # It has this machine's network, and so this machine's firewall.
    assert "404" in host.run("curl -s http://localhost:8082/none")
    assert host.outside.probe("tcp", 8082) == "silence"


def test_a_container_reaches_the_outside(host: Machine) -> None:
    server = """
import socket
with socket.create_server(("10.77.0.1", 9000)) as s:
    print("up", flush=True)
    connection, address = s.accept()
    connection.sendall(address[0].encode())
    connection.close()
"""
    with subprocess.Popen(host.outside.command(sys.executable, "-c", server), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        assert inside(host, "web", "socat -T 5 - TCP:10.77.0.1:9000") == ADDRESS


def test_a_container_asks_whom_its_host_asks(host: Machine) -> None:
    assert (
        inside(host, "web", "cat /etc/resolv.conf")
        == inside(host, "shared", "cat /etc/resolv.conf")
        == host.run("cat /run/systemd/resolve/resolv.conf")
    )


def test_what_a_container_may_not(host: Machine) -> None:
    assert "Read-only" in inside(host, "web", "touch /srv/www/x 2>&1 || true") and "Read-only" in inside(
        host, "web", "touch /nix/store/x 2>&1 || true"
    )
    assert inside(host, "web", "ls /srv; ps -e | wc -l").splitlines()[0] == "www"


def test_a_container_is_switched_while_it_runs(host: Machine) -> None:
    before, other = host.pid("container@web"), host.pid("container@shared")
    said = host.switch(HOST.replace("allowedTCPPorts = [ 80 ]", "allowedTCPPorts = [ 80 81 ]"))
    assert said == ["activating the configuration...", "setting up /etc...", "reloading the following units: container@web.service"]
    root, system = host.run("readlink /nix/var/nix/gcroots/per-container/web; sed -n s/^system=//p /etc/nixos-containers/web.conf").split()
    assert root == system == inside(host, "web", "readlink /run/current-system")
    assert "80-81" in inside(host, "web", "nft list ruleset") and inside(host, "web", "systemctl show --value -p NRestarts lighttpd") == "0"
    assert (host.pid("container@web"), host.pid("container@shared")) == (before, other)


def test_a_container_with_another_mount_is_started_again(host: Machine) -> None:
    host.switch(HOST)
    before = host.pid("container@web")
    said = host.switch(
        HOST.replace('"/srv/www".hostPath', '"/srv/other".hostPath').replace('document-root = "/srv/www"', 'document-root = "/srv/other"')
    )
    assert "stopping the following units: container@web.service" in said
    assert host.pid("container@web") != before and host.run("curl -s --retry 5 --retry-connrefused http://web.containers/") == "within"


def test_a_container_by_hand(host: Machine) -> None:
    host.switch(HOST)
    host.run("systemctl start container@idle")
    assert inside(host, "idle", "systemctl is-system-running --wait") == "running"
    inside(host, "idle", "touch /var/kept; systemctl reboot")
    deadline = time.monotonic() + 60
    while host.run("systemctl show --value -p NRestarts container@idle") == "0":
        assert time.monotonic() < deadline, host.run("systemctl status container@idle", check=False)
        time.sleep(0.2)
    host.run("systemctl start container@idle")
    assert inside(host, "idle", "ls /var/kept") == "/var/kept"
    host.run("systemctl stop container@idle")


def test_one_container_of_several_goes(host: Machine) -> None:
    """Running by hand or not, and the others stay as they are."""
    host.switch(HOST)
    other = host.pid("container@web")
    host.run("systemctl start container@idle")
    without = "  ".join(line for line in HOST.splitlines(keepends=True) if not line.strip().startswith(("shared =", "idle.config")))
    said = host.switch(without)
    assert said[0].startswith("stopping the following units: container@idle.service, container@shared.service") and "failed" not in "".join(said)
    assert host.pid("container@web") == other
    host.switch(HOST)
    host.run("systemctl start container@idle")
    said = host.switch(HOST.replace("idle.config = { }", 'idle.config.environment.etc.new.text = "new"'))
    assert "reloading the following units: container@idle.service" in said and inside(host, "idle", "cat /etc/new") == "new"
    host.run("systemctl stop container@idle")


def test_a_container_that_is_not_declared_any_more_is_stopped(host: Machine) -> None:
    host.switch(HOST)
    assert host.switch(BASE)[0].startswith("stopping the following units: container@shared.service, container@web.service")
    assert host.run("ip link show ve-web 2>&1", check=False).endswith("does not exist.")
    assert host.run("ls /nix/var/nix/gcroots/per-container") == ""
    assert {"shared", "web"} <= set(host.run("ls /var/lib/nixos-containers").split())
    assert "container@web.service" in host.switch(HOST)[-1]
