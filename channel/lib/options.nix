/**
  Options: what a module declares.  Declaring them, merging simple values, and showing them in errors and manuals.

  A definition is `{ file; value; pos; }`: a value somebody gave to an option, and where (`pos` may be missing).  A location is a list
  of names, `[ "services" "nginx" "enable" ]`.
*/
{ lib }:
let
  inherit (builtins) all concatLists concatMap concatStringsSep foldl' head isAttrs isBool isInt isList isString length map tryEval;
  inherit (lib.trivial) isFunction;

  # A value as text that stays small, and is text even where the value fails or contains itself.
  showValue = value:
    let
      text = lib.generators.toPretty { }
        (lib.generators.withRecursion { depthLimit = 8; throwOnDepthLimit = false; } value);
      tried = tryEval (builtins.seq (builtins.stringLength text) text);
      lines = lib.splitString "\n" tried.value;
      shown = if length lines > 6 then lib.take 5 lines ++ [ "..." ] else lines;
    in
    if tried.success then concatStringsSep "\n    " shown else "<a value that fails when it is shown>";

  # Where a definition stands, as `file:line` where the line is known.
  showPlace = def:
    let
      file = toString def.file;
      pos = def.pos or null;
      known = pos != null && builtins.substring 0 1 pos.file == "/";
    in
    if !known then "`${file}'"
    else if pos.file == file || file == unknownModule then "`${pos.file}:${toString pos.line}'"
    else "`${file}' (${pos.file}:${toString pos.line})";

  unknownModule = "<unknown-file>";
in
rec {
  inherit unknownModule;

  /** value -> bool
      isOption (mkOption { }) => true */
  isOption = lib.isType "option";

  /** { default, defaultText, example, description, type, apply, internal, visible, readOnly, relatedPackages: each as it is needed } -> option
      (mkOption { default = 1; }).default => 1 */
  mkOption = attrs: { _type = "option"; } // attrs;

  /** string -> option: off, unless it is switched on.
      (mkEnableOption "the thing").description => "Whether to enable the thing." */
  mkEnableOption = name: mkOption {
    type = lib.types.bool;
    default = false;
    example = true;
    description = "Whether to enable ${name}.";
  };

  /** packages -> name or [name] -> { nullable ? false; default ? the name; example ? null; extraDescription ? ""; pkgsText ? "pkgs"; } -> option
      (mkPackageOption { hello = 1; } "hello" { }).default => 1 */
  mkPackageOption = pkgs: name:
    { nullable ? false, default ? name, example ? null, extraDescription ? "", pkgsText ? "pkgs" }:
    let
      names = lib.toList name;
      path = lib.toList default;
      text = path: literalExpression "${pkgsText}.${lib.showAttrPath path}";
      found = lib.attrByPath path (throw "`${pkgsText}.${lib.showAttrPath path}` cannot be found; name another package as `default` of this option") pkgs;
    in
    mkOption ({
      type = (if nullable then lib.types.nullOr else lib.id) lib.types.package;
      description = "The ${lib.last names} package to use.${lib.optionalString (extraDescription != "") " ${extraDescription}"}";
    }
    // (if default != null then { default = found; defaultText = text path; } else lib.optionalAttrs nullable { default = null; })
    // lib.optionalAttrs (example != null) { example = if isList example then text example else text [ example ]; });

  /** set -> option: takes anything and forgets it.
      (mkSinkUndeclaredOptions { }).apply 1 => throws */
  mkSinkUndeclaredOptions = attrs: mkOption ({
    internal = true;
    visible = false;
    default = false;
    description = "Sink for definitions that no option takes.";
    type = lib.mkOptionType { name = "sink"; check = _: true; merge = _: _: false; };
    apply = _: throw "this option has no value: it takes definitions of options that do not exist";
  } // attrs);

  /** location -> [definition] -> value: lists and strings are joined, sets united, booleans or-ed; anything else must be equal.
      mergeDefaultOption [ "a" ] [ { file = "x"; value = [ 1 ]; } { file = "y"; value = [ 2 ]; } ] => [ 1 2 ] */
  mergeDefaultOption = loc: defs:
    let values = getValues defs; in
    if length values == 1 then head values
    else if all isFunction values then x: mergeDefaultOption loc (map (def: def // { value = def.value x; }) defs)
    else if all isList values then concatLists values
    else if all isAttrs values then lib.mergeAttrsList values
    else if all isBool values then lib.any lib.id values
    else if all isString values then concatStringsSep "" values
    else if all isInt values && all (x: x == head values) values then head values
    else throw "Cannot merge definitions of `${showOption loc}'. Definition values:${showDefs defs}";

  /** location -> [definition] -> value: there must be one only.
      mergeOneOption [ "a" ] [ { file = "x"; value = 1; } ] => 1 */
  mergeOneOption = mergeUniqueOption { message = ""; };

  /** { message; merge ? …; } -> location -> [definition] -> value: there must be one only; the message tells why.
      mergeUniqueOption { message = ""; } [ "a" ] [ { file = "x"; value = 1; } { file = "y"; value = 1; } ] => throws */
  mergeUniqueOption = { message, merge ? null }: loc: defs:
    if length defs == 1 then (if merge == null then (head defs).value else merge loc defs)
    else throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.${
      lib.optionalString (message != "") "\n${message}"}\nDefinition values:${showDefs defs}\n${prioritySuggestion}";

  /** location -> [definition] -> value: there may be several, if they are equal.
      mergeEqualOption [ "a" ] [ { file = "x"; value = 1; } { file = "y"; value = 1; } ] => 1 */
  mergeEqualOption = loc: defs:
    if defs == [ ] then throw "there is no definition of `${showOption loc}' to merge"
    # Alone it is not compared, so that it may be a function.
    else if length defs == 1 then (head defs).value
    else (foldl'
      (first: def:
        if def.value != first.value
        then throw "The option `${showOption loc}' has conflicting definition values:${showDefs [ first def ]}\n${prioritySuggestion}"
        else first)
      (head defs)
      (builtins.tail defs)).value;

  /** What an error about several definitions advises. */
  prioritySuggestion = "Use `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";

  /** [definition] -> [value]
      getValues [ { file = "x"; value = 1; } ] => [ 1 ] */
  getValues = map (def: def.value);

  /** [definition] -> [file]
      getFiles [ { file = "x"; value = 1; } ] => [ "x" ] */
  getFiles = map (def: def.file);

  /** options -> [ { name; loc; description; type; … } ]: data for manuals and searches.
      Options within submodules come with `<name>` in place of names.
      map (o: o.name) (optionAttrSetToDocList (evalModules { modules = [ { options.a.b = mkOption { }; } ]; }).options.a) => [ "a.b" ] */
  optionAttrSetToDocList = optionAttrSetToDocList' [ ];

  /** [name] -> options -> [ { … } ]: the same; the first argument is ignored, and stays for those who pass it.
      optionAttrSetToDocList' [ ] { } => [ ] */
  optionAttrSetToDocList' = _: options:
    concatMap
      (opt:
        let
          name = showOption opt.loc;
          visible = opt.visible or true;
          doc = {
            inherit (opt) loc;
            inherit name;
            description = opt.description or null;
            declarations = builtins.filter (x: x != unknownModule) opt.declarations;
            internal = opt.internal or false;
            visible = if isBool visible then visible else visible == "shallow";
            readOnly = opt.readOnly or false;
            type = opt.type.description or "unspecified";
          }
          // lib.optionalAttrs (opt ? example) {
            example = builtins.addErrorContext "while showing the example of the option `${name}'" (renderOptionValue opt.example);
          }
          // lib.optionalAttrs (opt ? defaultText || opt ? default) {
            default = builtins.addErrorContext "while showing the default of the option `${name}'" (renderOptionValue (opt.defaultText or opt.default));
          }
          // lib.optionalAttrs (opt.relatedPackages or null != null) { inherit (opt) relatedPackages; };
          inner = opt.type.getSubOptions or (_: { }) opt.loc;
        in
        [ doc ] ++ lib.optionals (inner != { } && (visible == true || visible == "transparent")) (optionAttrSetToDocList inner))
      (lib.collect isOption options);

  /** value -> text value: Nix code for a manual, where the value is not such a text already.
      renderOptionValue [ 1 ] => literalExpression "[\n  1\n]" */
  renderOptionValue = value:
    if value ? _type && value ? text then value
    else literalExpression (lib.generators.toPretty { multiline = true; allowPrettyValues = true; } value);

  /** value -> value: derivations become their names.
      scrubOptionValue { type = "derivation"; name = "x"; } => { type = "derivation"; name = "x"; outPath = "\${x}"; drvPath = "\${x}"; } */
  scrubOptionValue = x:
    if lib.isDerivation x then { type = "derivation"; inherit (x) name; drvPath = "\${${x.name}}"; outPath = "\${${x.name}}"; }
    else if isList x then map scrubOptionValue x
    else if isAttrs x then lib.mapAttrs (_: scrubOptionValue) (removeAttrs x [ "_args" ])
    else x;

  /** string -> text value: Nix code as a default or an example, to be shown as it is.
      (literalExpression "pkgs.hello").text => "pkgs.hello" */
  literalExpression = text:
    if isString text then { _type = "literalExpression"; inherit text; }
    else throw "lib.literalExpression: takes a string, and got a ${builtins.typeOf text}";
  literalExample = literalExpression;

  /** string -> text value: a description in place of a default.
      (literalMD "the *usual* one").text => "the *usual* one" */
  literalMD = text:
    if isString text then { _type = "literalMD"; inherit text; }
    else throw "lib.literalMD: takes a string, and got a ${builtins.typeOf text}";

  /** location -> string
      showOption [ "services" "a b" "<name>" "enable" ] => "services.\"a b\".<name>.enable" */
  showOption = loc:
    let
      part = name:
        # `*` and `<name>` stand for any name, and what is in brackets is no name.
        if name == "*" || builtins.match "<.*>|\\[.*]" name != null then name else lib.strings.escapeNixIdentifier name;
    in
    concatStringsSep "." (map part loc);

  /** [file] -> string
      showFiles [ "a.nix" "b.nix" ] => "`a.nix' and `b.nix'" */
  showFiles = files: concatStringsSep " and " (map (file: "`${toString file}'") files);

  /** [definition] -> string: a line or more for each, with file, line and value.
      showDefs [ { file = "a.nix"; value = 1; } ] => "\n- In `a.nix': 1" */
  showDefs = defs: lib.concatMapStrings (def: "\n- In ${showPlace def}: ${showValue def.value}") defs;

  /** option -> string: its name, and where it is defined.
      hasInfix "a.nix" (showOptionWithDefLocs { loc = [ "a" ]; files = [ "a.nix" ]; }) => true */
  showOptionWithDefLocs = opt:
    "${showOption opt.loc}, with values defined in:\n${concatStringsSep "\n" (map (file: "  - ${toString file}") opt.files)}";
}
