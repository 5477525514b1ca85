/**
  logrotate: files of logs are put aside at times, compressed, and removed in the end.

  Only what is declared here is rotated; what Debian's packages have in /etc/logrotate.d is for Debian's own units and users.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.services.logrotate;

  scripts = [ "firstaction" "prerotate" "postrotate" "preremove" "lastaction" ];
  show = name: value:
    if value == null || value == false then ""
    else if value == true then "  ${name}\n"
    else if lib.elem name scripts then "  ${name}\n    ${lib.replaceStrings [ "\n" ] [ "\n    " ] (lib.removeSuffix "\n" value)}\n  endscript\n"
    else "  ${name} ${toString value}\n";
  text = one:
    "${lib.concatMapStringsSep " " (file: ''"${file}"'') one.files} {\n"
    + lib.optionalString (one.frequency != null) "  ${one.frequency}\n"
    + lib.concatStrings (lib.mapAttrsToList show (removeAttrs one [ "enable" "files" "frequency" "priority" ]))
    + "}\n";
  enabled = lib.sort (a: b: a.priority < b.priority) (builtins.filter (one: one.enable) (builtins.attrValues cfg.settings));
in
{
  options.services.logrotate = {
    enable = mkOption {
      type = types.bool;
      default = enabled != [ ];
      defaultText = literalExpression "whether `settings` has anything";
      example = false;
      description = "Whether logs are rotated.";
    };
    settings = mkOption {
      type = types.attrsOf (types.submodule ({ name, ... }: {
        freeformType = with types; attrsOf (nullOr (oneOf [ bool int str ]));
        options = {
          enable = mkOption { type = types.bool; default = true; example = false; description = "Whether these files are rotated."; };
          files = mkOption {
            type = with types; coercedTo str lib.singleton (listOf str);
            default = [ name ];
            defaultText = literalExpression "[ the attribute's name ]";
            example = [ "/var/log/web/*.log" ];
            description = "The files, for which `*` may stand for anything.";
          };
          frequency = mkOption {
            type = types.nullOr (types.enum [ "hourly" "daily" "weekly" "monthly" "yearly" ]);
            default = "weekly";
            example = "daily";
            description = "How often; null to go by their size alone.";
          };
          priority = mkOption {
            type = types.int;
            default = 1000;
            example = 900;
            description = "Where in the file this comes: the lower, the earlier.";
          };
        };
      }));
      default = { };
      example = { web = { files = "/var/log/web/*.log"; rotate = 5; compress = true; postrotate = "systemctl reload web"; }; };
      description = "What is rotated, by names of no meaning; what else a set has is a directive of logrotate.conf(5).";
    };
    configFile = mkOption {
      type = types.path;
      default = pkgs.writeText "logrotate.conf" (lib.concatMapStrings text enabled);
      defaultText = literalExpression "a file of what `settings` say";
      example = literalExpression "./logrotate.conf";
      description = "The configuration, in place of the one that is made of `settings`.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.services.logrotate = {
      description = "Rotation of logs";
      documentation = [ "man:logrotate(8)" ];
      startAt = "hourly";
      restartIfChanged = false;
      path = [ pkgs.debian.gzip ];
      serviceConfig = {
        Type = "oneshot";
        ExecStart = "${pkgs.debian.logrotate}/sbin/logrotate --state /var/lib/logrotate.status ${cfg.configFile}";
        Nice = 19;
        IOSchedulingClass = "idle";
      };
    };
  };
}
