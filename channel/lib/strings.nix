/**
  Strings: joining, splitting, escaping, padding, comparing; names and versions within them.

  A string may carry context (which derivations it mentions); what is cut out of a string keeps it, except where said otherwise.
  Upper and lower case mean ASCII's; lengths and positions count bytes.
*/
{ lib }:
let
  inherit (builtins)
    attrNames concatStringsSep elem elemAt filter foldl' genList head isAttrs isList isPath isString map match replaceStrings
    split stringLength substring tail toJSON typeOf;
  inherit (lib.trivial) id max min;

  # Every character from 1 to 127 with its code, by way of JSON: the language has no other notation for most.
  asciiTable = builtins.listToAttrs (genList
    (i: { name = builtins.fromJSON "\"\\u00${fixedWidthString 2 "0" (lib.toHexString (i + 1))}\""; value = i + 1; })
    127);

  inherit (lib.strings) fixedWidthString;

  quote = text: if isString text then lib.strings.escapeNixString text else "a ${typeOf text}";
  isSpace = c: c == " " || c == "\t" || c == "\n" || c == "\r";
in
rec {
  inherit (builtins)
    compareVersions concatStringsSep fromJSON hashString isString match parseDrvName readFile replaceStrings split storeDir stringLength
    substring toJSON typeOf unsafeDiscardStringContext;

  /** [string] -> string
      concatStrings [ "a" "b" ] => "ab" */
  concatStrings = concatStringsSep "";

  /** (a -> string) -> [a] -> string
      concatMapStrings (x: "a" + x) [ "x" "y" ] => "axay" */
  concatMapStrings = f: list: concatStringsSep "" (map f list);

  /** (int -> a -> string) -> [a] -> string: with the position, from 1.
      concatImapStrings (i: x: "${toString i}-${x}") [ "a" "b" ] => "1-a2-b" */
  concatImapStrings = concatImapStringsSep "";

  /** a -> [a] -> [a]
      intersperse "/" [ "usr" "bin" ] => [ "usr" "/" "bin" ] */
  intersperse = separator: list:
    if list == [ ] then [ ] else tail (builtins.concatMap (x: [ separator x ]) list);

  /** string -> (a -> string) -> [a] -> string
      concatMapStringsSep "-" toUpper [ "a" "b" ] => "A-B" */
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);

  /** string -> (int -> a -> string) -> [a] -> string: with the position, from 1.
      concatImapStringsSep "-" (i: x: toString (x / i)) [ 6 6 6 ] => "6-3-2" */
  concatImapStringsSep = separator: f: list: concatStringsSep separator (lib.imap1 f list);

  /** string -> (name -> value -> string) -> set -> string
      concatMapAttrsStringSep "," (n: v: "${n}=${v}") { a = "x"; b = "y"; } => "a=x,b=y" */
  concatMapAttrsStringSep = separator: f: set: concatStringsSep separator (lib.mapAttrsToList f set);

  /** [string] -> string: each with a newline.
      concatLines [ "a" "b" ] => "a\nb\n" */
  concatLines = concatMapStrings (line: line + "\n");

  /** string -> string -> string -> string
      replaceString "a" "b" "banana" => "bbnbnb" */
  replaceString = from: to: replaceStrings [ from ] [ to ];

  /** int -> string -> string
      strings.replicate 3 "v" => "vvv" */
  replicate = n: text: concatStringsSep "" (lib.lists.replicate n text);

  /** string -> string: without white space at both ends.
      trim "  a b\n" => "a b" */
  trim = trimWith { start = true; end = true; };

  /** { start ? false; end ? false; } -> string -> string: without white space at the chosen ends.
      trimWith { end = true; } " a " => " a" */
  trimWith = { start ? false, end ? false }: text:
    let
      n = stringLength text;
      # Counted from each end, so that a long text costs no more than its margins.
      leading = i: if i < n && isSpace (substring i 1 text) then leading (i + 1) else i;
      trailing = i: if i > from && isSpace (substring (i - 1) 1 text) then trailing (i - 1) else i;
      from = if start then leading 0 else 0;
      to = if end then trailing n else n;
    in
    substring from (to - from) text;

  /** string -> [path] -> string: a folder below each of the paths, joined by colons.
      makeSearchPath "bin" [ "/usr" "/opt" ] => "/usr/bin:/opt/bin" */
  makeSearchPath = subDir: paths: concatMapStringsSep ":" (path: "${path}/${subDir}") (filter (path: path != null) paths);

  /** string -> string -> [package] -> string: the same over an output of each package.
      makeSearchPathOutput "dev" "bin" [ { out = "/a"; dev = "/b"; } ] => "/b/bin" */
  makeSearchPathOutput = output: subDir: pkgs: makeSearchPath subDir (map (lib.getOutput output) pkgs);

  /** [package] -> string
      makeLibraryPath [ "/usr" "/opt" ] => "/usr/lib:/opt/lib" */
  makeLibraryPath = makeSearchPathOutput "lib" "lib";

  /** [package] -> string
      makeIncludePath [ "/usr" ] => "/usr/include" */
  makeIncludePath = makeSearchPathOutput "dev" "include";

  /** [package] -> string
      makeBinPath [ "/usr" "/opt" ] => "/usr/bin:/opt/bin" */
  makeBinPath = makeSearchPathOutput "bin" "bin";

  /** string -> string: without doubled slashes.
      normalizePath "/a//b///c/" => "/a/b/c/" */
  normalizePath = path: addContextFrom path (concatStringsSep "/" (filter isString (split "/+" path)));

  /** bool -> string -> string: the string, or an empty one.
      optionalString false "a" => "" */
  optionalString = cond: text: if cond then text else "";

  /** string -> string -> bool
      hasPrefix "foo" "foobar" => true */
  hasPrefix = prefix: text:
    if isPath prefix then lib.warn "lib.hasPrefix ${toString prefix}: a path is no prefix of a string, so this is false; use `toString`" false
    else substring 0 (stringLength prefix) text == prefix;

  /** string -> string -> bool
      hasSuffix "bar" "foobar" => true */
  hasSuffix = suffix: text:
    let at = stringLength text - stringLength suffix; in
    if isPath suffix then lib.warn "lib.hasSuffix ${toString suffix}: a path is no suffix of a string, so this is false; use `toString`" false
    else at >= 0 && substring at (-1) text == suffix;

  /** string -> string -> bool: is the first anywhere in the second?
      hasInfix "ob" "foobar" => true */
  hasInfix = infix: text:
    if isPath infix then lib.warn "lib.hasInfix ${toString infix}: a path is no part of a string, so this is false; use `toString`" false
    else replaceStrings [ infix ] [ "" ] "${text}" != "${text}" || infix == "";

  /** string -> [string]
      stringToCharacters "abc" => [ "a" "b" "c" ] */
  stringToCharacters = text: genList (i: substring i 1 text) (stringLength text);

  /** (string -> string) -> string -> string: each character through the function.
      stringAsChars (c: if c == "a" then "i" else c) "nax" => "nix" */
  stringAsChars = f: text: concatMapStrings f (stringToCharacters text);

  /** string -> int: an ASCII character's code.
      charToInt "A" => 65 */
  charToInt = c: asciiTable.${c} or (throw "lib.charToInt: ${quote c} is not one ASCII character");

  /** [string] -> string -> string: a backslash before each of these characters.
      escape [ "(" ")" ] "(a)" => "\\(a\\)" */
  escape = chars: replaceStrings chars (map (c: "\\${c}") chars);

  /** [string] -> string -> string: \xHH for each of these characters.
      escapeC [ " " ] "a b" => "a\\x20b" */
  escapeC = chars: replaceStrings chars (map (c: "\\x${fixedWidthString 2 "0" (toLower (lib.toHexString (charToInt c)))}") chars);

  /** string -> string: percent signs for all that a URL's parts cannot hold as it is.
      escapeURL "a b/c" => "a%20b%2Fc" */
  escapeURL =
    let
      special = filter (c: match "[A-Za-z0-9_.~-]" c == null) (attrNames asciiTable);
    in
    replaceStrings special (map (c: "%${fixedWidthString 2 "0" (lib.toHexString asciiTable.${c})}") special);

  /** a -> string: one word for a POSIX shell, quoted where it has to be.
      escapeShellArg "it's" => "'it'\\''s'" */
  escapeShellArg = arg:
    let text = toString arg; in
    if match "[[:alnum:],._+:@%/-]+" text != null then text else "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";

  /** [a] -> string
      escapeShellArgs [ "one" "two three" ] => "one 'two three'" */
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;

  /** string -> bool: could it name a shell variable?
      isValidPosixName "foo_1" => true */
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;

  /** name -> value -> string: a shell's assignment; a list becomes an array, a set an associative one.
      toShellVar "a" [ "x" "y z" ] => "declare -a a=(x 'y z')" */
  toShellVar = name: value:
    if !isValidPosixName name then throw "lib.toShellVar: ${quote name} is not a name of a shell variable"
    else if isAttrs value && !isStringLike value then
      "declare -A ${name}=(${concatStringsSep " " (lib.mapAttrsToList (n: v: "[${escapeShellArg n}]=${escapeShellArg v}") value)})"
    else if isList value then "declare -a ${name}=(${escapeShellArgs value})"
    else "${name}=${escapeShellArg value}";

  /** { name = value; } -> string: a line for each.
      toShellVars { a = 1; b = "x y"; } => "a=1\nb='x y'" */
  toShellVars = vars: concatStringsSep "\n" (lib.mapAttrsToList toShellVar vars);

  /** string -> string: a literal of the Nix language.
      escapeNixString "\${a}" => "\"\\\${a}\"" */
  escapeNixString = text: escape [ "$" ] (toJSON text);

  /** string -> string: no character means anything to `match` and `split`.
      escapeRegex "[^a-z]*" => "\\[\\^a-z]\\*" */
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");

  /** string -> string: an attribute's name, quoted where the language wants it.
      escapeNixIdentifier "a b" => "\"a b\"" */
  escapeNixIdentifier = name:
    let keywords = [ "assert" "else" "if" "in" "inherit" "let" "or" "rec" "then" "with" ]; in
    if match "[a-zA-Z_][a-zA-Z0-9_'-]*" name != null && !elem name keywords then name else escapeNixString name;

  /** string -> string
      escapeXML "<\"a\">" => "&lt;&quot;a&quot;&gt;" */
  escapeXML = replaceStrings [ "\"" "'" "<" ">" "&" ] [ "&quot;" "&apos;" "&lt;" "&gt;" "&amp;" ];

  lowerChars = stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

  /** string -> string
      toLower "Home" => "home" */
  toLower = replaceStrings upperChars lowerChars;

  /** string -> string
      toUpper "home" => "HOME" */
  toUpper = replaceStrings lowerChars upperChars;

  /** string -> string
      toSentenceCase "hOME town" => "Home town" */
  toSentenceCase = text:
    if !isString text then throw "lib.toSentenceCase: takes a string, and got ${quote text}"
    else toUpper (substring 0 1 text) + toLower (substring 1 (-1) text);

  /** string -> string: words are told apart by `-`, `_`, blanks and capitals.
      toCamelCase "hello-wide_World" => "helloWideWorld" */
  toCamelCase = text:
    let
      pieces = splitStringBy (_: c: elem c [ "-" "_" " " ]) false text;
      words = builtins.concatMap (splitStringBy (prev: c: match "[a-z]" prev != null && match "[A-Z]" c != null) true) pieces;
    in
    if !isString text then throw "lib.toCamelCase: takes a string, and got ${quote text}"
    else concatStringsSep "" (lib.imap0 (i: word: if i == 0 then toLower word else toSentenceCase word) words);

  /** string -> string -> string: the second, with the context of both.
      addContextFrom "a" "b" => "b" */
  addContextFrom = source: text: substring 0 0 source + text;

  /** string -> string -> [string]
      splitString "." "a.b" => [ "a" "b" ] */
  splitString = separator: text:
    let source = toString text; in
    map (addContextFrom source) (filter isString (split (escapeRegex (toString separator)) source));

  /** (char -> char -> bool) -> bool -> string -> [string]
      Splits where the predicate, given a character's predecessor and the character, holds; the flag says whether to keep that character.
      splitStringBy (prev: c: c == ".") true "a.b" => [ "a" ".b" ] */
  splitStringBy = pred: keep: text:
    let
      n = stringLength text;
      splits = filter (i: pred (if i == 0 then "" else substring (i - 1) 1 text) (substring i 1 text)) (genList id n);
      starts = [ 0 ] ++ map (i: if keep then i else i + 1) splits;
      ends = splits ++ [ n ];
    in
    if text == "" then [ "" ] else lib.zipListsWith (from: to: substring from (to - from) text) starts ends;

  /** string -> string -> string: unchanged where it does not begin so.
      removePrefix "foo." "foo.bar" => "bar" */
  removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;

  /** string -> string -> string: unchanged where it does not end so.
      removeSuffix ".txt" "a.txt" => "a" */
  removeSuffix = suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;

  /** version -> version -> bool: is the first older than the second?
      versionOlder "1.9" "1.10" => true */
  versionOlder = v1: v2: builtins.compareVersions v2 v1 == 1;

  /** version -> version -> bool: is the first as new as the second?
      versionAtLeast "1.10" "1.9" => true */
  versionAtLeast = v1: v2: !versionOlder v1 v2;

  /** string or derivation -> string: the name without the version.
      getName "hello-2.12" => "hello" */
  getName = x: if isString x then (builtins.parseDrvName x).name else x.pname or (builtins.parseDrvName x.name).name;

  /** string or derivation -> string
      getVersion "hello-2.12" => "2.12" */
  getVersion = x: if isString x then (builtins.parseDrvName x).version else x.version or (builtins.parseDrvName x.name).version;

  /** string -> string -> string: the name in a URL's last part, up to the separator.
      nameFromURL "https://example.org/hello-2.12.tar.gz" "-" => "hello" */
  nameFromURL = url: separator:
    let
      file = lib.last (splitString "/" url);
      name = head (splitString separator file);
    in
    if name == file then throw "lib.nameFromURL: there is no ${quote separator} in ${quote file}" else name;

  /** type -> name -> value -> string: an option of CMake.
      cmakeOptionType "path" "PREFIX" "/usr" => "-DPREFIX:PATH=/usr" */
  cmakeOptionType = type: name: value:
    let known = [ "BOOL" "FILEPATH" "INTERNAL" "PATH" "STRING" ]; in
    if !elem (toUpper type) known then throw "lib.cmakeOptionType: ${quote type} is not a type of CMake; these are: ${toString known}"
    else "-D${name}:${toUpper type}=${value}";

  /** name -> bool -> string
      cmakeBool "TESTS" false => "-DTESTS:BOOL=FALSE" */
  cmakeBool = name: flag: cmakeOptionType "bool" name (if flag then "TRUE" else "FALSE");

  /** name -> string -> string
      cmakeFeature "MODE" "fast" => "-DMODE:STRING=fast" */
  cmakeFeature = cmakeOptionType "string";

  /** name -> string -> string
      mesonOption "mode" "fast" => "-Dmode=fast" */
  mesonOption = name: value: "-D${name}=${value}";

  /** name -> bool -> string
      mesonBool "tests" false => "-Dtests=false" */
  mesonBool = name: flag: mesonOption name (lib.boolToString flag);

  /** name -> bool -> string
      mesonEnable "tests" false => "-Dtests=disabled" */
  mesonEnable = name: flag: mesonOption name (if flag then "enabled" else "disabled");

  /** bool -> name -> string: for configure scripts.
      enableFeature false "shared" => "--disable-shared" */
  enableFeature = flag: name: "--${if flag then "enable" else "disable"}-${name}";

  /** bool -> name -> value -> string
      enableFeatureAs true "shared" "foo" => "--enable-shared=foo" */
  enableFeatureAs = flag: name: value: enableFeature flag name + optionalString flag "=${value}";

  /** bool -> name -> string
      withFeature false "ssl" => "--without-ssl" */
  withFeature = flag: name: "--${if flag then "with" else "without"}-${name}";

  /** bool -> name -> value -> string
      withFeatureAs true "ssl" "/usr" => "--with-ssl=/usr" */
  withFeatureAs = flag: name: value: withFeature flag name + optionalString flag "=${value}";

  /** int -> string -> string -> string: padded from the left.
      fixedWidthString 5 "0" "15" => "00015" */
  fixedWidthString = width: filler: text:
    let missing = width - stringLength text; in
    if missing < 0 then throw "lib.fixedWidthString: ${quote text} is longer than ${toString width}"
    else if stringLength filler != 1 then
      (if missing == 0 then text else if filler == "" then throw "lib.fixedWidthString: the filler is empty"
      else substring 0 missing (replicate missing filler) + text)
    else replicate missing filler + text;

  /** int -> int -> string
      fixedWidthNumber 5 15 => "00015" */
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);

  /** float -> string: as `toString`, with a warning where digits are lost.
      floatToString 0.5 => "0.500000" */
  floatToString = x:
    let text = toString x; in
    lib.warnIf (x != builtins.fromJSON text) "${toJSON x} loses digits as a string: ${text}" text;

  /** value -> bool: a string, a path, or what acts as one.
      isStringLike { outPath = "/x"; } => true */
  isStringLike = x: isString x || isPath x || x ? outPath || x ? __toString;

  /** value -> bool: does `toString` take it?
      isConvertibleWithToString [ 1 null ] => true */
  isConvertibleWithToString = x:
    isStringLike x || elem (typeOf x) [ "null" "int" "float" "bool" ] || (isList x && lib.all isConvertibleWithToString x);

  /** value -> bool: an object in the store itself, not what lies in one.
      isStorePath "${builtins.storeDir}/d945ibfx9x185xf04b890y4f9g3cbb63-python/bin" => false */
  isStorePath = x:
    isStringLike x && (let path = toString x; in substring 0 1 path == "/" && dirOf path == builtins.storeDir);

  /** string -> int: decimal; white space around it is allowed, zeros in front are not.
      toInt " 1337 " => 1337 */
  toInt = text:
    let digits = match "[[:space:]]*(-?[[:digit:]]+)[[:space:]]*" text; in
    if digits == null then throw "lib.toInt: ${quote text} is not an integer"
    else if match "-?0[0-9]+" (head digits) != null
    then throw "lib.toInt: ${quote text} could be octal or decimal; `toIntBase10` takes it as decimal"
    else builtins.fromJSON (head digits);

  /** string -> int: decimal, also with zeros in front.
      toIntBase10 "0042" => 42 */
  toIntBase10 = text:
    let parts = match "[[:space:]]*(-?)0*([[:digit:]]+)[[:space:]]*" text; in
    if parts == null then throw "lib.toIntBase10: ${quote text} is not an integer"
    else builtins.fromJSON (concatStringsSep "" parts);

  /** path -> path -> [path]: the lines of the second file as paths below the first; empty ones and `#` comments are left out.
      e.g. readPathsFromFile ./. ./series */
  readPathsFromFile = root: file:
    map (line: root + "/${line}") (filter (line: line != "" && !hasPrefix "#" line) (splitString "\n" (builtins.readFile file)));

  /** path -> string: what is in a file, without a newline at its end.
      e.g. fileContents ./version */
  fileContents = file: removeSuffix "\n" (builtins.readFile file);

  /** string -> string: what is not allowed in a derivation's name becomes `-`.  Without context.
      sanitizeDerivationName "..a b (c)" => "a-b-c-" */
  sanitizeDerivationName = text:
    let
      plain = builtins.unsafeDiscardStringContext (toString text);
      safe = concatStringsSep "-" (filter isString (split "[^[:alnum:]+._?=-]+" (head (match "\\.*(.*)" plain))));
      # As long as a name may be with room for `.drv`; the end of a text tells more than its beginning.
      short = substring (max 0 (stringLength safe - 207)) (-1) safe;
    in
    if stringLength plain <= 207 && match "[[:alnum:]+_?=-][[:alnum:]+._?=-]*" plain != null then plain
    else if short == "" then "unknown" else short;

  /** string -> string -> int: how many insertions, deletions and replacements lead from one to the other.
      levenshtein "kitten" "sitting" => 3 */
  levenshtein = a: b:
    let
      columns = genList (i: i + 1) (stringLength b);
      # One row of the table after the other: `row` holds the distances of a's beginning to all beginnings of b.
      next = row: i:
        let char = substring i 1 a; in
        foldl'
          (done: j: done ++ [ (min
            (min (elemAt row j + 1) (elemAt done (j - 1) + 1))
            (elemAt row (j - 1) + (if substring (j - 1) 1 b == char then 0 else 1))) ])
          [ (i + 1) ]
          columns;
    in
    elemAt (foldl' next ([ 0 ] ++ columns) (genList id (stringLength a))) (stringLength b);

  /** string -> string -> int
      commonPrefixLength "foobar" "foobaz" => 5 */
  commonPrefixLength = a: b:
    let
      n = min (stringLength a) (stringLength b);
      go = i: if i < n && substring i 1 a == substring i 1 b then go (i + 1) else i;
    in
    go 0;

  /** string -> string -> int
      commonSuffixLength "foobar" "xbar" => 3 */
  commonSuffixLength = a: b:
    let
      la = stringLength a;
      lb = stringLength b;
      go = i: if i < min la lb && substring (la - 1 - i) 1 a == substring (lb - 1 - i) 1 b then go (i + 1) else i;
    in
    go 0;

  /** int -> string -> string -> bool: is their distance at most this?  Faster than `levenshtein` for what is far apart.
      levenshteinAtMost 1 "foo" "fo" => true */
  levenshteinAtMost = most: a: b:
    let
      la = stringLength a;
      lb = stringLength b;
      # Whether `left` changes lead from what follows position i of a to what follows position j of b.  Equal letters are
      # passed; where they differ, each kind of change is tried.
      reach = left: i: j:
        let missing = (la - i) - (lb - j); in
        missing <= left && -missing <= left && (
          if i == la || j == lb then true
          else if substring i 1 a == substring j 1 b then reach left (i + 1) (j + 1)
          else left > 0 && (
            reach (left - 1) (i + 1) (j + 1) || reach (left - 1) (i + 1) j || reach (left - 1) i (j + 1)));
    in
    # Trying grows by three with every change; the table of `levenshtein` does not.
    if most > 4 then levenshtein a b <= most else most >= 0 && reach most 0 0;
}
