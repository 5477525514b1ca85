/**
  Packages that can be changed after the fact: `override`, `callPackage`, scopes.
*/
{ lib }:
let
  inherit (builtins) attrNames intersectAttrs isAttrs mapAttrs removeAttrs;
  inherit (lib.trivial) functionArgs isFunction mirrorFunctionArgs setFunctionArgs toFunction;

  # Arguments by position of a function that may be given as a file.
  load = fn: if isFunction fn then fn else import fn;

  # The error for arguments that nothing gives.  `where` is a function's position, where one is known.
  missingError = caller: fn: fargs: known: missing:
    let
      position = let at = builtins.unsafeGetAttrPos (builtins.head missing) fargs; in
        if at == null then "" else " at ${at.file}:${toString at.line}";
      near = name:
        let
          close = builtins.filter (lib.levenshteinAtMost 2 name) (attrNames known);
          sorted = lib.take 3 (lib.sortOn (lib.levenshtein name) close);
        in
        lib.optionalString (sorted != [ ]) ", did you mean ${lib.concatMapStringsSep " or " (x: "`${x}`") sorted}?";
    in
    throw "${caller}: the function${lib.optionalString (builtins.isPath fn || builtins.isString fn) " in ${toString fn}"}${position} needs ${
      lib.concatMapStringsSep "; " (name: "an argument `${name}`, which is not there${near name}") missing}";

  # What a function gets from `autoArgs` and by hand, or the error.
  argsFor = caller: autoArgs: fn: args:
    let
      fargs = functionArgs (load fn);
      all = intersectAttrs fargs autoArgs // args;
      missing = builtins.filter (name: !fargs.${name} && !all ? ${name}) (attrNames fargs);
    in
    if missing == [ ] then all else missingError caller fn fargs (autoArgs // args) missing;
in
rec {
  /** derivation -> (old attributes -> set) -> derivation: other attributes for `derivation` itself.
      Knows nothing of the function that made it, so `overrideAttrs` is better where it is there. */
  overrideDerivation = drv: f:
    let
      new = derivation (drv.drvAttrs // f drv);
      withMeta = x: x // lib.optionalAttrs (drv ? meta) { inherit (drv) meta; } // lib.optionalAttrs (drv ? passthru) { inherit (drv) passthru; };
      outputs = new.drvAttrs.outputs or [ "out" ];
      full = withMeta new // lib.genAttrs outputs (output: withMeta new.${output});
    in
    full // lib.optionalAttrs (drv ? override) { inherit (drv) override; } // (drv.passthru or { });

  /** (args -> result) -> args -> result: with a function `override`, which calls again with changed arguments.
      ((makeOverridable ({ a, b ? 1 }: { c = a + b; }) { a = 1; }).override { b = 2; }).c => 3 */
  makeOverridable = f:
    let mirror = mirrorFunctionArgs f; in
    mirror (args:
      let
        result = f args;
        change = new: args // (if isFunction new then new args else new);
        override = mirror (new: makeOverridable f (change new));
        # The same arguments, and something done to the result: it stays overridable.
        after = g: makeOverridable (mirror (x: g (f x))) args;
      in
      if isAttrs result then
        result // {
          inherit override;
          overrideDerivation = g: after (x: overrideDerivation x g);
          ${if result ? overrideAttrs then "overrideAttrs" else null} = g: after (x: x.overrideAttrs g);
        }
      else if isFunction result then setFunctionArgs result (functionArgs result) // { inherit override; }
      else result);

  /** set -> function or file -> args -> result: arguments that are not given come from the set, by their names.
      (callPackageWith { a = 1; b = 2; } ({ a, b }: { c = a + b; }) { b = 5; }).c => 6 */
  callPackageWith = autoArgs: fn: args: makeOverridable (load fn) (argsFor "lib.callPackageWith" autoArgs fn args);

  /** set -> function or file -> args -> { name = package; }: as `callPackageWith`, for a function that makes several packages.
      (callPackagesWith { a = 1; } ({ a }: { p = { v = a; }; }) { }).p.v => 1 */
  callPackagesWith = autoArgs: fn: args:
    let
      f = load fn;
      all = argsFor "lib.callPackagesWith" autoArgs fn args;
      pkgs = f all;
    in
    if lib.isDerivation pkgs then throw "lib.callPackagesWith: the function made one derivation and not a set of them; use `callPackage`"
    else mapAttrs (name: _: makeOverridable (mirrorFunctionArgs f (new: (f new).${name})) all) pkgs;

  /** bool -> set -> derivation -> derivation: more attributes on each output; instantiating wants the condition to hold.
      (extendDerivation true { a = 1; } { outputs = [ "out" ]; out = { outPath = 0; }; drvPath = 0; outPath = 0; outputName = "out"; }).out.a => 1 */
  extendDerivation = condition: passthru: drv:
    let
      outputs = drv.outputs or [ "out" ];
      common = drv // lib.genAttrs outputs one // { all = map one outputs; } // passthru;
      guarded = output: common // {
        inherit (output) outputName type;
        outputSpecified = true;
        drvPath = assert condition; output.drvPath;
        outPath = assert condition; output.outPath;
      } // lib.optionalAttrs (passthru ? overrideAttrs) {
        # An output of what was overridden, and not its first one.
        overrideAttrs = f: (passthru.overrideAttrs f).${output.outputName};
      };
      one = name: guarded ({ outputName = name; type = "derivation"; inherit (drv) drvPath; } // drv.${name});
    in
    common // { drvPath = assert condition; drv.drvPath; outPath = assert condition; drv.outPath; };

  /** derivation -> set: only what a build farm needs, evaluated, so that nothing else is kept in memory.
      e.g. hydraJob pkgs.hello */
  hydraJob = drv:
    if drv == null then null else
    let
      outputs = drv.outputs or [ "out" ];
      common = { inherit (drv) name system meta; inherit outputs; }
        // lib.optionalAttrs (drv._hydraAggregate or false) { _hydraAggregate = true; constituents = map hydraJob (lib.flatten drv.constituents); }
        // lib.genAttrs outputs one;
      one = name: common // { inherit (drv.${name}) drvPath outPath; type = "derivation"; outputName = name; };
      job = one (builtins.head outputs);
    in
    builtins.deepSeq job job;

  /** (scope -> callPackage) -> (self -> set) -> set: packages that see each other, with `callPackage`, `overrideScope` and `newScope`.
      ((makeScope callPackageWith (self: { a = 1; b = self.callPackage ({ a }: { v = a; }) { }; })).overrideScope (f: p: { a = 2; })).b.v => 2 */
  makeScope = newScope: f:
    let
      self = f self // {
        newScope = scope: newScope (self // scope);
        callPackage = self.newScope { };
        overrideScope = overlay: makeScope newScope (lib.extends overlay f);
        packages = f;
      };
    in
    self;

  /** { constructDrv; extendDrvArgs; excludeDrvArgNames ? [ ]; inheritFunctionArgs ? true; transformDrv ? id; } -> function
      A builder over another builder: `extendDrvArgs final args` is what it adds to the arguments.
      extendMkDerivation { constructDrv = fix; extendDrvArgs = final: { n, ... }: { m = n + 1; }; } { n = 1; } => { n = 1; m = 2; } */
  extendMkDerivation =
    { constructDrv, extendDrvArgs, excludeDrvArgNames ? [ ], inheritFunctionArgs ? true, transformDrv ? lib.id }:
    setFunctionArgs
      (given: transformDrv (constructDrv (final:
        let args = toFunction given final; in removeAttrs args excludeDrvArgNames // extendDrvArgs final args)))
      (removeAttrs (functionArgs (extendDrvArgs { })) excludeDrvArgNames
        // lib.optionalAttrs inheritFunctionArgs (removeAttrs (functionArgs constructDrv) excludeDrvArgNames));
}
