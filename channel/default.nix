/**
  Debian's archive as a package set: what `<nixpkgs>` is where a Debian suite is the channel.

  The arguments are those that people give nixpkgs.  `snapshot` is a folder that `nix-channel --update` has made of an archive's signed
  indices; everything else follows from it, and from no address, clock or machine.  `config` and `overlays` come from the places where
  nixpkgs' users have them, unless they are given.

  The packages are for the snapshot's architecture, whatever machine evaluates this.
*/
{ system ? null
, localSystem ? { }
, crossSystem ? null
, config ? null
, overlays ? null
, snapshot ? null
}:
let
  lib = import ./lib;

  searched = builtins.tryEval <debian-snapshot>;
  folder =
    if snapshot != null then snapshot
    else if builtins.pathExists ./snapshot then ./snapshot
    else if searched.success then searched.value
    else throw "no snapshot of a Debian archive beside `${toString ./.}`: `nivalis channel add nixpkgs debian:bookworm` and `nivalis channel update` bring one, or give its folder as the argument `snapshot`";

  archive = import ./pkgs/archive.nix { inherit lib; snapshot = folder; };

  wanted = if system != null then system else if builtins.isString localSystem then localSystem else localSystem.system or null;
  check =
    if crossSystem != null then throw "this channel compiles for its own architecture, ${archive.system}, and for no other: `crossSystem` cannot be given"
    else if wanted != null && wanted != archive.system then
      throw "this channel has packages for ${archive.system}, not for ${wanted}: `nivalis channel add NAME debian:SUITE --arch ARCHITECTURE` makes one that has"
    else null;

  settings = import ./pkgs/settings.nix { inherit lib; };

  pkgs = import ./pkgs {
    inherit lib archive;
    inherit (archive) system;
    config = settings.config pkgs config;
    overlays = settings.overlays overlays;
  };
in
builtins.seq check pkgs
