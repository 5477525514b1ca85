# Fixed points, overriding, scopes, meta, licences, platforms, sources.
lib: with lib;
let
  system = "x86_64-linux";
  linux = systems.elaborate system;
  drv = derivation { name = "x-1.0"; inherit system; builder = "/bin/sh"; outputs = [ "out" "dev" ]; };
  scope = makeScope (extra: callPackageWith ({ base = 1; } // extra)) (self: { a = self.callPackage ({ base, n }: { v = base + n; }) { }; n = 10; });
in
{
  extendTwice = [ (((makeExtensible (self: { a = 1; b = self.a; })).extend (f: p: { a = p.a + 1; })).extend (f: p: { a = p.a * 10; })).b 20 ];
  composeMany = [ (fix (extends (composeManyExtensions [ (f: p: { a = p.a + 1; }) (f: p: { a = p.a * 10; c = f.a; }) ]) (self: { a = 1; }))) { a = 20; c = 20; } ];
  composeNone = [ (composeManyExtensions [ ] { } { a = 1; }) { } ];
  extensions = [ (map (e: toExtension e { x = 2; } { x = 1; }) [ { a = 1; } (p: { a = p.x; }) (f: p: { a = f.x + p.x; }) ]) [ { a = 1; } { a = 1; } { a = 3; } ] ];

  overrideFunction = [ ((makeOverridable ({ a, b ? 2 }: { v = a + b; }) { a = 1; }).override (old: { a = old.a + 10; })).v 13 ];
  overrideKeepsArgs = [ (functionArgs (makeOverridable ({ a, b ? 2 }: { v = a + b; }) { a = 1; }).override) { a = false; b = true; } ];
  overrideFunctor = [ ((makeOverridable ({ a }: x: a + x) { a = 1; }).override { a = 5; } 1) 6 ];
  overridePlain = [ (makeOverridable (x: 3) { }) 3 ];
  overrideAttrs =
    let make = { n }: let build = f: { attrs = f { v = n; }; overrideAttrs = g: build (old: f old // g (f old)); }; in build id; in
    [ (((makeOverridable make { n = 1; }).overrideAttrs (old: { w = old.v + 1; })).override { n = 5; }).attrs { v = 5; w = 6; } ];
  overrideDerivation = [
    ((overrideDerivation drv (old: { name = "y-${old.name}"; })).drvPath)
    ((derivation { name = "y-x-1.0"; inherit system; builder = "/bin/sh"; outputs = [ "out" "dev" ]; }).drvPath)
  ];
  overriddenOutputs = [ (overrideDerivation drv (old: { A = "1"; })).dev.outputName "dev" ];
  callFile = [ (callPackageWith { a = 1; } ./fixtures/package.nix { }).v 3 ];
  callPackages = [ ((callPackagesWith { a = 1; } ({ a, b ? 0 }: { x = { v = a + b; }; y = { v = a; }; }) { }).x.override { b = 5; }).v 6 ];

  scope = [ scope.a.v 11 ];
  scopeOverridden = [ (scope.overrideScope (final: prev: { n = prev.n * 2; base = 5; })).a.v 25 ];
  scopeTwice = [ ((scope.overrideScope (final: prev: { n = 0; })).overrideScope (final: prev: { base = prev.n + 7; })).a.v 7 ];
  scopeNew = [ (scope.newScope { n = 100; } ({ n, base }: { v = n + base; }) { }).v 101 ];

  extendMk =
    let
      inner = f: fix (final: { kind = "inner"; } // toFunction f final);
      outer = extendMkDerivation {
        constructDrv = inner;
        excludeDrvArgNames = [ "secret" ];
        extendDrvArgs = final: { pname, secret ? 0, ... }: { full = "${pname}-${final.version}"; sum = secret + 1; };
      };
    in
    [ (outer (final: { pname = "p"; version = "1"; secret = 4; })) { kind = "inner"; pname = "p"; version = "1"; full = "p-1"; sum = 5; } ];
  extendedDerivation = [ (extendDerivation true { extra = 1; } drv).dev.extra 1 ];
  extendedOutput = [ (extendDerivation true { } drv).dev.outPath drv.dev.outPath ];
  extendedPath = [ (extendDerivation true { } drv).drvPath drv.drvPath ];
  extendedFalse = [ (builtins.tryEval (extendDerivation (throw "refused") { extra = 1; } drv).drvPath).success false ];
  extendedFalseLooks = [ (extendDerivation (throw "refused") { extra = 1; } drv).extra 1 ];
  hydra = [ (attrNames (hydraJob (drv // { meta = { a = 1; }; }))) [ "dev" "drvPath" "meta" "name" "out" "outPath" "outputName" "outputs" "system" "type" ] ];
  lazy = [ (lazyDerivation { derivation = drv; }).drvPath drv.drvPath ];
  lazyOutputs = [ (lazyDerivation { derivation = drv; outputs = [ "out" "dev" ]; }).dev.outPath drv.dev.outPath ];
  lazyMeta = [ (isDerivation (lazyDerivation { derivation = throw "unused"; })) true ];

  priorities = [ (map (f: (f { meta.a = 1; }).meta) [ lowPrio hiPrio (setPrio 3) ]) [ { a = 1; priority = 10; } { a = 1; priority = -10; } { a = 1; priority = 3; } ] ];
  available = [ (map (p: meta.availableOn linux { meta = p; }) [
      { } { platforms = platforms.linux; } { platforms = platforms.darwin; } { badPlatforms = [ "x86_64-linux" ]; }
      { platforms = [ systems.inspect.patterns.isLinux ]; } { platforms = [ { cpu.family = "arm"; } ]; } { platforms = [ { parsed.cpu.bits = 64; } ]; } { platforms = [ ]; }
    ]) [ true true false false true false true false ] ];
  exeOfOutput = [ (getExe { type = "derivation"; name = "x"; meta.mainProgram = "y"; outPath = "/o"; bin = "/b"; }) "/b/bin/y" ];

  freeLicences = [ (map (l: [ l.free l.redistributable ]) [ licenses.mit licenses.unfree licenses.unfreeRedistributable licenses.bsl11 ]) [ [ true true ] [ false false ] [ false true ] [ false false ] ] ];
  licenceShape = [ (all (l: isString l.fullName && isBool l.free && isBool l.deprecated && isBool l.redistributable) (attrValues licenses)) true ];
  licenceNames = [ (all (name: licenses.${name}.shortName == name) (attrNames licenses)) true ];
  licenceIds = [ (let ids = catAttrs "spdxId" (attrValues licenses); in length (uniqueStrings ids) == length ids) true ];
  licenceById = [ (map (id: (getLicenseFromSpdxId id).shortName) [ "Apache-2.0" "gpl-3.0-or-later" "ISC" ]) [ "asl20" "gpl3Plus" "isc" ] ];
  provenance = [ (sourceTypes.binaryNativeCode) { shortName = "binaryNativeCode"; isSource = false; } ];

  elaborated = [
    (map (p: [ p.system p.config p.isLinux p.isx86_64 p.isAarch64 p.is64bit p.linuxArch p.debianArch p.efiArch p.libc p.linux-kernel.target ]) (map systems.elaborate [ "x86_64-linux" "aarch64-linux" ]))
    [
      [ "x86_64-linux" "x86_64-unknown-linux-gnu" true true false true "x86_64" "amd64" "x64" "glibc" "bzImage" ]
      [ "aarch64-linux" "aarch64-unknown-linux-gnu" true false true true "arm64" "arm64" "aa64" "glibc" "Image" ]
    ]
  ];
  elaborateTwice = [ (systems.elaborate linux).config linux.config ];
  elaborateConfig = [ (systems.elaborate { config = "aarch64-unknown-linux-musl"; }).isMusl true ];
  elaborateMore = [ (systems.elaborate { inherit system; isStatic = true; }).extensions.library ".a" ];
  armAbi = [ (systems.elaborate "armv7l-linux").config "armv7l-unknown-linux-gnueabihf" ];
  kinds = [ (map (p: (systems.elaborate p).isUnix) [ "x86_64-linux" "aarch64-darwin" "x86_64-windows" "x86_64-freebsd" "wasm32-wasi" ]) [ true true false true false ] ];
  executes = [ (map (p: linux.canExecute (systems.elaborate p)) [ "x86_64-linux" "i686-linux" "aarch64-linux" "x86_64-darwin" ]) [ true true false false ] ];
  roundTrip = [ (map (name: (systems.elaborate name).system) platforms.all) platforms.all ];
  platformKinds = [ [ (elem system platforms.linux) (elem system platforms.darwin) (elem "aarch64-darwin" platforms.unix) platforms.none ] [ true false true [ ] ] ];
  equal = [ (systems.equals linux (systems.elaborate "aarch64-linux")) false ];

  sourceFilters = [ (map (x: cleanSourceFilter (head x) (last x)) [
      [ "/a/.git" "directory" ] [ "/a/.git" "regular" ] [ "/a/x.o" "regular" ] [ "/a/x~" "regular" ] [ "/a/.x.swp" "regular" ] [ "/a/result" "symlink" ]
      [ "/a/result-dev" "symlink" ] [ "/a/result" "regular" ] [ "/a/x.c" "regular" ] [ "/a/sock" "unknown" ] [ "/a/CVS" "directory" ]
    ]) [ false false false false false false false true true false false ] ];
  sourceName = [ (map (s: s.name) [ (cleanSource ./.) (cleanSourceWith { src = cleanSource ./.; name = "n"; }) (cleanSource (cleanSourceWith { src = ./.; name = "n"; })) ]) [ "source" "n" "n" ] ];
  sourceBoth = [ (let s = sourceByRegex (sourceFilesBySuffices ./. [ ".nix" ]) [ "l.*" ]; in map (f: s.filter (toString ./. + "/${f}") "regular") [ "lists.nix" "lists.txt" "other.nix" ]) [ true false false ] ];
  sourceOrigin = [ (sourceByRegex (cleanSource ./.) [ ]).origSrc ./. ];
  files = [ (elem ./packages.nix (filesystem.listFilesRecursive ./.)) true ];
  dominating = [ (filesystem.locateDominatingFile "no such file" ./.) null ];
  textClosureOnce = [ (textClosureMap id { a = noDepEntry "A"; b = fullDepEntry "B" [ "a" ]; } [ "b" "a" "b" ]) "A\nB" ];
  tests = [ (runTests { tests = [ "testA" ]; testA = { expr = 1; expected = 2; }; testB = { expr = 1; expected = 2; }; }) [ { name = "testA"; expected = 2; result = 1; } ] ];

  paths = [ (map (p: path.subpath.normalise p) [ "." "./." "a" "./a//b/" "a/./b" ]) [ "./." "./." "./a" "./a/b" "./a/b" ] ];
  pathsInvalid = [ (map path.subpath.isValid [ "" "/" ".." "a/.." "..a" "a..b" 1 ]) [ false false false false true true false ] ];
  pathPrefixes = [ (map (p: path.hasPrefix /a/b p) [ /a/b /a/b/c /a /a/bc /. ]) [ true true false false false ] ];
  pathRoot = [ (path.splitRoot /.).subpath "./." ];

  fileSets = [
    (map (s: map (p: removePrefix (toString ./. + "/") (toString p)) (fileset.toList s)) [
      (fileset.unions [ ./fixtures/web.nix ./fixtures/clash.nix ])
      (fileset.intersection ./fixtures (fileset.fileFilter (f: f.hasExt "nix" && hasPrefix "cycle" f.name) ./.))
      (fileset.difference ./fixtures/web.nix ./fixtures)
      (fileset.fromSource (cleanSourceWith { src = ./fixtures; filter = p: _: hasSuffix "/web.nix" p; }))
    ])
    [ [ "fixtures/clash.nix" "fixtures/web.nix" ] [ "fixtures/cycle-a.nix" "fixtures/cycle-b.nix" ] [ ] [ "fixtures/web.nix" ] ]
  ];
  fileSetSource = [
    (let s = fileset.toSource { root = ./.; fileset = ./fixtures/web.nix; }; in
      map (x: s.filter (toString ./. + head x) (last x)) [ [ "/fixtures" "directory" ] [ "/fixtures/web.nix" "regular" ] [ "/fixtures/clash.nix" "regular" ] [ "/other" "directory" ] ])
    [ true true false false ]
  ];
}
