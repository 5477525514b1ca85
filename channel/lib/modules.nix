/**
  Modules: many files that declare options and define them, evaluated to one configuration.

  How it goes.  `evalModules` loads the modules and all that they import, once each (`collect`).  Their declarations and definitions
  are walked together, name by name (`mergeTree`), until an option is met; its definitions are put into their order of priority and
  merged by its type (`mergeDefinitions`).  All is lazy: an option that nobody asks for costs its name.

  A definition keeps its file and, where the evaluator knows it, its line, for the errors.  `mkIf`, `mkMerge` and `mkOverride`
  around a set of definitions are moved inwards without looking at the condition, which may depend on the configuration itself.

  Later modules come first in lists, as they always have in NixOS: `imports` are read from left to right, and joined from the last.
*/
{ lib }:
let
  inherit (builtins)
    addErrorContext all any attrNames concatLists concatMap concatStringsSep elem filter foldl' genericClosure head isAttrs isBool isList isPath
    isString length map mapAttrs partition removeAttrs tail typeOf unsafeGetAttrPos zipAttrsWith;
  inherit (lib.options) isOption mkOption showDefs showFiles showOption unknownModule;
  inherit (lib.trivial) id isFunction;
  inherit (lib) optional optionalAttrs types;

  # ---- loading ----

  moduleAttrs = [ "_class" "_file" "key" "disabledModules" "imports" "options" "config" "meta" "freeformType" ];

  # A module as `{ _class; _file; key; disabledModules; imports; options; config; }`.
  normalize = file: key: m:
    let
      add = config: extra: if extra == { } then config else mkMerge [ config extra ];
      extra = optionalAttrs (m ? freeformType) { _module.freeformType = m.freeformType; };
      common = {
        _class = m._class or null;
        _file = toString (m._file or file);
        key = toString (m.key or key);
        disabledModules = m.disabledModules or [ ];
      };
      unknown = attrNames (removeAttrs m moduleAttrs);
    in
    if !isAttrs m then throw "the module `${toString file}' is a ${typeOf m}, and must be a set, a function to one, or a path"
    else if m ? config || m ? options then
      if unknown != [ ] then
        throw "the module `${common._file}' has the attribute `${head unknown}' beside `config' or `options'; write it inside `config', or leave the words `config' and `options' out"
      else common // {
        imports = m.imports or [ ];
        options = m.options or { };
        config = add (m.config or { }) (extra // optionalAttrs (m ? meta) { inherit (m) meta; });
      }
    else common // {
      imports = m.require or [ ] ++ m.imports or [ ];
      options = { };
      config = add (removeAttrs m [ "_class" "_file" "key" "disabledModules" "require" "imports" "freeformType" ]) extra;
    };

  # Calls a module that is a function.  What it names as arguments is handed over unevaluated, as it may come from the configuration.
  call = file: f: args:
    if !isFunction f then f
    else f (args // mapAttrs
      (name: _: addErrorContext "while evaluating the module argument `${name}' in `${toString file}':" (
        args.${name} or args.config._module.args.${name}
          or (throw "the module `${toString file}' wants the argument `${name}', which nothing gives; set `_module.args.${name}', or `specialArgs` where `imports` need it")))
      (lib.functionArgs f));

  load = args: parentFile: key: m:
    if isFunction m then normalize parentFile key (call parentFile m args)
    else if isAttrs m then
      (let kind = m._type or "module"; in
      if kind == "module" then normalize parentFile key m
      else if elem kind [ "if" "merge" "override" ] then normalize parentFile key { config = m; }
      else throw "a set of kind `${kind}' was given as a module, in `${toString parentFile}'; ${
        if kind == "configuration" then "give the modules it was made from" else "imports are modules or paths to them"}")
    else if isList m then throw "a list was given as a module, in `${toString parentFile}'; write its elements into `imports` themselves"
    else if isPath m || isString m || lib.isStringLike m then
      (let file = toString m; in
      if isString m && builtins.substring 0 1 m != "/" then
        throw "the import \"${m}\" in `${toString parentFile}' is no absolute path; write it as a path, without quotes"
      else if !builtins.pathExists m then throw "the import `${file}' in `${toString parentFile}' does not exist"
      else normalize file file (call file (import m) args))
    else throw "a ${typeOf m} was given as a module, in `${toString parentFile}'";

  # All modules, each once, with what they import, without what is disabled.
  collect = class: modulesPath: modules: args:
    let
      checkClass = m:
        if class != null && m._class != null && m._class != class
        then throw "the module `${m._file}' is of class \"${m._class}\", and was imported into a configuration of class \"${class}\""
        else m;
      nodes = parentFile: parentKey: lib.imap1 (i: m:
        let module = checkClass (load args parentFile "${parentKey}:anon-${toString i}" m); in
        { inherit (module) key; inherit module; children = nodes module._file module.key module.imports; });
      start = nodes unknownModule "" modules;
      everything = genericClosure { startSet = start; operator = node: node.children; };

      disabledKey = file: x:
        if x ? key then toString x.key
        else if isString x && builtins.substring 0 1 x != "/" then "${toString modulesPath}/${x}"
        else if isPath x || isString x || lib.isStringLike x then toString x
        else throw "`disabledModules' in `${file}' holds a ${typeOf x}; it takes paths, names below modulesPath, and modules with a key";
      disabled = concatMap (node: map (disabledKey node.module._file) node.module.disabledModules) everything;
      keep = filter (node: !elem node.key disabled);
      kept = if disabled == [ ] then everything else genericClosure { startSet = keep start; operator = node: keep node.children; };
    in
    map (node: node.module) kept;

  # ---- walking ----

  # A set of definitions as `{ file; wrap; set; }`: `wrap` puts the properties that stood around the set around each value in it.
  layersOf = file: wrap: cfg:
    let kind = cfg._type or null; in
    if kind == "merge" then concatMap (layersOf file wrap) (addErrorContext "while evaluating `mkMerge' in `${toString file}'" cfg.contents)
    else if kind == "if" then layersOf file (v: wrap (mkIf cfg.condition v)) cfg.content
    else if kind == "override" then layersOf file (v: wrap (mkOverride cfg.priority v)) cfg.content
    else if kind == "definition" then layersOf cfg.file wrap cfg.value
    else [ { inherit file wrap; set = cfg; } ];

  # Declarations `{ _file; options; }` and layers, from a place in the tree on: the options with their values, and the definitions
  # that no option takes, each with the rest of its path as `prefix`.
  mergeTree = prefix: decls: layers:
    let
      declsByName = zipAttrsWith (_: id) (map
        (decl:
          if !isAttrs decl.options then
            throw "`options.${showOption prefix}' in `${toString decl._file}' is a ${typeOf decl.options}, and must be a set of options or an option (`mkOption`)"
          else mapAttrs (name: options: { inherit (decl) _file; inherit options; pos = unsafeGetAttrPos name decl.options; }) decl.options)
        decls);

      defsByName = zipAttrsWith (_: id) (map
        (layer:
          if !isAttrs layer.set then
            throw "`${showOption prefix}' is a set of options, and ${toString layer.file} defines it as a ${typeOf layer.set}; its options are: ${
              concatStringsSep ", " (attrNames declsByName)}"
          else mapAttrs (name: value: { inherit (layer) file; value = layer.wrap value; pos = unsafeGetAttrPos name layer.set; }) layer.set)
        layers);

      one = name: decls:
        let
          loc = prefix ++ [ name ];
          defs = defsByName.${name} or [ ];
          kinds = partition (decl: isOption decl.options) decls;
          areOptions = kinds.right;
          sets = kinds.wrong;
          option = decls: {
            matched = evalOptionValue loc (fixupOptionType loc (mergeOptionDecls loc decls)) defs;
            unmatched = [ ];
          };
        in
        if areOptions == [ ] then mergeTree loc decls (concatMap (def: layersOf def.file id def.value) defs)
        else if sets == [ ] then option decls
        # More options for an option that is a submodule.
        else if all (decl: decl.options.type.name or null == "submodule") areOptions then
          option (map (decl: if isOption decl.options then decl else decl // {
            options = mkOption {
              type = types.submoduleWith { modules = [ { inherit (decl) _file options; } ]; shorthandOnlyDefinesConfig = true; };
            };
          }) decls)
        else
          throw "The option `${showOption loc}' in ${showFiles (map (d: d._file) areOptions)} is a prefix of options in ${showFiles (map (d: d._file) sets)}";

      results = mapAttrs one declsByName;
      unmatchedByName = mapAttrs (_: r: r.unmatched) results // removeAttrs defsByName (attrNames declsByName);
    in
    {
      matched = mapAttrs (_: r: r.matched) results;
      unmatched =
        if layers == [ ] then [ ]
        else concatLists (lib.mapAttrsToList (name: map (def: def // { prefix = [ name ] ++ def.prefix or [ ]; })) unmatchedByName);
    };

  # The error for definitions of what is no option.
  unmatchedError = prefix: options: unmatched:
    let
      def = head unmatched;
      loc = prefix ++ def.prefix;
      # How far the path leads, and what else there is at the place where it ends.
      known = lib.longestValidPathPrefix def.prefix options;
      at = lib.attrByPath known { } options;
      siblings = if isOption at then [ ] else filter (name: name != "_module") (attrNames at);
      name = lib.last (lib.take (length known + 1) def.prefix);
      # Two letters that changed places are two changes.
      distance = if builtins.stringLength name < 3 then 1 else lib.max 2 (lib.min 3 (builtins.stringLength name / 3));
      near = lib.take 3 (lib.sortOn (lib.levenshtein name) (filter (lib.levenshteinAtMost distance name) siblings));
      suggestions = map (x: "`${showOption (prefix ++ known ++ [ x ])}'") near;
      same = filter (d: d.prefix == def.prefix) unmatched;
      hint =
        if elem def.prefix [ [ "imports" ] [ "options" ] ] then
          "\n`${head def.prefix}` was found under a condition or a priority: which modules and options there are cannot depend on the configuration."
        else if near != [ ] then "\nDid you mean ${concatStringsSep " or " suggestions}?"
        else if siblings == [ ] && known == [ ] then "\nNo option at all is declared here. Are `options` and `config` where they belong, and is the module imported?"
        else if known != [ ] && length siblings <= 12 then "\nThere is: ${concatStringsSep ", " (map (x: "`${showOption (prefix ++ known ++ [ x ])}'") siblings)}"
        else "";
    in
    throw "The option `${showOption loc}' does not exist. Definition values:${showDefs same}${hint}";

  # A value without priority and order, for showing.
  stripProperties = value: if elem (value._type or null) [ "override" "order" "if" ] then stripProperties value.content else value;

  inherit (lib.modules)
    dischargeProperties evalModules evalOptionValue fixupOptionType mergeDefinitions mergeOptionDecls mkAliasAndWrapDefinitions
    mkAliasAndWrapDefsWithPriority mkIf mkMerge mkOptionDefault mkOverride setDefaultModuleLocation;
in
rec {
  /** { modules; prefix ? [ ]; specialArgs ? { }; class ? null; } -> { config; options; _module; extendModules; type; class; }
      (evalModules { modules = [ { options.a = mkOption { default = 1; }; } { a = 2; } ]; }).config.a => 2 */
  evalModules = evalArgs@{ modules, prefix ? [ ], specialArgs ? { }, class ? null, args ? { }, check ? true }:
    let
      internal = {
        _file = "lib/modules.nix";
        key = "lib/modules.nix";
        options._module = {
          args = mkOption {
            # Lazy: what modules are given may depend on which of them there are.
            type = types.lazyAttrsOf types.raw;
            internal = prefix != [ ];
            description = "Additional arguments for each module. They cannot be used in `imports`; `specialArgs` can.";
          };
          check = mkOption {
            type = types.bool;
            internal = true;
            default = check;
            description = "Whether a definition of an option that does not exist is an error.";
          };
          freeformType = mkOption {
            type = types.nullOr types.optionType;
            internal = true;
            default = null;
            description = "The type of definitions that no option takes; they are merged by it and become part of the configuration.";
          };
          specialArgs = mkOption {
            readOnly = true;
            internal = true;
            type = types.raw;
            description = "The arguments that were there from the beginning.";
          };
        };
        config._module = {
          args = { inherit extendModules; moduleType = type; } // args;
          inherit specialArgs;
        };
      };

      collected = collect class (specialArgs.modulesPath or "") (modules ++ [ internal ])
        ({ inherit lib options specialArgs; inherit config; _class = class; _prefix = prefix; } // specialArgs);
      ordered = lib.reverseList collected;

      merged = mergeTree prefix
        (map (m: { inherit (m) _file options; }) ordered)
        (concatMap (m: layersOf m._file id m.config) ordered);

      options = merged.matched;
      declared = lib.mapAttrsRecursiveCond (v: !isOption v) (_: v: v.value) options;
      inherit (declared._module) freeformType;

      # What modules see: not checked, as the check itself asks for options.
      config =
        if freeformType == null || merged.unmatched == [ ] then declared
        else lib.recursiveUpdate
          (freeformType.merge prefix (map (def: { inherit (def) file; value = lib.setAttrByPath def.prefix def.value; }) merged.unmatched))
          declared;
      checked =
        if declared._module.check && freeformType == null && merged.unmatched != [ ]
        then unmatchedError prefix options merged.unmatched
        else config;

      extendModules = { modules ? [ ], specialArgs ? { }, prefix ? evalArgs.prefix or [ ] }:
        evalModules (evalArgs // {
          inherit prefix;
          modules = evalArgs.modules ++ modules;
          specialArgs = evalArgs.specialArgs or { } // specialArgs;
        });
      type = types.submoduleWith { inherit modules specialArgs class; };
    in
    {
      _type = "configuration";
      inherit options class type extendModules;
      # An error of the check must not be an error of asking for `_module`.
      inherit (config) _module;
      config = builtins.seq checked (removeAttrs checked [ "_module" ]);
    };

  /** file -> module -> module: says where a module without a file of its own comes from.
      setDefaultModuleLocation "a.nix" { } => { _file = "a.nix"; imports = [ { } ]; } */
  setDefaultModuleLocation = file: m: { _file = file; imports = [ m ]; };

  /** path -> a -> module: a file that is a function to a module; errors name the file.
      e.g. imports = [ (importApply ./module.nix { inherit inputs; }) ] */
  importApply = path: arg: setDefaultModuleLocation path (import path arg);

  /** file -> key -> module -> module in full: with `imports`, `options`, `config`.
      (modules.unifyModuleSyntax "a.nix" "a" { x = 1; }).config => { x = 1; } */
  unifyModuleSyntax = normalize;

  /** location -> [ module in full ] -> { matchedOptions; unmatchedDefns; }
      attrNames (mergeModules [ ] [ { _file = "x"; options.a = mkOption { }; config.b = 1; } ]).matchedOptions => [ "a" ] */
  mergeModules = prefix: modules:
    mergeModules' prefix modules (concatMap (m: map (config: { file = m._file; inherit config; }) (pushDownProperties m.config)) modules);

  /** location -> [ module ] -> [ { file; config; } ] -> { matchedOptions; unmatchedDefns; } */
  mergeModules' = prefix: modules: configs:
    let result = mergeTree prefix modules (concatMap (c: layersOf c.file id c.config) configs); in
    { matchedOptions = result.matched; unmatchedDefns = result.unmatched; };

  /** location -> [ { _file; options; } ] -> option: several declarations of one option as one. */
  mergeOptionDecls = loc: decls:
    let
      subModules = decl:
        let inner = decl.options.type.getSubModules or null; in
        if inner == null then [ ] else map (setDefaultModuleLocation decl._file) inner;
      positions = decl: optional (decl.pos or null != null) decl.pos;
      first = head decls;
    in
    foldl'
      (done: decl:
        let
          new = decl.options;
          both = name: done ? ${name} && new ? ${name};
          clash = filter both [ "default" "example" "description" "apply" ];
          type = if both "type" then done.type.typeMerge new.type.functor else null;
        in
        if clash != [ ] || (both "type" && type == null) then
          throw "The option `${showOption loc}' in `${toString decl._file}' is already declared in ${showFiles done.declarations}${
            if clash != [ ] then ", and both give ${concatStringsSep ", " (map (x: "`${x}'") clash)}"
            else ", as ${done.type.description} there and as ${new.type.description} here"}."
        else new // done // {
          declarations = done.declarations ++ [ decl._file ];
          declarationPositions = done.declarationPositions ++ positions decl;
          options = done.options ++ subModules decl;
        } // optionalAttrs (type != null) { inherit type; })
      (first.options // { inherit loc; declarations = [ first._file ]; declarationPositions = positions first; options = subModules first; })
      (tail decls);

  /** location -> option -> option: with a type in any case; a submodule gets the modules of all declarations. */
  fixupOptionType = loc: opt:
    if opt.type.getSubModules or null == null then opt // { type = opt.type or types.unspecified; }
    else opt // { type = opt.type.substSubModules opt.options; options = [ ]; };

  /** location -> option -> [definition] -> option with `value`, `isDefined`, `definitions`, `files`, `highestPrio`, … */
  evalOptionValue = loc: opt: defs:
    let
      withDefault = optional (opt ? default) {
        file = head (opt.declarations ++ [ unknownModule ]);
        value = mkOptionDefault opt.default;
        pos = if opt.declarationPositions or [ ] == [ ] then null else head opt.declarationPositions;
      } ++ defs;
      result =
        if opt.readOnly or false && length withDefault > 1 && length (concatMap (def: dischargeProperties def.value) withDefault) > 1
        then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${showDefs (map (def: def // { value = stripProperties def.value; }) withDefault)}"
        else mergeDefinitions loc opt.type withDefault;
      value = if opt ? apply then opt.apply result.mergedValue else result.mergedValue;
      warned = if opt.type.deprecationMessage or null == null then id
        else
          lib.warn "The type `${opt.type.name}' of the option `${showOption loc}' in ${showFiles opt.declarations} is deprecated. ${opt.type.deprecationMessage}";
    in
    warned (opt // {
      value = addErrorContext "while evaluating the option `${showOption loc}':" value;
      inherit (result) isDefined;
      inherit (result.defsFinal') highestPrio;
      definitions = map (def: def.value) result.defsFinal;
      files = map (def: def.file) result.defsFinal;
      definitionsWithLocations = result.defsFinal;
      inherit loc;
      __toString = _: showOption loc;
    });

  /** location -> type -> [definition] -> { mergedValue; isDefined; optionalValue; defsFinal; … }: by priority, in order, merged by the type. */
  mergeDefinitions = loc: type: defs: rec {
    defsFinal' =
      let
        discharged = concatMap
          (def: map (value: if value._type or null == "definition" then value else def // { inherit value; })
            (addErrorContext "while evaluating definitions from `${toString def.file}':" (dischargeProperties def.value)))
          defs;
        strongest = filterOverrides' discharged;
      in
      {
        values = if any (def: def.value._type or null == "order") strongest.values then sortProperties strongest.values else strongest.values;
        inherit (strongest) highestPrio;
      };
    defsFinal = defsFinal'.values;
    isDefined = defsFinal != [ ];
    mergedValue =
      if !isDefined then throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option."
      else if all (def: type.check def.value) defsFinal then type.merge loc defsFinal
      else throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${
        showDefs (filter (def: !type.check def.value) defsFinal)}";
    optionalValue = optionalAttrs isDefined { value = mergedValue; };
  };

  # ---- properties ----

  /** set of definitions -> [set]: properties around a set are moved to each of its values.
      pushDownProperties (mkIf true { a = 1; }) => [ { a = mkIf true 1; } ] */
  pushDownProperties = cfg: map (layer: mapAttrs (_: layer.wrap) layer.set) (layersOf unknownModule id cfg);

  /** value -> [value]: without `mkMerge`, and without what stands under a condition that does not hold.
      dischargeProperties (mkMerge [ 1 (mkIf false 2) (mkIf true 3) ]) => [ 1 3 ] */
  dischargeProperties = def:
    let kind = def._type or null; in
    if kind == "merge" then concatMap dischargeProperties def.contents
    else if kind == "if" then
      (if !isBool def.condition then throw "`mkIf' was called with a ${typeOf def.condition} as its condition, and needs a boolean"
      else if def.condition then dischargeProperties def.content else [ ])
    else [ def ];

  /** [definition] -> [definition]: those of the highest priority (the lowest number), without the mark of it.
      filterOverrides [ { file = ""; value = mkForce 1; } { file = ""; value = 2; } ] => [ { file = ""; value = 1; } ] */
  filterOverrides = defs: (filterOverrides' defs).values;

  /** [definition] -> { values; highestPrio; } */
  filterOverrides' = defs:
    let
      priority = def: if def.value._type or null == "override" then def.value.priority else defaultOverridePriority;
      highestPrio = foldl' (prio: def: lib.min (priority def) prio) 9999 defs;
      strip = def: if def.value._type or null == "override" then def // { value = def.value.content; } else def;
    in
    # Most options have one definition, their default.
    if length defs == 1 && priority (head defs) < 9999 then { values = [ (strip (head defs)) ]; highestPrio = priority (head defs); }
    else { values = map strip (filter (def: priority def == highestPrio) defs); inherit highestPrio; };

  /** [definition] -> [definition]: by `mkOrder`, otherwise as they are.
      map (d: d.value) (sortProperties [ { value = 1; } { value = mkBefore 2; } ]) => [ 2 1 ] */
  sortProperties = defs:
    let
      priority = def: if def.value._type or null == "order" then def.value.priority else defaultOrderPriority;
      strip = def: if def.value._type or null == "order" then def // { value = def.value.content; } else def;
    in
    map strip (builtins.sort (a: b: priority a < priority b) defs);

  /** bool -> value -> property: a definition that counts where the condition holds.
      (mkIf true 1)._type => "if" */
  mkIf = condition: content: { _type = "if"; inherit condition content; };

  /** bool -> string -> value -> property: an error where the condition does not hold.
      dischargeProperties (mkAssert true "bad" 1) => [ 1 ] */
  mkAssert = assertion: message: content: mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;

  /** [value] -> property: several definitions as one.
      dischargeProperties (mkMerge [ 1 2 ]) => [ 1 2 ] */
  mkMerge = contents: { _type = "merge"; inherit contents; };

  /** int -> value -> property: only definitions of the lowest number count; one without has 100.
      (mkOverride 10 1).priority => 10 */
  mkOverride = priority: content: { _type = "override"; inherit priority content; };

  /** value -> property: what an option's own `default` has.
      (mkOptionDefault 1).priority => 1500 */
  mkOptionDefault = mkOverride 1500;
  /** value -> property: a default that a module gives.
      (mkDefault 1).priority => 1000 */
  mkDefault = mkOverride 1000;
  defaultOverridePriority = 100;
  /** value -> property: what kinds of images need.
      (mkImageMediaOverride 1).priority => 60 */
  mkImageMediaOverride = mkOverride 60;
  /** value -> property: stronger than any usual definition.
      (mkForce 1).priority => 50 */
  mkForce = mkOverride 50;
  /** value -> property: what virtual machines need.
      (mkVMOverride 1).priority => 10 */
  mkVMOverride = mkOverride 10;
  /** value -> value: kept for old modules; does nothing.
      mkFixStrictness 1 => 1 */
  mkFixStrictness = id;

  /** int -> value -> property: where among others a definition comes; one without has 1000.
      (mkOrder 10 1)._type => "order" */
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  /** value -> property
      (mkBefore 1).priority => 500 */
  mkBefore = mkOrder 500;
  defaultOrderPriority = 1000;
  /** value -> property
      (mkAfter 1).priority => 1500 */
  mkAfter = mkOrder 1500;

  /** { file; value; … } -> property: a definition that says itself where it comes from.
      (mkDefinition { file = "a.nix"; value = 1; }).file => "a.nix" */
  mkDefinition = args@{ file, value, ... }: args // { _type = "definition"; };

  # ---- options by other names ----

  /** option -> property: the option's definitions, for another one. */
  mkAliasDefinitions = mkAliasAndWrapDefinitions id;

  /** (property -> property) -> option -> property: the same, wrapped. */
  mkAliasAndWrapDefinitions = wrap: option: mkIf (isOption option && option.isDefined) (wrap (mkMerge option.definitions));

  /** (property -> property) -> option -> property: the same, and the definitions keep their priority. */
  mkAliasAndWrapDefsWithPriority = wrap: option:
    let priority = option.highestPrio or defaultOverridePriority; in
    mkIf (isOption option && option.isDefined) (wrap (mkMerge (map (mkOverride priority) option.definitions)));

  /** option -> (value -> value) -> property: from another option's value, with its priority. */
  mkDerivedConfig = opt: f: mkOverride (opt.highestPrio or defaultOverridePriority) (f opt.value);

  /** [name] -> string -> module: an option that is gone; using it is an error (by `assertions`), which says what to do instead.
      e.g. mkRemovedOptionModule [ "services" "old" ] "Use services.new." */
  mkRemovedOptionModule = name: instead: { options, ... }:
    let opt = lib.getAttrFromPath name options; in
    {
      options = lib.setAttrByPath name (mkOption {
        visible = false;
        apply = _: throw "The option `${showOption name}' can no longer be used since it's been removed. ${instead}";
      });
      config.assertions = [ {
        assertion = !opt.isDefined;
        message = "The option definition `${showOption name}' in ${showFiles opt.files} no longer has any effect; please remove it.\n${instead}";
      } ];
    };

  /** [name] -> [name] -> module: an old name that works, with a warning.
      e.g. mkRenamedOptionModule [ "services" "old" ] [ "services" "new" ] */
  mkRenamedOptionModule = from: to: doRename {
    inherit from to;
    visible = false;
    warn = true;
    use = builtins.trace "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
  };

  /** { from; to; sinceRelease; } -> module: the same, and the warning waits until the new name is in every supported release. */
  mkRenamedOptionModuleWith = { from, to, sinceRelease }:
    let old = lib.oldestSupportedReleaseIsAtLeast sinceRelease; in
    doRename {
      inherit from to;
      visible = false;
      warn = old;
      use = lib.warnIf old "Obsolete option `${showOption from}' is used. It was renamed to `${showOption to}'.";
    };

  /** [name] -> [name] -> module: a second name, without a warning. */
  mkAliasOptionModule = from: to: doRename { inherit from to; visible = true; warn = false; use = id; };
  mkAliasOptionModuleMD = mkAliasOptionModule;

  /** [ [name] ] -> [name] -> (config -> value) -> module: several old options that one new replaces. */
  mkMergedOptionModule = from: to: f: { config, options, ... }:
    let
      value = path: lib.attrByPath path "_mkMergedOptionModule" config;
      used = filter (path: value path != "_mkMergedOptionModule") from;
    in
    {
      # They have no type, so that the function gets what was written.
      options = foldl' lib.recursiveUpdate { } (map
        (path: lib.setAttrByPath path (mkOption {
          visible = false;
          # Not set, it must be told from every value.
          default = "_mkMergedOptionModule";
        }))
        from);
      config = {
        warnings = map
          (path: let opt = lib.getAttrFromPath path options; in
            "The option `${showOption path}' defined in ${showFiles opt.files} has been changed to `${showOption to}' that has a different type. Please read `${showOption to}' documentation and update your configuration accordingly.")
          used;
      } // lib.setAttrByPath to (mkMerge (optional (used != [ ]) (f config)));
    };

  /** [name] -> [name] -> (config -> value) -> module: an old option that a new one of another type replaces. */
  mkChangedOptionModule = from: to: f: mkMergedOptionModule [ from ] to f;

  /** { from; to; visible; warn; use; withPriority ? true; condition ? true; } -> module: what the others are made of. */
  doRename = { from, to, visible, warn, use, withPriority ? true, condition ? true }: { config, options, ... }:
    let
      fromOpt = lib.getAttrFromPath from options;
      toValue = lib.attrByPath to (throw "the option `${showOption from}' was renamed to `${showOption to}', which does not exist");
      toOpt = lib.attrByPath to { } options;
      forward = if withPriority then mkAliasAndWrapDefsWithPriority else mkAliasAndWrapDefinitions;
    in
    {
      options = lib.setAttrByPath from (mkOption ({
        inherit visible;
        description = "Alias of `${showOption to}`.";
        apply = _: use (toValue config);
      } // optionalAttrs (isOption toOpt) { inherit (toOpt) type; }));
      config = mkIf condition (mkMerge [
        (optionalAttrs (options ? warnings) {
          warnings = optional (warn && fromOpt.isDefined)
            "The option `${showOption from}' defined in ${showFiles fromOpt.files} has been renamed to `${showOption to}'.";
        })
        (forward (lib.setAttrByPath to) fromOpt)
      ]);
    };
}
