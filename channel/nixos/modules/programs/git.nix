/**
  Git.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.programs.git;
in
{
  options.programs.git = {
    enable = lib.mkEnableOption "Git";
    package = lib.mkPackageOption pkgs "git" { example = "git"; };
    config = mkOption {
      type = with types; attrsOf (attrsOf anything);
      default = { };
      example = { init.defaultBranch = "main"; url."https://github.com/".insteadOf = [ "gh:" ]; };
      description = "What is in /etc/gitconfig.";
    };
    lfs.enable = mkOption { type = types.bool; default = false; example = true; description = "Whether large files are kept apart, by Git LFS."; };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ] ++ lib.optional cfg.lfs.enable pkgs.debian.git-lfs;
    programs.git.config = lib.mkIf cfg.lfs.enable {
      filter.lfs = { clean = "git-lfs clean -- %f"; smudge = "git-lfs smudge -- %f"; process = "git-lfs filter-process"; required = true; };
    };
    environment.etc.gitconfig = lib.mkIf (cfg.config != { }) { text = lib.generators.toGitINI cfg.config; };
  };
}
