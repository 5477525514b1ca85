/**
  `meta.maintainers` and the like, which modules from elsewhere may have; nothing reads them.
*/
{ lib, ... }:
let
  inherit (lib) mkOption types;
  mkMeta = description: mkOption { type = types.unspecified; internal = true; default = null; example = [ ]; inherit description; };
in
{
  options.meta = {
    maintainers = mkMeta "Who looks after a module.";
    doc = mkMeta "A chapter of a manual.";
    buildDocsInSandbox = mkMeta "Kept for modules from elsewhere.";
  };
}
