/**
  D-Bus.  A switch reloads it and never restarts it, which would take systemd's own connection with it.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.services.dbus;
in
{
  options.services.dbus = {
    enable = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether the system has a message bus; systemd's own tools want one.";
    };
    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.debian.avahi-daemon ]";
      description = "Packages that have services or policies for the bus.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.debian.dbus ] ++ cfg.packages;
    users.users.messagebus = { isSystemUser = true; group = "messagebus"; home = "/nonexistent"; description = "D-Bus"; };
    users.groups.messagebus = { };
    systemd.services.dbus = {
      overrideStrategy = "asDropin";
      restartTriggers = [ pkgs.debian.dbus-daemon ] ++ cfg.packages;
      reloadIfChanged = true;
      wantedBy = [ "multi-user.target" ];
    };
  };
}
