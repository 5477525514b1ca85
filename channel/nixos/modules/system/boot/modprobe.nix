/**
  How kernel modules are loaded, and which are not.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.boot;
in
{
  options.boot = {
    blacklistedKernelModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "pcspkr" ];
      description = "Modules that are not loaded by themselves when their devices are found.";
    };
    extraModprobeConfig = mkOption {
      type = types.lines;
      default = "";
      example = "options kvm_intel nested=1";
      description = "Further lines of modprobe.d(5).";
    };
  };

  # Of two files, the last to set an option wins, and packages have some.
  config.environment.etc."modprobe.d/zz-nixos.conf".text =
    lib.concatMapStrings (name: "blacklist ${name}\n") cfg.blacklistedKernelModules
    + cfg.extraModprobeConfig + lib.optionalString (cfg.extraModprobeConfig != "") "\n";
}
