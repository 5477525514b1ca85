/**
  Names of hosts, by systemd-resolved: it knows the servers that DHCP names for each interface.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.services.resolved;
in
{
  options.services.resolved = {
    enable = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether systemd-resolved answers for names; without, /etc/resolv.conf names `networking.nameservers` themselves.";
    };
    fallbackDns = mkOption {
      type = types.nullOr (types.listOf types.str);
      default = null;
      example = [ "2001:db8::53" ];
      description = "Servers for where none else is known; null for systemd's own, an empty list for none.";
    };
    domains = mkOption {
      type = types.listOf types.str;
      default = config.networking.search;
      defaultText = literalExpression "config.networking.search";
      example = [ "example.org" ];
      description = "Domains that short names are looked for in.";
    };
    dnssec = mkOption {
      type = types.enum [ "true" "allow-downgrade" "false" ];
      default = "false";
      example = "allow-downgrade";
      description = "Whether answers' signatures are checked.";
    };
    llmnr = mkOption {
      type = types.enum [ "true" "resolve" "false" ];
      default = "true";
      example = "false";
      description = "Whether neighbours are asked, and answered, by LLMNR.";
    };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "DNSOverTLS=opportunistic";
      description = "Further lines of resolved.conf(5).";
    };
  };

  config = lib.mkIf cfg.enable {
    # It opens libidn2 by its name, and without it cannot say its own.
    environment.systemPackages = with pkgs.debian; [ systemd-resolved libnss-resolve libidn2-0 ];
    environment.etc = {
      "resolv.conf" = { source = "/run/systemd/resolve/stub-resolv.conf"; mode = "direct-symlink"; };
      "systemd/resolved.conf".text = ''
        [Resolve]
        DNS=${toString config.networking.nameservers}
        ${lib.optionalString (cfg.fallbackDns != null) "FallbackDNS=${toString cfg.fallbackDns}"}
        Domains=${toString cfg.domains}
        DNSSEC=${cfg.dnssec}
        LLMNR=${cfg.llmnr}
        ${cfg.extraConfig}
      '';
    };
    system.nssDatabases.hosts = lib.mkOrder 501 [ "resolve [!UNAVAIL=return]" ];
    users.users.systemd-resolve = { isSystemUser = true; group = "systemd-resolve"; description = "systemd Resolver"; };
    users.groups.systemd-resolve = { };
    systemd.services.systemd-resolved = {
      overrideStrategy = "asDropin";
      wantedBy = [ "sysinit.target" ];
      aliases = [ "dbus-org.freedesktop.resolve1.service" ];
      restartTriggers = [ pkgs.debian.systemd-resolved config.environment.etc."systemd/resolved.conf".source ];
    };
  };
}
