/**
  GRUB: the menu with an entry for each generation, which a switch writes.
*/
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.boot.loader.grub;
in
{
  options.boot.loader = {
    timeout = mkOption {
      type = with types; nullOr int;
      default = 5;
      example = 10;
      description = "How many seconds the menu waits; null for ever.";
    };
    grub = {
      enable = mkOption {
        type = types.bool;
        default = !config.boot.isContainer;
        defaultText = literalExpression "!config.boot.isContainer";
        example = false;
        description = "Whether GRUB starts this machine; without, something else does (a host that starts its kernel).";
      };
      device = mkOption {
        type = types.str;
        default = "nodev";
        example = "/dev/vda";
        description = "The disk whose boot sector has GRUB; `nodev` for only writing the menu.";
      };
      devices = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "/dev/vda" "/dev/vdb" ];
        description = "Disks, where there are several.";
      };
      configurationLimit = mkOption {
        type = types.int;
        default = 100;
        example = 20;
        description = "How many generations the menu shows.";
      };
      default = mkOption {
        type = with types; either int str;
        default = "0";
        example = "saved";
        description = "The entry that is started when nobody chooses: its number, its title, or `saved`.";
      };
      extraEntries = mkOption {
        type = types.lines;
        default = "";
        example = "menuentry \"Memory test\" { linux16 /boot/memtest86+.bin }";
        description = "Further entries, after the generations.";
      };
      extraConfig = mkOption {
        type = types.lines;
        default = "";
        example = "serial --unit=0 --speed=115200";
        description = "Lines at the menu's beginning.";
      };
      serial = mkOption {
        type = types.bool;
        default = lib.any (lib.hasPrefix "console=ttyS0") config.boot.kernelParams;
        defaultText = literalExpression "whether boot.kernelParams has console=ttyS0";
        example = true;
        description = "Whether the menu is shown on the first serial line, too.";
      };
    };
  };

  config = {
    system.build.data.boot.loader =
      if !cfg.enable || config.boot.isContainer then null
      else {
        kind = "grub";
        device = if cfg.devices != [ ] then builtins.head cfg.devices else cfg.device;
        inherit (config.boot.loader) timeout;
        inherit (cfg) configurationLimit extraEntries extraConfig serial;
        default = toString cfg.default;
      };
  };
}
