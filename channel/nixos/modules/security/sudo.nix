/**
  sudo.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.security.sudo;

  command = one: if builtins.isString one then one else lib.concatMapStrings (option: "${option}: ") one.options + one.command;
  lineOf = one: subject: "${subject} ${one.host}=(${one.runAs}) ${lib.concatMapStringsSep ", " command one.commands}\n";
  linesOf = one: lib.concatMapStrings (lineOf one) (map toString one.users ++ map (group: "%${toString group}") one.groups);
in
{
  options.security.sudo = {
    enable = mkOption { type = types.bool; default = true; example = false; description = "Whether users can become others by `sudo`."; };
    wheelNeedsPassword = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = "Whether those in the groups `sudo` and `wheel` are asked for their password.";
    };
    execWheelOnly = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether nobody but those in the group `sudo` can start the program at all.";
    };
    extraRules = mkOption {
      type = types.listOf (types.submodule {
        options = {
          users = mkOption { type = with types; listOf (either str int); default = [ ]; example = [ "alice" ]; description = "Users the rule is for."; };
          groups = mkOption { type = with types; listOf (either str int); default = [ ]; example = [ "web" ]; description = "Groups the rule is for."; };
          host = mkOption { type = types.str; default = "ALL"; example = "web1"; description = "Hosts the rule is for."; };
          runAs = mkOption { type = types.str; default = "ALL:ALL"; example = "www-data"; description = "Whom they may become."; };
          commands = mkOption {
            type = with types; listOf (either str (submodule {
              options = {
                command = mkOption { type = types.str; example = "/usr/bin/systemctl"; description = "The command, or `ALL`."; };
                options = mkOption {
                  type = types.listOf types.str; default = [ ]; example = [ "NOPASSWD" ]; description = "Its tags in sudoers(5).";
                };
              };
            }));
            default = [ ];
            example = [ { command = "/usr/bin/systemctl restart lighttpd"; options = [ "NOPASSWD" ]; } ];
            description = "What they may run.";
          };
        };
      });
      default = [ ];
      example = [ { users = [ "alice" ]; commands = [ "ALL" ]; } ];
      description = "Who may run what as whom; the last rule that fits counts.";
    };
    extraConfig = mkOption {
      type = types.lines;
      default = "";
      example = "Defaults lecture = never";
      description = "Further lines of sudoers(5).";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ pkgs.debian.sudo ];
    security.sudo.extraRules = lib.mkBefore [ {
      groups = [ "sudo" "wheel" ];
      commands = [ { command = "ALL"; options = lib.optional (!cfg.wheelNeedsPassword) "NOPASSWD"; } ];
    } ];
    security.wrappers = lib.mkIf cfg.execWheelOnly {
      sudo = { source = "${pkgs.debian.sudo}/usr/bin/sudo"; owner = "root"; group = "sudo"; setuid = true; permissions = "u=rx,g=x,o="; };
    };
    environment.etc.sudoers = {
      mode = "0440";
      text = ''
        Defaults env_reset
        Defaults secure_path="/run/wrappers/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        root ALL=(ALL:ALL) SETENV: ALL
      '' + lib.concatMapStrings linesOf cfg.extraRules + cfg.extraConfig + "\n";
    };
  };
}
