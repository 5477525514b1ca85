/**
  udev: devices' names, permissions and settings.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.services.udev;

  # It is ten times as large as all lists that it is made of, and most of it is of keyboards.
  hasHwdb = cfg.extraHwdb != "" || cfg.packages != [ ];
  hwdb = utils.runPython "hwdb.bin"
    {
      packages = map toString ([ pkgs.debian.udev ] ++ cfg.packages);
      own = "${pkgs.writeText "99-local.hwdb" cfg.extraHwdb}";
      program = "${pkgs.debian.udev}/bin/systemd-hwdb";
    }
    ./make-hwdb.py;
in
{
  options.services.udev = {
    enable = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether devices are set up as they come; a container's are its host's.";
    };
    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.debian.usb-modeswitch ]";
      description = "Packages that have rules for udev.";
    };
    extraRules = mkOption {
      type = types.lines;
      default = "";
      example = ''KERNEL=="vdb", GROUP="disk", SYMLINK+="data"'';
      description = "Further rules, read after the packages'.";
    };
    extraHwdb = mkOption {
      type = types.lines;
      default = "";
      example = "evdev:input:b0003v05AFp8277*\n KEYBOARD_KEY_70039=leftalt\n";
      description = "Further entries of the hardware database.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.debian.udev ] ++ cfg.packages;
    environment.etc = lib.optionalAttrs (cfg.extraRules != "") { "udev/rules.d/99-local.rules".text = cfg.extraRules; }
      // lib.optionalAttrs hasHwdb { "udev/hwdb.bin".source = "${hwdb}"; };
    users.groups = { input = { }; kvm = { }; render = { }; sgx = { }; };
    systemd.services.systemd-udevd = {
      overrideStrategy = "asDropin";
      restartTriggers = [ pkgs.debian.udev cfg.extraRules ] ++ cfg.packages ++ lib.optional hasHwdb hwdb;
    };
  };
}
