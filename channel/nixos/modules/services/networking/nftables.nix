/**
  Tables of nftables, and the unit that loads them: `firewall.service`.

  All tables come in one transaction of `nft`: either all of them are there, or, where one is wrong, those from before stay as they were.  A switch
  that changes them reloads the unit, so that there is no moment without rules; the kernel's connections are not the tables', and go on.
  Tables that the system does not know (of systemd-nspawn, of Docker) are left alone.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.networking.nftables;

  tables = builtins.filter (table: table.enable && table.content != "") (builtins.attrValues cfg.tables);
  remove = table: "table ${table.family} ${table.name}\ndelete table ${table.family} ${table.name}\n";
  removal = pkgs.writeText "nftables-removal" (lib.concatMapStrings remove tables);
  indented = text: lib.concatMapStrings (line: if line == "" then "\n" else "  ${line}\n") (lib.splitString "\n" (lib.removeSuffix "\n" text));
  add = table: "table ${table.family} ${table.name} {\n${indented table.content}}\n";
  rules = pkgs.writeText "nftables-rules" (lib.concatMapStrings add tables);

  # What takes away the tables that are loaded now: another system's may have had others.
  state = "/run/firewall/removal";
  load = pkgs.writeShellScript "firewall-load" ''
    set -eo pipefail
    PATH=${lib.makeBinPath [ pkgs.debian.coreutils ]}
    { if [ -e ${state} ]; then cat ${state}; fi; cat ${removal} ${rules}; } | ${pkgs.debian.nftables}/sbin/nft -f -
    cp ${removal} ${state}.new
    mv ${state}.new ${state}
  '';
  unload = pkgs.writeShellScript "firewall-unload" ''
    if [ -e ${state} ]; then
      ${pkgs.debian.nftables}/sbin/nft -f ${state}
      ${pkgs.debian.coreutils}/bin/rm ${state}
    fi
  '';
in
{
  options.networking.nftables = {
    enable = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the tables are loaded; the firewall is one of them, and there is no other way to have it here.";
    };
    tables = mkOption {
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          enable = mkOption { type = types.bool; default = true; example = false; description = "Whether the table is loaded."; };
          name = mkOption {
            type = types.strMatching "[a-zA-Z_.][a-zA-Z0-9_.-]*";
            default = name;
            defaultText = lib.literalExpression "the attribute's name";
            example = "web";
            description = "The table's name.";
          };
          family = mkOption {
            type = types.enum [ "ip" "ip6" "inet" "arp" "bridge" "netdev" ];
            example = "inet";
            description = "Which packets it sees.";
          };
          content = mkOption {
            type = types.lines;
            default = "";
            example = "chain out {\n  type filter hook output priority 0;\n  tcp dport 25 drop\n}";
            description = "Its chains, sets and maps, as nft(8) has them.";
          };
        };
      }));
      default = { };
      example = { mail = { family = "inet"; content = "chain out { type filter hook output priority 0; tcp dport 25 drop; }"; }; };
      description = "Tables of nftables, by their names.";
    };
  };

  config = lib.mkIf (cfg.enable && tables != [ ]) {
    environment.systemPackages = [ pkgs.debian.nftables ];
    systemd.services.firewall = {
      description = "The firewall";
      wantedBy = [ "sysinit.target" ];
      wants = [ "network-pre.target" ];
      after = [ "systemd-modules-load.service" "local-fs.target" ];
      # Rules are there before the network is.
      before = [ "network-pre.target" "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      reloadIfChanged = true;
      unitConfig = { DefaultDependencies = false; ConditionCapability = "CAP_NET_ADMIN"; };
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        RuntimeDirectory = "firewall";
        ExecStart = "${load}";
        ExecReload = "${load}";
        ExecStop = "${unload}";
      };
    };
  };
}
