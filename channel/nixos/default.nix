/**
  A system from a configuration: what `nixos-rebuild` and `nix-build <channel>/nixos -A system` evaluate.

  The configuration is a module: a path to one, or the module itself.  Where none is given, it is the file that the variable NIXOS_CONFIG
  names, and else `<nixos-config>`.  `snapshot` and `system` are as for the channel itself.
*/
{ configuration ? null
, system ? null
, snapshot ? null
}:
let
  variable = builtins.getEnv "NIXOS_CONFIG";
  searched = builtins.tryEval <nixos-config>;
  module =
    if configuration != null then configuration
    else if variable != "" then /. + variable
    else if searched.success then searched.value
    else throw "no configuration of a system: name its file in the variable NIXOS_CONFIG, on the search path (`-I nixos-config=FILE`), or as the argument `configuration`";

  evaluated = import ./lib/eval-config.nix { inherit system snapshot; modules = [ module ]; };
in
{
  inherit (evaluated) config options pkgs;
  /** The toplevel: what a machine is switched to. */
  system = evaluated.config.system.build.toplevel;
}
