/**
  Logins and seats.  A switch leaves them alone: restarting logind would cut off the sessions that it knows.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.logind;
  unitOptions = import ../../../../lib/systemd-unit-options.nix { inherit lib; };
in
{
  options.services.logind = {
    settings.Login = unitOptions.section { HandlePowerKey = "ignore"; } "Settings of logind.conf(5).";
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "IdleAction=lock";
      description = "Further lines of logind.conf(5).";
    };
  };

  config = {
    services.logind.settings.Login.KillUserProcesses = lib.mkDefault false;
    environment.etc."systemd/logind.conf".text = utils.systemd.section "Login" cfg.settings.Login + cfg.extraConfig;
    environment.systemPackages = [ pkgs.debian.libpam-systemd ];
    systemd.services.systemd-logind = {
      overrideStrategy = "asDropin";
      restartTriggers = [ config.environment.etc."systemd/logind.conf".source ];
      restartIfChanged = false;
    };
  };
}
