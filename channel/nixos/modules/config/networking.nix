/**
  A host's names and those of others: /etc/hostname, /etc/hosts, /etc/resolv.conf.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.networking;

  ownNames = lib.optional (cfg.domain != null && cfg.hostName != "") cfg.fqdn ++ lib.optional (cfg.hostName != "") cfg.hostName;
  line = address: names: "${address} ${toString names}\n";
in
{
  options.networking = {
    hostName = mkOption {
      # hostname(7); empty for what DHCP says.
      type = types.strMatching "|[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?";
      default = "nixos";
      example = "web1";
      description = "The machine's name, without a domain; empty for the one that DHCP gives.";
    };
    domain = mkOption { type = with types; nullOr str; default = null; example = "example.org"; description = "The domain that the machine is in."; };
    fqdn = mkOption {
      type = types.str;
      default = if cfg.domain == null then throw "`networking.fqdn` needs `networking.domain`" else "${cfg.hostName}.${cfg.domain}";
      defaultText = literalExpression ''"''${networking.hostName}.''${networking.domain}"'';
      example = "web1.example.org";
      description = "The machine's whole name.";
    };
    hostId = mkOption {
      type = with types; nullOr (strMatching "[0-9a-f]{8}");
      default = null;
      example = "4e98920d";
      description = "The number that gethostid(3) gives, as 8 digits in hexadecimal, for programs that want one.";
    };
    hosts = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      example = { "192.0.2.7" = [ "db1" "db" ]; };
      description = "Names of hosts by their addresses.";
    };
    extraHosts = mkOption { type = types.lines; default = ""; example = "192.0.2.7 db1"; description = "Further lines of /etc/hosts."; };
    hostFiles = mkOption {
      type = types.listOf types.path; default = [ ]; example = literalExpression "[ ./hosts ]"; description = "Files that /etc/hosts begins with.";
    };
    nameservers = mkOption {
      type = types.listOf types.str; default = [ ]; example = [ "192.0.2.53" "2001:db8::53" ]; description = "Servers that are asked for names.";
    };
    search = mkOption {
      type = types.listOf types.str; default = [ ]; example = [ "example.org" ]; description = "Domains that short names are looked for in.";
    };
  };

  config = {
    networking.hosts = {
      "127.0.0.1" = lib.mkBefore [ "localhost" ];
      "::1" = lib.mkBefore (lib.optional cfg.enableIPv6 "localhost");
      "127.0.0.2" = lib.mkIf (ownNames != [ ]) ownNames;
    };

    environment.etc = {
      hosts.text = lib.concatMapStrings (file: builtins.readFile file + "\n") cfg.hostFiles
        + lib.concatStrings (lib.mapAttrsToList (address: names: lib.optionalString (names != [ ]) (line address names)) cfg.hosts)
        + cfg.extraHosts + lib.optionalString (cfg.extraHosts != "") "\n";
      hostname = lib.mkIf (cfg.hostName != "") { text = "${cfg.hostName}\n"; };
      "resolv.conf" = lib.mkIf (!config.services.resolved.enable && cfg.nameservers != [ ]) {
        text = lib.optionalString (cfg.search != [ ]) "search ${toString cfg.search}\n" + lib.concatMapStrings (server: "nameserver ${server}\n") cfg.nameservers;
      };
      hostid = lib.mkIf (cfg.hostId != null) {
        # Four bytes, the lowest first.
        source = pkgs.runCommandLocal "hostid" { } ''
          id=${cfg.hostId}
          printf "\\x''${id:6:2}\\x''${id:4:2}\\x''${id:2:2}\\x''${id:0:2}" > $out
        '';
      };
    };
  };
}
