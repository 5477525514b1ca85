/**
  systemd-tmpfiles: folders and files that are made, and emptied, at boot and at a switch.
*/
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.systemd.tmpfiles;

  orDash = value: if value == "" then "-" else value;
  entry = path: kind: e:
    lib.removeSuffix " " "${kind} ${builtins.toJSON path} ${orDash e.mode} ${orDash e.user} ${orDash e.group} ${orDash e.age} ${e.argument}";
  field = description: example: mkOption { type = types.str; default = ""; inherit example description; };
  fromSettings = lib.concatLists (lib.mapAttrsToList
    (_: paths: lib.concatLists (lib.mapAttrsToList (path: kinds: lib.mapAttrsToList (entry path) kinds) paths))
    cfg.settings);
  rules = cfg.rules ++ fromSettings;
in
{
  options.systemd.tmpfiles = {
    rules = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "d /srv/www 0755 root root -" ];
      description = "Rules as tmpfiles.d(5) has them: type, path, mode, user, group, age and argument.";
    };

    settings = mkOption {
      type = types.attrsOf (types.attrsOf (types.attrsOf (types.submodule {
        options = {
          mode = field "The mode; empty for the usual one." "0755";
          user = field "The owner; empty for root." "www-data";
          group = field "The group; empty for root." "www-data";
          age = field "How old what is in it may become; empty for any age." "10d";
          argument = field "What a link leads to, or what is written into a file." "/srv";
        };
      })));
      default = { };
      example = { web."/srv/www".d = { mode = "0755"; user = "www-data"; }; };
      description = "The same as sets: a name, of no meaning, then the path, then the type.";
    };
  };

  config = {
    environment.etc."tmpfiles.d/00-nixos.conf".text = lib.concatMapStrings (rule: "${rule}\n") rules;
    # In place of systemd's, of which only this line is of use; Debian 13's has one for /run/lock, too, as has debian.conf, which would be said at
    # each switch.
    environment.etc."tmpfiles.d/legacy.conf".text = "L /var/lock - - - - ../run/lock\n";
    system.build.data.tmpfiles = rules;
  };
}
