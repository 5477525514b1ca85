/**
  systemd-networkd: `systemd.network`, in the sections of systemd.network(5), systemd.netdev(5) and systemd.link(5).

  `networking.interfaces` and its kin are made of these.
*/
{ config, lib, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.systemd.network;

  inherit (import ../../../lib/systemd-unit-options.nix { inherit lib; }) section setting;
  sections = list: mkOption {
    type = types.listOf (types.attrsOf setting);
    default = [ ];
    example = [ list ];
    description = "Sections that there may be several of.";
  };
  text = mkOption { type = types.lines; default = ""; example = "[Network]\nLLDP=yes"; description = "Further lines, sections and all."; };
  enable = mkOption { type = types.bool; default = true; example = false; description = "Whether the file is there."; };

  network = {
    inherit enable;
    matchConfig = section { Name = "eth0"; } "Which interfaces the file is for.";
    linkConfig = section { MTUBytes = 1400; } "The section `[Link]`.";
    networkConfig = section { DHCP = "yes"; } "The section `[Network]`.";
    dhcpV4Config = section { UseDNS = false; } "The section `[DHCPv4]`.";
    dhcpV6Config = section { UseDNS = false; } "The section `[DHCPv6]`.";
    ipv6AcceptRAConfig = section { UseDNS = false; } "The section `[IPv6AcceptRA]`.";
    addresses = sections { Address = "192.0.2.7/24"; };
    routes = sections { Gateway = "192.0.2.1"; };
    address = mkOption { type = types.listOf types.str; default = [ ]; example = [ "192.0.2.7/24" ]; description = "Addresses with the lengths of their prefixes."; };
    gateway = mkOption { type = types.listOf types.str; default = [ ]; example = [ "192.0.2.1" ]; description = "Gateways to everywhere."; };
    dns = mkOption { type = types.listOf types.str; default = [ ]; example = [ "192.0.2.53" ]; description = "Servers for names."; };
    domains = mkOption { type = types.listOf types.str; default = [ ]; example = [ "example.org" ]; description = "Domains that short names are looked for in."; };
    vlan = mkOption { type = types.listOf types.str; default = [ ]; example = [ "vlan7" ]; description = "VLANs on top of the interface."; };
    extraConfig = text;
  };
  netdev = {
    inherit enable;
    netdevConfig = section { Name = "br0"; Kind = "bridge"; } "The section `[NetDev]`.";
    vlanConfig = section { Id = 7; } "The section `[VLAN]`.";
    bridgeConfig = section { STP = true; } "The section `[Bridge]`.";
    bondConfig = section { Mode = "802.3ad"; } "The section `[Bond]`.";
    vxlanConfig = section { VNI = 7; } "The section `[VXLAN]`.";
    wireguardConfig = section { ListenPort = 51820; PrivateKeyFile = "/var/lib/wireguard/key"; } "The section `[WireGuard]`.";
    wireguardPeers = sections { PublicKey = "…"; AllowedIPs = "10.0.0.0/8"; };
    extraConfig = text;
  };
  link = {
    inherit enable;
    matchConfig = section { MACAddress = "52:54:00:12:34:56"; } "Which devices the file is for.";
    linkConfig = section { Name = "lan0"; } "The section `[Link]`.";
    extraConfig = text;
  };

  files = options: example: description: mkOption { type = types.attrsOf (types.submodule { inherit options; }); default = { }; inherit example description; };

  render = list: extra: lib.concatStringsSep "\n" (builtins.filter (part: part != "") (lib.concatMap ({ title, content }: map (utils.systemd.section title) (lib.toList content)) list ++ [ extra ]));
  part = title: content: { inherit title content; };
  networkText = one: render [
    (part "Match" one.matchConfig)
    (part "Link" one.linkConfig)
    (part "Network" (one.networkConfig
      // lib.optionalAttrs (one.address != [ ]) { Address = one.address; }
      // lib.optionalAttrs (one.gateway != [ ]) { Gateway = one.gateway; }
      // lib.optionalAttrs (one.dns != [ ]) { DNS = one.dns; }
      // lib.optionalAttrs (one.domains != [ ]) { Domains = toString one.domains; }
      // lib.optionalAttrs (one.vlan != [ ]) { VLAN = one.vlan; }))
    (part "DHCPv4" one.dhcpV4Config)
    (part "DHCPv6" one.dhcpV6Config)
    (part "IPv6AcceptRA" one.ipv6AcceptRAConfig)
    (part "Address" one.addresses)
    (part "Route" one.routes)
  ] one.extraConfig;
  netdevText = one: render [
    (part "NetDev" one.netdevConfig)
    (part "VLAN" one.vlanConfig)
    (part "Bridge" one.bridgeConfig)
    (part "Bond" one.bondConfig)
    (part "VXLAN" one.vxlanConfig)
    (part "WireGuard" one.wireguardConfig)
    (part "WireGuardPeer" one.wireguardPeers)
  ] one.extraConfig;
  linkText = one: render [ (part "Match" one.matchConfig) (part "Link" one.linkConfig) ] one.extraConfig;

  etcOf = suffix: textOf: all: lib.mapAttrs'
    (name: one: { name = "systemd/network/${name}.${suffix}"; value.text = textOf one; })
    (lib.filterAttrs (_: one: one.enable) all);
  etc = etcOf "network" networkText cfg.networks // etcOf "netdev" netdevText cfg.netdevs // etcOf "link" linkText cfg.links;
in
{
  options.systemd.network = {
    enable = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether systemd-networkd sets the network up.";
    };
    networks = files network { "10-lan" = { matchConfig.Name = "eth0"; networkConfig.DHCP = "yes"; }; } "What is set on interfaces, in the order of the names.";
    netdevs = files netdev { "10-br0".netdevConfig = { Name = "br0"; Kind = "bridge"; }; } "Interfaces that are made.";
    links = files link { "10-lan" = { matchConfig.MACAddress = "52:54:00:12:34:56"; linkConfig.Name = "lan0"; }; } "What udev does with interfaces as they come.";
    config.networkConfig = section { IPv4Forwarding = true; } "The section `[Network]` of networkd.conf(5).";
    wait-online = {
      enable = mkOption { type = types.bool; default = cfg.enable; defaultText = literalExpression "config.systemd.network.enable"; example = false; description = "Whether network-online.target waits for the network."; };
      anyInterface = mkOption { type = types.bool; default = true; example = false; description = "Whether one interface is enough."; };
      timeout = mkOption { type = types.ints.unsigned; default = 120; example = 0; description = "For how many seconds; 0 for ever."; };
      ignoredInterfaces = mkOption { type = types.listOf types.str; default = [ ]; example = [ "wg0" ]; description = "Interfaces that do not count."; };
      extraArgs = mkOption { type = types.listOf types.str; default = [ ]; example = [ "--ipv6" ]; description = "Further arguments of systemd-networkd-wait-online(8)."; };
    };
  };

  config = lib.mkMerge [
    { environment.etc = lib.mkIf (cfg.links != { } || cfg.enable) (if cfg.enable then etc else etcOf "link" linkText cfg.links); }
    (lib.mkIf cfg.enable {
      environment.etc."systemd/networkd.conf".text = utils.systemd.section "Network" cfg.config.networkConfig;
      users.users.systemd-network = { isSystemUser = true; group = "systemd-network"; description = "systemd Network Management"; };
      users.groups.systemd-network = { };
      systemd.services.systemd-networkd = {
        overrideStrategy = "asDropin";
        wantedBy = [ "multi-user.target" ];
        aliases = [ "dbus-org.freedesktop.network1.service" ];
        restartTriggers = [ config.systemd.package ] ++ map (name: config.environment.etc.${name}.source) (builtins.attrNames etc ++ [ "systemd/networkd.conf" ]);
        # An address that goes away for a moment takes connections with it.
        stopIfChanged = false;
      };
      systemd.sockets.systemd-networkd = { overrideStrategy = "asDropin"; wantedBy = [ "sockets.target" ]; };
      systemd.services.systemd-networkd-wait-online = {
        overrideStrategy = "asDropin";
        wantedBy = lib.optional cfg.wait-online.enable "network-online.target";
        serviceConfig.ExecStart = [
          ""
          "/usr/lib/systemd/systemd-networkd-wait-online ${lib.escapeShellArgs (
            [ "--timeout=${toString cfg.wait-online.timeout}" ] ++ lib.optional cfg.wait-online.anyInterface "--any"
            ++ map (name: "--ignore=${name}") cfg.wait-online.ignoredInterfaces ++ cfg.wait-online.extraArgs)}"
        ];
      };
    })
  ];
}
