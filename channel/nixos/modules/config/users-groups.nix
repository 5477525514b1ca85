/**
  Users and groups.

  Debian's own (those of base-passwd) have their numbers from Debian.  Others may be without one: activation gives them the next that is free, and
  remembers it for ever, since files on disk carry numbers and not names.
*/
{ config, lib, pkgs, utils, ... }:
let
  inherit (lib) literalExpression mkDefault mkIf mkOption types;
  cfg = config.users;

  inherit (import ./base-passwd.nix) groups users;

  hash = example: description: mkOption { type = with types; nullOr (passwdEntry str); default = null; inherit example description; };
  plain = example: description: mkOption { type = with types; nullOr str; default = null; inherit example description; };
  sampleHash = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7";

  user = { name, config, ... }: {
    options = {
      enable = mkOption { type = types.bool; default = true; example = false; description = "Whether the user is there."; };
      name = mkOption {
        type = types.passwdEntry types.str;
        default = name;
        defaultText = literalExpression "the attribute's name";
        example = "alice";
        description = "The user's name.";
      };
      description = mkOption {
        type = types.passwdEntry types.str;
        default = "";
        example = "Alice Q. User";
        description = "Who it is, in a few words.";
      };
      uid = mkOption {
        type = with types; nullOr int;
        default = null;
        example = 1000;
        description = "The user's number; null for the next that is free.";
      };
      isNormalUser = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether this is a person: with a home in /home, a shell, the group `users`.";
      };
      isSystemUser = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether this is a service's user: its number is below 1000.";
      };
      group = mkOption {
        type = types.str;
        default = "";
        example = "users";
        description = "The user's main group.";
      };
      extraGroups = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "sudo" ];
        description = "Further groups that the user is in.";
      };
      home = mkOption {
        type = types.passwdEntry types.path;
        default = "/var/empty";
        example = "/home/alice";
        description = "The user's home.";
      };
      homeMode = mkOption {
        type = types.strMatching "[0-7]{1,5}";
        default = "700";
        example = "755";
        description = "The home's mode, when it is made.";
      };
      createHome = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether the home is made if it is not there.";
      };
      shell = mkOption {
        type = with types; nullOr (either package (passwdEntry path));
        default = "/usr/sbin/nologin";
        example = literalExpression "pkgs.bash";
        description = "What a login starts: a package, or a path.";
      };
      useDefaultShell = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether the shell is `users.defaultUserShell`.";
      };
      hashedPassword = hash sampleHash "The password's hash, as `mkpasswd` makes it; with `users.mutableUsers` it counts only when the user is made.";
      hashedPasswordFile = mkOption {
        type = with types; nullOr str;
        default = null;
        example = "/var/lib/secrets/alice";
        description = "A file that has the password's hash; it is read at activation, and never in the store.";
      };
      initialHashedPassword = hash sampleHash "The password's hash when the user is made.";
      password = plain "correct horse" "The password itself, which then everybody on the machine can read in the store; with `users.mutableUsers` it counts only when the user is made.";
      initialPassword = plain "changeme" "The password itself when the user is made; everybody on the machine can read it in the store.";
      packages = mkOption {
        type = types.listOf types.package;
        default = [ ];
        example = literalExpression "[ pkgs.git ]";
        description = "Packages for this user; they are in the system's /usr, as there is one for all.";
      };
      openssh.authorizedKeys = {
        keys = mkOption {
          type = types.listOf types.singleLineStr;
          default = [ ];
          example = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJm0 alice@example.org" ];
          description = "Keys that may log in as the user by ssh.";
        };
        keyFiles = mkOption {
          type = types.listOf types.path;
          default = [ ];
          example = literalExpression "[ ./alice.pub ]";
          description = "Files of such keys.";
        };
      };
    };

    config = lib.mkMerge [
      (mkIf config.isNormalUser {
        group = mkDefault "users";
        home = mkDefault "/home/${config.name}";
        createHome = mkDefault true;
        useDefaultShell = mkDefault true;
      })
      (mkIf config.useDefaultShell { shell = lib.mkOverride 999 cfg.defaultUserShell; })
    ];
  };

  group = { name, ... }: {
    options = {
      name = mkOption {
        type = types.passwdEntry types.str;
        default = name;
        defaultText = literalExpression "the attribute's name";
        example = "editors";
        description = "The group's name.";
      };
      gid = mkOption {
        type = with types; nullOr int;
        default = null;
        example = 1000;
        description = "The group's number; null for the next that is free.";
      };
      members = mkOption {
        type = with types; listOf (passwdEntry str);
        default = [ ];
        example = [ "alice" ];
        description = "Users who are in the group, beside those that say so themselves.";
      };
    };
  };

  enabled = builtins.filter (one: one.enable) (builtins.attrValues cfg.users);
  # group -> users who name it among their `extraGroups`
  members = builtins.groupBy (pair: pair.group) (lib.concatMap (one: map (group: { inherit group; inherit (one) name; }) one.extraGroups) enabled);
  groupNames = lib.listToAttrs (map (one: { inherit (one) name; value = null; }) (builtins.attrValues cfg.groups));

  repeated = list: builtins.attrNames (lib.filterAttrs (_: all: builtins.length all > 1) (builtins.groupBy toString (builtins.filter (id: id != null) list)));
in
{
  options.users = {
    mutableUsers = mkOption {
      type = types.bool;
      default = true;
      example = false;
      description = ''
        Whether users and groups can be changed on the machine: passwords by `passwd`, others added by `useradd`.  Without it there are exactly
        those that are declared, with the passwords that are declared.
      '';
    };
    users = mkOption {
      type = types.attrsOf (types.submodule user);
      default = { };
      example = { alice = { isNormalUser = true; extraGroups = [ "sudo" ]; }; };
      description = "The users.";
    };
    groups = mkOption {
      type = types.attrsOf (types.submodule group);
      default = { };
      example = { editors.members = [ "alice" ]; };
      description = "The groups.";
    };
    defaultUserShell = mkOption {
      type = with types; either package (passwdEntry path);
      default = "/bin/bash";
      example = literalExpression "pkgs.zsh";
      description = "The shell of people.";
    };
    allowNoPasswordLogin = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether nobody being able to log in is no error, where `users.mutableUsers` is off.";
    };
  };

  config = {
    users.users = lib.mapAttrs
      (_: given: {
        inherit (given) uid;
        group = mkDefault given.group;
        home = mkDefault given.home;
        description = mkDefault given.description;
        isSystemUser = mkDefault true;
      } // lib.optionalAttrs (given ? shell) { shell = mkDefault given.shell; })
      users
      // {
        root = {
          uid = 0;
          group = "root";
          home = mkDefault "/root";
          createHome = true;
          description = mkDefault "System administrator";
          isSystemUser = true;
          useDefaultShell = mkDefault true;
        };
      };
    users.groups = lib.mapAttrs (_: gid: { inherit gid; }) groups // { wheel = { }; };

    environment.systemPackages = lib.concatMap
      (one: lib.optional (lib.isDerivation one.shell) one.shell ++ one.packages)
      enabled;

    system.build.data.users = {
      mutable = cfg.mutableUsers;
      users = lib.listToAttrs (map
        (one: {
          inherit (one) name;
          value = {
            inherit (one) uid group home description createHome hashedPassword hashedPasswordFile initialHashedPassword password initialPassword;
            homeMode = lib.fixedWidthString 4 "0" one.homeMode;
            shell = if one.shell == null then "/usr/sbin/nologin" else utils.toShellPath one.shell;
            isSystem = !one.isNormalUser;
          };
        })
        enabled);
      groups = lib.listToAttrs (map
        (one: {
          inherit (one) name;
          value = {
            inherit (one) gid;
            members = lib.sort (a: b: a < b) (lib.unique (one.members ++ map (pair: pair.name) members.${one.name} or [ ]));
          };
        })
        (builtins.attrValues cfg.groups));
    };

    assertions =
      map
        (uid: {
          assertion = false;
          message = "two users have the number ${uid}: ${lib.concatMapStringsSep ", " (one: "`${one.name}`") (builtins.filter (one: one.uid != null && toString one.uid == uid) enabled)}";
        })
        (repeated (map (one: one.uid) enabled))
      ++ map
        (gid: {
          assertion = false;
          message = "two groups have the number ${gid}: ${lib.concatMapStringsSep ", " (one: "`${one.name}`") (builtins.filter (one: one.gid != null && toString one.gid == gid) (builtins.attrValues cfg.groups))}";
        })
        (repeated (map (one: one.gid) (builtins.attrValues cfg.groups)))
      ++ map
        (one: {
          assertion = one.isNormalUser != one.isSystemUser || one.uid == 0;
          message = "the user `${one.name}` is ${if one.isNormalUser then "both a person and" else "neither a person nor"} a service: exactly one of `isNormalUser` and `isSystemUser` must be set";
        })
        enabled
      ++ map
        (one: {
          assertion = one.group != "" && groupNames ? ${one.group};
          message =
            if one.group == "" then
              "the user `${one.name}` has no group: set `users.users.${one.name}.group`, with `users.groups.${one.name} = { };` if it shall be one of its own"
            else "the user `${one.name}` is of the group `${one.group}`, which is not declared: `users.groups.${one.group} = { };` does so";
        })
        enabled
      ++ map
        (pair: {
          assertion = groupNames ? ${pair.group};
          message = "the user `${pair.name}` is to be in the group `${pair.group}`, which is not declared: `users.groups.${pair.group} = { };` does so";
        })
        (lib.concatLists (builtins.attrValues members))
      ++ [ {
        assertion = cfg.mutableUsers || cfg.allowNoPasswordLogin
          || lib.any
            (one: (one.name == "root" || lib.elem "wheel" one.extraGroups || lib.elem "sudo" one.extraGroups)
              && (one.password != null || one.hashedPassword != null || one.hashedPasswordFile != null || one.openssh.authorizedKeys.keys != [ ] || one.openssh.authorizedKeys.keyFiles != [ ]))
            enabled;
        message = "nobody who may administer this machine could log in: with `users.mutableUsers = false`, root or somebody in the group `sudo` "
          + "or `wheel` needs a password or a key (or set `users.allowNoPasswordLogin`)";
      } ];
  };
}
