/**
  What packages say about themselves: `meta`, priorities, platforms, licences, main programs.
*/
{ lib }:
let
  inherit (builtins) isString;

  bySpdxId = builtins.listToAttrs (map (license: { name = lib.toLower license.spdxId; value = license; })
    (builtins.filter (license: license ? spdxId) (builtins.attrValues lib.licenses)));
in
rec {
  /** set -> derivation -> derivation: more in `meta`.
      addMetaAttrs { a = 1; } { name = "x"; meta.b = 2; } => { name = "x"; meta = { a = 1; b = 2; }; } */
  addMetaAttrs = new: drv: drv // { meta = (drv.meta or { }) // new; };

  /** derivation -> derivation: not built by build farms.
      (dontDistribute { }).meta => { hydraPlatforms = [ ]; } */
  dontDistribute = addMetaAttrs { hydraPlatforms = [ ]; };

  /** name -> derivation -> derivation
      setName "b" { name = "a"; } => { name = "b"; } */
  setName = name: drv: drv // { inherit name; };

  /** (name -> name) -> derivation -> derivation
      updateName (n: n + "x") { name = "a"; } => { name = "ax"; } */
  updateName = f: drv: setName (f drv.name) drv;

  /** string -> derivation -> derivation: before the version.
      appendToName "cli" { name = "a-1.0"; } => { name = "a-cli-1.0"; } */
  appendToName = suffix: updateName (name: let x = builtins.parseDrvName name; in "${x.name}-${suffix}-${x.version}");

  /** (derivation -> derivation) -> set -> set: over the derivations of a set; other values stay.
      mapDerivationAttrset (setName "b") { x.type = "derivation"; y = 1; } => { x = { type = "derivation"; name = "b"; }; y = 1; } */
  mapDerivationAttrset = f: builtins.mapAttrs (_: pkg: if lib.isDerivation pkg then f pkg else pkg);

  /** int -> derivation -> derivation: where two packages of a profile have the same file, the lower number wins (5 is usual).
      (setPrio 3 { }).meta => { priority = 3; } */
  setPrio = priority: addMetaAttrs { inherit priority; };

  /** derivation -> derivation
      (lowPrio { }).meta => { priority = 10; } */
  lowPrio = setPrio 10;

  /** set -> set
      (lowPrioSet { a.type = "derivation"; }).a.meta => { priority = 10; } */
  lowPrioSet = mapDerivationAttrset lowPrio;

  /** derivation -> derivation
      (hiPrio { }).meta => { priority = -10; } */
  hiPrio = setPrio (-10);

  /** set -> set
      (hiPrioSet { a.type = "derivation"; }).a.meta => { priority = -10; } */
  hiPrioSet = mapDerivationAttrset hiPrio;

  /** platform -> system or pattern -> bool: is an element of `meta.platforms` about this platform?
      meta.platformMatch { system = "x86_64-linux"; } "x86_64-linux" => true */
  platformMatch = platform: element:
    if isString element then (platform.system or platform) == element
    else lib.matchAttrs (if element ? parsed then element else { parsed = element; }) platform;

  /** platform -> package -> bool: do `meta.platforms` and `meta.badPlatforms` allow it?
      meta.availableOn { system = "x86_64-linux"; } { meta.platforms = [ "aarch64-linux" ]; } => false */
  availableOn = platform: pkg:
    pkg != null
    && (!pkg ? meta.platforms || lib.any (platformMatch platform) pkg.meta.platforms)
    && lib.all (element: !platformMatch platform element) (pkg.meta.badPlatforms or [ ]);

  /** { spdxId = licence; }
      meta.licensesSpdx.MIT.shortName => "mit" */
  licensesSpdx = builtins.listToAttrs (map (license: { name = license.spdxId; value = license; }) (builtins.attrValues bySpdxId));

  /** string -> licence: by its SPDX id, in any case; for an unknown one a set with the id as name, and a warning.
      (getLicenseFromSpdxId "mit").shortName => "mit" */
  getLicenseFromSpdxId = id:
    getLicenseFromSpdxIdOr id (lib.warn "lib.getLicenseFromSpdxId: no licence has the SPDX id `${id}`" { shortName = id; });

  /** string -> a -> licence or a
      getLicenseFromSpdxIdOr "no such licence" null => null */
  getLicenseFromSpdxIdOr = id: default: bySpdxId.${lib.toLower id} or default;

  /** derivation -> string: the path of its main program, `meta.mainProgram`.
      meta.getExe { type = "derivation"; name = "x"; meta.mainProgram = "hello"; outPath = "/p"; } => "/p/bin/hello" */
  getExe = drv:
    getExe' drv (drv.meta.mainProgram or (lib.warn
      "lib.getExe: ${lib.getName drv} does not say which its main program is, so its own name is taken; set `meta.mainProgram`, or use `lib.getExe'`"
      (lib.getName drv)));

  /** derivation -> string -> string: the path of a program.
      meta.getExe' { type = "derivation"; outPath = "/p"; } "ls" => "/p/bin/ls" */
  getExe' = drv: program:
    if !lib.isDerivation drv then throw "lib.getExe': the first argument is a ${builtins.typeOf drv}, and must be a derivation"
    else if !isString program then throw "lib.getExe': the second argument is a ${builtins.typeOf program}, and must be a string"
    else if lib.hasInfix "/" program then throw "lib.getExe': the program's name `${program}` has a slash; name what is in `bin`"
    else "${lib.getBin drv}/bin/${program}";
}
