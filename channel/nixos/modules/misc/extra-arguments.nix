/**
  `utils`, for modules: see ../../lib/utils.nix.
*/
{ lib, pkgs, ... }:
{
  _module.args.utils = import ../../lib/utils.nix { inherit lib pkgs; };
}
