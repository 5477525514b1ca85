/**
  Modules -> `{ config; options; pkgs; extendModules; … }`: the modules of this folder, and those that are given.

  `modulesPath` and `specialArgs` are there while `imports` are read; `pkgs` and `utils` come from the configuration and are not.
*/
{ modules
, system ? null
, snapshot ? null
  # A package set; without it, the channel's, as `nixpkgs.*` want it.
, pkgs ? null
, specialArgs ? { }
, extraModules ? [ ]
, baseModules ? import ../modules/module-list.nix
, prefix ? [ ]
, lib ? import ../../lib
, check ? true
}:
let
  given = {
    _file = "lib/eval-config.nix";
    key = "lib/eval-config.nix";
    config.nixpkgs =
      lib.optionalAttrs (system != null) { system = lib.mkDefault system; }
      // lib.optionalAttrs (snapshot != null) { snapshot = lib.mkDefault snapshot; }
      // lib.optionalAttrs (pkgs != null) { pkgs = lib.mkDefault pkgs; };
  };

  evaluated = lib.evalModules {
    inherit prefix check;
    class = "nixos";
    specialArgs = { modulesPath = toString ../modules; inherit baseModules; } // specialArgs;
    modules = baseModules ++ extraModules ++ [ given ] ++ modules;
  };
in
evaluated // {
  inherit lib;
  inherit (evaluated._module.args) pkgs;
}
