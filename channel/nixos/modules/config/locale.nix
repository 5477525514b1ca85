/**
  The time zone.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.time;
in
{
  options.time = {
    timeZone = mkOption {
      type = with types; nullOr (strMatching "[^ ]+");
      default = null;
      example = "Europe/London";
      description = "The time zone, by its name in the tz database; null for UTC, which `timedatectl` can then change.";
    };
    hardwareClockInLocalTime = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the machine's own clock shows local time, in place of UTC.";
    };
  };

  config = {
    environment.systemPackages = [ pkgs.debian.tzdata ];
    environment.etc = lib.mkMerge [
      # systemd reads the zone's name off the link.
      (lib.mkIf (cfg.timeZone != null) {
        localtime = { source = "/usr/share/zoneinfo/${cfg.timeZone}"; mode = "direct-symlink"; };
        timezone.text = "${cfg.timeZone}\n";
      })
      (lib.mkIf cfg.hardwareClockInLocalTime { adjtime.text = "0.0 0 0\n0\nLOCAL\n"; })
    ];
  };
}
