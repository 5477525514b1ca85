/**
  Nix on this machine: /etc/nix/nix.conf, the search path, and the users that builds run as.

  There is no daemon: whoever builds does so with a process of their own.
*/
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.nix;

  show = value:
    if builtins.isBool value then lib.boolToString value
    else if builtins.isList value then lib.concatMapStringsSep " " show value
    else toString value;
  line = name: value: lib.optionalString (value != null && value != [ ]) "${name} = ${show value}\n";
  renamed = old: new: lib.mkRenamedOptionModule [ "nix" old ] [ "nix" "settings" new ];
  value = with types; nullOr (oneOf [ bool int float str path package ]);
  words = default: example: description: mkOption { type = types.listOf types.str; inherit default example description; };
in
{
  imports = [
    (renamed "binaryCaches" "substituters")
    (renamed "binaryCachePublicKeys" "trusted-public-keys")
    (renamed "trustedUsers" "trusted-users")
    (renamed "useSandbox" "sandbox")
    (renamed "maxJobs" "max-jobs")
    (renamed "buildCores" "cores")
  ];

  options.nix = {
    enable = mkOption {
      type = types.bool;
      default = !config.boot.isContainer;
      defaultText = literalExpression "!config.boot.isContainer";
      example = false;
      description = "Whether packages can be built and fetched on this machine; a container's come with its host.";
    };
    package = mkOption {
      type = types.nullOr types.package;
      default = null;
      example = literalExpression "pkgs.debian.nix-bin";
      description = "The package that has the commands `nix-*`; null where they are installed otherwise.";
    };
    settings = mkOption {
      type = types.submodule {
        freeformType = types.attrsOf (types.either value (types.listOf value));
        options = {
          max-jobs = mkOption {
            type = types.either types.ints.unsigned (types.enum [ "auto" ]);
            default = "auto";
            example = 2;
            description = "How many builds run at once.";
          };
          cores = mkOption {
            type = types.ints.unsigned;
            default = 0;
            example = 2;
            description = "How many processors a build is told to use; 0 for all.";
          };
          sandbox = mkOption {
            type = types.either types.bool (types.enum [ "relaxed" ]);
            default = true;
            example = false;
            description = "Whether a build sees nothing but what it says that it needs.";
          };
          substituters = words [ ] [ "https://cache.example.org" ] "Binary caches, which are asked for what would have to be built.";
          trusted-public-keys = words [ ] [ "cache.example.org-1:lJcjR+1RUfNWjY2TJxcVoFHy33wZdtWS/r2Td/OMUuI=" ] "Keys whose signatures are believed.";
          trusted-users = words [ "root" ] [ "root" "@wheel" ] "Users, and groups after `@`, who may set what is otherwise the administrator's.";
        };
      };
      default = { };
      example = { cores = 2; keep-outputs = true; };
      description = "Settings of nix.conf.";
    };
    extraOptions = mkOption { type = types.lines; default = ""; example = "keep-outputs = true"; description = "Further lines of nix.conf."; };
    nixPath = mkOption {
      type = types.listOf types.str;
      default = [
        "nixpkgs=/nix/var/nix/profiles/per-user/root/channels/nixos"
        "nixos-config=/etc/nixos/configuration.nix"
        "/nix/var/nix/profiles/per-user/root/channels"
      ];
      example = [ "nixpkgs=/srv/nixpkgs" ];
      description = "Where `<NAME>` is looked for.";
    };
    nrBuildUsers = mkOption {
      type = types.ints.unsigned;
      default = 8;
      example = 32;
      description = "How many users there are for builds to run as, and so how many can run at once.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = lib.optional (cfg.package != null) cfg.package;
    environment.etc."nix/nix.conf".text =
      "# From nix.settings; what is changed here is lost.\n"
      + lib.concatStrings (lib.mapAttrsToList line cfg.settings)
      + cfg.extraOptions + "\n";
    environment.sessionVariables.NIX_PATH = lib.mkDefault cfg.nixPath;

    users.groups.nixbld = { gid = 30000; };
    users.users = lib.listToAttrs (map
      (number: {
        name = "nixbld${toString number}";
        value = {
          uid = 30000 + number;
          group = "nixbld";
          # Builds run as the members that the group's own line names.
          extraGroups = [ "nixbld" ];
          isSystemUser = true;
          description = "Nix build user ${toString number}";
        };
      })
      (lib.range 1 cfg.nrBuildUsers));
  };
}
