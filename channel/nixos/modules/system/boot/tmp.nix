/**
  /tmp.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.boot.tmp;
in
{
  options.boot.tmp = {
    cleanOnBoot = mkOption { type = types.bool; default = false; example = true; description = "Whether /tmp is emptied at boot."; };
    useTmpfs = mkOption { type = types.bool; default = false; example = true; description = "Whether /tmp is in memory."; };
    tmpfsSize = mkOption { type = with types; oneOf [ str ints.positive ]; default = "50%"; example = "2G"; description = "How large it may become then."; };
  };

  config = {
    fileSystems = lib.mkIf cfg.useTmpfs {
      "/tmp" = { device = "tmpfs"; fsType = "tmpfs"; options = [ "mode=1777" "strictatime" "nosuid" "nodev" "size=${toString cfg.tmpfsSize}" ]; };
    };
    systemd.tmpfiles.rules = lib.optional cfg.cleanOnBoot "D! /tmp 1777 root root";
  };
}
