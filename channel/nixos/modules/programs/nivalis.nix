/**
  nivalis on the machine itself: the commands `nix-*` and `nixos-*`, and what building packages and systems there needs.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.programs.nivalis;
in
{
  options.programs.nivalis = {
    enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether this machine can be rebuilt from its own configuration, and packages installed on it.";
    };
    package = mkOption {
      type = types.package;
      default = pkgs.nivalis;
      defaultText = literalExpression "pkgs.nivalis";
      example = literalExpression "pkgs.nivalis";
      description = "Which nivalis.";
    };
    mirrors = mkOption {
      type = types.listOf types.str;
      default = [ "http://mirror.example/debian" ];
      example = [ "http://mirror.example/debian" ];
      description = "Mirrors of Debian's archive.  What comes from them is checked, so they need not be trusted.";
    };
    snapshotArchive = mkOption {
      type = types.str;
      default = "https://snapshot.debian.org";
      example = "";
      description = "Where packages are looked for that no mirror has any more; empty for nowhere.";
    };
  };

  config = lib.mkIf cfg.enable {
    nix.package = lib.mkDefault cfg.package;
    # Sandboxes, and a shell that needs nothing, for what runs in them.
    environment.systemPackages = with pkgs.debian; [ bubblewrap busybox-static ];
    environment.etc."nivalis/debian.json".text = builtins.toJSON { inherit (cfg) mirrors snapshotArchive; } + "\n";
  };
}
