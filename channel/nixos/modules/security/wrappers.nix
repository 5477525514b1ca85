/**
  Programs with a mode (setuid) or capabilities of their own, which no store path can have: activation copies them to /run/wrappers/bin.

  Those of Debian's packages are there without being declared: the farm says which they are.
*/
{ config, lib, ... }:
let
  inherit (lib) literalExpression mkOption types;
  cfg = config.security;
  inherit (import ./capabilities.nix { inherit lib; }) parse;

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
          capabilities = mkOption {
            type = types.commas;
            default = "";
            example = "cap_net_raw,cap_net_admin+ep";
            description = ''
              What it may do although its caller may not, in clauses as `setcap` takes them.  The capabilities are the program's alone: what it starts
              does not have them.
            '';
          };
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
        value = { source = "${wrapper.source}"; inherit (wrapper) owner group; mode = bits wrapper; } // lib.optionalAttrs (wrapper.capabilities != "") { capabilities = parse wrapper.capabilities; };
      })
      (builtins.attrValues cfg.wrappers));
    assertions = lib.concatMap
      (wrapper: [
        {
          assertion = parse wrapper.capabilities != null;
          message = "`security.wrappers.${wrapper.program}.capabilities` are no clauses such as `cap_net_raw,cap_net_admin+ep`, or name one that there is not: "
            + "`${wrapper.capabilities}`";
        }
        {
          assertion = wrapper.capabilities == "" || !(wrapper.setuid || wrapper.setgid);
          message = "`security.wrappers.${wrapper.program}` has capabilities, and is to run as its owner or in its group too: it can be one of the two";
        }
      ])
      (builtins.attrValues cfg.wrappers);
    # `umount` is itself one of them: what runs from there cannot unmount it, and at the end everything goes anyway.
    systemd.units."run-wrappers.mount" = { overrideStrategy = "asDropin"; text = "[Unit]\nDefaultDependencies=false\n"; };
  };
}
