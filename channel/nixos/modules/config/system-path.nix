/**
  The packages that a system shows: the farm that is its /usr.

  Debian's packages are merged by the farm; what was built otherwise is at /usr/local, which comes first in a PATH.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.environment;

  # What a Debian system has without saying so, less what only installs packages.
  required = with pkgs.debian; [
    base-files base-passwd bash bsdutils coreutils dash debianutils diffutils findutils grep gzip bzip2 xz-utils hostname libc-bin login mawk ncurses-base
    ncurses-bin passwd sed tar util-linux mount procps kmod iproute2 netbase less
  ];

  isDebian = package: package ? debian;
  own = builtins.filter (package: !isDebian package) cfg.systemPackages;
  # Each once, by name: packages are asked for by many modules.
  debian = builtins.attrValues (lib.listToAttrs (map (package: { name = package.debian.name; value = package; }) (builtins.filter isDebian cfg.systemPackages)));
in
{
  options = {
    environment = {
      systemPackages = mkOption {
        type = types.listOf types.package;
        default = [ ];
        example = literalExpression "[ pkgs.curl pkgs.git ]";
        description = "Packages that are there for everybody.";
      };
      defaultPackages = mkOption {
        type = types.listOf types.package;
        default = [ pkgs.debian.nano ];
        defaultText = literalExpression "[ pkgs.nano ]";
        example = [ ];
        description = "Packages that are there for convenience, and that nothing needs.";
      };
      extraFarmLinks = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = { "usr/lib/web/plugins" = "/var/lib/web/plugins"; };
        internal = true;
        description = "Further links in the tree that is /usr.";
      };
    };
    system.path = mkOption {
      type = types.package;
      internal = true;
      readOnly = true;
      example = literalExpression "pkgs.makeFarm [ pkgs.bash ]";
      description = "The farm of the packages.";
    };
  };

  config = {
    environment.systemPackages = required ++ cfg.defaultPackages;
    environment.extraFarmLinks =
      # A running kernel's modules, whichever system has been switched to since.
      lib.optionalAttrs (!config.boot.isContainer) { "usr/lib/modules" = "/run/booted-system/kernel-modules/lib/modules"; }
      // lib.optionalAttrs (own != [ ]) { "usr/local" = "${pkgs.buildEnv { name = "local"; paths = own; }}"; };
    system.path = pkgs.makeFarm' { packages = debian; wrappers = config.security.wrapperDir; links = cfg.extraFarmLinks; };
    system.build.data.packages = lib.listToAttrs (map
      (package: {
        name = package.pname or (lib.getName package);
        value = { version = package.version or (lib.getVersion package); path = "${package}"; };
      })
      (debian ++ own));
  };
}
