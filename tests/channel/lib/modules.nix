# The module system: `config` (or another part) of a few modules, and what it must be.
lib: with lib;
let
  eval = modules: evalModules { inherit modules; };
  config = modules: (eval modules).config;
  # One option `v` of a type, with definitions.
  value = type: defs: (config ([ { options.v = mkOption { inherit type; }; } ] ++ map (v: { inherit v; }) defs)).v;
  fails = x: !(builtins.tryEval (builtins.deepSeq x x)).success;
  ints = types.listOf types.int;
  t = types;
  sub = t.submodule ({ name, config, ... }: {
    options.n = mkOption { type = t.int; default = 0; };
    options.label = mkOption { type = t.str; default = "${name}-${toString config.n}"; };
  });
  services = {
    options.services.web = { enable = mkEnableOption "web"; port = mkOption { type = t.port; default = 80; }; };
    options.packages = mkOption { type = t.listOf t.str; default = [ ]; };
    options.warnings = mkOption { type = t.listOf t.str; default = [ ]; };
    options.assertions = mkOption { type = t.listOf t.unspecified; default = [ ]; };
  };
  declare = path: type: { options = setAttrByPath path (mkOption { inherit type; }); };
in
{
  # values and defaults
  default = [ (config [ { options.a = mkOption { default = 1; }; } ]) { a = 1; } ];
  defined = [ (config [ { options.a = mkOption { default = 1; }; } { a = 2; } ]) { a = 2; } ];
  nested = [ (config [ services { services.web.enable = true; } ]).services.web { enable = true; port = 80; } ];
  apply = [ (config [ { options.a = mkOption { apply = x: x + 1; default = 1; }; } ]).a 2 ];
  lazy = [ (config [ { options.a = mkOption { }; options.b = mkOption { default = 1; }; } { a = throw "unused"; } ]).b 1 ];
  undefinedUnused = [ (config [ { options.a = mkOption { }; options.b = mkOption { default = 1; }; } ]).b 1 ];
  untyped = [ (config [ { options.a = mkOption { }; } { a = [ 1 ]; } { a = [ 2 ]; } ]).a [ 2 1 ] ];
  functionModule = [ (config [ ({ lib, ... }: { options.a = lib.mkOption { default = 3; }; }) ]).a 3 ];
  functorModule = [ (config [ (setFunctionArgs (args: { options.a = args.lib.mkOption { default = 3; }; }) { lib = false; }) ]).a 3 ];
  usesConfig = [ (config [ { options.a = mkOption { default = 1; }; options.b = mkOption { }; } ({ config, ... }: { b = config.a + 1; }) ]).b 2 ];
  usesOptions = [ (config [ { options.a = mkOption { default = 1; }; options.b = mkOption { }; } ({ options, ... }: { b = options.a.isDefined; }) ]).b true ];
  shorthand = [ (config [ { options.a.b = mkOption { }; } { a.b = 1; } ]).a.b 1 ];
  explicit = [ (config [ { options.a.b = mkOption { }; config.a.b = 1; } ]).a.b 1 ];
  noModuleArgs = [ (attrNames (config [ { options.a = mkOption { default = 1; }; } ])) [ "a" ] ];

  # imports
  imports = [ (config [ { imports = [ { options.a = mkOption { }; } { imports = [ { a = 1; } ]; } ]; } ]).a 1 ];
  importFile = [ (config [ ./fixtures/module.nix ]).fixture "from module.nix" ];
  importTwice = [ (config [ ./fixtures/module.nix { imports = [ ./fixtures/module.nix ]; } ]).fixture "from module.nix" ];
  importCycle = [ (config [ ./fixtures/cycle-a.nix ]) { a = "b"; } ];
  importKey = [ (config [ { options.a = mkOption { type = ints; }; } { key = "k"; a = [ 1 ]; } { key = "k"; a = [ 1 ]; } ]).a [ 1 ] ];
  importFromSpecial = [ (evalModules { specialArgs.more = [ { a = 5; } ]; modules = [ { options.a = mkOption { }; } ({ more, ... }: { imports = more; }) ]; }).config.a 5 ];
  importApplied = [ (config [ (importApply ./fixtures/apply.nix 7) ]).applied 7 ];
  disabled = [ (config [ ./fixtures/module.nix { disabledModules = [ ./fixtures/module.nix ]; options.a = mkOption { default = 1; }; } ]) { a = 1; } ];
  disabledByName = [
    (evalModules { specialArgs.modulesPath = toString ./fixtures; modules = [ ./fixtures/module.nix { disabledModules = [ "module.nix" ]; } ]; }).config
    { }
  ];
  disabledByKey = [ (config [ { options.a = mkOption { default = 1; }; } { key = "k"; a = 2; } { disabledModules = [ { key = "k"; } ]; } ]).a 1 ];
  disabledImports = [ (config [ { options.a = mkOption { default = 1; }; } { key = "k"; imports = [ { a = 2; } ]; } { disabledModules = [ "/k" { key = "k"; } ]; } ]).a 1 ];
  order = [ (config [ (declare [ "l" ] ints) { l = [ 1 ]; imports = [ { l = [ 2 ]; } { l = [ 3 ]; } ]; } { l = [ 4 ]; } ]).l [ 3 2 4 1 ] ];

  # arguments
  argument = [ (config [ { options.a = mkOption { }; } { _module.args.x = 3; } ({ x, ... }: { a = x; }) ]).a 3 ];
  argumentFromConfig = [ (config [ { options.a = mkOption { }; options.b = mkOption { default = 4; }; } ({ config, ... }: { _module.args.x = config.b; }) ({ x, ... }: { a = x; }) ]).a 4 ];
  specialArgument = [ (evalModules { specialArgs.x = 5; modules = [ { options.a = mkOption { }; } ({ x, ... }: { a = x; }) ]; }).config.a 5 ];
  argumentsByName = [ (evalModules { specialArgs.x = 5; modules = [ { options.a = mkOption { }; } (args: { a = args.x; }) ]; }).config.a 5 ];
  prefixArgument = [ (evalModules { prefix = [ "p" ]; modules = [ { options.a = mkOption { }; } ({ _prefix, ... }: { a = _prefix; }) ]; }).config.a [ "p" ] ];

  # conditions and merging
  ifTrue = [ (value t.int [ (mkIf true 1) ]) 1 ];
  ifFalse = [ (value ints [ (mkIf false [ 1 ]) [ 2 ] ]) [ 2 ] ];
  ifSet = [ (config [ services (mkIf true { services.web.enable = true; }) (mkIf false { services.web.port = "wrong"; }) ]).services.web { enable = true; port = 80; } ];
  ifOnOther = [ (config [ services ({ config, ... }: { config = mkIf config.services.web.enable { packages = [ "nginx" ]; }; }) { services.web.enable = true; } ]).packages [ "nginx" ] ];
  ifLazyContent = [ (value ints [ [ ] (mkIf false (throw "unused")) ]) [ ] ];
  ifNested = [ (config [ services { config = mkIf true (mkMerge [ { services = mkIf true { web = mkIf true { port = 81; }; }; } ]); } ]).services.web.port 81 ];
  ifOwnCondition = [ (config [ services ({ config, ... }: { packages = mkIf (config.services.web.port == 80) [ "x" ]; }) ]).packages [ "x" ] ];
  merge = [ (value ints [ (mkMerge [ [ 1 ] (mkIf false [ 2 ]) [ 3 ] ]) ]) [ 1 3 ] ];
  mergeSets = [ (config [ services { config = mkMerge [ { packages = [ "a" ]; } { packages = [ "b" ]; services.web.enable = true; } ]; } ]).packages [ "a" "b" ] ];
  assertTrue = [ (value t.int [ (mkAssert true "bad" 1) ]) 1 ];
  assertFalse = [ (fails (value t.int [ (mkAssert false "bad" 1) ])) true ];

  # priorities
  force = [ (value t.int [ 1 (mkForce 2) ]) 2 ];
  weak = [ (value t.int [ (mkDefault 1) 2 ]) 2 ];
  weakest = [ (value t.int [ (mkOptionDefault 1) (mkDefault 2) ]) 2 ];
  strongest = [ (value t.int [ (mkForce 1) (mkVMOverride 2) (mkImageMediaOverride 3) ]) 2 ];
  byNumber = [ (value t.int [ (mkOverride 7 1) (mkOverride 6 2) ]) 2 ];
  forceList = [ (value ints [ [ 1 ] (mkForce [ 2 ]) (mkForce [ 3 ]) ]) [ 3 2 ] ];
  forceSet = [ (config [ services { services.web.port = 1; } { services = mkForce { web.port = 2; }; } ]).services.web.port 2 ];
  forceInIf = [ (value t.int [ 1 (mkIf true (mkForce 2)) ]) 2 ];
  forceFalse = [ (value t.int [ 1 (mkIf false (mkForce 2)) ]) 1 ];
  defaultOverDefault = [ (config [ { options.a = mkOption { default = 1; }; } { a = mkDefault 2; } ]).a 2 ];
  highestPrio = [ (map (d: (eval [ { options.a = mkOption { default = 1; }; } { a = d; } ]).options.a.highestPrio) [ 1 (mkForce 1) (mkDefault 1) (mkIf false 1) ]) [ 100 50 1000 1500 ] ];

  # order
  before = [ (value ints [ [ 1 ] (mkBefore [ 2 ]) (mkAfter [ 3 ]) [ 4 ] ]) [ 2 4 1 3 ] ];
  orderNumbers = [ (value ints [ (mkOrder 20 [ 1 ]) (mkOrder 10 [ 2 ]) ]) [ 2 1 ] ];
  orderLines = [ (value t.lines [ "b" (mkAfter "c") (mkBefore "a") ]) "a\nb\nc" ];
  forceBefore = [ (value ints [ [ 1 ] (mkForce (mkBefore [ 2 ])) (mkForce [ 3 ]) ]) [ 2 3 ] ];
  definition = [ (eval [ (declare [ "a" ] t.int) { a = mkDefinition { file = "x.nix"; value = 1; }; } ]).options.a.files [ "x.nix" ] ];

  # types
  accepts = [
    (map (c: (head c).check (last c)) [
      [ t.bool true ] [ t.int 1 ] [ t.float 1.0 ] [ t.number 1 ] [ t.str "" ] [ t.nonEmptyStr "a" ] [ t.port 65535 ] [ t.ints.s8 (-128) ] [ (t.ints.between 1 3) 3 ]
      [ t.path "/x" ] [ t.path ./. ] [ t.package { type = "derivation"; } ] [ (t.enum [ "a" ]) "a" ] [ (t.nullOr t.int) null ] [ (t.either t.int t.str) "x" ]
      [ (t.listOf t.int) [ "not looked at" ] ] [ (t.attrsOf t.int) { } ] [ (t.functionTo t.int) (x: x) ] [ t.raw (x: x) ] [ t.optionType t.int ] [ (t.strMatching "a+") "aa" ]
      [ t.singleLineStr "a\n" ] [ t.ints.unsigned 0 ] [ t.ints.positive 1 ] [ t.numbers.nonnegative 0.0 ] [ (t.separatedString "x") "" ] [ t.attrs { } ]
      [ t.pathInStore "${builtins.storeDir}/0lz9p8xhf89kb1c1kk6jxrzskaiygnlh-bash-5.2" ] [ t.externalPath "/etc" ] [ (t.passwdEntry t.str) "a b" ] [ sub { } ] [ sub ({ ... }: { }) ] [ t.deferredModule ./. ]
      [ (t.nonEmptyListOf t.int) [ 1 ] ] [ (t.coercedTo t.int toString t.str) 1 ] [ (t.addCheck t.int (x: x > 1)) 2 ] [ (t.oneOf [ t.int t.bool ]) false ]
    ])
    (replicate 37 true)
  ];
  refuses = [
    (map (c: (head c).check (last c)) [
      [ t.bool 1 ] [ t.int 1.0 ] [ t.float 1 ] [ t.str 1 ] [ t.str { outPath = "/x"; } ] [ t.nonEmptyStr " \n" ] [ t.port 65536 ] [ t.port (-1) ] [ t.ints.s8 128 ] [ (t.ints.between 1 3) 4 ]
      [ t.path "x" ] [ t.package "x" ] [ (t.enum [ "a" ]) "b" ] [ (t.nullOr t.int) "" ] [ (t.either t.int t.str) true ] [ (t.listOf t.int) { } ] [ (t.attrsOf t.int) [ ] ]
      [ (t.functionTo t.int) 1 ] [ t.optionType { } ] [ (t.strMatching "a+") "ab" ] [ t.singleLineStr "a\nb" ] [ t.ints.unsigned (-1) ] [ t.ints.positive 0 ] [ t.attrs [ ] ] [ t.externalPath "${builtins.storeDir}/x" ]
      [ (t.passwdEntry t.str) "a:b" ] [ sub 1 ] [ (t.nonEmptyListOf t.int) [ ] ] [ (t.coercedTo t.int toString t.str) true ] [ (t.addCheck t.int (x: x > 1)) 1 ] [ t.ints.u8 256 ] [ t.boolByOr null ]
    ])
    (replicate 32 false)
  ];
  descriptions = [
    (map (x: x.description) [
      t.bool t.int t.str t.port t.path t.package (t.listOf t.str) (t.attrsOf (t.listOf t.int)) (t.nullOr t.str) (t.enum [ "a" 1 true ]) (t.either t.int t.str) (t.listOf (t.either t.int t.str)) t.lines
      (t.ints.between 1 3) t.ints.positive sub (t.functionTo t.str) (t.listOf t.ints.u8) t.anything (t.enum [ ]) (t.nullOr (t.either t.int t.str)) (t.lazyAttrsOf t.int)
    ])
    [
      "boolean" "signed integer" "string" "16 bit unsigned integer; between 0 and 65535 (both inclusive)" "absolute path" "package" "list of string" "attribute set of list of signed integer" "null or string"
      "one of \"a\", 1, true" "signed integer or string" "list of (signed integer or string)" "strings concatenated with \"\\n\"" "integer between 1 and 3 (both inclusive)" "positive integer, meaning >0" "submodule"
      "function that evaluates to a(n) string" "list of (8 bit unsigned integer; between 0 and 255 (both inclusive))" "anything" "impossible (empty enum)" "null or signed integer or string" "lazy attribute set of signed integer"
    ]
  ];
  boolEqual = [ (value t.bool [ true true ]) true ];
  boolOr = [ (value t.boolByOr [ true false ]) true ];
  intEqual = [ (value t.int [ 3 3 ]) 3 ];
  intClash = [ (fails (value t.int [ 3 4 ])) true ];
  lines = [ (value t.lines [ "a" "b" ]) "b\na" ];
  commas = [ (value t.commas [ "a" "b" ]) "b,a" ];
  strClash = [ (fails (value t.str [ "a" "b" ])) true ];
  single = [ (value t.singleLineStr [ "a\n" ]) "a" ];
  nullBoth = [ (fails (value (t.nullOr t.int) [ null 1 ])) true ];
  nullNull = [ (value (t.nullOr t.int) [ null null ]) null ];
  nullForced = [ (value (t.nullOr t.int) [ null (mkForce 1) ]) 1 ];
  eitherLists = [ (value (t.either ints t.int) [ [ 1 ] [ 2 ] ]) [ 2 1 ] ];
  eitherMixed = [ (fails (value (t.either ints t.int) [ [ 1 ] 2 ])) true ];
  oneOf = [ (value (t.oneOf [ t.int t.str t.bool ]) [ true ]) true ];
  enumSame = [ (value (t.enum [ "a" "b" ]) [ "a" "a" ]) "a" ];
  coerced = [ (value (t.coercedTo t.int (x: [ x ]) ints) [ 1 [ 2 ] ]) [ 2 1 ] ];
  uniqOne = [ (value (t.uniq ints) [ [ 1 ] ]) [ 1 ] ];
  uniqTwo = [ (fails (value (t.uniq ints) [ [ 1 ] [ 1 ] ])) true ];
  function = [ (value (t.functionTo ints) [ (x: [ x ]) (x: [ (x + 1) ]) ] 5) [ 6 5 ] ];
  attrs = [ (value t.attrs [ { a.b = 1; } { a.c = 2; } ]) { a.b = 1; } ];
  attrsOf = [ (value (t.attrsOf t.int) [ { a = 1; } { b = 2; c = mkIf false 3; } { a = mkForce 4; } ]) { a = 4; b = 2; } ];
  attrsOfLists = [ (value (t.attrsOf ints) [ { a = [ 1 ]; } { a = mkBefore [ 2 ]; } ]) { a = [ 2 1 ]; } ];
  attrsOfWhole = [ (value (t.attrsOf t.int) [ { a = 1; } (mkForce { b = 2; }) ]) { b = 2; } ];
  lazyAttrs = [ (attrNames (value (t.lazyAttrsOf t.int) [ { a = throw "unused"; b = mkIf (throw "unused") 1; } ])) [ "a" "b" ] ];
  lazyEmpty = [ (value (t.lazyAttrsOf ints) [ { a = mkIf false [ 1 ]; } ]) { a = [ ]; } ];
  attrsWith = [ ((t.attrsWith { elemType = sub; placeholder = "host"; }).getSubOptions [ "x" ]).n.loc [ "x" "<host>" "n" ] ];
  listConditions = [ (value ints [ [ 1 (mkIf false 2) (mkMerge [ ]) 3 ] ]) [ 1 3 ] ];
  listOfSubmodules = [ (map (x: x.n) (value (t.listOf sub) [ [ { n = 1; } { } ] ])) [ 1 0 ] ];
  anythingSets = [ (value t.anything [ { a.b = 1; c = [ 1 ]; } { a.d = 2; c = mkForce [ 2 ]; } ]) { a = { b = 1; d = 2; }; c = [ 2 ]; } ];
  anythingFunctions = [ (value t.anything [ (x: { a = x; }) (x: { b = x; }) ] 1) { a = 1; b = 1; } ];
  anythingClash = [ (map (x: fails (value t.anything x)) [ [ 1 2 ] [ 1 "1" ] [ [ 1 ] [ 2 ] ] [ 1 1 ] ]) [ true true true false ] ];
  raw = [ (value t.raw [ { _x = throw "unused"; a = 1; } ]).a 1 ];
  attrTag = [ (value (t.attrTag { a = mkOption { type = t.int; }; b = mkOption { type = ints; }; }) [ { b = [ 1 ]; } { b = [ 2 ]; } ]) { b = [ 2 1 ]; } ];
  attrTagBoth = [ (fails (value (t.attrTag { a = mkOption { type = t.int; }; b = mkOption { type = t.int; }; }) [ { b = 1; } { a = 1; } ])) true ];
  optionTypes = [ (value t.optionType [ (t.enum [ 1 ]) (t.enum [ 2 ]) ]).description "one of 2, 1" ];
  package = [ (value t.package [ { type = "derivation"; name = "x"; } ]).name "x" ];

  # submodules
  submodule = [ (value sub [ { n = 1; } ]) { n = 1; label = "v-1"; } ];
  submoduleParts = [ (value sub [ { n = 1; } { label = "l"; } ]) { n = 1; label = "l"; } ];
  submoduleFunction = [ (value sub [ ({ config, ... }: { n = stringLength config.label; label = "four"; }) ]).n 4 ];
  submoduleNames = [ (mapAttrs (_: x: x.label) (value (t.attrsOf sub) [ { a = { }; b.n = 2; } ])) { a = "a-0"; b = "b-2"; } ];
  submodulePriority = [ (value (t.attrsOf sub) [ { a.n = 1; } { a.n = mkForce 2; } ]).a.n 2 ];
  submoduleConfigWord = [ (value (t.submodule { options.config = mkOption { type = t.int; }; }) [ { config = 1; } ]).config 1 ];
  submoduleWith = [ (value (t.submoduleWith { specialArgs.x = 9; modules = [ ({ x, ... }: { options.a = mkOption { default = x; }; }) ]; }) [ { } ]).a 9 ];
  submoduleOptionsInside = [ (value (t.submoduleWith { modules = [ ]; }) [ { options.a = mkOption { default = 3; }; } ]).a 3 ];
  submoduleExtended = [
    (config [ { options.s = mkOption { type = sub; default = { }; }; } { options.s = mkOption { type = t.submodule { options.extra = mkOption { default = 1; }; }; }; } ]).s.extra
    1
  ];
  submoduleMoreOptions = [ (config [ { options.s = mkOption { type = sub; default = { }; }; } { options.s.extra = mkOption { default = 1; }; } ]).s.extra 1 ];
  submoduleNested = [
    (value (t.attrsOf (t.submodule { options.inner = mkOption { type = t.attrsOf sub; default = { }; }; })) [ { a.inner.b.n = 1; } ]).a.inner.b.label
    "b-1"
  ];
  deferred = [ (config [ (value t.deferredModule [ { a = 1; } { options.a = mkOption { type = t.int; }; } ]) ]).a 1 ];
  moduleAsType = [ (value ((eval [ { options.a = mkOption { default = 1; }; } ]).type) [ { } ]).a 1 ];

  # free forms
  freeform = [ (config [ { freeformType = t.attrsOf t.int; options.a = mkOption { default = 1; }; } { b = 2; } ]) { a = 1; b = 2; } ];
  freeformNested = [ (config [ { freeformType = t.attrsOf (t.attrsOf t.int); options.s.a = mkOption { default = 1; }; } { s.b = 2; r.c = 3; } ]) { s = { a = 1; b = 2; }; r.c = 3; } ];
  freeformWrong = [ (fails (config [ { freeformType = t.attrsOf t.int; } { b = "x"; } ])) true ];
  freeformPriority = [ (config [ { freeformType = t.attrsOf t.int; } { b = 2; } { b = mkForce 3; } (mkIf false { c = 1; }) ]) { b = 3; } ];
  freeformSubmodule = [ (value (t.submodule { freeformType = t.attrsOf t.int; options.a = mkOption { default = 1; }; }) [ { b = 2; } ]) { a = 1; b = 2; } ];
  unchecked = [ (config [ { _module.check = false; b = 2; } { options.a = mkOption { default = 1; }; } ]) { a = 1; } ];
  uncheckedOld = [ (evalModules { check = false; modules = [ { b = 2; } ]; }).config { } ];

  # declarations
  declaredTwice = [ (config [ (declare [ "a" ] (t.enum [ 1 ])) (declare [ "a" ] (t.enum [ 2 ])) { a = 2; } ]).a 2 ];
  declaredTwiceParts = [ (config [ { options.a = mkOption { default = 1; }; } { options.a = mkOption { description = "x"; }; } ]).a 1 ];
  declaredTwiceLists = [ (config [ (declare [ "a" ] (t.listOf (t.enum [ 1 ]))) (declare [ "a" ] (t.listOf (t.enum [ 2 ]))) { a = [ 2 1 ]; } ]).a [ 2 1 ] ];
  declaredClash = [ (fails (config [ (declare [ "a" ] t.int) (declare [ "a" ] t.str) { a = 1; } ])) true ];
  mergedTypes = [
    (map (p: let m = (head p).typeMerge (last p).functor; in if m == null then null else m.description) [
      [ t.int t.int ] [ t.int t.str ] [ ints ints ] [ (t.nullOr t.int) (t.nullOr t.int) ] [ (t.attrsOf t.int) (t.attrsOf t.str) ] [ t.port t.port ] [ t.lines t.commas ] [ t.lines t.lines ]
      [ (t.either t.int t.str) (t.either t.int t.str) ] [ (t.strMatching "a") (t.strMatching "a") ] [ (t.strMatching "a") (t.strMatching "b") ]
    ])
    [ "signed integer" null "list of signed integer" "null or signed integer" null "16 bit unsigned integer; between 0 and 65535 (both inclusive)" null "strings concatenated with \"\\n\""
      "signed integer or string" "string matching the pattern a" null ]
  ];
  optionParts = [
    (let o = (eval [ { _file = "d.nix"; options.a.b = mkOption { default = [ ]; type = ints; description = "d"; }; } { _file = "x.nix"; a.b = [ 1 ]; } { _file = "y.nix"; a.b = [ 2 ]; } ]).options.a.b; in
      [ o.loc o.files o.definitions o.value o.isDefined o.declarations (toString o) (map (d: d.file) o.definitionsWithLocations) ])
    [ [ "a" "b" ] [ "y.nix" "x.nix" ] [ [ 2 ] [ 1 ] ] [ 2 1 ] true [ "d.nix" ] "a.b" [ "y.nix" "x.nix" ] ]
  ];
  notDefined = [ (eval [ (declare [ "a" ] t.int) ]).options.a.isDefined false ];
  readOnly = [ (config [ { options.a = mkOption { readOnly = true; }; } { a = 1; } ]).a 1 ];
  readOnlyTwice = [ (fails (config [ { options.a = mkOption { readOnly = true; default = 1; }; } { a = 1; } ])) true ];
  readOnlyConditions = [ (config [ { options.a = mkOption { readOnly = true; }; } { a = mkIf true 1; } { a = mkIf false 2; } ]).a 1 ];

  # other names
  renamed = [ (config [ services (mkRenamedOptionModule [ "old" "port" ] [ "services" "web" "port" ]) { old.port = 81; } ]).services.web.port 81 ];
  renamedWarns = [ (length (config [ services (mkRenamedOptionModule [ "old" ] [ "services" "web" "port" ]) { old = 81; } ]).warnings) 1 ];
  renamedUnused = [ (config [ services (mkRenamedOptionModule [ "old" ] [ "services" "web" "port" ]) ]).warnings [ ] ];
  renamedPriority = [ (config [ services (mkRenamedOptionModule [ "old" ] [ "services" "web" "port" ]) { old = mkForce 81; } { services.web.port = 82; } ]).services.web.port 81 ];
  alias = [ (let c = config [ services (mkAliasOptionModule [ "old" ] [ "services" "web" "port" ]) { old = 81; } ]; in [ c.old c.services.web.port c.warnings ]) [ 81 81 [ ] ] ];
  aliasReads = [ (config [ services (mkAliasOptionModule [ "old" ] [ "services" "web" "port" ]) { services.web.port = 83; } ]).old 83 ];
  renamedLater = [ (config [ services (mkRenamedOptionModuleWith { from = [ "old" ]; to = [ "services" "web" "port" ]; sinceRelease = 9911; }) { old = 81; } ]).warnings [ ] ];
  removed = [ (map (a: a.assertion) (config [ services (mkRemovedOptionModule [ "old" ] "Gone.") { old = 1; } ]).assertions) [ false ] ];
  removedUnused = [ (map (a: a.assertion) (config [ services (mkRemovedOptionModule [ "old" ] "Gone.") ]).assertions) [ true ] ];
  changed = [ (config [ services (mkChangedOptionModule [ "portName" ] [ "services" "web" "port" ] (c: toInt c.portName)) { portName = "84"; } ]).services.web.port 84 ];
  changedUnused = [ (config [ services (mkChangedOptionModule [ "portName" ] [ "services" "web" "port" ] (c: toInt c.portName)) ]).services.web.port 80 ];
  merged = [ (config [ services (mkMergedOptionModule [ [ "x" ] [ "y" ] ] [ "packages" ] (c: [ "${toString c.x}${toString c.y}" ])) { x = 1; y = 2; } ]).packages [ "12" ] ];
  derived = [ (config [ services ({ options, ... }: { packages = mkDerivedConfig options.services.web.port (p: [ (toString p) ]); }) ]).packages [ "80" ] ];
  aliased = [ (config [ services { options.more = mkOption { type = t.listOf t.str; }; } ({ options, ... }: { packages = mkAliasDefinitions options.more; more = [ "m" ]; }) ]).packages [ "m" ] ];

  # extending
  extended = [ ((eval [ services ]).extendModules { modules = [ { services.web.port = 85; } ]; }).config.services.web.port 85 ];
  extendedTwice = [ (((eval [ services ]).extendModules { modules = [ { packages = [ "a" ]; } ]; }).extendModules { modules = [ { packages = [ "b" ]; } ]; }).config.packages [ "b" "a" ] ];
  classes = [ (evalModules { class = "machine"; modules = [ { _class = "machine"; options.a = mkOption { default = 1; }; } { } ]; }).config.a 1 ];
  classClash = [ (fails (evalModules { class = "machine"; modules = [ { _class = "home"; } ]; }).config) true ];

  # for manuals
  docs = [
    (map (o: [ o.name o.type (o.default.text or null) o.readOnly ]) (filter (o: !o.internal && head o.loc != "_module") (optionAttrSetToDocList (eval [ { options.s = mkOption { type = t.attrsOf sub; default = { }; }; } ]).options)))
    [ [ "s" "attribute set of submodule" "{ }" false ] [ "s.<name>.label" "string" "\"‹name›-0\"" false ] [ "s.<name>.n" "signed integer" "0" false ] ]
  ];
  packageOption = [ (config [ { options.p = mkPackageOption { hello = { type = "derivation"; name = "h"; }; } "hello" { }; } ]).p.name "h" ];
  packageOptionText = [ (mkPackageOption { } [ "a" "b" ] { }).defaultText.text "pkgs.a.b" ];
  packageOptionNull = [ (config [ { options.p = mkPackageOption { } "hello" { nullable = true; default = null; }; } ]).p null ];
  showOptions = [ (map showOption [ [ "a" "b" ] [ "a" "b.c" ] [ "a" "<name>" "*" ] [ "if" ] [ "l" "[definition 1-entry 2]" ] ]) [ "a.b" "a.\"b.c\"" "a.<name>.*" "\"if\"" "l.[definition 1-entry 2]" ] ];
}
