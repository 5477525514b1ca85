/**
  Address translation: other machines, or containers, reach the outside by way of this machine, and are reached by its ports.

  It is a table of nftables for each of IPv4 and IPv6, loaded with the firewall's.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption optional types;
  cfg = config.networking.nat;

  # iptables' sign for any rest of a name is `+`, and nft's is `*`.
  interface = name: ''"${if lib.hasSuffix "+" name then "${lib.removeSuffix "+" name}*" else name}"'';
  outward = lib.optionalString (cfg.externalInterface != null) "oifname ${interface cfg.externalInterface} ";
  inward = lib.optionalString (cfg.externalInterface != null) "iifname ${interface cfg.externalInterface} ";
  isV6 = destination: lib.hasPrefix "[" destination;

  chain = hook: priority: rules:
    "chain ${hook} {\n${lib.concatMapStrings (rule: "  ${rule}\n") ([ "type nat hook ${hook} priority ${priority};" ] ++ rules)}}\n";
  content = { protocol, ips, externalIP, ports, dmz }:
    let translate = if externalIP != null then "snat to ${externalIP}" else "masquerade"; in
    chain "prerouting" "dstnat" (
      map (port: "${inward}${port.proto} dport ${toString port.sourcePort} dnat to ${port.destination}") ports
      ++ optional (dmz != null) "${inward}dnat to ${dmz}")
    + chain "postrouting" "srcnat" (
      map (name: "iifname ${interface name} ${outward}${translate}") cfg.internalInterfaces
      ++ map (ip: "${protocol} saddr ${ip} ${outward}${translate}") ips);
  toV6 = builtins.filter (port: isV6 port.destination) cfg.forwardPorts;
in
{
  imports = [
    (lib.mkRemovedOptionModule [ "networking" "nat" "extraCommands" ] "They were commands of iptables; further rules of nftables are tables of their own, in `networking.nftables.tables`.")
  ];

  options.networking.nat = {
    enable = lib.mkEnableOption "that other machines reach the outside by way of this one";
    enableIPv6 = mkOption { type = types.bool; default = false; example = true; description = "Whether addresses of IPv6 are translated, too."; };
    internalInterfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "eth1" "ve-+" ];
      description = "Interfaces behind which those machines are; `+` at the end stands for any rest of a name.";
    };
    internalIPs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "192.0.2.0/24" ];
      description = "Networks of IPv4 that those machines are in.";
    };
    internalIPv6s = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "fc00::/64" ];
      description = "Networks of IPv6 that those machines are in.";
    };
    externalInterface = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "eth0";
      description = "The interface to the outside; null for any.";
    };
    externalIP = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "203.0.113.7";
      description = "The address of IPv4 that stands for theirs; null for the interface's.";
    };
    externalIPv6 = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "2001:db8::7";
      description = "The address of IPv6 that stands for theirs; null for the interface's.";
    };
    forwardPorts = mkOption {
      type = types.listOf (types.submodule {
        options = {
          sourcePort = mkOption {
            type = types.either types.port (types.strMatching "[0-9]+[:-][0-9]+");
            example = 8080;
            apply = port: builtins.replaceStrings [ ":" ] [ "-" ] (toString port);
            description = "The port of this machine, or a range of them.";
          };
          destination = mkOption {
            type = types.str;
            example = "10.0.0.2:80";
            description = "The address that it leads to, with a port or without; one of IPv6 in brackets.";
          };
          proto = mkOption { type = types.enum [ "tcp" "udp" ]; default = "tcp"; example = "udp"; description = "The protocol."; };
        };
      });
      default = [ ];
      example = [ { sourcePort = 8080; destination = "10.0.0.2:80"; } ];
      description = "Ports that lead to those machines.";
    };
    dmzHost = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "10.0.0.2";
      description = "The machine that everything else leads to.";
    };
  };

  config = lib.mkIf cfg.enable {
    networking.nftables.tables = {
      nixos-nat = {
        family = "ip";
        content = content {
          protocol = "ip";
          ips = cfg.internalIPs;
          inherit (cfg) externalIP;
          ports = lib.subtractLists toV6 cfg.forwardPorts;
          dmz = cfg.dmzHost;
        };
      };
      nixos-nat6 = lib.mkIf cfg.enableIPv6 {
        family = "ip6";
        content = content { protocol = "ip6"; ips = cfg.internalIPv6s; externalIP = cfg.externalIPv6; ports = toV6; dmz = null; };
      };
    };
    boot.kernel.sysctl = { "net.ipv4.ip_forward" = lib.mkDefault true; } // lib.optionalAttrs cfg.enableIPv6 {
      "net.ipv6.conf.all.forwarding" = lib.mkDefault true;
      # A machine that passes packets on takes no notice of routers' announcements, unless told to.
      "net.ipv6.conf.all.accept_ra" = lib.mkDefault 2;
      "net.ipv6.conf.default.accept_ra" = lib.mkDefault 2;
    };

    assertions = [
      {
        assertion = toV6 == [ ] || cfg.enableIPv6;
        message = "`networking.nat.forwardPorts` leads to an address of IPv6, which needs `networking.nat.enableIPv6`";
      }
      {
        assertion = cfg.dmzHost == null || cfg.externalInterface != null;
        message = "`networking.nat.dmzHost` needs `networking.nat.externalInterface`: without it, whatever any machine sends would lead there";
      }
    ];
  };
}
