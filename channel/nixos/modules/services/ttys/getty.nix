/**
  Logins on consoles: the first virtual terminal, and the serial lines that the kernel's parameter `console` names, for which systemd starts
  one by itself.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption optionalString types;
  cfg = config.services.getty;

  arguments = "${optionalString (cfg.autologinUser != null) "--autologin ${cfg.autologinUser} "}${lib.escapeShellArgs cfg.extraArgs}";
  # A line of arguments that stays as Debian's where nothing is asked for.
  exec = line: lib.optionalAttrs (arguments != "") {
    serviceConfig.ExecStart = [ "" "-/usr/sbin/agetty -o '-p ${optionalString (cfg.autologinUser != null) "-f "}-- \\\\u' ${arguments} ${line}" ];
  };
  login = line: exec line // { overrideStrategy = "asDropin"; restartIfChanged = false; };
in
{
  options.services.getty = {
    autologinUser = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "root";
      description = "The user that consoles log in without being asked; whoever is at a console then is that user.";
    };
    extraArgs = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "--nohostname" ];
      description = "Further arguments of agetty(8).";
    };
    greetingLine = mkOption {
      type = types.str;
      default = "<<< Welcome to ${config.networking.hostName} (\\m) - \\l >>>";
      defaultText = lib.literalExpression ''"<<< Welcome to HOSTNAME (\\m) - \\l >>>"'';
      example = "Welcome";
      description = "The first line that is shown before a login.";
    };
    helpLine = mkOption {
      type = types.lines;
      default = "";
      example = "The documentation is at https://example.org.";
      description = "What follows it.";
    };
  };

  config = {
    environment.etc.issue.text = "\n${cfg.greetingLine}\n${cfg.helpLine}\n";
    systemd.services = {
      "getty@" = login "--noclear - $TERM";
      "serial-getty@" = login "--keep-baud 115200,57600,38400,9600 - $TERM";
      "container-getty@" = login "--noclear --keep-baud pts/%I 115200,38400,9600 $TERM" ;
      console-getty = login "--noclear --keep-baud console 115200,38400,9600 $TERM" // { wantedBy = lib.optional config.boot.isContainer "getty.target"; };
      "getty@tty1".wantedBy = lib.optional (!config.boot.isContainer) "getty.target";
    };
  };
}
