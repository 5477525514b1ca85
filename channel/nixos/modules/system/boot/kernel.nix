/**
  The kernel: Debian's, with its modules and their index, which no package holds.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.boot;

  # The package that a metapackage such as linux-image-amd64 stands for today.
  imageOf = package:
    let images = builtins.filter (name: builtins.match "linux-image-[0-9].*" name != null) ([ package.debian.name ] ++ package.debian.record.depends); in
    if images == [ ] then throw "`${package.name}` is no kernel of Debian's, and needs none"
    else pkgs.debian.${builtins.head images};
  packagesFor = package: rec {
    kernel = imageOf package // { inherit modDirVersion; };
    modDirVersion = lib.removePrefix "linux-image-" (imageOf package).pname;
  };
  names = { x86_64-linux = "amd64"; aarch64-linux = "arm64"; };

  inherit (cfg.kernelPackages) kernel;
  version = kernel.modDirVersion;
  vmlinuz = "${kernel}/boot/vmlinuz-${version}";

  modules = utils.runPython "kernel-modules"
    {
      trees = map toString ([ kernel ] ++ cfg.extraModulePackages);
      inherit version;
      depmod = "${pkgs.debian.kmod}/sbin/depmod";
      # It opens them by name, to read compressed modules.
      libraries = map (package: "${package}/usr/lib/${lib.removeSuffix "-linux" pkgs.system}-linux-gnu") [ pkgs.debian.liblzma5 pkgs.debian.libzstd1 ];
    }
    ./make-modules.py;
in
{
  options.boot = {
    isContainer = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether this is a container's system: it has no kernel, no initrd and no boot loader.";
    };
    kernelPackages = mkOption {
      type = types.raw;
      default = pkgs.debian."linux-image-cloud-${names.${pkgs.system}}";
      defaultText = literalExpression "pkgs.debian.linux-image-cloud-amd64";
      apply = given: if lib.isDerivation given then packagesFor given else given;
      example = literalExpression "pkgs.debian.linux-image-amd64";
      description = "The kernel: one of Debian's packages `linux-image-*`, or a set with `kernel` as nixpkgs has them.  The default is the one for virtual machines.";
    };
    kernelParams = mkOption {
      type = types.listOf (types.strMatching ''([^"[:space:]]|"[^"]*")+'');
      default = [ ];
      example = [ "console=ttyS0,115200" ];
      description = "Words on the kernel's command line.";
    };
    consoleLogLevel = mkOption {
      type = types.int;
      default = 4;
      example = 7;
      description = "Which messages the kernel shows on the console: those of a lower level.";
    };
    kernelModules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "br_netfilter" ];
      description = "Modules that are loaded at boot, once the system is up; others come with their devices.";
    };
    extraModulePackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.myModule ]";
      description = "Packages of further modules for this kernel, below `lib/modules/VERSION`.";
    };
  };

  config = lib.mkMerge [
    {
      system.build.data.kernel = {
        version = if cfg.isContainer then "" else version;
        params = cfg.kernelParams;
        modules = cfg.kernelModules;
        blacklist = cfg.blacklistedKernelModules;
      };
      environment.etc."modules-load.d/nixos.conf".text = lib.concatMapStrings (name: "${name}\n") cfg.kernelModules;
    }
    (lib.mkIf (!cfg.isContainer) {
      boot.kernelParams = [ "loglevel=${toString cfg.consoleLogLevel}" ];
      system.build = { kernel = vmlinuz; inherit modules; kernelVersion = version; };
      systemd.services.systemd-modules-load = {
        overrideStrategy = "asDropin";
        restartTriggers = [ config.environment.etc."modules-load.d/nixos.conf".source ];
      };
    })
  ];
}
