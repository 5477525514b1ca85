/**
  The package set: the channel that this module is part of, with the settings given here.

  `_module.args.pkgs` is made from these, so they cannot depend on `pkgs`.
*/
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.nixpkgs;
in
{
  options.nixpkgs = {
    pkgs = mkOption {
      type = types.raw;
      default = import ../../.. { inherit (cfg) system snapshot config overlays; };
      defaultText = literalExpression "import <nixpkgs> { inherit (config.nixpkgs) system snapshot config overlays; }";
      example = literalExpression "import <nixpkgs> { }";
      description = "The package set as a whole; where it is set, the other options here are without effect.";
    };

    config = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      example = literalExpression "{ packageOverrides = pkgs: { mine = pkgs.curl; }; }";
      description = "What is otherwise in `~/.config/nixpkgs/config.nix`, which systems do not read.";
    };

    overlays = mkOption {
      type = types.listOf types.raw;
      default = [ ];
      example = literalExpression "[ (final: prev: { mine = prev.curl; }) ]";
      description = "Functions that change the package set, applied in order.";
    };

    system = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "x86_64-linux";
      description = "The platform that the system is for; null for that of the channel's snapshot, which is the only one it can be.";
    };

    hostPlatform = mkOption {
      type = types.nullOr (types.either types.str types.raw);
      default = null;
      example = "x86_64-linux";
      description = "The same as `nixpkgs.system`, by its newer name.";
    };

    snapshot = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/nix/var/nix/profiles/per-user/root/channels/nixos/snapshot";
      description = "The snapshot of a Debian archive to take packages from; null for the one beside the channel.";
    };
  };

  config = {
    nixpkgs.system = lib.mkIf (cfg.hostPlatform != null) (lib.mkDefault (cfg.hostPlatform.system or cfg.hostPlatform));
    _module.args.pkgs = cfg.pkgs;
  };
}
