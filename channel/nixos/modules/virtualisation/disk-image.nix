/**
  The system as a disk: `config.system.build.images.*`, what a machine or a virtual machine starts from.

  | attribute | file |
  |---|---|
  | `raw` | `nixos.raw` |
  | `qcow2` | `nixos.qcow2`, compressed as every QEMU can read it |
  | `qcow2-zstd` | `nixos.qcow2`, made and read faster; from QEMU 5.1 on |
  | `tar` | `nixos.tar`: the root's files, for systemd-nspawn and others that bring their own kernel |
  | `direct` | `kernel`, `initrd` and `cmdline`: what starts the raw disk without its boot loader |
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.virtualisation;

  image = format: import ../../lib/disk-image {
    inherit config lib pkgs format;
    inherit (cfg.diskImage) fileName label additionalSpace contents channels;
    inherit (cfg) diskSize;
    name = "nixos-${format}-${config.system.nixos.label}";
  };
in
{
  options.virtualisation = {
    diskSize = mkOption {
      type = with types; either (enum [ "auto" ]) ints.positive;
      default = "auto";
      example = 4096;
      description = "The disk's size in MiB; `auto` for what the system needs and `virtualisation.diskImage.additionalSpace`.";
    };
    diskImage = {
      additionalSpace = mkOption {
        type = types.ints.unsigned;
        default = 512;
        example = 2048;
        description = "How many MiB are left free, where the size is `auto`.";
      };
      fileName = mkOption {
        type = types.strMatching "[A-Za-z0-9._+-]+";
        default = "nixos";
        example = "web";
        description = "The file's name, without what its format adds.";
      };
      label = mkOption {
        type = types.strMatching "[A-Za-z0-9._+-]{1,16}";
        default = "nixos";
        example = "root";
        description = "The label of the root file system.";
      };
      contents = mkOption {
        type = types.attrsOf types.path;
        default = { };
        example = literalExpression ''{ "etc/nixos/configuration.nix" = ./configuration.nix; }'';
        description = "Files that are on the disk from the beginning and are the machine's own from then on, by their places.";
      };
      channels = mkOption {
        type = with types; nullOr path;
        default = null;
        example = literalExpression "/nix/var/nix/profiles/per-user/root/channels";
        description = "The user environment with which root's channels begin.";
      };
    };
  };

  config.system.build.images = lib.genAttrs [ "raw" "qcow2" "qcow2-zstd" "tar" "direct" ] image;
}
