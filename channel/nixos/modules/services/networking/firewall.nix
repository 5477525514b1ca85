/**
  The firewall: which connections from outside reach this machine.

  It is the table `nixos-fw` of nftables (see nftables.nix, which loads it).  A packet of a connection that is known is accepted, one that belongs to
  none is dropped, and a new connection is accepted if a rule of the chain `input-allow` says so.  What the machine sends itself is not
  filtered.
*/
{ config, lib, ... }:
let
  inherit (lib) concatMapStrings concatStringsSep mkOption optional optionals optionalString types;
  cfg = config.networking.firewall;

  portRange = types.submodule {
    options = {
      from = mkOption { type = types.port; example = 8000; description = "The first port."; };
      to = mkOption { type = types.port; example = 8010; description = "The last one, which is included."; };
    };
  };
  ports = protocol: mkOption {
    type = types.listOf types.port;
    default = [ ];
    example = [ 22 80 ];
    apply = list: lib.unique (lib.sort (a: b: a < b) list);
    description = "Ports that are open for ${protocol}.";
  };
  ranges = protocol: mkOption {
    type = types.listOf portRange;
    default = [ ];
    example = [ { from = 8000; to = 8010; } ];
    description = "Ranges of ports that are open for ${protocol}.";
  };
  allowed = {
    allowedTCPPorts = ports "TCP";
    allowedTCPPortRanges = ranges "TCP";
    allowedUDPPorts = ports "UDP";
    allowedUDPPortRanges = ranges "UDP";
  };

  quoted = name: ''"${name}"'';
  setOf = elements: "{ ${concatStringsSep ", " elements} }";

  # Ports and ranges as elements of a set, in which nft bears no overlap.
  elements = list: all:
    let
      sorted = lib.sort (a: b: a.from < b.from) (map (port: { from = port; to = port; }) list ++ all);
      join = done: next:
        let last = lib.last done; in
        if done == [ ] || next.from > last.to + 1 then done ++ [ next ]
        else lib.init done ++ [ { inherit (last) from; to = lib.max last.to next.to; } ];
    in
    map (one: if one.from == one.to then toString one.from else "${toString one.from}-${toString one.to}") (lib.foldl' join [ ] sorted);
  accept = before: one:
    let
      tcp = elements one.allowedTCPPorts one.allowedTCPPortRanges;
      udp = elements one.allowedUDPPorts one.allowedUDPPortRanges;
    in
    optional (tcp != [ ]) "${before}tcp dport ${setOf tcp} accept"
    ++ optional (udp != [ ]) "${before}udp dport ${setOf udp} accept";

  log = what: rule: ''${rule}log level info prefix "${what}: "'';
  chain = name: lines: "chain ${name} {\n${concatMapStrings (line: "  ${line}\n") (builtins.filter (line: line != "") lines)}}\n";
  linesOf = lib.splitString "\n";

  byState = next: "ct state vmap { invalid : drop, established : accept, related : accept, new : jump ${next}, untracked : jump ${next} }";

  content = chain "input" (
    [ "type filter hook input priority filter; policy drop;" ]
    ++ optional (cfg.trustedInterfaces != [ ])
      ''iifname ${setOf (map quoted (lib.unique cfg.trustedInterfaces))} accept comment "trusted interfaces"''
    ++ [ (byState "input-allow") ]
    ++ optional cfg.logRefusedConnections (log "refused connection" "tcp flags & (fin | syn | rst | ack) == syn ")
    ++ optionals (cfg.logRefusedPackets && !cfg.logRefusedUnicastsOnly)
      [ (log "refused broadcast" "pkttype broadcast ") (log "refused multicast" "pkttype multicast ") ]
    ++ optional cfg.logRefusedPackets (log "refused packet" "pkttype host ")
    ++ optionals cfg.rejectPackets [ "meta l4proto tcp reject with tcp reset" "pkttype host reject" ])
  + chain "input-allow" (
    accept "" cfg
    ++ lib.concatLists (lib.mapAttrsToList (name: accept "iifname ${quoted name} ") cfg.interfaces)
    ++ optional cfg.allowPing ''icmp type echo-request ${optionalString (cfg.pingLimit != null) "limit rate ${cfg.pingLimit} "}accept comment "ping"''
    # RFC 4890, section 4.4: without these IPv6 does not work; 139 asks for a node's names.
    ++ [ "icmpv6 type != { nd-redirect, 139 } accept" ''ip6 daddr fe80::/64 udp dport 546 accept comment "DHCPv6"'' ]
    ++ linesOf cfg.extraInputRules)
  + optionalString (reversePath != null) (chain "rpfilter" (
    [
      "type filter hook prerouting priority mangle + 10; policy drop;"
      ''udp sport . udp dport { 67 . 68, 68 . 67 } accept comment "DHCP"''
      "fib saddr . mark ${optionalString (reversePath == "strict") ". iif "}oif exists accept"
    ]
    ++ linesOf cfg.extraReversePathFilterRules
    ++ optional cfg.logReversePathDrops (log "rpfilter drop" "")))
  + optionalString cfg.filterForward (
    chain "forward" [ "type filter hook forward priority filter; policy drop;" (byState "forward-allow") ]
    + chain "forward-allow" (
      [ "icmpv6 type != { router-renumbering, 139 } accept" ''ct status dnat accept comment "forwarded ports"'' ]
      ++ linesOf cfg.extraForwardRules));

  reversePath = if cfg.checkReversePath == true then "strict" else if cfg.checkReversePath == false then null else cfg.checkReversePath;
  rules = example: description: mkOption { type = types.lines; default = ""; inherit example description; };
  flag = default: description: mkOption { type = types.bool; inherit default description; example = !default; };

  all = [ cfg ] ++ builtins.attrValues cfg.interfaces;
  backwards = builtins.filter (range: range.from > range.to) (lib.concatMap (one: one.allowedTCPPortRanges ++ one.allowedUDPPortRanges) all);
in
{
  imports = [
    (lib.mkRemovedOptionModule [ "networking" "firewall" "extraCommands" ] ''
      They were commands of iptables, run one after the other; the firewall here is one table of nftables, which is loaded as a whole.  What they
      allow is said by `networking.firewall.extraInputRules`, and anything else by a table of its own in `networking.nftables.tables`.'')
    (lib.mkRemovedOptionModule [ "networking" "firewall" "extraStopCommands" ] "The firewall's table is taken away as a whole, so nothing is left to undo.")
    (lib.mkRemovedOptionModule [ "networking" "firewall" "autoLoadConntrackHelpers" ] "Kernels have not done so since 4.7; `networking.firewall.connectionTrackingModules` loads helpers, and a rule of nftables applies one.")
  ];

  options.networking.firewall = allowed // {
    enable = flag true "Whether connections from outside are refused that nothing here allows.";
    interfaces = mkOption {
      type = types.attrsOf (types.submodule { options = allowed; });
      default = { };
      example = { eth1.allowedTCPPorts = [ 5432 ]; };
      description = "What is open on single interfaces, beside what is open on all.";
    };
    trustedInterfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "wg0" ];
      description = "Interfaces whose packets are all accepted; the loopback is one of them.";
    };
    allowPing = flag true "Whether the machine answers pings by IPv4.  Those by IPv6 are always answered.";
    pingLimit = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "5/second burst 5 packets";
      description = "How many pings are answered, as a limit rate of nft(8); null for all.";
    };
    rejectPackets = flag false "Whether who is refused is told so; without, packets just vanish.";
    logRefusedConnections = flag true "Whether the kernel logs refused connections of TCP.";
    logRefusedPackets = flag false "Whether the kernel logs all refused packets, of which there are many.";
    logRefusedUnicastsOnly = flag true "Whether, of all packets, only those are logged that are for this machine alone.";
    checkReversePath = mkOption {
      type = types.either types.bool (types.enum [ "strict" "loose" ]);
      default = true;
      example = "loose";
      description = ''
        Whether a packet is dropped whose sender could not be answered by way of the interface that it came in by (`true` or `strict`), or by way of
        any (`loose`).
      '';
    };
    logReversePathDrops = flag false "Whether the kernel logs what `checkReversePath` drops.";
    filterForward = flag false "Whether packets that this machine would pass on are refused, too, unless `extraForwardRules` or a forwarded port allow them.";
    connectionTrackingModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "ftp" "sip" ];
      description = "Protocols whose further connections the kernel can tell to belong to the first: modules `nf_conntrack_*`.";
    };
    extraInputRules = rules "ip saddr 192.0.2.0/24 tcp dport 9100 accept" "Further rules for new connections to this machine, as nft(8) has them.";
    extraForwardRules = rules "iifname \"wg0\" accept" "Further rules for new connections through this machine; they need `filterForward`.";
    extraReversePathFilterRules = rules "fib daddr . mark . iif type local accept" "Further rules for senders that `checkReversePath` would drop.";
  };

  config = lib.mkIf cfg.enable {
    networking.firewall.trustedInterfaces = [ "lo" ];
    networking.nftables.tables.nixos-fw = { family = "inet"; inherit content; };
    boot.kernelModules = map (name: "nf_conntrack_${name}") cfg.connectionTrackingModules;

    assertions = [
      {
        assertion = config.networking.nftables.enable;
        message = "`networking.firewall.enable` needs `networking.nftables.enable`: the firewall is a table of nftables";
      }
      {
        assertion = cfg.extraForwardRules == "" || cfg.filterForward;
        message = "`networking.firewall.extraForwardRules` is of no use without `networking.firewall.filterForward`: without it everything is passed on";
      }
      {
        assertion = backwards == [ ];
        message = "a range of ports of `networking.firewall` ends before it begins: ${lib.concatMapStringsSep ", " (range: "${toString range.from} to ${toString range.to}") backwards}";
      }
    ];
  };
}
