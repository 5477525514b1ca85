# Strings: interpolation, joining, cutting, replacing, matching, and adding to the end.
let
  range = builtins.genList (i: i);
  text = builtins.concatStringsSep "\n" (map (i: "option-${toString i} = value ${toString (i * 7)};") (range 20000));
  words = builtins.filter builtins.isString (builtins.split "[ \n]+" (builtins.substring 0 200000 text));
  lines = map (i: ''
    [section ${toString i}]
      name = ${toString (i + 1)}
      path = /usr/share/${toString i}/''${name}
  '') (range 200000);
  replaced = builtins.replaceStrings [ "value" "option" "\n" ] [ "v" "setting" "\\n" ] text;
  characters = builtins.foldl' (sum: i: if builtins.substring i 1 text == ";" then sum + 1 else sum) 0 (range 10000);
  grown = builtins.foldl' (string: i: string + "${toString i},") "" (range 6000);
  matched = builtins.foldl' (sum: i: if builtins.match "([a-z]+)-([0-9]+)\\.tar" "name-${toString i}.tar" != null then sum + 1 else sum) 0 (range 100000);
in
map (part: if builtins.isString part then builtins.hashString "sha256" part else part) [
  text
  (builtins.length words)
  (builtins.concatStringsSep "" lines)
  replaced
  characters
  grown
  matched
]
