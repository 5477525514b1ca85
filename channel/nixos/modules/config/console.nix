/**
  The text console: its keyboard and its font.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.console;
  # Maps and fonts that are no files of the user's are Debian's.
  isName = given: given != null && !lib.hasPrefix "/" (toString given);
  isNeeded = cfg.enable && (cfg.keyMap != null || cfg.font != null);
in
{
  options.console = {
    enable = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether there is a text console.";
    };
    keyMap = mkOption {
      type = with types; nullOr (either str path);
      default = null;
      example = "de";
      description = "The keyboard's map, by its name in the package `console-data`, or a file; null for the kernel's own.";
    };
    font = mkOption {
      type = with types; nullOr (either str path);
      default = null;
      example = "Lat15-Terminus16";
      description = "The font, by its name in the package `console-setup-linux`, or a file; null for the kernel's own.";
    };
    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.debian.console-setup-linux ]";
      description = "Packages that have maps and fonts.";
    };
  };

  config = lib.mkIf isNeeded {
    environment.systemPackages = [ pkgs.debian.kbd ]
      ++ lib.optional (isName cfg.keyMap) pkgs.debian.console-data
      ++ lib.optional (isName cfg.font) pkgs.debian.console-setup-linux
      ++ cfg.packages;
    systemd.services.console-setup = {
      description = "Keyboard and font of the console";
      wantedBy = [ "sysinit.target" ];
      unitConfig = { DefaultDependencies = false; ConditionPathExists = "/dev/tty1"; };
      serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
      # They read compressed maps and fonts by way of gzip.
      path = [ pkgs.debian.kbd pkgs.debian.gzip ];
      script = lib.optionalString (cfg.keyMap != null) "loadkeys --quiet ${lib.escapeShellArg (toString cfg.keyMap)}\n"
        + lib.optionalString (cfg.font != null) "setfont -C /dev/tty1 ${lib.escapeShellArg (toString cfg.font)}\n";
    };
  };
}
