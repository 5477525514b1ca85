/**
  Values as text: key-value files, INI, JSON, Nix, Lua, Dhall, property lists.

  A generator takes its settings first (often `{ }`) and then the value.  `mkKeyValue` and `mkValueString` are the settings that
  most have: how one line and how one value look.
*/
{ lib }:
let
  inherit (builtins)
    concatLists concatStringsSep filter head isAttrs isBool isFloat isInt isList isPath isString length
    mapAttrs split tail typeOf;
  inherit (lib.strings) concatMapStrings concatMapStringsSep escape escapeNixIdentifier escapeXML floatToString optionalString splitString;
  inherit (lib.trivial) boolToString isFunction;

  # Lists with one indent for all that is within, as Lua and Nix want them; the items are texts.
  block = { multiline, indent, open, close, separator }: items:
    let
      inner = if multiline then "\n${indent}  " else " ";
      outer = if multiline then "\n${indent}" else " ";
    in
    if items == [ ] then "${open}${close}" else "${open}${inner}${concatStringsSep "${separator}${inner}" items}${outer}${close}";
in
rec {
  /** { } -> value -> string: a scalar as most programs write it; no quotes.
      generators.mkValueStringDefault { } true => "true" */
  mkValueStringDefault = { }: v:
    if isString v then v
    else if isInt v then toString v
    else if isBool v then boolToString v
    else if v == null then "null"
    else if isFloat v then floatToString v
    else if lib.isDerivation v then toString v
    else
      throw "lib.generators.mkValueStringDefault: ${if isAttrs v then "a set" else if isList v then "a list" else "a ${typeOf v}"} has no plain form: ${
        toPretty { multiline = false; } v}; give `mkValueString`, or make it a string";

  /** { mkValueString ? … } -> separator -> key -> value -> string
      generators.mkKeyValueDefault { } ":" "f:oo" "bar" => "f\\:oo:bar" */
  mkKeyValueDefault = { mkValueString ? mkValueStringDefault { } }: separator: k: v:
    "${escape [ separator ] k}${separator}${mkValueString v}";

  /** { mkKeyValue ? …; listsAsDuplicateKeys ? false; indent ? ""; } -> set -> string: one line for each.
      generators.toKeyValue { } { a = 1; b = true; } => "a=1\nb=true\n" */
  toKeyValue = { mkKeyValue ? mkKeyValueDefault { } "=", listsAsDuplicateKeys ? false, indent ? "" }:
    let
      line = k: v: "${indent}${mkKeyValue k v}\n";
      lines = if listsAsDuplicateKeys then k: v: concatMapStrings (line k) (lib.toList v) else line;
    in
    set: concatStringsSep "" (lib.mapAttrsToList lines set);

  /** { mkSectionName ? …; mkKeyValue ? …; listsAsDuplicateKeys ? false; } -> { section = { key = value; }; } -> string
      generators.toINI { } { s = { a = 1; }; t = { }; } => "[s]\na=1\n\n[t]\n" */
  toINI =
    { mkSectionName ? escape [ "[" "]" ]
    , mkKeyValue ? mkKeyValueDefault { } "="
    , listsAsDuplicateKeys ? false
    }: sections:
    concatStringsSep "\n" (lib.mapAttrsToList
      (name: values: "[${mkSectionName name}]\n${toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values}")
      sections);

  /** as `toINI` -> { globalSection; sections ? { }; } -> string: with keys before the first section.
      generators.toINIWithGlobalSection { } { globalSection.a = 1; sections.s.b = 2; } => "a=1\n\n[s]\nb=2\n" */
  toINIWithGlobalSection =
    { mkSectionName ? escape [ "[" "]" ]
    , mkKeyValue ? mkKeyValueDefault { } "="
    , listsAsDuplicateKeys ? false
    }: { globalSection, sections ? { } }:
    optionalString (globalSection != { }) "${toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } globalSection}\n"
    + toINI { inherit mkSectionName mkKeyValue listsAsDuplicateKeys; } sections;

  /** set -> string: git's configuration; sets within are subsections, lists repeat a key.
      generators.toGitINI { user.name = "a"; url."x.y".insteadOf = "z"; } => "[url \"x.y\"]\n\tinsteadOf = \"z\"\n\n[user]\n\tname = \"a\"\n" */
  toGitINI = set:
    let
      mkSectionName = name:
        let parts = splitString "." name; in
        if length parts == 1 || lib.hasInfix "\"" name then name
        else "${head parts} \"${concatStringsSep "." (tail parts)}\"";
      mkValueString = v:
        if isString v then "\"${builtins.replaceStrings [ "\n" "\t" "\"" "\\" ] [ "\\n" "\\t" "\\\"" "\\\\" ] v}\""
        else mkValueStringDefault { } v;
      mkKeyValue = k: v: concatMapStringsSep "\n" (x: "\t" + mkKeyValueDefault { inherit mkValueString; } " = " k x) (lib.toList v);
      flat = path: v:
        if isAttrs v && !lib.isDerivation v then concatLists (lib.mapAttrsToList (name: flat (path ++ [ name ])) v)
        else if length path == 1 then throw "lib.generators.toGitINI: `${head path}` is not in a section"
        else [ { ${concatStringsSep "." (lib.init path)}.${lib.last path} = v; } ];
    in
    toINI { inherit mkSectionName mkKeyValue; } (lib.foldl' lib.recursiveUpdate { } (flat [ ] set));

  /** { } -> value -> string
      generators.toJSON { } { a = 1; } => "{\"a\":1}" */
  toJSON = { }: builtins.toJSON;

  /** { } -> value -> string: JSON, which YAML's readers read.
      generators.toYAML { } [ 1 ] => "[1]" */
  toYAML = toJSON;

  /** { depthLimit; throwOnDepthLimit ? true; } -> value -> value: cut below a depth, for values that contain themselves.
      generators.withRecursion { depthLimit = 1; throwOnDepthLimit = false; } { a.b = 1; } => { a.b = "<unevaluated>"; } */
  withRecursion = { depthLimit, throwOnDepthLimit ? true }:
    let
      special = [ "__functor" "__functionArgs" "__toString" "__pretty" ];
      go = depth: v:
        if !(isAttrs v || isList v) then (if depth > depthLimit then limit else v)
        else if depth > depthLimit then limit
        else if isAttrs v then mapAttrs (name: x: if builtins.elem name special then x else go (depth + 1) x) v
        else map (go (depth + 1)) v;
      limit =
        if throwOnDepthLimit then throw "lib.generators.withRecursion: deeper than ${toString depthLimit}, the limit" else "<unevaluated>";
    in
    if !isInt depthLimit then throw "lib.generators.withRecursion: `depthLimit` must be an integer" else go 0;

  /** { multiline ? true; allowPrettyValues ? false; indent ? ""; } -> value -> string: the Nix language, for people.
      generators.toPretty { multiline = false; } { a = [ 1 "x" ]; f = x: x; } => "{ a = [ 1 \"x\" ]; f = <function>; }" */
  toPretty = { multiline ? true, allowPrettyValues ? false, indent ? "" }:
    let
      go = indent: v:
        let
          inner = if multiline then "\n${indent}  " else " ";
          outer = if multiline then "\n${indent}" else " ";
          next = go (if multiline then indent + "  " else indent);
        in
        if isInt v then toString v
        # A sign that digits may be lost, and no valid Nix.
        else if isFloat v then "~${builtins.toJSON v}"
        else if isBool v then boolToString v
        else if v == null then "null"
        else if isPath v then toString v
        else if isString v then text inner outer v
        else if isList v then (if v == [ ] then "[ ]" else "[${inner}${concatMapStringsSep inner next v}${outer}]")
        else if isFunction v then
          (let names = lib.mapAttrsToList (name: optional: if optional then name + "?" else name) (lib.functionArgs v); in
          if names == [ ] then "<function>" else "<function, args: {${concatStringsSep ", " names}}>")
        else if isAttrs v then
          (if allowPrettyValues && v ? __pretty && v ? val then v.__pretty v.val
          else if v == { } then "{ }"
          else if lib.isDerivation v then "<derivation ${v.name or "???"}>"
          else "{${inner}${concatStringsSep inner (lib.mapAttrsToList (name: value: "${escapeNixIdentifier name} = ${
            builtins.addErrorContext "while showing the attribute `${name}`" (next value)};") v)}${outer}}")
        else throw "lib.generators.toPretty: a ${typeOf v} cannot be shown";
      text = inner: outer: v:
        let
          lines = filter isString (split "\n" v);
          last = lib.last lines;
          escaped = map (builtins.replaceStrings [ "\${" "''" ] [ "''\${" "'''" ]) lines;
        in
        if multiline && length lines > 1 then
          "''${inner}${concatStringsSep inner (lib.init escaped)}${if last == "" then outer else inner + lib.last escaped}''"
        else "\"${concatMapStringsSep "\\n" (escape [ "\\" "\"" "\${" ]) lines}\"";
    in
    go indent;

  /** { escape ? false; } -> value -> string: Apple's property list; null is left out.
      hasInfix "<integer>1</integer>" (generators.toPlist { } { a = 1; }) => true */
  toPlist = { escape ? false }:
    let
      safe = if escape then escapeXML else lib.id;
      keep = filter (x: x != null);
      go = ind: v:
        let deeper = ind + "\t"; in
        if v == null then ""
        else if isBool v then "${ind}<${boolToString v}/>"
        else if isInt v then "${ind}<integer>${toString v}</integer>"
        else if isFloat v then "${ind}<real>${floatToString v}</real>"
        else if isString v || isPath v || lib.isDerivation v then "${ind}<string>${safe "${v}"}</string>"
        else if isList v then concatStringsSep "\n" ([ "${ind}<array>" ] ++ map (go deeper) (keep v) ++ [ "${ind}</array>" ])
        else if isAttrs v then
          concatStringsSep "\n" ([ "${ind}<dict>" ]
            ++ concatLists (lib.mapAttrsToList (name: x: [ "${deeper}<key>${safe name}</key>" (go deeper x) ]) (lib.filterAttrs (_: x: x != null) v))
            ++ [ "${ind}</dict>" ])
        else throw "lib.generators.toPlist: a ${typeOf v} has no form in a property list";
    in
    v: ''
      <?xml version="1.0" encoding="UTF-8"?>
      <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
      <plist version="1.0">
      ${go "" v}
      </plist>'';

  /** { } -> value -> string
      generators.toDhall { } { a = [ true ]; } => "{ a = [ True ] }" */
  toDhall = { }@settings: v:
    if isAttrs v && lib.isDerivation v then builtins.toJSON (toString v)
    else if isAttrs v then "{ ${concatStringsSep ", " (lib.mapAttrsToList (name: x: "${name} = ${toDhall settings x}") v)} }"
    else if isList v then "[ ${concatMapStringsSep ", " (toDhall settings) v} ]"
    # A number without a sign is a Natural there.
    else if isInt v then "${if v < 0 then "" else "+"}${toString v}"
    else if isBool v then (if v then "True" else "False")
    else if isFunction v then throw "lib.generators.toDhall: a function has no form in Dhall"
    else if v == null then throw "lib.generators.toDhall: null has no form in Dhall"
    else builtins.toJSON v;

  /** { multiline ? true; indent ? ""; asBindings ? false; } -> value -> string; with `asBindings` an assignment for each name.
      generators.toLua { multiline = false; } { a = [ 1 null ]; } => "{ [\"a\"] = { 1, nil } }" */
  toLua = settings@{ multiline ? true, indent ? "", asBindings ? false }: v:
    let
      next = toLua (removeAttrs settings [ "asBindings" ] // { indent = if multiline then indent + "  " else indent; });
      table = block { inherit multiline indent; open = "{"; close = "}"; separator = ","; };
      binding = name: x:
        if builtins.match "[a-zA-Z_][a-zA-Z0-9_]*(\\.[a-zA-Z_][a-zA-Z0-9_]*)*" name == null
        then throw "lib.generators.toLua: `${name}` is no name of a variable in Lua"
        else "${indent}${name} = ${toLua (removeAttrs settings [ "asBindings" ]) x}\n";
    in
    if asBindings then concatStringsSep "" (lib.mapAttrsToList binding v)
    else if v == null then "nil"
    else if isInt v || isFloat v || isString v || isBool v then builtins.toJSON v
    else if isPath v || lib.isDerivation v then builtins.toJSON "${v}"
    else if isList v then table (map next v)
    else if isAttrs v && v._type or null == "lua-inline" then "(${v.expr})"
    else if isAttrs v then table (lib.mapAttrsToList (name: x: "[${builtins.toJSON name}] = ${next x}") v)
    else throw "lib.generators.toLua: a ${typeOf v} has no form in Lua";

  /** string -> value: an expression of Lua, as it is.
      generators.toLua { } (generators.mkLuaInline "1 + 1") => "(1 + 1)" */
  mkLuaInline = expr: { _type = "lua-inline"; inherit expr; };
}
