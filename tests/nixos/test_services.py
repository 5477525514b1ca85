"""Services, the firewall and containers: what their options become, and what they refuse.  That it works is for `test_services_machines`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import oracle
from nixos_systems import NIXOS, Systems


def box(text: str) -> str:
    return f"{{ pkgs, lib, config, ... }}: {{ imports = [ {{ boot.isContainer = true; }} ]; {text} }}"


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


# ---------------------------------------------------------------------------------------------------- the firewall


def table(systems: Systems, text: str, name: str = "nixos-fw") -> str:
    return str(systems.eval(box(text), f'config.networking.nftables.tables."{name}".content'))


def chain(content: str, name: str) -> list[str]:
    found = re.search(rf"^chain {name} {{\n((?:  .*\n)*)}}", content, re.MULTILINE)
    assert found is not None, content
    return [line.strip() for line in found[1].splitlines()]


def test_nothing_is_open_unless_it_is_declared(systems: Systems) -> None:
    content = table(systems, "")
    assert chain(content, "input") == [
        "type filter hook input priority filter; policy drop;",
        'iifname { "lo" } accept comment "trusted interfaces"',
        "ct state vmap { invalid : drop, established : accept, related : accept, new : jump input-allow, untracked : jump input-allow }",
        'tcp flags & (fin | syn | rst | ack) == syn log level info prefix "refused connection: "',
    ]
    assert chain(content, "input-allow") == [
        'icmp type echo-request accept comment "ping"',
        "icmpv6 type != { nd-redirect, 139 } accept",
        'ip6 daddr fe80::/64 udp dport 546 accept comment "DHCPv6"',
    ]
    assert "fib saddr . mark . iif oif exists accept" in chain(content, "rpfilter") and "forward" not in content


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ("allowedTCPPorts = [ 443 80 80 ];", "tcp dport { 80, 443 } accept"),
        ("allowedUDPPorts = [ 53 ];", "udp dport { 53 } accept"),
        ("allowedTCPPortRanges = [ { from = 8000; to = 8010; } ];", "tcp dport { 8000-8010 } accept"),
        # nft refuses what overlaps.
        (
            "allowedTCPPorts = [ 80 82 90 ]; allowedTCPPortRanges = [ { from = 70; to = 81; } { from = 75; to = 78; } ];",
            "tcp dport { 70-82, 90 } accept",
        ),
        ("interfaces.eth1.allowedTCPPorts = [ 5432 ];", 'iifname "eth1" tcp dport { 5432 } accept'),
        ("interfaces.eth1.allowedUDPPortRanges = [ { from = 1; to = 2; } ];", 'iifname "eth1" udp dport { 1-2 } accept'),
        ('pingLimit = "1/second burst 5 packets";', 'icmp type echo-request limit rate 1/second burst 5 packets accept comment "ping"'),
        ('extraInputRules = "ip saddr 192.0.2.0/24 accept\\ntcp dport 9 drop";', "tcp dport 9 drop"),
    ],
)
def test_what_opens_the_firewall(systems: Systems, options: str, rule: str) -> None:
    assert rule in chain(table(systems, f"networking.firewall = {{ {options} }};"), "input-allow")


@pytest.mark.parametrize(
    ("options", "name", "rule"),
    [
        ('trustedInterfaces = [ "wg0" ];', "input", 'iifname { "wg0", "lo" } accept comment "trusted interfaces"'),
        ("rejectPackets = true;", "input", "meta l4proto tcp reject with tcp reset"),
        ("logRefusedPackets = true;", "input", 'pkttype host log level info prefix "refused packet: "'),
        ("logRefusedPackets = true; logRefusedUnicastsOnly = false;", "input", 'pkttype multicast log level info prefix "refused multicast: "'),
        ('checkReversePath = "loose";', "rpfilter", "fib saddr . mark oif exists accept"),
        ("logReversePathDrops = true;", "rpfilter", 'log level info prefix "rpfilter drop: "'),
        ('filterForward = true; extraForwardRules = "iifname \\"wg0\\" accept";', "forward-allow", 'iifname "wg0" accept'),
    ],
)
def test_how_the_firewall_does_it(systems: Systems, options: str, name: str, rule: str) -> None:
    assert rule in chain(table(systems, f"networking.firewall = {{ {options} }};"), name)


def test_the_firewall_can_be_without(systems: Systems) -> None:
    content = table(systems, "networking.firewall = { checkReversePath = false; logRefusedConnections = false; allowPing = false; };")
    assert "rpfilter" not in content and "log" not in content and "echo-request" not in content
    assert "firewall.service" not in systems.data(box("networking.firewall.enable = false;"))["units"]


def test_servers_open_their_ports(systems: Systems) -> None:
    assert "tcp dport { 2222 } accept" in chain(table(systems, "services.openssh = { enable = true; ports = [ 2222 ]; };"), "input-allow")
    closed = "services.openssh = { enable = true; openFirewall = false; }; services.lighttpd.enable = true;"
    assert not [rule for rule in chain(table(systems, closed), "input-allow") if "tcp" in rule]


def test_tables_come_in_one_transaction_and_are_reloaded(systems: Systems) -> None:
    one, other = (
        box("networking.firewall.allowedTCPPorts = [ 80 ];"),
        box('networking.nftables.tables.own = { family = "ip"; content = "chain a { }"; };'),
    )
    units = [systems.data(configuration)["units"]["firewall.service"] for configuration in (one, other)]
    assert units[0]["identity"] != units[1]["identity"] and {unit["onChange"] for unit in units} == {"reload"}
    text = systems.unit(one, "firewall.service")
    assert "Before=network-pre.target shutdown.target" in text and "DefaultDependencies=false" in text and "RemainAfterExit=true" in text
    (start,), (reload,) = (re.findall(rf"^{name}=(.*)$", text, re.MULTILINE) for name in ("ExecStart", "ExecReload"))
    assert start == reload


def test_translation_of_addresses(systems: Systems) -> None:
    nat = """networking.nat = { enable = true; internalInterfaces = [ "ve-+" ]; internalIPs = [ "10.0.0.0/8" ]; externalInterface = "eth0";
      forwardPorts = [ { sourcePort = "8000:8010"; destination = "10.0.0.2"; }
        { sourcePort = 53; proto = "udp"; destination = "10.0.0.3:5353"; } ]; };"""
    content = table(systems, nat, "nixos-nat")
    assert chain(content, "prerouting")[1:] == [
        'iifname "eth0" tcp dport 8000-8010 dnat to 10.0.0.2',
        'iifname "eth0" udp dport 53 dnat to 10.0.0.3:5353',
    ]
    assert chain(content, "postrouting")[1:] == ['iifname "ve-*" oifname "eth0" masquerade', 'ip saddr 10.0.0.0/8 oifname "eth0" masquerade']
    assert systems.data(box(nat))["kernel"]["sysctl"]["net.ipv4.ip_forward"] == "1"
    v6 = 'networking.nat = { enable = true; enableIPv6 = true; externalIPv6 = "fc00::1"; internalIPv6s = [ "fc01::/64" ]; };'
    assert chain(table(systems, v6, "nixos-nat6"), "postrouting")[1:] == ["ip6 saddr fc01::/64 snat to fc00::1"]


# ---------------------------------------------------------------------------------------------------- web servers


def test_lighttpd(systems: Systems) -> None:
    configuration = box("""services.lighttpd = { enable = true; port = 8080; document-root = "/srv/site"; mod_status = true; mod_userdir = true;
      enableModules = [ "mod_deflate" "mod_alias" ]; extraConfig = "server.max-connections = 5"; };""")
    unit = systems.unit(configuration, "lighttpd.service")
    assert re.search(r"ExecStart=/nix/store/\S+/sbin/lighttpd -D -f /nix/store/\S+-lighttpd.conf\n", unit) and "KillSignal=SIGINT" in unit
    data = systems.data(configuration)
    assert data["users"]["users"]["lighttpd"]["group"] == "lighttpd" and "lighttpd" in data["users"]["groups"]
    assert {"lighttpd", "lighttpd-mod-deflate"} <= set(data["packages"]) and data["units"]["lighttpd.service"]["onChange"] == "restart"
    assert "lighttpd" not in systems.data(box(""))["users"]["users"]
    other = systems.data(configuration.replace("8080", "8081"))["units"]
    assert [name for name in other if other[name]["identity"] != data["units"].get(name, {}).get("identity")] == ["lighttpd.service"]


NGINX = box("""services.nginx = { enable = true; recommendedGzipSettings = true; recommendedProxySettings = true; recommendedTlsSettings = true;
  upstreams.app.servers = { "127.0.0.1:1" = { }; "127.0.0.1:2" = { backup = true; weight = 3; }; };
  virtualHosts = {
    "example.org" = { default = true; root = "/srv/www"; serverAliases = [ "www.example.org" ];
      forceSSL = true; sslCertificate = "/c"; sslCertificateKey = "/k";
      locations = { "/app/" = { proxyPass = "http://app"; proxyWebsockets = true; };
        "~ \\\\.php$" = { priority = 500; return = 403; }; "/files".alias = "/srv/f"; }; };
    "old.example.org".globalRedirect = "example.org";
    inside = { listen = [ { addr = "127.0.0.1"; port = 81; } ]; basicAuth.alice = "secret"; extraConfig = "autoindex on;"; };
  }; };""")


def test_nginx(systems: Systems) -> None:
    text = flat(systems.etc(NGINX, "nginx/nginx.conf"))
    listens = "listen 0.0.0.0:80 default_server; listen [::0]:80 default_server;"
    assert f"server {{ {listens} server_name example.org www.example.org; location / {{ return 301 https://$host$request_uri; }} }}" in text
    assert "server { listen 0.0.0.0:443 default_server ssl http2; listen [::0]:443 default_server ssl http2; server_name example.org" in text
    assert "ssl_certificate /c; ssl_certificate_key /k;" in text and "location /files { alias /srv/f; }" in text
    assert text.index("location ~ \\.php$ { return 403; }") < text.index("location /app/ { proxy_pass http://app; proxy_http_version 1.1;")
    assert "upstream app { server 127.0.0.1:1; server 127.0.0.1:2 backup weight=3; }" in text
    assert "server_name old.example.org; location / { return 301 http://example.org$request_uri; }" in text
    assert "listen 127.0.0.1:81; server_name inside; auth_basic secured; auth_basic_user_file /nix/store/" in text and "autoindex on; }" in text
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text and "gzip on;" in text and text.count("{") == text.count("}")


def test_nginx_is_reloaded_for_its_configuration(systems: Systems) -> None:
    def unit(text: str) -> dict[str, object]:
        found = systems.data(text)["units"]["nginx.service"]
        assert isinstance(found, dict)
        return found

    one, other = unit(NGINX), unit(NGINX.replace("/srv/www", "/srv/other"))
    assert one["identity"] == other["identity"] and one["reloadTriggers"] != other["reloadTriggers"] and one["stopIfChanged"] is False
    restarted = NGINX.replace("enable = true;", "enable = true; enableReload = false;", 1)
    assert unit(restarted)["identity"] != unit(restarted.replace("/srv/www", "/srv/other"))["identity"]


# ---------------------------------------------------------------------------------------------------- PostgreSQL

POSTGRESQL = """services.postgresql = { enable = true; settings.max_connections = 7; settings.shared_buffers = "1'MB"; ensureDatabases = [ "a'b" ];
  ensureUsers = [ { name = "a'b"; ensureDBOwnership = true; ensureClauses = { createdb = true; login = false; }; } ];
  authentication = "host x x 192.0.2.0/24 trust"; };"""


def test_postgresql(systems: Systems) -> None:
    configuration = box(POSTGRESQL)
    assert systems.eval(configuration, "config.services.postgresql.dataDir") == "/var/lib/postgresql/15"
    unit = systems.unit(configuration, "postgresql.service")
    assert re.search(r"ExecStart=/nix/store/\S+-postgresql-15-\S+/usr/lib/postgresql/15/bin/postgres\n", unit) and "Type=notify" in unit
    assert "StateDirectory=postgresql postgresql/15\n" in unit and 'Environment="PGDATA=/var/lib/postgresql/15"' in unit
    rules = str(systems.eval(configuration, "config.services.postgresql.authentication")).splitlines()
    assert rules[0] == "host x x 192.0.2.0/24 trust" and "local all all peer" in rules
    script = str(systems.eval(configuration, "config.systemd.services.postgresql-setup.script"))
    assert (
        """where datname = '"'"'a'"'"''"'"'b'""" in script.replace("'\\''", "'\"'\"'")
        and 'create database "a' in script
        and "CREATEDB NOLOGIN" in script
    )


def test_declaring_a_database_restarts_nothing(systems: Systems) -> None:
    one, other = (systems.data(box(text))["units"] for text in (POSTGRESQL, POSTGRESQL.replace('[ "a\'b" ]', '[ "a\'b" "more" ]')))
    assert [name for name in one if one[name]["identity"] != other[name]["identity"]] == ["postgresql-setup.service"]


def test_the_version_of_databases_is_the_machines(systems: Systems) -> None:
    newer = box('services.postgresql.enable = true; system.stateVersion = "13";')
    assert systems.eval(newer, "config.services.postgresql.package.pname") == "postgresql-17"
    chosen = box('services.postgresql = { enable = true; package = pkgs.debian.postgresql-13; }; system.stateVersion = "99";')
    assert systems.eval(chosen, "config.services.postgresql.dataDir") == "/var/lib/postgresql/13"


# ---------------------------------------------------------------------------------------------------- containers

HOST = """boot.enableContainers = true; containers.web = { autoStart = true; privateNetwork = true;
  hostAddress = "10.1.0.1"; localAddress = "10.1.0.2/24";
  hostAddress6 = "fc00::1"; localAddress6 = "fc00::2";
  forwardPorts = [ { hostPort = 8080; containerPort = 80; } { hostPort = 53; protocol = "udp"; } ];
  bindMounts."/srv/www" = { hostPath = "/srv/my site"; isReadOnly = false; };
  config = { pkgs, ... }: { services.lighttpd.enable = true; environment.systemPackages = [ pkgs.curl ]; }; };"""


def test_containers(systems: Systems) -> None:
    data = systems.data(box(HOST))
    inner = str(systems.eval(box(HOST), "config.containers.web.path"))
    assert data["containers"] == {"web": {"system": inner}} and inner.endswith("-nixos-system-web-12.20231114")
    unit = data["units"]["container@web.service"]
    assert unit["wantedBy"] == ["multi-user.target"] and unit["onChange"] == "restart"
    text = systems.etc(box(HOST), "nixos-containers/web.conf")
    assert f"system={inner}\n" in text
    assert "--network-veth-extra=ve-web:eth0" in text and "'--bind=/srv/my site:/srv/www'" in text
    network = systems.etc(box(HOST), "systemd/network/40-ve-web.network")
    assert "Address=10.1.0.1/32\nAddress=fc00::1/128\n" in network and "Destination=10.1.0.2/32" in network and "Destination=fc00::2/128" in network
    rules = chain(table(systems, HOST, "nixos-containers"), "prerouting")
    assert rules[1:] == [
        "fib daddr type local ip daddr != 127.0.0.0/8 tcp dport 8080 dnat to 10.1.0.2:80",
        "fib daddr type local ip daddr != 127.0.0.0/8 udp dport 53 dnat to 10.1.0.2:53",
    ]
    assert "10.1.0.2 web.containers\n" in systems.etc(box(HOST), "hosts")


def test_a_containers_own_system(systems: Systems) -> None:
    inner = "config.containers.web.config"
    wanted = (
        f"[ {inner}.networking.hostName {inner}.boot.isContainer {inner}.services.lighttpd.enable {inner}.nix.enable {inner}.networking.useDHCP ]"
    )
    assert systems.eval(box(HOST), wanted) == ["web", True, True, False, False]
    network = str(systems.eval(box(HOST), f'{inner}.environment.etc."systemd/network/40-eth0.network".text'))
    assert "Address=10.1.0.2/24\nAddress=fc00::2/128\n" in network and "Gateway=10.1.0.1\nGatewayOnLink=true" in network
    shared = box('boot.enableContainers = true; containers.x.config.networking.hostName = "y";')
    assert systems.eval(shared, "with config.containers.x.config; [ networking.hostName systemd.network.enable ]") == ["y", False]
    # Given from elsewhere, it is not evaluated here.
    given = box('boot.enableContainers = true; containers.x.path = "/nix/var/nix/profiles/containers/x";')
    assert "system=/nix/var/nix/profiles/containers/x\n" in systems.etc(given, "nixos-containers/x.conf")


def test_what_starts_a_container_again(systems: Systems) -> None:
    def unit(text: str) -> tuple[object, object]:
        found = systems.data(box(text))["units"]["container@web.service"]
        return found["identity"], found["reloadTriggers"]

    base, other_system, other_mount = unit(HOST), unit(HOST.replace("pkgs.curl", "pkgs.bash")), unit(HOST.replace("my site", "site"))
    assert base[0] == other_system[0] and base[1] != other_system[1]
    assert base[0] != other_mount[0] and base[1] == other_mount[1]
    assert base != unit(HOST.replace('"10.1.0.2/24"', '"10.1.0.3/24"'))


# ---------------------------------------------------------------------------------------------------- all at once


def test_cppnix_makes_the_same_derivation(systems: Systems, tmp_path: Path) -> None:
    nix, reason = oracle.cppnix28()
    if nix is None:
        pytest.skip(reason)
    file = tmp_path / "configuration.nix"
    file.write_text(f"""{{ pkgs, lib, config, ... }}: {{
      imports = [ {{ {HOST} }} {{ {POSTGRESQL} }} ({NGINX}) ]; nix.enable = true; services.qemuGuest.enable = true; services.lighttpd.enable = true;
      networking.nat.enable = true; services.cron.systemCronJobs = [ "*/5 * * * mon root a" ];
    }}""")
    arguments = ["--arg", "configuration", str(file), "--arg", "snapshot", str(systems.snapshot)]
    answer = nix.instantiate([str(NIXOS), "-A", "system", *arguments], store=tmp_path / "cppnix")
    assert answer.status == 0, answer.stderr
    assert answer.stdout.split() == [systems.eval(str(file), "system.drvPath")]


# ---------------------------------------------------------------------------------------------------- smaller ones


@pytest.mark.parametrize(
    ("line", "calendar"),
    [
        ("*/5 * * * * root a", ["*-*-* *:0/5:00"]),
        ("0 8-18/2 1,15 jan-mar * root a", ["*-1..3-1,15 8..18/2:0:00"]),
        ("30 4 * * mon-fri,0 root a", ["Mon..Fri,Sun *-*-* 4:30:00"]),
        # Of a day of the month and one of the week, either is enough.
        ("0 0 13 * 5 root a", ["Fri *-*-* 0:0:00", "*-*-13 0:0:00"]),
        ("@daily root a b", ["*-*-* 0:0:00"]),
        ("  09 08 */2 * * root a", ["*-*-1/2 8:9:00"]),
    ],
)
def test_lines_of_crontab(systems: Systems, line: str, calendar: list[str]) -> None:
    configuration = box(f'services.cron.systemCronJobs = [ "{line}" ];')
    (name,) = [name for name in systems.data(configuration)["units"] if name.startswith("cron-") and name.endswith(".timer")]
    assert systems.unit(configuration, name) == "[Timer]\n" + "".join(f"OnCalendar={one}\n" for one in calendar)
    assert "User=root\n" in systems.unit(configuration, name.replace(".timer", ".service"))


def test_commands_of_cron_are_the_shells(systems: Systems) -> None:
    configuration = box("""services.cron.systemCronJobs = [ "* * * * * nobody echo \\"50%\\" $HOME" ];""")
    (name,) = [name for name in systems.data(configuration)["units"] if re.fullmatch(r"cron-.*\.service", name)]
    assert 'ExecStart=/bin/sh -c "echo \\"50%%\\" $$HOME"\n' in systems.unit(configuration, name)


def test_rotation_of_logs(systems: Systems) -> None:
    configuration = box("""services.logrotate.settings = { web = { files = [ "/a/*.log" "/b c" ]; frequency = "daily"; rotate = 3; compress = true;
      missingok = false; postrotate = "one\\ntwo"; }; "/var/log/x" = { size = "1M"; frequency = null; priority = 1; }; };""")
    text = str(systems.eval(configuration, "config.services.logrotate.configFile.text"))
    web = '"/a/*.log" "/b c" {\n  daily\n  compress\n  postrotate\n    one\n    two\n  endscript\n  rotate 3\n}\n'
    assert text == '"/var/log/x" {\n  size 1M\n}\n' + web
    assert "OnCalendar=hourly" in systems.unit(configuration, "logrotate.timer")
    assert "logrotate.service" not in systems.data(box(""))["units"] and "logrotate.service" in systems.data(NGINX)["units"]


def test_nix(systems: Systems) -> None:
    configuration = box("""nix = { enable = true; nrBuildUsers = 2; extraOptions = "keep-outputs = true"; trustedUsers = [ "root" "@sudo" ];
      settings = { substituters = [ "https://a" "https://b" ]; sandbox = "relaxed"; fallback = true; };
      gc = { automatic = true; dates = "weekly"; options = "--delete-older-than 30d"; }; };""")
    lines = systems.etc(configuration, "nix/nix.conf").splitlines()
    assert {"substituters = https://a https://b", "sandbox = relaxed", "fallback = true", "trusted-users = root @sudo", "keep-outputs = true"} <= set(
        lines
    )
    users = systems.data(configuration)["users"]
    assert users["groups"]["nixbld"] == {"gid": 30000, "members": ["nixbld1", "nixbld2"]} and users["users"]["nixbld2"]["uid"] == 30002
    assert "OnCalendar=weekly\n" in systems.unit(configuration, "nix-gc.timer") and "Persistent=true\n" in systems.unit(configuration, "nix-gc.timer")
    assert "nixbld" not in systems.data(box(""))["users"]["groups"]
    script = str(systems.eval(configuration, "config.systemd.services.nix-gc.script"))
    assert script == "exec nix-collect-garbage --delete-older-than 30d"


def test_the_guest_agent_waits_for_its_device(systems: Systems) -> None:
    configuration = box("services.qemuGuest.enable = true;")
    assert "BindsTo=dev-virtio\\x2dports-org.qemu.guest_agent.0.device\n" in systems.unit(configuration, "qemu-guest-agent.service")
    assert "dev-virtio\\x2dports-org.qemu.guest_agent.0.device.wants/qemu-guest-agent.service" in systems.files(configuration, "units")
    profile = '{ modulesPath, ... }: { imports = [ "${modulesPath}/profiles/qemu-guest.nix" ]; fileSystems."/".device = "/dev/vda1"; }'
    assert "virtio_net" in systems.eval(profile, "config.boot.initrd.availableKernelModules")


def test_commands_of_debian_are_explained(systems: Systems) -> None:
    assert "debian-commands" in systems.data(box(""))["packages"]
    assert "debian-commands" not in systems.data(box("environment.explainDebianCommands = false;"))["packages"]


# ---------------------------------------------------------------------------------------------------- what is refused

PLAIN = "boot.enableContainers = true; containers."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('networking.firewall.extraCommands = "iptables -A INPUT";', ["extraCommands", "extraInputRules", "networking.nftables.tables"]),
        ("networking.firewall.allowedTCPPorts = [ 70000 ];", ["networking.firewall.allowedTCPPorts", "16 bit"]),
        ("networking.firewall.allowedTCPPortRanges = [ { from = 2; to = 1; } ];", ["2 to 1"]),
        ("networking.nftables.enable = false;", ["networking.nftables.enable"]),
        ('networking.firewall.extraForwardRules = "accept";', ["filterForward"]),
        ('services.lighttpd = { enable = true; enableModules = [ "mod_nosuch" ]; };', ["enableModules", "mod_nosuch"]),
        ('services.nginx = { enable = true; virtualHosts.a.forceSSL = true; };', ["virtualHosts.\"a\"", "sslCertificate"]),
        ("services.nginx = { enable = true; virtualHosts.a = { addSSL = true; onlySSL = true; }; };", ["addSSL"]),
        ('services.nginx = { enable = true; virtualHosts.a.locations."/" = { root = "/a"; alias = "/b"; }; };', ["locations.\"/\"", "alias"]),
        ("services.nginx = { enable = true; virtualHosts.a.default = true; virtualHosts.b.default = true; };", ["default"]),
        ('services.postgresql = { enable = true; ensureUsers = [ { name = "x"; ensureDBOwnership = true; } ]; };', ["`x`", "ensureDatabases"]),
        ('services.postgresql.enable = true; system.stateVersion = "8";', ['"8"', "services.postgresql.package"]),
        ('services.postgresql.extraConfig = "a";', ["extraConfig", "services.postgresql.settings"]),
        (f'{PLAIN}a_b = {{ }};', ["a_b", "letters"]),
        (f"{PLAIN}a-very-long-name.privateNetwork = true;", ["a-very-long-name", "12 letters"]),
        (f'{PLAIN}a.hostAddress = "10.0.0.1";', ["`containers.a`", "privateNetwork"]),
        (f'{PLAIN}a = {{ privateNetwork = true; hostBridge = "br0"; hostAddress = "10.0.0.1"; }};', ["hostBridge"]),
        (f"{PLAIN}a.forwardPorts = [ {{ hostPort = 80; }} ];", ["localAddress"]),
        (f"{PLAIN}a.config.services.nosuch.enable = true;", ["containers.a", "services.nosuch"]),
        ('services.cron.systemCronJobs = [ "* * * root a" ];', ["five fields", "* * * root a"]),
        ('services.cron.systemCronJobs = [ "61 * * * * root a" ];', ["`61` is no minute"]),
        ('services.cron.systemCronJobs = [ "@reboot root a" ];', ["@reboot", "systemd.services"]),
        ("nix.gc.automatic = true;", ["nix.gc.automatic", "nix.enable"]),
        ('networking.nat = { enable = true; dmzHost = "10.0.0.1"; };', ["externalInterface"]),
    ],
)  # fmt: skip
def test_errors(systems: Systems, text: str, words: list[str]) -> None:
    error = systems.fail(box(text))
    told = f"{error}\n{error.hint or ''}"
    assert [word for word in words if word not in told] == [], told


def test_a_port_may_have_two_servers(systems: Systems) -> None:
    """As in NixOS: which of them gets it is not known from the configuration."""
    both = box("services.nginx.enable = true; services.lighttpd.enable = true;")
    assert str(systems.eval(both, "system.drvPath")).endswith(".drv")
    assert json.loads(systems.eval(both, "builtins.toJSON (map (one: one.assertion) config.assertions)")).count(False) == 0
