/**
  Programs with a mode of their own (setuid), which no store path can have: activation copies them to /run/wrappers/bin.

  Those of Debian's packages are there without being declared: the farm says which they are.
*/
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.security;

  bits = wrapper:
    let
      special = (if wrapper.setuid then 4 else 0) + (if wrapper.setgid then 2 else 0);
      digits = builtins.match "u=([rwxs]*),g=([rwxs]*),o=([rwxs]*)" wrapper.permissions;
      digit = text: (if lib.hasInfix "r" text then 4 else 0) + (if lib.hasInfix "w" text then 2 else 0) + (if lib.hasInfix "x" text then 1 else 0);
      plain = if digits == null then lib.fixedWidthString 3 "0" wrapper.permissions else lib.concatMapStrings (text: toString (digit text)) digits;
    in
    "${toString special}${plain}";
in
{
  options.security = {
    wrappers = mkOption {
      type = types.attrsOf (types.submodule ({ name, ... }: {
        options = {
          source = mkOption {
            type = types.path;
            example = literalExpression ''"''${pkgs.fuse3}/bin/fusermount3"'';
            description = "The program.";
          };
          program = mkOption {
            type = types.str;
            default = name;
            defaultText = literalExpression "the attribute's name";
            example = "fusermount3";
            description = "What it is called in /run/wrappers/bin.";
          };
          owner = mkOption { type = types.str; default = "root"; example = "daemon"; description = "The program's owner."; };
          group = mkOption { type = types.str; default = "root"; example = "shadow"; description = "The program's group."; };
          setuid = mkOption { type = types.bool; default = false; example = true; description = "Whether it runs as its owner."; };
          setgid = mkOption { type = types.bool; default = false; example = true; description = "Whether it runs in its group."; };
          permissions = mkOption {
            type = types.strMatching "[0-7]{3,4}|u=[rwxs]*,g=[rwxs]*,o=[rwxs]*";
            default = "u=rx,g=x,o=x";
            example = "550";
            description = "Who may run it: octal, or in words as `chmod` has them.";
          };
        };
      }));
      default = { };
      example = literalExpression ''{ fusermount3 = { source = "''${pkgs.fuse3}/bin/fusermount3"; setuid = true; }; }'';
      description = "Programs that run as somebody else than who calls them, beside those of Debian's packages.";
    };

    wrapperDir = mkOption {
      type = types.path;
      default = "/run/wrappers/bin";
      example = "/run/wrappers/bin";
      internal = true;
      readOnly = true;
      description = "Where they are.";
    };
  };

  config = {
    system.build.data.wrappers = lib.listToAttrs (map
      (wrapper: {
        name = wrapper.program;
        value = { source = "${wrapper.source}"; inherit (wrapper) owner group; mode = bits wrapper; };
      })
      (builtins.attrValues cfg.wrappers));
    # `umount` is itself one of them: what runs from there cannot unmount it, and at the end everything goes anyway.
    systemd.units."run-wrappers.mount" = { overrideStrategy = "asDropin"; text = "[Unit]\nDefaultDependencies=false\n"; };
  };
}
