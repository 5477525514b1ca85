/**
  The clock, by systemd-timesyncd.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.services.timesyncd;
in
{
  options = {
    networking.timeServers = mkOption {
      type = types.listOf types.str;
      default = [ "0.debian.pool.ntp.org" "1.debian.pool.ntp.org" "2.debian.pool.ntp.org" "3.debian.pool.ntp.org" ];
      example = [ "ntp.example.org" ];
      description = "Servers that know the time.";
    };
    services.timesyncd = {
      enable = mkOption {
        type = types.bool;
        default = !config.boot.isContainer;
        defaultText = literalExpression "!config.boot.isContainer";
        example = false;
        description = "Whether the clock is set from the network; a container has its host's.";
      };
      servers = mkOption {
        type = types.listOf types.str;
        default = config.networking.timeServers;
        defaultText = literalExpression "config.networking.timeServers";
        example = [ "ntp.example.org" ];
        description = "The servers to ask.";
      };
      extraConfig = mkOption {
        type = types.lines;
        default = "";
        example = "PollIntervalMaxSec=180";
        description = "Further lines of timesyncd.conf(5).";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.debian.systemd-timesyncd ];
    environment.etc."systemd/timesyncd.conf".text = "[Time]\nNTP=${toString cfg.servers}\n${cfg.extraConfig}";
    users.users.systemd-timesync = { isSystemUser = true; group = "systemd-timesync"; description = "systemd Time Synchronization"; };
    users.groups.systemd-timesync = { };
    systemd.services.systemd-timesyncd = {
      overrideStrategy = "asDropin";
      wantedBy = [ "sysinit.target" ];
      aliases = [ "dbus-org.freedesktop.timesync1.service" ];
      restartTriggers = [ pkgs.debian.systemd-timesyncd config.environment.etc."systemd/timesyncd.conf".source ];
    };
  };
}
