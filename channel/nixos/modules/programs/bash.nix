/**
  Bash: its prompt, aliases and completion.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.programs.bash;
  lines = example: description: mkOption { type = types.lines; default = ""; inherit example description; };
in
{
  options.programs.bash = {
    shellAliases = mkOption {
      type = types.attrsOf (types.nullOr types.str);
      default = config.environment.shellAliases;
      defaultText = literalExpression "config.environment.shellAliases";
      example = { ll = "ls -l"; };
      description = "Aliases of Bash.";
    };
    shellInit = lines "umask 027" "What every Bash does at its start.";
    loginShellInit = lines "cat /etc/motd" "What a Bash does that is a login.";
    interactiveShellInit = lines "shopt -s autocd" "What an interactive Bash does at its start.";
    promptInit = mkOption {
      type = types.lines;
      default = ''
        if [ "$UID" = 0 ]; then PS1='\[\e[1;31m\]\u@\h:\w#\[\e[0m\] '; else PS1='\[\e[1;32m\]\u@\h:\w$\[\e[0m\] '; fi
        if [ "$TERM" = dumb ]; then PS1='\u@\h:\w\$ '; fi
      '';
      example = "PS1='$ '";
      description = "What sets the prompt.";
    };
    completion.enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether Bash completes the arguments of commands.";
    };
  };

  config = {
    environment.systemPackages = lib.optional cfg.completion.enable pkgs.debian.bash-completion;
    environment.loginShellInit = cfg.loginShellInit;
    environment.etc."bash.bashrc".text = ''
      if [ -z "$__NIXOS_SET_ENVIRONMENT_DONE" ]; then
        . /etc/set-environment
        export __NIXOS_SET_ENVIRONMENT_DONE=1
      fi
      ${config.environment.shellInit}${cfg.shellInit}
      # Also read by shells that ssh starts for a command.
      case $- in *i*) ;; *) return ;; esac
      shopt -s checkwinsize
      ${cfg.promptInit}
      ${lib.concatStrings (lib.mapAttrsToList (name: value: lib.optionalString (value != null) "alias -- ${name}=${lib.escapeShellArg value}\n") cfg.shellAliases)}
      ${lib.optionalString cfg.completion.enable "if [ -r /usr/share/bash-completion/bash_completion ]; then . /usr/share/bash-completion/bash_completion; fi"}
      ${config.environment.interactiveShellInit}${cfg.interactiveShellInit}
    '';
  };
}
