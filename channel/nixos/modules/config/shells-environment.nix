/**
  Variables and aliases: what a login sets.
*/
{ config, lib, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.environment;

  variable = with types; coercedTo (oneOf [ int path ]) (x: "${toString x}") (either str (listOf str));
  show = value: if builtins.isList value then lib.concatStringsSep ":" value else value;
  exports = lib.concatStrings (lib.mapAttrsToList
    (name: value: ''export ${name}="${lib.escape [ "\\" "\"" "`" ] (show value)}"'' + "\n")
    (lib.filterAttrs (_: value: value != null) (cfg.variables // cfg.sessionVariables)));
in
{
  options.environment = {
    variables = mkOption {
      type = types.attrsOf (types.nullOr variable);
      default = { };
      example = { EDITOR = "nano"; };
      description = "Variables of every login and shell; a list is joined by colons, and `$NAME` in a value is expanded.";
    };
    sessionVariables = mkOption {
      type = types.attrsOf (types.nullOr variable);
      default = { };
      example = { LIBVIRT_DEFAULT_URI = "qemu:///system"; };
      description = "The same, also for what PAM starts without a shell; nothing is expanded in those.";
    };
    shellAliases = mkOption {
      type = types.attrsOf (types.nullOr types.str);
      default = { };
      example = { ll = "ls -l"; };
      description = "Aliases of every interactive shell.";
    };
    shellInit = mkOption {
      type = types.lines;
      default = "";
      example = "umask 027";
      description = "What every shell does at its start.";
    };
    extraInit = mkOption {
      type = types.lines;
      default = "";
      example = "export A=$(b)";
      description = "What is done after variables are set, where a value has to be found out; for sh.";
    };
    loginShellInit = mkOption {
      type = types.lines;
      default = "";
      example = "cat /etc/motd";
      description = "What every login does.";
    };
    interactiveShellInit = mkOption {
      type = types.lines;
      default = "";
      example = "set -o vi";
      description = "What every interactive shell does at its start.";
    };
    shells = mkOption {
      type = types.listOf (types.either types.package types.path);
      default = [ ];
      example = literalExpression "[ pkgs.zsh ]";
      description = "Shells that users may choose: /etc/shells.";
    };
    homeBinInPath = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether `~/bin` comes first in PATH.";
    };
  };

  config = {
    environment.variables = {
      PATH = lib.mkOrder 1000 (lib.optional cfg.homeBinInPath "$HOME/bin" ++ [
        "/run/wrappers/bin" "$HOME/.nix-profile/bin" "/nix/var/nix/profiles/default/bin"
        "/usr/local/sbin" "/usr/local/bin" "/usr/sbin" "/usr/bin" "/sbin" "/bin"
      ]);
      EDITOR = lib.mkDefault "nano";
      PAGER = lib.mkDefault "less";
    };
    environment.etc = {
      set-environment.text = exports + cfg.extraInit;
      environment.text = lib.concatStrings (lib.mapAttrsToList
        (name: value: lib.optionalString (value != null) "${name}=${builtins.toJSON (show value)}\n")
        cfg.sessionVariables);
      shells.text = lib.concatMapStrings (shell: "${utils.toShellPath shell}\n")
        ([ "/bin/sh" "/usr/bin/sh" "/bin/bash" "/usr/bin/bash" "/bin/dash" "/usr/bin/dash" ] ++ cfg.shells);
      profile.text = ''
        # What every login shell reads; `environment.loginShellInit` and `environment.variables` add to it.
        if [ -z "$__NIXOS_SET_ENVIRONMENT_DONE" ]; then
          . /etc/set-environment
          export __NIXOS_SET_ENVIRONMENT_DONE=1
        fi
        ${cfg.shellInit}
        for file in /etc/profile.d/*.sh; do
          if [ -r "$file" ]; then . "$file"; fi
        done
        unset file
        ${cfg.loginShellInit}
        if [ -n "$BASH" ] && [ "$BASH" != /bin/sh ] && [ -r /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi
      '';
    };
  };
}
