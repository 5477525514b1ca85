/**
  nivalis on the machine itself: the commands `nix-*` and `nixos-*`, and what building packages and systems there needs.
*/
{ config, lib, pkgs, utils, ... }:
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
      type = with types; nullOr (listOf str);
      default = null;
      example = [ "http://mirror.example/debian" ];
      description = ''
        Mirrors of Debian's archive; null for the one that Debian's own apt comes with.  What comes from them is checked, so they need not be trusted.
      '';
    };
    snapshotArchive = mkOption {
      type = types.str;
      default = "";
      example = "https://snapshot.debian.org";
      description = "Where packages are looked for that no mirror has any more; empty for nowhere.";
    };
  };

  config = lib.mkIf cfg.enable {
    nix.package = lib.mkDefault cfg.package;
    # Sandboxes, and a shell that needs nothing, for what runs in them.
    environment.systemPackages = with pkgs.debian; [ bubblewrap busybox-static ];
    environment.etc."nivalis/debian.json".source = "${utils.runPython "debian.json"
      {
        configuration = builtins.toJSON { inherit (cfg) mirrors snapshotArchive; };
        examples = lib.optionalString (cfg.mirrors == null) "${pkgs.debian.apt}/usr/share/doc/apt/examples";
      }
      ./debian-mirrors.py}";
  };
}
