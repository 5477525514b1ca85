/**
  What the system is called: its label, and the release that its state began with.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.system.nixos;

  suite = builtins.head pkgs.snapshot.suites;
  numbers = { bullseye = "11"; bookworm = "12"; trixie = "13"; forky = "14"; };
  day = builtins.replaceStrings [ "-" ] [ "" ] (builtins.substring 0 10 pkgs.snapshot.date);
in
{
  options.system = {
    stateVersion = mkOption {
      type = types.str;
      default = cfg.release;
      defaultText = literalExpression "config.system.nixos.release";
      example = "12";
      description = ''
        The release that this machine was first installed with.  Services whose data on disk are of a version (databases) keep to it, so
        it stays as it is when the machine moves to a newer release.
      '';
    };

    nixos = {
      release = mkOption {
        type = types.str;
        default = numbers.${suite.codename} or suite.codename;
        defaultText = literalExpression ''"12"'';
        example = "12";
        readOnly = true;
        description = "The release of Debian: its number, or its codename where it has none yet.";
      };
      codeName = mkOption {
        type = types.str;
        default = suite.codename;
        defaultText = literalExpression ''"bookworm"'';
        example = "bookworm";
        readOnly = true;
        description = "The release's codename.";
      };
      versionSuffix = mkOption {
        type = types.str;
        default = ".${day}";
        defaultText = literalExpression ''".20261120"'';
        example = ".20261120";
        internal = true;
        description = "What follows the release in the version: the day of the snapshot.";
      };
      version = mkOption {
        type = types.str;
        default = cfg.release + cfg.versionSuffix;
        defaultText = literalExpression "config.system.nixos.release + config.system.nixos.versionSuffix";
        example = "12.20261120";
        internal = true;
        description = "The release and the day of the snapshot, as `nixos-version` shows them.";
      };
      label = mkOption {
        type = types.strMatching "[a-zA-Z0-9:_./-]*";
        default = lib.concatStringsSep "-" (lib.sort (a: b: a < b) cfg.tags ++ [ cfg.version ]);
        defaultText = literalExpression "config.system.nixos.version, after the tags";
        example = "12.20261120-web";
        description = "What the system is called in the boot menu and in its store path.";
      };
      tags = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "with-nginx" ];
        description = "Words that come before the version in the label.";
      };
    };
  };
}
