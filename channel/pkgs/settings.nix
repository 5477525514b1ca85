/**
  A user's `config` and `overlays`, from the places that nixpkgs documents for them.

  Where evaluation is pure, variables are empty, and there are none.
*/
{ lib }:
let
  inherit (builtins) getEnv pathExists readDir;

  home = getEnv "HOME";
  inHome = name: if home == "" then null else home + "/.config/nixpkgs/${name}";
  exists = place: place != null && place != "" && pathExists place;
  first = places: lib.findFirst exists null places;
  load = value: if builtins.isPath value || lib.isString value then import value else value;

  inFolder = folder:
    let
      isOverlay = name: builtins.match ".*\\.nix" name != null || pathExists (folder + "/${name}/default.nix");
    in
    map (name: import (folder + "/${name}")) (builtins.filter isOverlay (builtins.attrNames (readDir folder)));

  loadOverlays = place:
    if place == null then [ ]
    else if pathExists (place + "/.") then inFolder (/. + place)
    else import place;
in
{
  /** packages -> what was given, or null -> set.  A function is given the packages. */
  config = pkgs: given:
    let
      found = first [ (getEnv "NIXPKGS_CONFIG") (inHome "config.nix") ];
      value = load (if given != null then given else if found == null then { } else /. + found);
    in
    if lib.isFunction value then value (builtins.intersectAttrs (lib.functionArgs value) { inherit lib pkgs; }) else value;

  /** what was given, or null -> [overlay] */
  overlays = given:
    if given != null then given
    else
      let searched = builtins.tryEval (toString <nixpkgs-overlays>); in
      if searched.success then loadOverlays searched.value
      else loadOverlays (first [ (inHome "overlays.nix") (inHome "overlays") ]);
}
