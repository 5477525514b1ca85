/**
  The journal.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.journald;
in
{
  options.services.journald = {
    storage = mkOption {
      type = types.enum [ "persistent" "volatile" "auto" "none" ];
      default = "persistent";
      example = "volatile";
      description = "Where messages are kept: on disk, in memory, on disk where /var/log/journal is, or not at all.";
    };
    rateLimitInterval = mkOption {
      type = types.str;
      default = "30s";
      example = "10s";
      description = "The time within which a service's messages are counted.";
    };
    rateLimitBurst = mkOption {
      type = types.int;
      default = 10000;
      example = 1000;
      description = "How many messages a service may have within that time; more are dropped.";
    };
    console = mkOption {
      type = types.str;
      default = "";
      example = "/dev/ttyS0";
      description = "A terminal that all messages are shown on; empty for none.";
    };
    forwardToSyslog = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether messages are handed to another program that collects them.";
    };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "SystemMaxUse=500M";
      description = "Further lines of journald.conf(5).";
    };
  };

  config = {
    environment.etc."systemd/journald.conf".text = ''
      [Journal]
      Storage=${cfg.storage}
      RateLimitIntervalSec=${cfg.rateLimitInterval}
      RateLimitBurst=${toString cfg.rateLimitBurst}
      ForwardToSyslog=${lib.boolToString cfg.forwardToSyslog}
    '' + lib.optionalString (cfg.console != "") "ForwardToConsole=yes\nTTYPath=${cfg.console}\n" + cfg.extraConfig;
    systemd.services.systemd-journald = {
      overrideStrategy = "asDropin";
      restartTriggers = [ config.systemd.package config.environment.etc."systemd/journald.conf".source ];
      stopIfChanged = false;
    };
    users.groups.systemd-journal = { };
  };
}
