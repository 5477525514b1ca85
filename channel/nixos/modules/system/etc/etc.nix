/**
  /etc: the packages' files, and the declared ones, which go before them.

  The tree is what /etc/static shows, and activation links /etc to it.  What a machine keeps itself (passwords, keys, its id) is in no tree.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkOption types;

  entries = builtins.filter (entry: entry.enable) (builtins.attrValues config.environment.etc);

  # A text that names nothing in the store is there without being built, as most are.
  writeFile = name: text: if builtins.hasContext text then pkgs.writeText name text else builtins.toFile name text;

  # Of the packages' /etc: what is a user's or a machine's own, and what is for a system without systemd.
  without = [
    "passwd" "group" "shadow" "gshadow" "subuid" "subgid" "hostname" "machine-id" "mtab" "adjtime" "localtime"
    "init.d" "rc0.d" "rc1.d" "rc2.d" "rc3.d" "rc4.d" "rc5.d" "rc6.d" "rcS.d" "runit" "sv" "rc.local" "apt" "dpkg" "modules-load.d/modules.conf" "credstore" "credstore.encrypted"
  ];

  tree = utils.makeTree "etc" {
    base = "${config.system.path}/etc";
    name = "etc";
    inherit without;
    files = lib.listToAttrs (map (entry: { name = entry.target; value.link = "${entry.source}"; }) entries);
  };

  targets = map (entry: entry.target) entries;
  repeated = lib.unique (lib.filter (target: lib.count (other: other == target) targets > 1) targets);
in
{
  options.environment.etc = mkOption {
    default = { };
    example = literalExpression ''{ "motd".text = "hello"; "web/key" = { source = ./key; mode = "0400"; }; }'';
    description = "Files in /etc, by their names there.";
    type = types.attrsOf (types.submodule ({ name, config, options, ... }: {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          example = false;
          description = "Whether the file is there.";
        };
        target = mkOption {
          type = types.str;
          default = name;
          defaultText = literalExpression "the attribute's name";
          example = "web/site.conf";
          description = "The file's name below /etc.";
        };
        text = mkOption {
          type = types.nullOr types.lines;
          default = null;
          example = "port = 80";
          description = "What is in the file.";
        };
        source = mkOption {
          type = types.path;
          example = literalExpression "./site.conf";
          description = "A file, or a folder, that it is a link to or a copy of.";
        };
        mode = mkOption {
          type = types.str;
          default = "symlink";
          example = "0600";
          description = "`symlink`; `direct-symlink`, for a link that does not go by way of /etc/static; or the mode of a copy.";
        };
        user = mkOption {
          type = types.str;
          default = "root";
          example = "www-data";
          description = "The owner of a copy.";
        };
        group = mkOption {
          type = types.str;
          default = "root";
          example = "www-data";
          description = "The group of a copy.";
        };
        uid = mkOption {
          type = types.int;
          default = 0;
          example = 33;
          description = "The owner of a copy, as a number.";
        };
        gid = mkOption {
          type = types.int;
          default = 0;
          example = 33;
          description = "The group of a copy, as a number.";
        };
      };
      config = {
        source = lib.mkIf (config.text != null)
          (lib.mkDerivedConfig options.text (writeFile "etc-${lib.strings.sanitizeDerivationName (baseNameOf name)}"));
        user = lib.mkIf (config.uid != 0) (lib.mkDefault (toString config.uid));
        group = lib.mkIf (config.gid != 0) (lib.mkDefault (toString config.gid));
      };
    }));
  };

  config = {
    system.build.etc = tree;
    system.build.data.etc = lib.listToAttrs (map
      (entry: { name = entry.target; value = { source = "${entry.source}"; inherit (entry) mode user group; }; })
      entries);
    assertions = map
      (target: { assertion = false; message = "`environment.etc` has two entries for the same file, `${target}`"; })
      repeated;
  };
}
