/**
  Attribute sets, also those that are derivations and their outputs.

  A path is a list of names, `[ "a" "b" ]` for `a.b`.  Names come out in the order of `attrNames`: sorted.
*/
{ lib }:
let
  inherit (builtins) attrNames concatMap elemAt filter foldl' head isAttrs length listToAttrs tail;
  inherit (lib.trivial) id;
in
rec {
  inherit (builtins) attrValues catAttrs intersectAttrs mapAttrs removeAttrs zipAttrsWith;
  inherit attrNames listToAttrs;

  /** [name] -> a -> set -> value or a
      attrByPath [ "a" "b" ] 0 { a.b = 1; } => 1 */
  attrByPath = path: default: set:
    let
      n = length path;
      from = i: value: if i == n then value else let name = elemAt path i; in
        if value ? ${name} then from (i + 1) value.${name} else default;
    in
    from 0 set;

  /** [name] -> set -> bool
      hasAttrByPath [ "a" "b" ] { a.b = 1; } => true */
  hasAttrByPath = path: set: length (longestValidPathPrefix path set) == length path;

  /** [name] -> set -> [name]: how far the path leads.
      longestValidPathPrefix [ "a" "b" ] { a.c = 1; } => [ "a" ] */
  longestValidPathPrefix = path: set:
    let
      n = length path;
      reach = i: value: if i < n && value ? ${elemAt path i} then reach (i + 1) value.${elemAt path i} else i;
    in
    lib.take (reach 0 set) path;

  /** [name] -> a -> set
      setAttrByPath [ "a" "b" ] 1 => { a.b = 1; } */
  setAttrByPath = path: value: lib.foldr (name: inner: { ${name} = inner; }) value path;

  /** [name] -> set -> value
      getAttrFromPath [ "a" "b" ] { a.b = 1; } => 1 */
  getAttrFromPath = path: set:
    let found = longestValidPathPrefix path set; in
    if found == path then attrByPath path null set
    else
      throw "there is no attribute `${showAttrPath path}`${lib.optionalString (found != [ ]) ": `${showAttrPath found}` has no `${elemAt path (length found)}`"}";

  /** (name -> value -> set) -> set -> set: the sets of all attributes as one; later names win.
      concatMapAttrs (n: v: { ${n} = v; ${n + v} = v; }) { a = "x"; } => { a = "x"; ax = "x"; } */
  concatMapAttrs = f: set: mergeAttrsList (attrValues (mapAttrs f set));

  /** [ { path; update = old -> new; } ] -> set -> set: inner changes come before outer ones; those of one path in their order.
      updateManyAttrsByPath [ { path = [ "a" "b" ]; update = x: x + 1; } ] { a.b = 1; } => { a.b = 2; } */
  updateManyAttrsByPath = updates: set:
    let
      # `has` tells whether there is a value at this place; an update of what is missing fails only if it looks at it.
      go = path: updates: has: value:
        let
          split = lib.partition (u: u.rest == [ ]) updates;
          byName = lib.groupBy (u: head u.rest) split.wrong;
          inner = name: us:
            go (path ++ [ name ]) (map (u: u // { rest = tail u.rest; }) us) (has && value ? ${name}) value.${name};
          below =
            if split.wrong == [ ] then (if has then value else throw "lib.updateManyAttrsByPath: there is no attribute `${showAttrPath path}`")
            else if !has then mapAttrs inner byName
            else if isAttrs value then value // mapAttrs inner byName
            else
              throw "lib.updateManyAttrsByPath: `${showAttrPath path}` is no set, and `${showAttrPath (path ++ (head split.wrong).rest)}` lies below it";
        in
        foldl' (x: u: u.update x) below split.right;
    in
    go [ ] (map (u: { rest = u.path; inherit (u) update; }) updates) true set;

  /** [name] -> set -> [value]
      attrVals [ "a" "b" ] { a = 1; b = 2; } => [ 1 2 ] */
  attrVals = names: set: map (name: set.${name}) names;

  /** [name] -> set -> set: only these; all must be there.
      getAttrs [ "a" ] { a = 1; b = 2; } => { a = 1; } */
  getAttrs = names: set: genAttrs names (name: set.${name});

  /** (name -> value -> bool) -> set -> set
      filterAttrs (n: v: v > 1) { a = 1; b = 2; } => { b = 2; } */
  filterAttrs = pred: set: removeAttrs set (filter (name: !pred name set.${name}) (attrNames set));

  /** (name -> value -> bool) -> set -> set: also in sets within.
      filterAttrsRecursive (n: v: v != null) { a.b = null; a.c = 1; } => { a.c = 1; } */
  filterAttrsRecursive = pred: set:
    mapAttrs (_: v: if isAttrs v then filterAttrsRecursive pred v else v) (filterAttrs pred set);

  /** (a -> name -> value -> a) -> a -> set -> a
      foldlAttrs (acc: n: v: acc + v) 0 { a = 1; b = 2; } => 3 */
  foldlAttrs = f: init: set: foldl' (acc: name: f acc name set.${name}) init (attrNames set);

  /** (value -> a -> a) -> a -> [set] -> { name = a; }: folds the values of each name from the right.
      foldAttrs (x: acc: [ x ] ++ acc) [ ] [ { a = 1; } { a = 2; } ] => { a = [ 1 2 ]; } */
  foldAttrs = op: nul: zipAttrsWith (_: lib.foldr op nul);

  /** (value -> bool) -> set -> [value]: what matches, however deep; not looked for inside a match.
      collect isList { a = [ 1 ]; b.c = [ 2 ]; } => [ [ 1 ] [ 2 ] ] */
  collect = pred: value:
    if pred value then [ value ] else if isAttrs value then concatMap (collect pred) (attrValues value) else [ ];

  /** { name = [value]; } -> [ { name = value; } ]: every combination.
      cartesianProduct { a = [ 1 2 ]; b = [ 3 ]; } => [ { a = 1; b = 3; } { a = 2; b = 3; } ] */
  cartesianProduct = set:
    foldl' (sets: name: concatMap (s: map (value: s // { ${name} = value; }) set.${name}) sets) [ { } ] (attrNames set);
  cartesianProductOfSets = cartesianProduct;

  /** ({ name = value; } -> a) -> { name = [value]; } -> [a]
      mapCartesianProduct ({ a, b }: a + b) { a = [ 1 2 ]; b = [ 3 ]; } => [ 4 5 ] */
  mapCartesianProduct = f: set: map f (cartesianProduct set);

  /** name -> value -> { name; value; }
      nameValuePair "a" 1 => { name = "a"; value = 1; } */
  nameValuePair = name: value: { inherit name value; };

  /** (name -> value -> { name; value; }) -> set -> set
      mapAttrs' (n: v: nameValuePair ("x" + n) v) { a = 1; } => { xa = 1; } */
  mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);

  /** (name -> value -> a) -> set -> [a]
      mapAttrsToList (n: v: n + v) { a = "x"; b = "y"; } => [ "ax" "by" ] */
  mapAttrsToList = f: set: attrValues (mapAttrs f set);

  /** set -> [ { name; value; } ]
      attrsToList { a = 1; } => [ { name = "a"; value = 1; } ] */
  attrsToList = mapAttrsToList nameValuePair;

  /** ([name] -> value -> a) -> set -> [a]: the leaves, with their paths.
      mapAttrsToListRecursive (path: v: "${showAttrPath path}=${v}") { a.b = "x"; } => [ "a.b=x" ] */
  mapAttrsToListRecursive = mapAttrsToListRecursiveCond (_: _: true);

  /** ([name] -> set -> bool) -> ([name] -> value -> a) -> set -> [a]: a set is a leaf where the predicate says no.
      mapAttrsToListRecursiveCond (path: s: !s ? leaf) (path: v: v.leaf) { a.b.leaf = 1; } => [ 1 ] */
  mapAttrsToListRecursiveCond = pred: f: set:
    let
      go = path: value:
        if isAttrs value && (path == [ ] || pred path value) then concatMap (name: go (path ++ [ name ]) value.${name}) (attrNames value)
        else [ (f path value) ];
    in
    go [ ] set;

  /** ([name] -> value -> a) -> set -> set: all leaves, with their paths.
      mapAttrsRecursive (path: v: concatStringsSep "-" (path ++ [ v ])) { a.b = "x"; } => { a.b = "a-b-x"; } */
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);

  /** (set -> bool) -> ([name] -> value -> a) -> set -> set: a set is a leaf where the predicate says no.
      mapAttrsRecursiveCond (s: !s ? leaf) (path: v: v.leaf or v) { a.b.leaf = 1; } => { a.b = 1; } */
  mapAttrsRecursiveCond = pred: f: set:
    let
      go = path: mapAttrs (name: value:
        let here = path ++ [ name ]; in if isAttrs value && pred value then go here value else f here value);
    in
    go [ ] set;

  /** [name] -> (name -> value) -> set
      genAttrs [ "a" "b" ] (n: n + "x") => { a = "ax"; b = "bx"; } */
  genAttrs = names: f: genAttrs' names (name: { inherit name; value = f name; });

  /** [a] -> (a -> { name; value; }) -> set
      genAttrs' [ 1 ] (x: nameValuePair "n${toString x}" x) => { n1 = 1; } */
  genAttrs' = xs: f: listToAttrs (map f xs);

  /** value -> bool
      isDerivation { type = "derivation"; } => true */
  isDerivation = value: value.type or null == "derivation";

  /** store path -> derivation: what is in the store already, in the shape of a package.
      e.g. toDerivation "/nix/store/…-hello-2.12" */
  toDerivation = path:
    let
      outPath = builtins.storePath path;
      self = {
        type = "derivation";
        name = lib.strings.sanitizeDerivationName (builtins.substring 33 (-1) (baseNameOf outPath));
        inherit outPath;
        outputs = [ "out" ];
        out = self;
        outputName = "out";
      };
    in
    self;

  /** bool -> set -> set: the set, or an empty one.
      optionalAttrs false { a = 1; } => { } */
  optionalAttrs = cond: set: if cond then set else { };

  /** [name] -> (name -> [value] -> a) -> [set] -> { name = a; }: only these names.
      zipAttrsWithNames [ "a" ] (n: vs: vs) [ { a = 1; b = 2; } { a = 3; } ] => { a = [ 1 3 ]; } */
  zipAttrsWithNames = names: f: sets: genAttrs names (name: f name (catAttrs name sets));

  /** [set] -> { name = [value]; }
      zipAttrs [ { a = 1; } { a = 2; b = 3; } ] => { a = [ 1 2 ]; b = [ 3 ]; } */
  zipAttrs = zipAttrsWith (_: id);

  /** [set] -> set: all as one; later sets win.
      mergeAttrsList [ { a = 1; } { a = 2; b = 3; } ] => { a = 2; b = 3; } */
  mergeAttrsList = sets:
    # By halves: `//` copies, and so every attribute is copied log n times only.
    let
      merge = start: n:
        if n == 0 then { } else if n == 1 then elemAt sets start
        else merge start (n / 2) // merge (start + n / 2) (n - n / 2);
    in
    merge 0 (length sets);

  /** ([name] -> a -> b -> bool) -> set -> set -> set: sets within are merged until the predicate holds; then the right value wins.
      recursiveUpdateUntil (path: l: r: path == [ "a" ]) { a.b = 1; } { a.c = 2; } => { a.c = 2; } */
  recursiveUpdateUntil = pred: left: right:
    let
      go = path: zipAttrsWith (name: values:
        let here = path ++ [ name ]; in
        if length values == 1 then head values
        else if pred here (head values) (elemAt values 1) then elemAt values 1
        else go here values);
    in
    go [ ] [ left right ];

  /** set -> set -> set: sets within are merged; the right one's values win.
      recursiveUpdate { a.b = 1; } { a.c = 2; } => { a = { b = 1; c = 2; }; } */
  recursiveUpdate = recursiveUpdateUntil (_: l: r: !(isAttrs l && isAttrs r));

  /** set -> set -> bool: has the second all that the first has?
      matchAttrs { a.b = 1; } { a = { b = 1; c = 2; }; d = 3; } => true */
  matchAttrs = pattern: set:
    lib.all
      (name: set ? ${name} && (
        let want = pattern.${name}; have = set.${name}; in
        if isAttrs want then isAttrs have && matchAttrs want have else want == have))
      (attrNames pattern);

  /** set -> set -> set: new values for names that are there; others are ignored.
      overrideExisting { a = 1; } { a = 2; b = 3; } => { a = 2; } */
  overrideExisting = old: new: old // intersectAttrs old new;

  /** [name] -> string
      showAttrPath [ "a" "b c" ] => "a.\"b c\"" */
  showAttrPath = path: if path == [ ] then "<root attribute path>" else lib.concatMapStringsSep "." lib.strings.escapeNixIdentifier path;

  /** name -> package -> output: the named output, else `out`, else the package itself.
      getOutput "dev" { out = 1; dev = 2; } => 2 */
  getOutput = output: pkg:
    if pkg.outputSpecified or false then pkg else pkg.${output} or pkg.out or pkg;

  /** [name] -> package -> output: the first of these that the package has.
      getFirstOutput [ "include" "dev" ] { out = 1; dev = 2; } => 2 */
  getFirstOutput = candidates: pkg:
    let found = lib.findFirst (output: pkg ? ${output}) null candidates; in
    if pkg.outputSpecified or false || found == null then pkg else pkg.${found};

  /** package -> output
      getBin { out = 1; bin = 2; } => 2 */
  getBin = getOutput "bin";
  /** package -> output
      getLib { out = 1; bin = 2; } => 1 */
  getLib = getOutput "lib";
  /** package -> output
      getStatic { out = 1; lib = 2; } => 2 */
  getStatic = getFirstOutput [ "static" "lib" "out" ];
  /** package -> output
      getDev { out = 1; dev = 2; } => 2 */
  getDev = getOutput "dev";
  /** package -> output
      getInclude { out = 1; dev = 2; } => 2 */
  getInclude = getFirstOutput [ "include" "dev" "out" ];
  /** package -> output
      getMan { out = 1; man = 2; } => 2 */
  getMan = getOutput "man";

  /** [package] -> [output]
      chooseDevOutputs [ { out = 1; dev = 2; } ] => [ 2 ] */
  chooseDevOutputs = map getDev;

  /** set -> set: nix-env and its kind look inside.
      recurseIntoAttrs { } => { recurseForDerivations = true; } */
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };

  /** set -> set: nix-env and its kind do not look inside.
      dontRecurseIntoAttrs { } => { recurseForDerivations = false; } */
  dontRecurseIntoAttrs = set: set // { recurseForDerivations = false; };

  /** set -> set -> set: `//`, and a name that both have is an error.
      unionOfDisjoint { a = 1; } { b = 2; } => { a = 1; b = 2; } */
  unionOfDisjoint = x: y:
    x // y // mapAttrs (name: _: throw "lib.unionOfDisjoint: both sets have `${name}`") (intersectAttrs x y);
}
