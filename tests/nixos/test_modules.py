"""The core's modules: what options become, in units, in /etc and in system.json; what is refused; and that CppNix 2.8 makes the same of it."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import oracle
from nivalis.lang import EvalSettings, Evaluator, SearchEntry
from nivalis.store import Store, StoreLayout
from nixos_systems import CHANNEL, KERNEL, NIXOS, SYSTEM, Systems

CONTAINER = "{ boot.isContainer = true; }"
SERVER = """{ pkgs, ... }: {
  networking.hostName = "web1";
  fileSystems."/" = { device = "/dev/vda1"; fsType = "ext4"; };
  fileSystems."/srv data" = { label = "data"; fsType = "ext4"; options = [ "noatime" ]; depends = [ "/" ]; };
  swapDevices = [ { device = "/var/swap"; size = 512; priority = 5; } ];
  boot = {
    kernelParams = [ "console=ttyS0" ];
    kernelModules = [ "br_netfilter" ];
    blacklistedKernelModules = [ "pcspkr" ];
    extraModprobeConfig = "options loop max_loop=8";
    kernel.sysctl."vm.swappiness" = 10;
    loader.grub.device = "/dev/vda";
  };
  services.openssh = { enable = true; settings.PasswordAuthentication = false; };
  users.users.alice = { isNormalUser = true; extraGroups = [ "sudo" ]; openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAA alice" ]; };
  environment.systemPackages = [ pkgs.curl (pkgs.writeShellScriptBin "hi" "echo hi") ];
}"""


def container(text: str) -> str:
    return f"{{ pkgs, lib, config, ... }}: {{ imports = [ {{ boot.isContainer = true; }} ]; {text} }}"


# ---------------------------------------------------------------------------------------------------- as a whole


@pytest.mark.parametrize("configuration", [CONTAINER, SERVER], ids=["container", "server"])
def test_cppnix_makes_the_same_derivation(systems: Systems, configuration: str, tmp_path: Path) -> None:
    nix, reason = oracle.cppnix28()
    if nix is None:
        pytest.skip(reason)
    file = tmp_path / "configuration.nix"
    file.write_text(configuration)
    arguments = ["--arg", "configuration", str(file), "--arg", "snapshot", str(systems.snapshot)]
    answer = nix.instantiate([str(NIXOS), "-A", "system", *arguments], store=tmp_path / "cppnix")
    assert answer.status == 0, answer.stderr
    with Store.open(StoreLayout.under(tmp_path / "ours")) as store, Evaluator(store, EvalSettings(system=SYSTEM)) as evaluator:
        found = evaluator.eval(f"(import {NIXOS} {{ configuration = {file}; snapshot = {systems.snapshot}; }}).system.drvPath").to_python()
    assert answer.stdout.split() == [found]


def test_the_data_can_be_read_by_the_machine(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(NIXOS))
    data = importlib.import_module("target.data")
    server = data.System.from_json(systems.data(SERVER))
    assert (server.host_name, server.system, server.label) == ("web1", SYSTEM, "12.20231114")
    assert server.boot is not None and (server.boot.kind, server.boot.device, server.boot.serial) == ("grub", "/dev/vda", True)
    assert server.kernel is not None and server.kernel.version == KERNEL.removeprefix("linux-image-")
    assert server.kernel.params == ("console=ttyS0", "loglevel=4")
    assert (server.kernel.modules, server.kernel.blacklist, server.kernel.sysctl["vm.swappiness"]) == (("br_netfilter",), ("pcspkr",), "10")
    assert server.users["alice"].uid is None and not server.users["alice"].is_system and server.groups["sudo"].members == ("alice",)
    assert server.users["root"].uid == 0 and server.users["root"].shell == "/bin/bash" and server.groups["shadow"].gid == 42
    assert [mount.where for mount in server.mounts] == ["/", "/srv data"] and server.mounts[0].needed_for_boot
    assert server.swaps[0].options == ("pri=5",)
    assert server.packages["curl"].version == "1.0-1" and "hi" in server.packages
    assert set(server.paths) == {"sw", "etc", "python", "kernel", "initrd", "modules"}
    alone = data.System.from_json(systems.data(CONTAINER))
    assert alone.boot is None and set(alone.paths) == {"sw", "etc", "python"}
    for name in [name for name in sys.modules if name.partition(".")[0] == "target"]:
        del sys.modules[name]


def test_a_toplevel_has_its_programs(systems: Systems) -> None:
    files = systems.files(SERVER, "toplevel")
    assert {
        "init",
        "activate",
        "bin/switch-to-configuration",
        "sw",
        "etc",
        "kernel",
        "initrd",
        "kernel-params",
        "kernel-modules",
        "system.json",
    } <= set(files)
    assert files["init"]["text"].startswith("#!/nix/store/") and "-m target init @out@" in files["init"]["text"]
    assert files["nixos-version"]["text"] == "12.20231114" and files["kernel-params"]["text"] == "console=ttyS0 loglevel=4"
    assert systems.eval(SERVER, "system.name") == "nixos-system-web1-12.20231114"
    assert not {"kernel", "initrd", "kernel-params"} & set(systems.files(CONTAINER, "toplevel"))


def test_evaluation_is_fast(systems: Systems) -> None:
    """The goal is half a second on an idle machine, with a store; what is caught here is a change of kind."""
    start = time.process_time()
    with Evaluator(None, EvalSettings(system=SYSTEM)) as evaluator:
        evaluator.eval(f"(import {NIXOS} {{ configuration = {SERVER}; snapshot = {systems.snapshot}; }}).system.drvPath").to_python()
    assert time.process_time() - start < 3


def test_where_the_configuration_is_looked_for(systems: Systems, tmp_path: Path) -> None:
    one, other = tmp_path / "one.nix", tmp_path / "other.nix"
    one.write_text('{ boot.isContainer = true; networking.hostName = "one"; }')
    other.write_text('{ boot.isContainer = true; networking.hostName = "other"; }')
    text = f"(import {NIXOS} {{ snapshot = {systems.snapshot}; }}).config.networking.hostName"
    searched = (SearchEntry("nixos-config", str(other)),)
    with Evaluator(None, EvalSettings(system=SYSTEM, environment={"NIXOS_CONFIG": str(one)}, search_path=searched)) as evaluator:
        assert evaluator.eval(text).to_python() == "one"
    with Evaluator(None, EvalSettings(system=SYSTEM, search_path=searched)) as evaluator:
        assert evaluator.eval(text).to_python() == "other"
    with Evaluator(None, EvalSettings(system=SYSTEM)) as evaluator, pytest.raises(Exception, match="NIXOS_CONFIG"):
        evaluator.eval(text).to_python()


# ---------------------------------------------------------------------------------------------------- every option


def test_every_option_is_documented(systems: Systems) -> None:
    """Each says what it is; and has an example, and a default or is asked for."""
    text = """let all = lib.optionAttrSetToDocList (removeAttrs options [ "_module" ]); in builtins.toJSON (map (one: {
      inherit (one) name type description; hasExample = one ? example; example = one.example.text or ""; default = one.default.text or ""; })
      (builtins.filter (one: one.visible && !lib.hasInfix "_freeformOptions" one.name && !lib.hasInfix "_module" one.name) all))"""
    found = json.loads(systems.eval(CONTAINER, text))
    assert len(found) > 400
    without: dict[str, list[str]] = {}
    for one in found:
        if not one["description"]:
            without.setdefault("description", []).append(one["name"])
        if one["type"] == "unspecified" and not one["name"].startswith(("assertions", "meta.", "services.openssh.p")):
            without.setdefault("type", []).append(one["name"])
        if not one["hasExample"] and not str(one["description"]).startswith("Alias of"):
            without.setdefault("example", []).append(one["name"])
    assert without == {}


# ---------------------------------------------------------------------------------------------------- units


def test_a_service(systems: Systems) -> None:
    configuration = container("""systemd.services.web = {
      description = "The web"; after = [ "network.target" "b.service" ]; wantedBy = [ "multi-user.target" ];
      environment = { A = "50% \\"x\\""; B = null; C = pkgs.curl; };
      path = [ pkgs.curl ];
      serviceConfig = { ExecStartPre = [ "/a" "/b" ]; Restart = "on-failure"; PrivateTmp = true; Nice = 5; };
      script = "exec web"; scriptArgs = "%i"; preStart = "prepare";
      unitConfig.ConditionPathExists = "/srv"; startLimitBurst = 3;
    };""")
    lines = systems.unit(configuration, "web.service").splitlines()
    curl = systems.eval(configuration, '"${pkgs.curl}"')
    assert lines[:5] == ["[Unit]", "After=network.target b.service", "ConditionPathExists=/srv", "Description=The web", "StartLimitBurst=3"]
    assert 'Environment="A=50%% \\"x\\""' in lines and f'Environment="C={curl}"' in lines and not any("B=" in line for line in lines)
    assert any(line.startswith(f'Environment="PATH={curl}/bin:') for line in lines) and "PrivateTmp=true" in lines and "Nice=5" in lines
    assert [line for line in lines if line.startswith("ExecStartPre=")][:2] == ["ExecStartPre=/a", "ExecStartPre=/b"]
    assert [line.rpartition("/")[2][33:] for line in lines if line.startswith("ExecStart=")] == ["unit-script-web-start %i"]
    files = systems.files(configuration, "units")
    assert files["multi-user.target.wants/web.service"] == {"link": "../web.service"}
    data = systems.data(configuration)["units"]["web.service"]
    assert data["enabled"] and data["wantedBy"] == ["multi-user.target"] and data["onChange"] == "restart" and data["description"] == "The web"


def test_kinds_of_units(systems: Systems) -> None:
    configuration = container("""
      systemd.sockets.web = { listenStreams = [ "80" "[::1]:81" ]; socketConfig.Accept = true; };
      systemd.timers.backup.timerConfig.OnCalendar = [ "daily" "weekly" ];
      systemd.paths.inbox.pathConfig.PathChanged = "/srv/inbox";
      systemd.slices.guests.sliceConfig.MemoryMax = "1G";
      systemd.targets.web.wants = [ "a.service" ];
      systemd.mounts = [ { what = "/dev/vdb"; where = "/srv/my files"; type = "ext4"; } ];
      systemd.automounts = [ { where = "/srv"; } ];
      systemd.units."raw.service".text = "[Service]\\nExecStart=/a\\n";
      systemd.services.nightly = { startAt = "03:00"; script = "x"; };
      systemd.user.services.mine.serviceConfig.ExecStart = "/a";
      systemd.services.off.enable = false;
    """)

    def unit(name: str) -> str:
        return systems.unit(configuration, name)

    assert unit("web.socket") == "[Socket]\nAccept=true\nListenStream=80\nListenStream=[::1]:81\n"
    assert unit("backup.timer") == "[Timer]\nOnCalendar=daily\nOnCalendar=weekly\n"
    assert unit("inbox.path") == "[Path]\nPathChanged=/srv/inbox\n" and unit("guests.slice") == "[Slice]\nMemoryMax=1G\n"
    assert unit("web.target") == "[Unit]\nWants=a.service\n" and unit("raw.service") == "[Service]\nExecStart=/a\n"
    assert unit("srv-my\\x20files.mount") == "[Mount]\nType=ext4\nWhat=/dev/vdb\nWhere=/srv/my files\n"
    assert unit("srv.automount") == "[Automount]\nWhere=/srv\n" and unit("nightly.timer") == "[Timer]\nOnCalendar=03:00\n"
    files = systems.files(configuration, "units")
    assert "timers.target.wants/nightly.timer" in files and files["off.service"] == {"link": "/dev/null"}
    units = systems.data(configuration)["units"]
    assert units["off.service"]["file"] is None and units["web.target"]["onChange"] == "ignore" and units["srv.automount"]["onChange"] == "ignore"
    user = 'builtins.unsafeDiscardStringContext config.environment.etc."systemd/user".source.drvAttrs.entries'
    assert "mine.service" in json.loads(systems.eval(configuration, user))["files"]


def test_dropins(systems: Systems) -> None:
    """What is said of a unit of Debian's, and of an instance of a template, comes on top of it."""
    configuration = container("""
      systemd.services.cron = { overrideStrategy = "asDropin"; wantedBy = [ "multi-user.target" ]; serviceConfig.Nice = 5; };
      systemd.services."getty@tty3".wantedBy = [ "getty.target" ];
    """)
    files = systems.files(configuration, "units")
    assert files["cron.service.d/overrides.conf"] == {"text": "[Service]\nNice=5\n"} and "cron.service" not in files
    assert files["multi-user.target.wants/cron.service"] == {"link": "/usr/lib/systemd/system/cron.service"}
    assert files["getty.target.wants/getty@tty3.service"] == {"link": "/usr/lib/systemd/system/getty@.service"}
    assert systems.data(configuration)["units"]["cron.service"]["file"].endswith("-system-units/cron.service.d/overrides.conf")


def test_identities(systems: Systems) -> None:
    """A unit is another when its text or a trigger is, and no other unit is."""
    base = """systemd.services.b.script = "b";
      systemd.services.a = { serviceConfig.ExecStart = "/a"; restartTriggers = [ %s ]; reloadTriggers = [ %s ]; };"""

    def units(restart: str, reload: str) -> Any:
        return systems.data(container(base % (restart, reload)))["units"]

    one, triggered, reloaded = units("pkgs.curl", "1"), units("pkgs.bash", "1"), units("pkgs.curl", "2")
    assert one["a.service"]["identity"] != triggered["a.service"]["identity"]
    assert (
        one["a.service"]["identity"] == reloaded["a.service"]["identity"]
        and one["a.service"]["reloadTriggers"] != reloaded["a.service"]["reloadTriggers"]
    )
    assert {name for name in one if one[name]["identity"] != triggered[name]["identity"]} == {"a.service"}


# ---------------------------------------------------------------------------------------------------- /etc and its kin


def test_etc(systems: Systems) -> None:
    configuration = container("""environment.etc = {
      a.text = "one"; "b/c" = { source = "/srv/c"; mode = "0600"; user = "www-data"; gid = 7; }; d = { enable = false; text = ""; };
    };""")
    etc = systems.data(configuration)["etc"]
    assert etc["a"]["mode"] == "symlink" and etc["a"]["source"].endswith("-etc-a") and "d" not in etc
    assert etc["b/c"] == {"source": "/srv/c", "mode": "0600", "user": "www-data", "group": "7"}
    assert systems.files(configuration, "etc")["b/c"] == {"link": "/srv/c"}


def test_a_text_that_names_nothing_in_the_store_is_not_built(systems: Systems) -> None:
    text = 'environment.etc = { plain.text = "plain"; named.text = "${pkgs.curl}"; };'
    asked = "lib.mapAttrs (_: file: lib.isDerivation file.source) { inherit (config.environment.etc) plain named; }"
    assert systems.eval(container(text), asked) == {"plain": False, "named": True}


def test_small_files(systems: Systems) -> None:
    hosts = container('networking = { hostName = "web1"; domain = "example.org"; hosts."192.0.2.7" = [ "db" ]; extraHosts = "192.0.2.8 x"; };')
    assert systems.etc(hosts, "hosts") == "127.0.0.1 localhost\n127.0.0.2 web1.example.org web1\n192.0.2.7 db\n::1 localhost\n192.0.2.8 x\n"
    plain = container('services.resolved.enable = false; networking.nameservers = [ "192.0.2.53" ]; networking.search = [ "a" "b" ];')
    assert systems.etc(plain, "resolv.conf") == "search a b\nnameserver 192.0.2.53\n"
    assert systems.data(CONTAINER)["etc"]["resolv.conf"]["mode"] == "direct-symlink"
    time_zone = systems.data(container('time.timeZone = "Europe/London";'))["etc"]["localtime"]
    assert (time_zone["source"], time_zone["mode"]) == ("/usr/share/zoneinfo/Europe/London", "direct-symlink")
    assert systems.etc(SERVER, "fstab").splitlines()[1:] == [
        "/dev/vda1 / ext4 defaults 0 1",
        "/dev/disk/by-label/data /srv\\040data ext4 noatime,x-systemd.requires-mounts-for=/ 0 2",
        "/var/swap none swap defaults,pri=5 0 0",
    ]
    assert systems.etc(SERVER, "modprobe.d/zz-nixos.conf") == "blacklist pcspkr\noptions loop max_loop=8\n"
    assert (
        "vm.swappiness=10\n" in systems.etc(SERVER, "sysctl.d/60-nixos.conf") and systems.etc(SERVER, "modules-load.d/nixos.conf") == "br_netfilter\n"
    )
    nsswitch = systems.etc(CONTAINER, "nsswitch.conf")
    assert "hosts: files resolve [!UNAVAIL=return] myhostname dns\n" in nsswitch and "passwd: files systemd\n" in nsswitch


def test_variables_and_aliases(systems: Systems) -> None:
    configuration = container("""
      environment.variables = { EDITOR = "vi"; MANPATH = [ "/a" "/b" ]; PAGER = null; };
      environment.sessionVariables.X = "$HOME/\\"x\\""; environment.shellAliases.ll = "ls -l";
    """)
    exports = systems.etc(configuration, "set-environment").splitlines()
    assert {'export EDITOR="vi"', 'export MANPATH="/a:/b"', 'export X="$HOME/\\"x\\""', 'export LANG="C.UTF-8"'} <= set(exports)
    assert not any("PAGER" in line for line in exports) and any(
        line.startswith('export PATH="/run/wrappers/bin:$HOME/.nix-profile/bin:') for line in exports
    )
    assert "alias -- ll='ls -l'" in systems.etc(configuration, "bash.bashrc")


def test_networks(systems: Systems) -> None:
    configuration = container("""networking = {
      useDHCP = true; defaultGateway = "192.0.2.1"; defaultGateway6 = { address = "fe80::1"; interface = "eth1"; };
      interfaces.eth0 = { ipv4 = { addresses = [ { address = "192.0.2.7"; prefixLength = 24; } ];
        routes = [ { address = "198.51.100.0"; prefixLength = 24; via = "192.0.2.9"; options.metric = "5"; } ]; }; mtu = 1400; };
      interfaces.eth1.useDHCP = true;
      bridges.br0.interfaces = [ "eth2" ]; vlans.lan7 = { id = 7; interface = "eth1"; };
    };""")

    def network(name: str) -> str:
        return systems.etc(configuration, f"systemd/network/{name}")

    assert network("40-eth0.network") == (
        "[Match]\nName=eth0\n\n[Link]\nMTUBytes=1400\n\n[Network]\nAddress=192.0.2.7/24\nDHCP=no\nIPv6AcceptRA=true\nLinkLocalAddressing=ipv6\n\n"
        "[Route]\nDestination=198.51.100.0/24\nGateway=192.0.2.9\nMetric=5\n\n[Route]\nGateway=192.0.2.1\nGatewayOnLink=true\n"
    )
    assert "DHCP=yes" in network("40-eth1.network") and "VLAN=lan7" in network("40-eth1.network") and "Gateway=fe80::1" in network("40-eth1.network")
    assert "Bridge=br0" in network("40-eth2.network") and "Kind=bridge" in network("40-br0.netdev") and "Id=7" in network("40-lan7.netdev")
    assert "Type=ether" in network("99-default.network")


def test_ssh(systems: Systems) -> None:
    text = systems.eval(SERVER, 'config.environment.etc."ssh/sshd_config".source')
    assert text.endswith("-sshd_config")
    assert systems.etc(SERVER, "ssh/authorized_keys.d/alice") == "ssh-ed25519 AAAA alice\n"
    assert systems.data(SERVER)["etc"]["ssh/authorized_keys.d/alice"]["mode"] == "0444"
    unit = systems.unit(SERVER, "sshd.service")
    assert "Type=notify" in unit and "/usr/sbin/sshd -D -f /etc/ssh/sshd_config" in unit
    socket = container("services.openssh = { enable = true; startWhenNeeded = true; ports = [ 2222 ]; };")
    assert "ListenStream=2222" in systems.unit(socket, "sshd.socket") and "sshd.service" not in systems.files(socket, "units")
    old = container('services.openssh = { enable = true; permitRootLogin = "no"; };')
    assert systems.eval(old, "[ config.services.openssh.settings.PermitRootLogin (builtins.length config.warnings) ]") == ["no", 1]


def test_wrappers_and_sudo(systems: Systems) -> None:
    configuration = container("""
      security.wrappers.a = { source = "/a"; setuid = true; };
      security.wrappers.b = { source = "/b"; setgid = true; group = "tty"; permissions = "751"; };
      security.sudo.extraRules = [ { users = [ "alice" ]; commands = [ { command = "/a"; options = [ "NOPASSWD" ]; } "/b" ]; } ];
    """)
    wrappers = systems.data(configuration)["wrappers"]
    assert (wrappers["a"]["mode"], wrappers["b"]["mode"], wrappers["b"]["group"]) == ("4511", "2751", "tty")
    assert "capabilities" not in wrappers["a"]
    sudoers = systems.etc(configuration, "sudoers")
    assert "%sudo ALL=(ALL:ALL) ALL\n" in sudoers and "alice ALL=(ALL:ALL) NOPASSWD: /a, /b\n" in sudoers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cap_net_raw+ep", {"permitted": [13], "inheritable": [], "effective": True}),
        ("cap_net_raw,cap_net_admin=pi", {"permitted": [12, 13], "inheritable": [12, 13], "effective": False}),
        ("cap_checkpoint_restore+p cap_chown+ei", {"permitted": [40], "inheritable": [0], "effective": True}),
        ("all=p", {"permitted": list(range(41)), "inheritable": [], "effective": False}),
    ],
)
def test_capabilities(systems: Systems, text: str, expected: dict[str, Any]) -> None:
    configuration = container(f'security.wrappers.a = {{ source = "/a"; capabilities = "{text}"; }};')
    assert systems.data(configuration)["wrappers"]["a"] == {
        "source": "/a", "owner": "root", "group": "root", "mode": "0511", "capabilities": expected
    }  # fmt: skip


def test_tmpfiles_and_scripts(systems: Systems) -> None:
    configuration = container("""
      systemd.tmpfiles.rules = [ "d /a 0755 root root -" ]; systemd.tmpfiles.settings.x."/b c".d = { mode = "0700"; };
      system.activationScripts = { z.text = "z"; a = { deps = [ "z" "users" ]; text = "a"; }; };
    """)
    data = systems.data(configuration)
    assert data["tmpfiles"] == ["d /a 0755 root root -", 'd "/b c" 0700 - - -']
    assert [one["name"] for one in data["activationScripts"]] == ["z", "a"]


@pytest.mark.parametrize("package", ["debian.linux-image-amd64", "linuxPackages_latest", f'debian."{KERNEL.replace("-cloud", "")}"'])
def test_other_kernels(systems: Systems, package: str) -> None:
    configuration = f'{{ pkgs, ... }}: {{ fileSystems."/".device = "/dev/vda1"; boot.kernelPackages = pkgs.{package}; }}'
    assert systems.data(configuration)["kernel"]["version"] == KERNEL.removeprefix("linux-image-").replace("-cloud", "")


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ("{ }", ['fileSystems."/"', "isContainer"]),
        (container("networking.hostname = 1;"), ["networking.hostname", "networking.hostName"]),
        (container('services.openssh.enable = "yes";'), ["services.openssh.enable", "boolean"]),
        (container("services.openssh = { enable = true; ports = [ 70000 ]; };"), ["services.openssh.ports", "16 bit"]),
        (container('networking.hostName = "a b";'), ["networking.hostName"]),
        (container('imports = [ { time.timeZone = "A"; } { time.timeZone = "B"; } ];'.replace("imports", "config.x.imports")), ["x"]),
        (container("environment.systemPackages = [ pkgs.debian.broken ];"), ["broken", "never"]),
        (container("environment.systemPackages = [ pkgs.no-such ];"), ["no-such"]),
        (container('nixpkgs.system = "aarch64-linux";'), ["aarch64-linux", "--arch"]),
        (container("users.users.x = { };"), ["`x`", "isNormalUser"]),
        (container("users.users.x = { isSystemUser = true; };"), ["`x`", "no group", "users.groups.x"]),
        (container('users.users.x = { isNormalUser = true; extraGroups = [ "never" ]; };'), ["`never`", "not declared"]),
        (container("users.users.x = { isNormalUser = true; uid = 33; };"), ["33", "`www-data`", "`x`"]),
        (container('security.wrappers.a = { source = "/a"; capabilities = "cap_fly+ep"; };'), ["security.wrappers.a", "cap_fly+ep"]),
        (container('security.wrappers.a = { source = "/a"; capabilities = "net_raw"; };'), ["security.wrappers.a", "`net_raw`"]),
        (container('security.wrappers.a = { source = "/a"; capabilities = "cap_chown+p"; setuid = true; };'), ["wrappers.a", "one of"]),
        (container("users.mutableUsers = false;"), ["nobody", "allowNoPasswordLogin"]),
        (container('systemd.services.x = { script = "a"; serviceConfig.ExecStart = "b"; };'), ["systemd.services.x", "ExecStart"]),
        (container('system.activationScripts.x = { deps = [ "never" ]; text = ""; };'), ["`x`", "`never`"]),
        (container('environment.etc.a.text = ""; environment.etc.b = { target = "a"; text = ""; };'), ["same file", "`a`"]),
        (container("assertions = [ { assertion = false; message = \"no and no\"; } ];"), ["no and no"]),
        (container('fileSystems."/x" = { fsType = "xfs"; autoResize = true; device = "/dev/x"; };'), ["autoResize", "xfs"]),
        ('{ pkgs, ... }: { fileSystems."/".device = "/dev/vda1"; boot.kernelPackages = pkgs.curl; }', ["curl", "no kernel"]),
    ],
)  # fmt: skip
def test_errors(systems: Systems, configuration: str, words: list[str]) -> None:
    error = systems.fail(configuration)
    text = f"{error}\n{error.hint or ''}"
    assert [word for word in words if word not in text] == [], text


def test_warnings_do_not_stop_anything(systems: Systems) -> None:
    assert str(systems.eval(container('warnings = [ "careful" ];'), "system.drvPath")).endswith(".drv")


def test_the_list_of_modules_is_whole() -> None:
    listed = {
        (NIXOS / "modules" / line.strip()).resolve()
        for line in (NIXOS / "modules/module-list.nix").read_text().splitlines()
        if line.strip().startswith("./")
    }
    assert [path for path in listed if not path.is_file()] == []
    assert CHANNEL in next(iter(listed)).parents
