/**
  Scripts of activation: the last resort, for what no option can say.

  They run at boot and at each switch, in the order of their dependencies, after users, files and links are there; so they have to bear being
  run again.
*/
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  scripts = config.system.activationScripts;

  # Names that are dependencies in NixOS, and that have happened here before any script runs.
  done = [ "users" "groups" "etc" "specialfs" "wrappers" "stdio" "binsh" "usrbinenv" "var" "hostname" "modprobe" "udevd" ];
  deps = name: builtins.filter (dep: !lib.elem dep done) scripts.${name}.deps;
  sorted = lib.toposort (a: b: lib.elem a (deps b)) (builtins.attrNames scripts);
  unknown = lib.concatMap (name: map (dep: { inherit name dep; }) (builtins.filter (dep: !(scripts ? ${dep})) (deps name))) (builtins.attrNames scripts);
in
{
  options.system.activationScripts = mkOption {
    type = types.attrsOf (types.coercedTo types.str (text: { inherit text; }) (types.submodule {
      options = {
        deps = mkOption { type = types.listOf types.str; default = [ ]; example = [ "users" ]; description = "Scripts that run before."; };
        text = mkOption { type = types.lines; example = "mkdir -p /srv/www"; description = "The script, for Bash."; };
        supportsDryActivation = mkOption {
          type = types.bool;
          default = false;
          example = true;
          description = "Kept for configurations from elsewhere: scripts are never run to show what they would do.";
        };
      };
    }));
    default = { };
    example = { web.text = "mkdir -p /srv/www"; };
    description = "Scripts that run at boot and at each switch, by name.";
  };

  config = {
    system.build.data.activationScripts =
      if sorted ? cycle then throw "the activation scripts need each other in a circle: ${lib.concatStringsSep ", " sorted.cycle}"
      else map (name: { inherit name; deps = deps name; file = "${pkgs.writeShellScript "activate-${lib.strings.sanitizeDerivationName name}" scripts.${name}.text}"; }) sorted.result;
    assertions = map
      (pair: { assertion = false; message = "the activation script `${pair.name}` needs `${pair.dep}`, which there is not"; })
      unknown;
  };
}
