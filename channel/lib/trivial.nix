/**
  Small functions about no type in particular: composing, numbers, warnings, the arguments of functions, reading data files.
*/
{ lib }:
let
  inherit (builtins) foldl' fromJSON getEnv isAttrs isInt readFile substring trace;
  hexDigits = "0123456789ABCDEF";

  # The release that the channel's names and meanings follow; what asks for a minimum compares with it.
  release = "25.11";
in
rec {
  inherit release;

  inherit (builtins) add addErrorContext bitAnd bitOr bitXor deepSeq genericClosure isBool isFloat lessThan pathExists seq sub;
  inherit isInt readFile;

  /** a -> a
      id 1 => 1 */
  id = x: x;

  /** a -> b -> a
      const 1 2 => 1 */
  const = x: _: x;

  /** a -> [ (a -> b) … ] -> z: the value goes through the functions from left to right.
      pipe 2 [ (x: x + 2) (x: x * 2) ] => 8 */
  pipe = foldl' (x: f: f x);

  /** [a] -> [a] -> [a]
      concat [ 1 ] [ 2 ] => [ 1 2 ] */
  concat = xs: ys: xs ++ ys;

  /** bool -> bool -> bool
      lib.or true false => true */
  "or" = x: y: x || y;

  /** bool -> bool -> bool
      and true false => false */
  and = x: y: x && y;

  /** bool -> bool -> bool
      xor true true => false */
  xor = x: y: x != y;

  /** int -> int: the complement of all 64 bits.
      bitNot 1 => -2 */
  bitNot = n: -1 - n;

  /** bool -> string
      boolToString true => "true" */
  boolToString = b: if b then "true" else "false";

  /** bool -> string
      boolToYesNo true => "yes" */
  boolToYesNo = b: if b then "yes" else "no";

  /** set -> set -> set: the right one wins.
      mergeAttrs { a = 1; b = 2; } { b = 3; } => { a = 1; b = 3; } */
  mergeAttrs = x: y: x // y;

  /** (a -> b -> c) -> b -> a -> c
      flip concat [ 1 ] [ 2 ] => [ 2 1 ] */
  flip = f: a: b: f b a;

  /** (a -> b) -> null or a -> null or b
      mapNullable (x: x + 1) null => null */
  mapNullable = f: x: if x == null then null else f x;

  /** a -> null or a -> a: a value for null.
      defaultTo 1 null => 1 */
  defaultTo = default: x: if x == null then default else x;

  /** number -> number -> number
      min 1 2 => 1 */
  min = x: y: if x < y then x else y;

  /** number -> number -> number
      max 1 2 => 2 */
  max = x: y: if x > y then x else y;

  /** int -> int -> int: the rest of a division, with the sign of the first.
      mod (-7) 3 => -1 */
  mod = base: int: base - int * (base / int);

  /** a -> a -> -1, 0 or 1, for what `<` can compare.
      compare 1 2 => -1 */
  compare = a: b: if a < b then -1 else if a > b then 1 else 0;

  /** (a -> bool) -> (a -> a -> int) -> (a -> a -> int) -> a -> a -> int
      What fulfils the predicate sorts first, and is compared by the first function; the rest by the second.
      splitByAndCompare (hasPrefix "a") compare compare "b" "az" => 1 */
  splitByAndCompare = pred: yes: no: a: b:
    if pred a then (if pred b then yes a b else -1) else if pred b then 1 else no a b;

  /** path -> value
      e.g. importJSON ./versions.json */
  importJSON = path: fromJSON (readFile path);

  /** path -> value
      e.g. importTOML ./pyproject.toml */
  importTOML = path: builtins.fromTOML (readFile path);

  /** The release whose names and meaning the library follows, with what kind of release it is. */
  version = release + versionSuffix;
  versionSuffix = "-nivalis";
  codeName = "Debian";

  /** The same as `version`, by its old name. */
  nixpkgsVersion = version;

  /** int: the oldest release, as year and month, that module authors may still meet. */
  oldestSupportedRelease = 2505;

  /** int -> bool: is the given release one that everybody has?
      oldestSupportedReleaseIsAtLeast 2411 => true */
  oldestSupportedReleaseIsAtLeast = number: number <= oldestSupportedRelease;
  isInOldestRelease = oldestSupportedReleaseIsAtLeast;

  /** a -> string or a: the revision of the channel where one is known, which is never part of an evaluation here.
      revisionWithDefault "unknown" => "unknown" */
  revisionWithDefault = default: default;

  /** bool: started by nix-shell? */
  inNixShell = getEnv "IN_NIX_SHELL" != "";

  /** bool: is the evaluation pure, so that it cannot see the machine? */
  inPureEvalMode = !(builtins ? currentSystem);

  /** string -> a -> a: the second, after a warning on stderr.  NIX_ABORT_ON_WARN makes warnings fatal.
      e.g. warn "foo is old" 1 */
  warn =
    if builtins.elem (getEnv "NIX_ABORT_ON_WARN") [ "1" "true" "yes" ]
    then message: _: trace "warning: ${message}" (throw "a warning, and NIX_ABORT_ON_WARN is set")
    else message: trace "warning: ${message}";

  /** bool -> string -> a -> a: a warning where the condition holds.
      warnIf false "unused" 1 => 1 */
  warnIf = cond: message: if cond then warn message else id;

  /** bool -> string -> a -> a: a warning where the condition does not hold.
      warnIfNot true "unused" 1 => 1 */
  warnIfNot = cond: message: if cond then id else warn message;

  /** bool -> string -> a -> a: an error where the condition holds.
      throwIf true "bad" 1 => throws */
  throwIf = cond: message: if cond then throw message else id;

  /** bool -> string -> a -> a: an error where the condition does not hold.
      throwIfNot (1 < 2) "bad" 1 => 1 */
  throwIfNot = cond: message: if cond then id else throw message;

  /** string -> [a] -> [a] -> b -> b: an error unless all of the second list are in the first.
      checkListOfEnum "sizes" [ "s" "m" ] [ "xl" ] 1 => throws */
  checkListOfEnum = name: valid: given:
    let unknown = lib.subtractLists valid given; show = lib.generators.toPretty { multiline = false; }; in
    throwIf (unknown != [ ]) "${name}: ${show unknown} is not among the known values ${show valid}";

  /** string -> a -> a: a note on stderr.
      e.g. info "took the default" 1 */
  info = message: trace "INFO: ${message}";

  /** [string] -> a -> a: all as warnings.
      showWarnings [ ] 1 => 1 */
  showWarnings = warnings: value: builtins.foldl' (x: message: warn message x) value warnings;

  /** (a -> b) -> { name = has a default; } -> function: states which arguments a function takes.
      functionArgs (setFunctionArgs (x: x) { a = false; }) => { a = false; } */
  setFunctionArgs = f: args: { __functor = _: f; __functionArgs = args; };

  /** function -> { name = has a default; }: the named arguments, also of what `setFunctionArgs` made.
      functionArgs ({ a, b ? 1 }: a) => { a = false; b = true; } */
  functionArgs = f:
    if f ? __functor then f.__functionArgs or (functionArgs (f.__functor f)) else builtins.functionArgs f;

  /** function -> (a -> b) -> function: the second, with the first one's named arguments.
      functionArgs (mirrorFunctionArgs ({ a }: a) (args: args)) => { a = false; } */
  mirrorFunctionArgs = f: let args = functionArgs f; in g: setFunctionArgs g args;
  copyFunctionArgs = mirrorFunctionArgs;

  /** value -> bool: can it be called?
      isFunction { __functor = self: x: x; } => true */
  isFunction = f: builtins.isFunction f || (isAttrs f && f ? __functor && isFunction (f.__functor f));

  /** a or function -> function: what is no function becomes a constant one.
      toFunction 1 2 => 1 */
  toFunction = f: if isFunction f then f else const f;

  /** string -> int: hexadecimal digits, with or without 0x.
      fromHexString "ff" => 255 */
  fromHexString = text:
    let digits = builtins.match "(0x|0X)?([0-9a-fA-F]+)" text; in
    if digits == null then throw "lib.fromHexString: ${lib.strings.escapeNixString text} is not a hexadecimal number"
    else (builtins.fromTOML "n=0x${builtins.elemAt digits 1}").n;

  /** int -> string
      toHexString 250 => "FA" */
  toHexString = n: lib.concatMapStrings (digit: substring digit 1 hexDigits) (toBaseDigits 16 n);

  /** int -> int -> [int]: the digits of a number of at least 0, the highest first.
      toBaseDigits 10 250 => [ 2 5 0 ] */
  toBaseDigits = base: n:
    let digits = n: if n < base then [ n ] else digits (n / base) ++ [ (mod n base) ]; in
    if !isInt base || base < 2 then throw "lib.toBaseDigits: a base is an integer of at least 2"
    else if !isInt n || n < 0 then throw "lib.toBaseDigits: the number must be an integer of at least 0"
    else digits n;
}
