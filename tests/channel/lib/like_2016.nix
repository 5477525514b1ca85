# Values that a real nixpkgs' library gives as well, by functions that mean today what they meant in 2016.
lib:
let
  inherit (lib) concatMap fold;
  ints = [ 5 3 (-7) 0 3 12 100 (-1) ];
  words = [ "beta" "alpha" "gamma-1.2" "" "a b" "Ümlaut" "$x \${y}" "it's" "<&\">" "foo.bar-baz" ];
  sets = [ { } { a = 1; } { b = 2; a = 3; } { c.d.e = [ 1 2 ]; c.f = "x"; } { a.b.c = null; z = [ { y = 1; } ]; } ];
  versions = [ "1.0" "1.0.1" "1.10" "1.9" "2.0pre1" "2.0" "2.0rc2" "" "1.0a" "10" "r12" ];
  names = [ "hello-2.10" "gcc-wrapper-5.3.0" "noversion" "a-b-c" "python2.7-foo-1.0" ];
  pairs = xs: concatMap (x: map (y: { inherit x y; }) xs) xs;
  even = n: n / 2 * 2 == n;
in
{
  # lists
  all = map (n: lib.all (x: x > n) ints) ints;
  any = map (n: lib.any (x: x > n) ints) ints;
  count = map (n: lib.count (x: x == n) ints) ints;
  drop = map (n: lib.drop n words) [ 0 1 5 10 20 ];
  findFirst = map (n: lib.findFirst (x: x > n) "none" ints) ints;
  findSingle = map (n: lib.findSingle (x: x == n) "none" "several" ints) ints;
  flatten = lib.flatten [ ints [ [ words ] [ ] ] 1 ];
  flattenOne = lib.flatten 1;
  fold = fold (x: y: x - y) 1 ints;
  foldl = lib.foldl (x: y: x - y) 1 ints;
  foldl' = lib.foldl' (x: y: x - y) 1 ints;
  foldLazy = fold (x: y: x == 12 || y) (throw "not looked at") ints;
  init = lib.init ints;
  intersectLists = lib.intersectLists ints [ 3 100 4 3 ];
  last = lib.last words;
  optional = [ (lib.optional true 1) (lib.optional false 1) (lib.optionals true [ 1 2 ]) (lib.optionals false [ 1 ]) ];
  partition = lib.partition even ints;
  range = [ (lib.range 2 5) (lib.range 3 3) (lib.range 3 2) (lib.range (-2) 1) ];
  remove = map (n: lib.remove n ints) ints;
  reverseList = [ (lib.reverseList words) (lib.reverseList [ ]) ];
  singleton = lib.singleton words;
  sort = lib.sort (a: b: a < b) ints;
  sortStrings = lib.sort (a: b: a < b) words;
  sublist = map ({ x, y }: lib.sublist x y ints) (pairs [ 0 1 3 7 8 9 100 ]);
  subtractLists = lib.subtractLists [ 3 5 ] ints;
  take = map (n: lib.take n words) [ 0 1 5 10 20 ];
  toList = map lib.toList [ 1 [ 1 ] { } null [ ] ];
  unique = [ (lib.unique (ints ++ ints)) (lib.unique sets) (lib.unique [ ]) ];
  zipLists = [ (lib.zipLists ints words) (lib.zipLists [ ] words) ];
  zipListsWith = lib.zipListsWith (a: b: a + b) ints [ 1 2 3 ];

  # attribute sets
  attrByPath = map (path: map (lib.attrByPath path "none") sets) [ [ ] [ "a" ] [ "c" "d" "e" ] [ "a" "b" "c" ] [ "a" "b" "x" ] [ "z" "y" ] ];
  hasAttrByPath = map (path: map (lib.hasAttrByPath path) sets) [ [ ] [ "a" ] [ "c" "d" "e" ] [ "a" "b" "c" ] [ "a" "b" "x" ] [ "z" "y" ] ];
  attrVals = lib.attrVals [ "b" "a" ] { a = 1; b = 2; c = 3; };
  catAttrs = lib.catAttrs "a" sets;
  collect = [ (map (lib.collect builtins.isList) sets) (map (lib.collect (x: x ? e)) sets) ];
  filterAttrs = map (lib.filterAttrs (n: v: n != "a" && v != 2)) sets;
  filterAttrsRecursive = map (lib.filterAttrsRecursive (n: v: v != null && n != "d")) sets;
  foldAttrs = [ (lib.foldAttrs (x: xs: [ x ] ++ xs) [ ] sets) (lib.foldAttrs (x: y: x + y) 0 [ { a = 1; } { a = 2; b = 3; } { } ]) ];
  genAttrs = lib.genAttrs (lib.unique names) (name: name + "!");
  getAttrFromPath = lib.getAttrFromPath [ "c" "d" ] { c.d = 1; };
  isDerivation = map lib.isDerivation [ { } { type = "derivation"; } { type = 1; } 1 null "x" ];
  listToAttrs = lib.listToAttrs [ { name = "a"; value = 1; } { name = "a"; value = 2; } ];
  mapAttrs' = map (lib.mapAttrs' (n: v: lib.nameValuePair "${n}-x" [ v ])) sets;
  mapAttrsToList = map (lib.mapAttrsToList (n: v: [ n v ])) sets;
  mapAttrsRecursive = map (lib.mapAttrsRecursive (path: v: [ path v ])) sets;
  mapAttrsRecursiveCond = map (lib.mapAttrsRecursiveCond (set: !(set ? e)) (path: v: [ path v ])) sets;
  optionalAttrs = [ (lib.optionalAttrs true { a = 1; }) (lib.optionalAttrs false { a = 1; }) ];
  overrideExisting = map ({ x, y }: lib.overrideExisting x y) (pairs sets);
  recursiveUpdate = map ({ x, y }: lib.recursiveUpdate x y) (pairs sets);
  recursiveUpdateUntil = map ({ x, y }: lib.recursiveUpdateUntil (path: l: r: path == [ "c" ] || !(builtins.isAttrs l && builtins.isAttrs r)) x y) (pairs sets);
  setAttrByPath = [ (lib.setAttrByPath [ "a" "b" ] 1) (lib.setAttrByPath [ ] 1) ];
  zipAttrs = lib.zipAttrs sets;
  zipAttrsWith = lib.zipAttrsWith (n: vs: { inherit n; k = builtins.length vs; }) sets;
  zipAttrsWithNames = lib.zipAttrsWithNames [ "a" "b" ] (n: vs: [ n vs ]) sets;
  outputs = map (get: map get (map (x: { outputUnspecified = true; } // x) [ { out = 1; dev = 2; bin = 3; } { out = 1; } ])) [ lib.getBin lib.getDev (lib.getOutput "out") ];

  # strings
  concatStrings = lib.concatStrings words;
  concatStringsSep = map (sep: lib.concatStringsSep sep words) words;
  concatMapStrings = lib.concatMapStrings (x: "<${x}>") words;
  concatMapStringsSep = lib.concatMapStringsSep "," (x: "<${x}>") words;
  concatImapStrings = lib.concatImapStrings (i: x: "${toString i}${x}") words;
  concatImapStringsSep = lib.concatImapStringsSep "," (i: x: "${toString i}${x}") words;
  enableFeature = map (flag: [ (lib.enableFeature flag "x") ]) [ true false ];
  escape = map (lib.escape [ "a" "$" " " ]) words;
  fixedWidth = [ (lib.fixedWidthNumber 5 12) (lib.fixedWidthString 4 "x" "ab") (lib.fixedWidthString 2 "0" "ab") ];
  getVersion = map lib.getVersion names;
  hasPrefix = map ({ x, y }: lib.hasPrefix x y) (pairs (words ++ [ "a" "foo" "alpha beta" ]));
  hasSuffix = map ({ x, y }: lib.hasSuffix x y) (pairs (words ++ [ "a" "baz" "alpha beta" ]));
  intersperse = [ (lib.intersperse 0 ints) (lib.intersperse 0 [ ]) (lib.intersperse 0 [ 1 ]) ];
  makeSearchPath = [ (lib.makeSearchPath "bin" [ "/a" "/b" ]) (lib.makeSearchPath "x/y" [ ]) ];
  makeLibraryPath = lib.makeLibraryPath [ { outputUnspecified = true; out = "/a"; lib = "/al"; } { outputUnspecified = true; out = "/b"; } ];
  makeBinPath = lib.makeBinPath [ { outputUnspecified = true; out = "/a"; bin = "/ab"; } { outputUnspecified = true; out = "/b"; } ];
  nameFromURL = lib.nameFromURL "http://example.org/foo/hello-2.10.tar.gz" "-";
  optionalString = [ (lib.optionalString true "x") (lib.optionalString false "x") ];
  removePrefix = map ({ x, y }: lib.removePrefix x y) (pairs (words ++ [ "a" "foo" "alpha beta" ]));
  removeSuffix = map ({ x, y }: lib.removeSuffix x y) (pairs (words ++ [ "a" "baz" "alpha beta" ]));
  replaceChars = map (lib.replaceStrings [ "a" "b" ] [ "b" "a" ]) words;
  splitString = map (sep: map (lib.splitString sep) (words ++ [ "a.b.c" ".a" "/usr/local/bin" ])) [ "." "/" "-" " " "$" ];
  stringAsChars = map (lib.stringAsChars (c: if c == "a" then "[a]" else c)) words;
  stringToCharacters = map lib.stringToCharacters words;
  toLower = map lib.toLower words;
  toUpper = map lib.toUpper words;
  toInt = map lib.toInt [ "1" "0" "-12" "1000000" ];
  versionAtLeast = map ({ x, y }: lib.versionAtLeast x y) (pairs versions);
  versionOlder = map ({ x, y }: lib.versionOlder x y) (pairs versions);
  isStorePath = map lib.isStorePath [ "${builtins.storeDir}/abc-x" "${builtins.storeDir}/abc-x/bin" "/tmp/x" ];

  # fixed points
  fix = (lib.fix (self: { a = 1; b = self.a + 1; c = [ self.b ]; })).c;
  extends = lib.fix (lib.extends (self: super: { a = super.a + 10; d = self.c; }) (self: { a = 1; c = self.a * 2; }));

  # customisation
  override =
    let f = lib.makeOverridable ({ a, b ? a }: { c = a + b; }) { a = 1; }; in
    [ f.c (f.override { a = 2; }).c (f.override (old: { b = old.a + 5; })).c ((f.override { a = 2; }).override { b = 1; }).c ];
  callPackage = map (args: (lib.callPackageWith { a = 1; b = 2; z = 3; } ({ a, b, c ? 10 }: { sum = a + b + c; }) args).sum) [ { } { b = 5; } { c = 1; a = 0; } ];
  makeScope =
    let scope = lib.makeScope (extra: lib.callPackageWith ({ base = 1; } // extra)) (self: { p = self.callPackage ({ base, q }: { v = base + q; }) { }; q = 5; }); in
    scope.p.v;

  # texts with dependencies
  textClosure =
    let pieces = { a = lib.noDepEntry "A"; b = lib.fullDepEntry "B" [ "a" ]; c = lib.fullDepEntry "C" [ "b" "a" ]; d = lib.packEntry [ "c" ]; }; in
    map (lib.textClosureMap lib.id pieces) [ [ ] [ "a" ] [ "c" ] [ "d" "a" ] [ "b" "c" "b" ] [ (lib.noDepEntry "X") "a" ] ];

  # the rest
  addMetaAttrs = lib.addMetaAttrs { a = 1; } { name = "x"; meta = { a = 0; b = 2; }; };
  appendToName = (lib.appendToName "x" { name = "hello-2.10"; }).name;
  licenses = map (name: lib.licenses.${name}.fullName) [ "isc" "zlib" "asl20" "cc0" "mpl20" "publicDomain" "unfree" ];
  spdx = map (name: lib.licenses.${name}.spdxId) [ "isc" "zlib" "asl20" "cc0" "mpl20" "bsd2" "bsd3" "mit" "ofl" "boost" "ncsa" "artistic2" "ipl10" "lppl12" ];
  minMax = map ({ x, y }: [ (lib.min x y) (lib.max x y) ]) (pairs ints);
  flip = lib.flip (a: b: a - b) 1 2;
  runTests = lib.runTests { testA = { expr = 1; expected = 2; }; testB = { expr = 1; expected = 1; }; other = { expr = 1; expected = 2; }; };

  # modules
  modules =
    let
      inherit (lib) mkOption types;
      # In 2016 every configuration still held `_module`.
      plain = config: builtins.removeAttrs config [ "_module" ];
      config = modules: plain (lib.evalModules { inherit modules; }).config;
      value = type: defs: (config ([ { options.v = mkOption { inherit type; }; } ] ++ map (v: { inherit v; }) defs)).v;
      sub = types.submodule ({ name, ... }: { options.n = mkOption { type = types.int; default = 0; }; options.label = mkOption { default = name; }; });
    in
    {
      lists = value (types.listOf types.int) [ [ 1 ] (lib.mkBefore [ 2 ]) (lib.mkAfter [ 3 ]) (lib.mkIf false [ 4 ]) [ 5 ] (lib.mkMerge [ [ 6 ] [ 7 ] ]) ];
      forced = value (types.listOf types.int) [ [ 1 ] (lib.mkForce [ 2 ]) (lib.mkForce [ 3 ]) (lib.mkDefault [ 4 ]) ];
      lines = value types.lines [ "a" (lib.mkOrder 1 "b") "c" ];
      envVar = value types.envVar [ "a" "b" ];
      attrsOf = value (types.attrsOf types.int) [ { a = 1; b = lib.mkIf false 2; } { c = lib.mkForce 3; } ];
      submodules = lib.mapAttrs (_: plain) (value (types.attrsOf sub) [ { a.n = 1; } { a.label = "x"; b = { }; } ]);
      listOfSubmodules = map plain (value (types.listOf sub) [ [ { n = 1; label = "l"; } ] [ { n = 2; label = "m"; } ] ]);
      nulls = value (types.nullOr types.str) [ null null ];
      either = value (types.either types.int types.str) [ "x" ];
      unspecified = map (value types.unspecified) [ [ [ 1 ] [ 2 ] ] [ { a = 1; } { b = 2; } ] [ true false ] [ "x" "y" ] ];
      imports = config [
        { options.l = mkOption { type = types.listOf types.int; }; }
        { l = [ 1 ]; imports = [ { l = [ 2 ]; } { l = [ 3 ]; imports = [ { l = [ 4 ]; } ]; } ]; }
        { l = [ 5 ]; }
      ];
      conditions = config [
        ({ config, ... }: {
          options.a = mkOption { type = types.bool; default = false; };
          options.b.c = mkOption { type = types.listOf types.str; default = [ ]; };
          config = lib.mkIf config.a (lib.mkMerge [ { b.c = [ "x" ]; } { b = lib.mkIf true { c = [ "y" ]; }; } ]);
        })
        { a = true; b.c = [ "z" ]; }
      ];
      check = map (x: map (t: t.check x) [ types.int types.bool types.str types.attrs types.lines (types.nullOr types.int) (types.enum [ 1 "a" ]) (types.listOf types.int) ])
        [ 1 true "a" "/a" { } { type = "derivation"; } null [ ] [ "x" ] ];
    };
}
