/**
  `networking.interfaces` and its kin, by systemd-networkd.
*/
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.networking;

  addressOptions = v: {
    address = mkOption {
      type = types.str; example = if v == 4 then "192.0.2.7" else "2001:db8::7"; description = "The address, or the network's.";
    };
    prefixLength = mkOption {
      type = types.ints.between 0 (if v == 4 then 32 else 128); example = if v == 4 then 24 else 64; description = "How many bits of it are the network's.";
    };
  };
  routeOptions = v: addressOptions v // {
    via = mkOption { type = with types; nullOr str; default = null; example = if v == 4 then "192.0.2.1" else "fe80::1"; description = "The next hop."; };
    type = mkOption { type = with types; nullOr str; default = null; example = "blackhole"; description = "The kind of route; null for one to a neighbour."; };
    options = mkOption { type = types.attrsOf types.str; default = { }; example = { metric = "100"; }; description = "Further settings: `metric`, `src`, `table`, `mtu`."; };
  };
  list = options: example: description: mkOption {
    type = types.listOf (types.submodule { inherit options; }); default = [ ]; inherit example description;
  };
  family = v: {
    addresses = list (addressOptions v) [ (if v == 4 then { address = "192.0.2.7"; prefixLength = 24; } else { address = "2001:db8::7"; prefixLength = 64; }) ] "Addresses of the interface.";
    routes = list (routeOptions v) [ (if v == 4 then { address = "198.51.100.0"; prefixLength = 24; via = "192.0.2.1"; } else { address = "2001:db8:1::"; prefixLength = 48; via = "fe80::1"; }) ] "Routes by way of the interface.";
  };

  interface = { name, ... }: {
    options = {
      name = mkOption { type = types.str; default = name; defaultText = literalExpression "the attribute's name"; example = "eth0"; description = "The interface's name."; };
      useDHCP = mkOption { type = with types; nullOr bool; default = null; example = true; description = "Whether it is set up by DHCP; null for `networking.useDHCP`."; };
      ipv4 = family 4;
      ipv6 = family 6;
      macAddress = mkOption { type = with types; nullOr str; default = null; example = "52:54:00:12:34:56"; description = "Its address on the wire; null for its own."; };
      mtu = mkOption { type = with types; nullOr int; default = null; example = 1400; description = "The size of the largest packet; null for the kernel's choice."; };
      wakeOnLan.enable = mkOption { type = types.bool; default = false; example = true; description = "Whether a packet may wake the machine."; };
    };
  };

  gateway = v: mkOption {
    type = with types; nullOr (coercedTo str (address: { inherit address; }) (submodule {
      options = {
        address = mkOption { type = str; example = if v == 4 then "192.0.2.1" else "fe80::1"; description = "Its address."; };
        interface = mkOption { type = nullOr str; default = null; example = "eth0"; description = "The interface that it is behind."; };
        metric = mkOption { type = nullOr int; default = null; example = 42; description = "The route's cost."; };
      };
    }));
    default = null;
    example = if v == 4 then "192.0.2.1" else { address = "fe80::1"; interface = "eth0"; };
    description = "The gateway to everywhere${lib.optionalString (v == 6) ", for IPv6"}.";
  };

  gateways = builtins.filter (one: one != null) [ cfg.defaultGateway cfg.defaultGateway6 ];
  # One that names no interface is behind the first that has an address of its own.
  static = builtins.filter (one: one.ipv4.addresses != [ ] || one.ipv6.addresses != [ ]) (builtins.attrValues cfg.interfaces);
  gatewaysOf = one: builtins.filter
    (gateway: if gateway.interface != null then gateway.interface == one.name else static != [ ] && (builtins.head static).name == one.name)
    gateways;

  routeOf = route: { Destination = "${route.address}/${toString route.prefixLength}"; }
    // lib.optionalAttrs (route.via != null) { Gateway = route.via; }
    // lib.optionalAttrs (route.type != null) { Type = route.type; }
    // lib.mapAttrs' (name: value: { name = { metric = "Metric"; src = "PreferredSource"; table = "Table"; mtu = "MTUBytes"; }.${name} or name; inherit value; }) route.options;

  networkOf = one:
    let useDHCP = if one.useDHCP != null then one.useDHCP else cfg.useDHCP && one.ipv4.addresses == [ ]; in
    {
      name = "40-${one.name}";
      value = {
        matchConfig.Name = one.name;
        linkConfig = lib.optionalAttrs (one.macAddress != null) { MACAddress = one.macAddress; }
          // lib.optionalAttrs (one.mtu != null) { MTUBytes = one.mtu; };
        networkConfig = {
          DHCP = if !useDHCP then "no" else if cfg.enableIPv6 then "yes" else "ipv4";
          LinkLocalAddressing = if cfg.enableIPv6 then "ipv6" else "no";
          IPv6AcceptRA = cfg.enableIPv6;
        };
        address = map (a: "${a.address}/${toString a.prefixLength}") (one.ipv4.addresses ++ one.ipv6.addresses);
        routes = map routeOf (one.ipv4.routes ++ one.ipv6.routes)
          ++ map (g: { Gateway = g.address; GatewayOnLink = true; } // lib.optionalAttrs (g.metric != null) { Metric = g.metric; }) (gatewaysOf one);
      };
    };
in
{
  options.networking = {
    useDHCP = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether interfaces for which nothing else is said are set up by DHCP and by routers' announcements.";
    };
    useNetworkd = mkOption {
      type = types.bool;
      default = true;
      example = true;
      description = "Kept for configurations from elsewhere: the network is always set up by systemd-networkd.";
    };
    enableIPv6 = mkOption { type = types.bool; default = true; example = false; description = "Whether the machine speaks IPv6."; };
    usePredictableInterfaceNames = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether interfaces are called by their place in the machine (`enp0s3`), in place of the order they are found in (`eth0`).";
    };
    interfaces = mkOption {
      type = types.attrsOf (types.submodule interface);
      default = { };
      example = { eth0.ipv4.addresses = [ { address = "192.0.2.7"; prefixLength = 24; } ]; };
      description = "Interfaces, by their names.";
    };
    defaultGateway = gateway 4;
    defaultGateway6 = gateway 6;
    bridges = mkOption {
      type = types.attrsOf (types.submodule {
        options = {
          interfaces = mkOption { type = types.listOf types.str; default = [ ]; example = [ "eth0" ]; description = "The interfaces in the bridge."; };
          rstp = mkOption { type = types.bool; default = false; example = true; description = "Whether loops are looked for."; };
        };
      });
      default = { };
      example = { br0.interfaces = [ "eth0" ]; };
      description = "Bridges, by their names.";
    };
    vlans = mkOption {
      type = types.attrsOf (types.submodule {
        options = {
          id = mkOption { type = types.ints.between 1 4094; example = 7; description = "The VLAN's number."; };
          interface = mkOption { type = types.str; example = "eth0"; description = "The interface it is on."; };
        };
      });
      default = { };
      example = { vlan7 = { id = 7; interface = "eth0"; }; };
      description = "VLANs, by their names.";
    };
  };

  config = {
    boot.kernelParams = lib.optional (!cfg.usePredictableInterfaceNames) "net.ifnames=0";
    boot.kernel.sysctl = lib.mkIf (!cfg.enableIPv6) { "net.ipv6.conf.all.disable_ipv6" = true; "net.ipv6.conf.default.disable_ipv6" = true; };

    systemd.network = {
      networks = lib.mkMerge ([
        (lib.mkIf cfg.useDHCP {
          "99-default" = {
            # Not those that containers and tunnels have.
            matchConfig = { Type = "ether"; Kind = "!*"; };
            networkConfig = { DHCP = if cfg.enableIPv6 then "yes" else "ipv4"; IPv6AcceptRA = cfg.enableIPv6; };
          };
        })
        (lib.listToAttrs (map networkOf (builtins.attrValues cfg.interfaces)))
      ]
      ++ lib.mapAttrsToList
        (name: bridge: lib.listToAttrs (map
          (member: { name = "40-${member}"; value = { matchConfig.Name = member; networkConfig.Bridge = name; }; })
          bridge.interfaces))
        cfg.bridges
      ++ lib.mapAttrsToList (name: vlan: { "40-${vlan.interface}" = { matchConfig.Name = vlan.interface; vlan = [ name ]; }; }) cfg.vlans);
      netdevs = lib.mapAttrs' (name: bridge: { name = "40-${name}"; value = { netdevConfig = { Name = name; Kind = "bridge"; }; bridgeConfig = lib.optionalAttrs bridge.rstp { STP = true; }; }; }) cfg.bridges
        // lib.mapAttrs' (name: vlan: { name = "40-${name}"; value = { netdevConfig = { Name = name; Kind = "vlan"; }; vlanConfig.Id = vlan.id; }; }) cfg.vlans;
      links = lib.listToAttrs (map
        (one: { name = "40-${one.name}"; value = { matchConfig.OriginalName = one.name; linkConfig.WakeOnLan = "magic"; }; })
        (builtins.filter (one: one.wakeOnLan.enable) (builtins.attrValues cfg.interfaces)));
    };
  };
}
