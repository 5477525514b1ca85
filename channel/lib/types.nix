/**
  Types of options: which values fit, and how several definitions become one.

  A type is made by `mkOptionType`.  `check` says whether one value fits (its outside only, so that it stays lazy); `merge` makes one
  value of all definitions of the highest priority, each of which fits.  `functor` says how the type was made, so that two
  declarations of one option can be joined (`typeMerge`).
*/
{ lib }:
let
  inherit (builtins)
    all concatStringsSep elem filter foldl' head isAttrs isBool isFloat isInt isList isString length mapAttrs match typeOf zipAttrsWith;
  inherit (lib.options) getFiles getValues mergeDefaultOption mergeEqualOption mergeOneOption mergeUniqueOption showDefs showFiles showOption;
  inherit (lib.modules) evalModules evalOptionValue mergeDefinitions setDefaultModuleLocation;
  inherit (lib.trivial) isFunction;

  # The definitions of a set's attributes; each knows its place.
  inAttrs = def: mapAttrs (name: value: { inherit (def) file; inherit value; pos = builtins.unsafeGetAttrPos name def.value; }) def.value;

  # A type's description within another's, in parentheses where it would be unclear what belongs together.
  phrase = classes: t:
    if elem (t.descriptionClass or null) classes then t.description else "(${t.description})";

  showLiteral = x:
    if isString x then "\"${x}\"" else if isInt x then toString x else if isBool x then lib.boolToString x
    else lib.generators.toPretty { multiline = false; } x;

  # A functor of a type that is made of other types: `make` from a list of as many.
  nested = name: make: types: defaultFunctor name // {
    type = make;
    payload = types;
    binOp = a: b:
      let merged = lib.zipListsWith (x: y: x.typeMerge y.functor) a b; in
      if length a != length b || elem null merged then null else merged;
  };

  inherit (typeTools) defaultFunctor isType mkOptionType setType;

  typeTools = rec {
    /** string -> value -> bool: is it a set with this `_type`?
        isType "a" { _type = "a"; } => true */
    isType = name: value: value._type or null == name;

    /** string -> set -> set
        setType "a" { } => { _type = "a"; } */
    setType = name: value: value // { _type = name; };

    /** value -> bool
        isOptionType types.str => true */
    isOptionType = isType "option-type";

    /** string -> functor: of a type without parameters.
        (types.defaultFunctor "str").name => "str" */
    defaultFunctor = name: {
      inherit name;
      type = types.${name} or null;
      wrapped = null;
      payload = null;
      binOp = _: _: null;
    };

    /** functor -> functor -> type or null: the type of an option that is declared twice.
        (types.defaultTypeMerge types.str.functor types.int.functor) => null */
    defaultTypeMerge = f: g:
      let
        payload = f.binOp f.payload g.payload;
        wrapped = f.wrapped.typeMerge g.wrapped.functor;
      in
      if f.name != g.name then null
      else if f.wrapped != null && g.wrapped != null then (if wrapped == null then null else f.type wrapped)
      else if f.payload != null && g.payload != null then (if payload == null then null else f.type payload)
      else if f.payload == null && g.payload == null && f.wrapped == null && g.wrapped == null then f.type
      else null;

    /** { name; description ? name; check ? any; merge ? mergeDefaultOption; emptyValue ? { }; … } -> type
        (mkOptionType { name = "even"; check = x: isInt x && mod x 2 == 0; }).check 3 => false */
    mkOptionType =
      { name
      , description ? name
      , descriptionClass ? null
      , check ? _: true
      , merge ? mergeDefaultOption
        # `{ value }` where the type has a value for an option without definitions.
      , emptyValue ? { }
      , getSubOptions ? _: { }
      , getSubModules ? null
      , substSubModules ? _: null
      , typeMerge ? defaultTypeMerge functor
      , functor ? defaultFunctor name
      , deprecationMessage ? null
      , nestedTypes ? { }
      }: {
        _type = "option-type";
        inherit name description descriptionClass check merge emptyValue getSubOptions getSubModules substSubModules typeMerge
          functor deprecationMessage nestedTypes;
      };
  };

  # A type whose definitions must agree.
  scalar = name: description: check: mkOptionType {
    inherit name description check;
    descriptionClass = "noun";
    merge = mergeEqualOption;
  };

  # A stricter form of a type, which does not merge with any other declaration of its kind but the same.
  restricted = name: description: type: check: addCheck type check // {
    inherit name description;
    descriptionClass = "nonRestrictiveClause";
    functor = defaultFunctor name // { type = restricted name description type check; };
    typeMerge = g: if g.name == name then restricted name description type check else null;
  };

  inherit (types) addCheck;

  between = type: what: low: high:
    if low > high then throw "lib.types: there is no number from ${toString low} to ${toString high}"
    else restricted "${type.name}Between" "${what} between ${toString low} and ${toString high} (both inclusive)" type (x: x >= low && x <= high)
      // { name = "${type.name}Between"; typeMerge = _: null; };

  bits = signed: n:
    let
      pow = foldl' (x: _: x * 2) 1 (lib.range 1 (if signed then n - 1 else n));
      low = if signed then -pow else 0;
      kind = if signed then "signed" else "unsigned";
    in
    restricted "${kind}Int${toString n}"
      "${toString n} bit ${kind} integer; between ${toString low} and ${toString (pow - 1)} (both inclusive)"
      types.int (x: x >= low && x < pow);

  attrsOfWith = { elemType, lazy, placeholder ? "name" }@args: mkOptionType {
    name = if lazy then "lazyAttrsOf" else "attrsOf";
    description = "${lib.optionalString lazy "lazy "}attribute set of ${phrase [ "noun" "composite" ] elemType}";
    descriptionClass = "composite";
    check = isAttrs;
    merge = loc: defs:
      let
        merged = zipAttrsWith (name: mergeDefinitions (loc ++ [ name ]) elemType) (map inAttrs defs);
      in
      # Whether an attribute is there depends on the conditions of its definitions; who cannot wait for them takes the lazy kind.
      if lazy then mapAttrs (_: m: m.optionalValue.value or elemType.emptyValue.value or m.mergedValue) merged
      else mapAttrs (_: m: m.mergedValue) (lib.filterAttrs (_: m: m.isDefined) merged);
    emptyValue.value = { };
    getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
    inherit (elemType) getSubModules;
    substSubModules = m: attrsOfWith (args // { elemType = elemType.substSubModules m; });
    functor = nested (if lazy then "lazyAttrsOf" else "attrsOf") (ts: attrsOfWith (args // { elemType = head ts; })) [ elemType ];
    nestedTypes = { inherit elemType; };
  };

  types = typeTools // {
    /** Anything; several definitions are an error, and nothing is looked at. */
    raw = mkOptionType { name = "raw"; description = "raw value"; descriptionClass = "noun"; merge = mergeOneOption; };

    /** Anything, joined by what it is (`mergeDefaultOption`): what an option without a type has. */
    unspecified = mkOptionType { name = "unspecified"; description = "unspecified value"; descriptionClass = "noun"; };

    /** Anything: sets are merged to any depth, functions by their results, and other values must be equal. */
    anything = mkOptionType {
      name = "anything";
      description = "anything";
      descriptionClass = "noun";
      merge = loc: defs:
        let
          kind = value: if isAttrs value && lib.isStringLike value then "string-like set" else typeOf value;
          kinds = lib.unique (map (def: kind def.value) defs);
          merge = {
            set = (types.lazyAttrsOf types.anything).merge;
            list =
              if length defs == 1 then (types.listOf types.anything).merge
              else throw "The option `${showOption loc}' has several lists, which this type does not join.${showDefs defs}";
            "string-like set" = mergeOneOption;
            lambda = loc: defs: arg: types.anything.merge (loc ++ [ "<function body>" ]) (map (def: def // { value = def.value arg; }) defs);
          }.${head kinds} or mergeEqualOption;
        in
        if length kinds > 1 then
          throw "The option `${showOption loc}' has conflicting option types in ${showFiles (getFiles defs)}: ${toString kinds}${showDefs defs}"
        else merge loc defs;
    };

    bool = scalar "bool" "boolean" isBool;
    /** A boolean that is true where one definition is. */
    boolByOr = mkOptionType {
      name = "boolByOr"; description = "boolean (merged using or)"; descriptionClass = "noun"; check = isBool;
      merge = _: defs: lib.any (def: def.value) defs;
    };

    int = scalar "int" "signed integer" isInt;
    float = scalar "float" "floating point number" isFloat;
    number = types.either types.int types.float;

    /** Ranges of integers.
        types.ints.u8.check 256 => false */
    ints = {
      between = between types.int "integer";
      unsigned = restricted "unsignedInt" "unsigned integer, meaning >=0" types.int (x: x >= 0);
      positive = restricted "positiveInt" "positive integer, meaning >0" types.int (x: x > 0);
      u8 = bits false 8;
      u16 = bits false 16;
      u32 = bits false 32;
      s8 = bits true 8;
      s16 = bits true 16;
      s32 = bits true 32;
    };

    /** Ranges of numbers.
        types.numbers.positive.check 0.5 => true */
    numbers = {
      between = between types.number "integer or floating point number";
      nonnegative = restricted "numberNonnegative" "nonnegative integer or floating point number, meaning >=0" types.number (x: x >= 0);
      positive = restricted "numberPositive" "positive integer or floating point number, meaning >0" types.number (x: x > 0);
    };

    port = types.ints.u16;

    str = scalar "str" "string" isString;
    nonEmptyStr = scalar "nonEmptyStr" "non-empty string" (x: isString x && match "[ \t\n]*" x == null);
    singleLineStr = mkOptionType {
      name = "singleLineStr";
      description = "(optionally newline-terminated) single-line string";
      descriptionClass = "noun";
      check = x: isString x && match "[^\n\r]*\n?" x != null;
      merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
    };

    /** string -> type: strings that the whole expression matches.
        (types.strMatching "[a-z]+").check "a1" => false */
    strMatching = pattern:
      scalar "strMatching ${lib.escapeNixString pattern}" "string matching the pattern ${pattern}" (x: isString x && match pattern x != null)
      // { typeMerge = g: if g.name == "strMatching ${lib.escapeNixString pattern}" then types.strMatching pattern else null;
          functor = defaultFunctor "strMatching ${lib.escapeNixString pattern}"; };

    /** string -> type: several definitions are joined by this.
        (types.separatedString ":").merge [ "a" ] [ { file = ""; value = "x"; } { file = ""; value = "y"; } ] => "x:y" */
    separatedString = separator: mkOptionType {
      name = "separatedString";
      description = if separator == "" then "Concatenated string" else "strings concatenated with ${builtins.toJSON separator}";
      descriptionClass = "noun";
      check = isString;
      merge = _: defs: concatStringsSep separator (getValues defs);
      functor = defaultFunctor "separatedString" // {
        type = types.separatedString;
        payload = separator;
        binOp = a: b: if a == b then a else null;
      };
    };
    lines = types.separatedString "\n";
    commas = types.separatedString ",";
    envVar = types.separatedString ":";

    /** An entry of /etc/passwd's kind: one line without colons. */
    passwdEntry = type: addCheck type (x: !(lib.hasInfix ":" x || lib.hasInfix "\n" x)) // {
      name = "passwdEntry ${type.name}";
      description = "${phrase [ "noun" ] type}, not containing newlines or colons";
      descriptionClass = "nonRestrictiveClause";
    };

    /** A set, where later definitions win silently; `attrsOf` merges. */
    attrs = mkOptionType {
      name = "attrs"; description = "attribute set"; descriptionClass = "noun"; check = isAttrs; emptyValue.value = { };
      merge = _: defs: lib.mergeAttrsList (getValues defs);
    };

    package = mkOptionType {
      name = "package";
      description = "package";
      descriptionClass = "noun";
      check = x: lib.isDerivation x || lib.isStorePath x;
      merge = loc: defs: let x = mergeOneOption loc defs; in if lib.isDerivation x then x else lib.toDerivation x;
    };

    /** A package that can be a login shell: it has `shellPath`. */
    shellPackage = types.package // {
      name = "shellPackage";
      description = "package that can be a login shell";
      check = x: lib.isDerivation x && x ? shellPath;
    };

    path = scalar "path" "absolute path" (x: lib.isStringLike x && builtins.substring 0 1 (toString x) == "/");
    pathInStore = scalar "pathInStore" "path in the Nix store" (x: lib.isStringLike x && match "${builtins.storeDir}/[^.].*" (toString x) != null);
    externalPath = scalar "externalPath" "absolute path outside of the Nix store"
      (x: types.path.check x && !builtins.isPath x && match "${builtins.storeDir}(/.*)?" (toString x) == null);

    /** { absolute ? null; inStore ? null; } -> type
        (types.pathWith { absolute = false; }).check "a/b" => true */
    pathWith = { absolute ? null, inStore ? null }:
      scalar "pathWith" (concatStringsSep " " (
          lib.optional (absolute != null) (if absolute then "absolute" else "relative") ++ [ "path" ]
          ++ lib.optional (inStore != null) (if inStore then "in the Nix store" else "not in the Nix store")))
        (x: lib.isStringLike x
          && (absolute == null || absolute == (builtins.substring 0 1 (toString x) == "/"))
          && (inStore == null || inStore == lib.hasPrefix "${builtins.storeDir}/" (toString x)))
      // { typeMerge = _: null; };

    /** type -> type: several lists are joined.
        (types.listOf types.int).check [ "a" ] => true */
    listOf = elemType: mkOptionType {
      name = "listOf";
      description = "list of ${phrase [ "noun" "composite" ] elemType}";
      descriptionClass = "composite";
      check = isList;
      merge = loc: defs:
        let
          entry = i: def: j: value:
            mergeDefinitions (loc ++ [ "[definition ${toString i}-entry ${toString j}]" ]) elemType [ (def // { inherit value; }) ];
          entries = builtins.concatLists (lib.imap1 (i: def: lib.imap1 (entry i def) def.value) defs);
        in
        map (m: m.mergedValue) (filter (m: m.isDefined) entries);
      emptyValue.value = [ ];
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      inherit (elemType) getSubModules;
      substSubModules = m: types.listOf (elemType.substSubModules m);
      functor = nested "listOf" (ts: types.listOf (head ts)) [ elemType ];
      nestedTypes = { inherit elemType; };
    };

    /** type -> type
        (types.nonEmptyListOf types.int).check [ ] => false */
    nonEmptyListOf = elemType: addCheck (types.listOf elemType) (x: x != [ ]) // {
      description = "non-empty list of ${phrase [ "noun" ] elemType}";
      emptyValue = { };
      substSubModules = m: types.nonEmptyListOf (elemType.substSubModules m);
    };

    /** type -> type: a set of values; definitions of one attribute are merged.
        (types.attrsOf types.int).check [ ] => false */
    attrsOf = elemType: attrsOfWith { inherit elemType; lazy = false; };

    /** type -> type: as `attrsOf`, but which attributes there are does not depend on conditions. */
    lazyAttrsOf = elemType: attrsOfWith { inherit elemType; lazy = true; };

    /** { elemType; lazy ? false; placeholder ? "name"; } -> type */
    attrsWith = { elemType, lazy ? false, placeholder ? "name" }: attrsOfWith { inherit elemType lazy placeholder; };

    /** { tag = option; } -> type: a set of exactly one of these.
        (types.attrTag { a = mkOption { type = types.int; }; }).check { b = 1; } => false */
    attrTag = tags:
      let
        names = builtins.attrNames tags;
        fixed = mapAttrs (name: opt: opt // { declarations = opt.declarations or [ ]; type = opt.type or types.unspecified; }) tags;
      in
      mkOptionType {
        name = "attrTag";
        description = "attribute-tagged union of ${concatStringsSep ", " names}";
        descriptionClass = "noun";
        check = x: isAttrs x && (let given = builtins.attrNames x; in length given == 1 && tags ? ${head given});
        merge = loc: defs:
          let tag = head (builtins.attrNames (head defs).value); in
          if !all (def: def.value ? ${tag}) defs
          then throw "The option `${showOption loc}' is defined as different choices.${showDefs defs}"
          else { ${tag} = (evalOptionValue (loc ++ [ tag ]) fixed.${tag} (map (def: (inAttrs def).${tag}) defs)).value; };
        getSubOptions = prefix: mapAttrs (name: opt: opt // { loc = prefix ++ [ name ]; }) fixed;
        functor = defaultFunctor "attrTag" // {
          type = types.attrTag;
          payload = tags;
          binOp = a: b: if builtins.intersectAttrs a b == { } then a // b else null;
        };
        nestedTypes = mapAttrs (_: opt: opt.type) fixed;
      };

    /** { message; } -> type -> type: one definition only; the message tells why. */
    unique = { message }: type: mkOptionType {
      name = "unique";
      inherit (type) description descriptionClass check emptyValue getSubOptions getSubModules;
      merge = mergeUniqueOption { inherit message; inherit (type) merge; };
      substSubModules = m: types.unique { inherit message; } (type.substSubModules m);
      functor = nested "unique" (ts: types.unique { inherit message; } (head ts)) [ type ];
      nestedTypes.elemType = type;
    };
    /** type -> type: one definition only. */
    uniq = types.unique { message = ""; };

    /** type -> type
        (types.nullOr types.int).check null => true */
    nullOr = elemType: mkOptionType {
      name = "nullOr";
      description = "null or ${phrase [ "noun" "conjunction" ] elemType}";
      descriptionClass = "conjunction";
      check = x: x == null || elemType.check x;
      merge = loc: defs:
        let nulls = lib.count (def: def.value == null) defs; in
        if nulls == length defs then null
        else if nulls > 0 then
          throw "The option `${showOption loc}' is defined both null and not null.${showDefs defs}\n${lib.options.prioritySuggestion}"
        else elemType.merge loc defs;
      emptyValue.value = null;
      inherit (elemType) getSubOptions getSubModules;
      substSubModules = m: types.nullOr (elemType.substSubModules m);
      functor = nested "nullOr" (ts: types.nullOr (head ts)) [ elemType ];
      nestedTypes = { inherit elemType; };
    };

    /** type -> type: functions; several are one whose results are merged. */
    functionTo = elemType: mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${phrase [ "noun" "composite" ] elemType}";
      descriptionClass = "composite";
      check = isFunction;
      merge = loc: defs: lib.setFunctionArgs
        (arg: (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (map (def: def // { value = def.value arg; }) defs)).mergedValue)
        (lib.mergeAttrsList (map (def: lib.functionArgs def.value) defs));
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<function body>" ]);
      inherit (elemType) getSubModules;
      substSubModules = m: types.functionTo (elemType.substSubModules m);
      functor = nested "functionTo" (ts: types.functionTo (head ts)) [ elemType ];
      nestedTypes = { inherit elemType; };
    };

    /** module or [module] -> type: sets with options of their own. */
    submodule = modules: types.submoduleWith { shorthandOnlyDefinesConfig = true; modules = lib.toList modules; };

    /** { modules; specialArgs ? { }; shorthandOnlyDefinesConfig ? false; description ? null; class ? null; } -> type */
    submoduleWith = { modules, specialArgs ? { }, shorthandOnlyDefinesConfig ? false, description ? null, class ? null }@args:
      let
        asModule = def:
          if shorthandOnlyDefinesConfig && isAttrs def.value then { _file = def.file; config = def.value; }
          else setDefaultModuleLocation def.file def.value;
        base = evalModules {
          inherit class specialArgs;
          modules = [ { _module.args.name = lib.mkOptionDefault "‹name›"; } ] ++ modules;
        };
        inherit (base._module) freeformType;
      in
      mkOptionType {
        name = "submodule";
        description =
          if description != null then description
          else if freeformType == null then "submodule" else "open submodule of ${phrase [ "noun" "composite" ] freeformType}";
        descriptionClass = if description == null && freeformType != null then "composite" else "noun";
        check = x: isAttrs x || isFunction x || types.path.check x;
        merge = loc: defs: (base.extendModules {
          modules = [ { _module.args.name = lib.last loc; } ] ++ map asModule defs;
          prefix = loc;
        }).config;
        emptyValue.value = { };
        getSubOptions = prefix:
          let shown = (base.extendModules { inherit prefix; }).options; in
          removeAttrs shown [ "_module" ] // lib.optionalAttrs (freeformType != null) { _freeformOptions = freeformType.getSubOptions prefix; };
        getSubModules = modules;
        substSubModules = m: types.submoduleWith (args // { modules = m; });
        nestedTypes = lib.optionalAttrs (freeformType != null) { inherit freeformType; };
        functor = defaultFunctor "submodule" // {
          type = types.submoduleWith;
          payload = { inherit modules specialArgs shorthandOnlyDefinesConfig description class; };
          binOp = a: b:
            let either = name: if a.${name} == null then b.${name} else a.${name}; in
            if (a.class != null && b.class != null && a.class != b.class) || a.shorthandOnlyDefinesConfig != b.shorthandOnlyDefinesConfig
              || builtins.intersectAttrs a.specialArgs b.specialArgs != { }
            then null
            else {
              modules = a.modules ++ b.modules;
              specialArgs = a.specialArgs // b.specialArgs;
              inherit (a) shorthandOnlyDefinesConfig;
              description = either "description";
              class = either "class";
            };
        };
      };

    /** Modules that are passed on and evaluated elsewhere. */
    deferredModule = types.deferredModuleWith { };

    /** { staticModules ? [ ]; } -> type */
    deferredModuleWith = { staticModules ? [ ] }: mkOptionType {
      name = "deferredModule";
      description = "module";
      descriptionClass = "noun";
      check = x: isAttrs x || isFunction x || types.path.check x;
      merge = loc: defs: {
        imports = staticModules ++ map (def: setDefaultModuleLocation "${toString def.file}, via option ${showOption loc}" def.value) defs;
      };
      getSubOptions = (types.submoduleWith { modules = staticModules; }).getSubOptions;
      getSubModules = if staticModules == [ ] then null else staticModules;
      substSubModules = m: types.deferredModuleWith { staticModules = m; };
      functor = defaultFunctor "deferredModule" // {
        type = types.deferredModuleWith;
        payload = { inherit staticModules; };
        binOp = a: b: { staticModules = a.staticModules ++ b.staticModules; };
      };
    };

    /** A type as value; several are merged. */
    optionType = mkOptionType {
      name = "optionType";
      description = "optionType";
      descriptionClass = "noun";
      check = typeTools.isOptionType;
      merge = loc: defs:
        foldl'
          (a: b:
            let merged = a.typeMerge b.functor; in
            if merged == null then throw "The option `${showOption loc}' is defined as types that do not merge.${showDefs defs}" else merged)
          (head defs).value
          (map (def: def.value) (builtins.tail defs));
    };

    /** [value] -> type
        (types.enum [ "a" 1 ]).check 1 => true */
    enum = values: mkOptionType {
      name = "enum";
      description =
        if values == [ ] then "impossible (empty enum)"
        else if length values == 1 then "value ${showLiteral (head values)} (singular enum)"
        else "one of ${concatStringsSep ", " (map showLiteral values)}";
      descriptionClass = if length values < 2 then "noun" else "conjunction";
      check = x: elem x values;
      merge = mergeEqualOption;
      functor = defaultFunctor "enum" // { type = types.enum; payload = values; binOp = a: b: lib.unique (a ++ b); };
    };

    /** type -> type -> type
        (types.either types.int types.str).check true => false */
    either = a: b: mkOptionType {
      name = "either";
      description = "${phrase [ "noun" "conjunction" ] a} or ${phrase [ "noun" "conjunction" "composite" ] b}";
      descriptionClass = "conjunction";
      check = x: a.check x || b.check x;
      merge = loc: defs:
        let values = getValues defs; in
        if all a.check values then a.merge loc defs else if all b.check values then b.merge loc defs else mergeOneOption loc defs;
      functor = nested "either" (ts: types.either (head ts) (lib.last ts)) [ a b ];
      nestedTypes = { left = a; right = b; };
    };

    /** [type] -> type
        (types.oneOf [ types.int types.str types.bool ]).check true => true */
    oneOf = ts:
      if ts == [ ] then throw "lib.types.oneOf: the list of types is empty" else foldl' types.either (head ts) (builtins.tail ts);

    /** type -> (a -> b) -> type -> type: values of the first type become such of the last. */
    coercedTo = from: f: to:
      let coerce = value: if from.check value then f value else value; in
      if from.getSubModules != null then throw "lib.types.coercedTo: the first type must not be a submodule, and is ${from.description}"
      else mkOptionType {
        name = "coercedTo";
        description = "${phrase [ "noun" "conjunction" ] to} or ${phrase [ "noun" "conjunction" ] from} convertible to it";
        descriptionClass = "conjunction";
        check = x: (from.check x && to.check (f x)) || to.check x;
        merge = loc: defs: to.merge loc (map (def: def // { value = coerce def.value; }) defs);
        inherit (to) emptyValue getSubOptions getSubModules;
        substSubModules = m: types.coercedTo from f (to.substSubModules m);
        typeMerge = _: null;
        nestedTypes = { coercedType = from; finalType = to; };
      };

    /** type -> (value -> bool) -> type: a stricter check.
        (types.addCheck types.int (x: x > 1)).check 1 => false */
    addCheck = type: check: type // { check = x: type.check x && check x; };

    /** A value of `generators.mkLuaInline`. */
    luaInline = mkOptionType {
      name = "luaInline"; description = "inline lua"; descriptionClass = "noun"; check = isType "lua-inline"; merge = mergeEqualOption;
    };
  };
in
types
