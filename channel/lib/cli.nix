/**
  Command lines from sets of options.
*/
{ lib }:
rec {
  /** settings -> { option = value; } -> [string]: arguments in GNU's style.
      true is a flag alone, false and null are left out, a list repeats the option.
      toGNUCommandLine { } { v = true; o = "x"; name = [ 1 2 ]; } => [ "--name" "1" "--name" "2" "-o" "x" "-v" ] */
  toGNUCommandLine =
    { mkOptionName ? (k: if builtins.stringLength k == 1 then "-${k}" else "--${k}")
    , mkBool ? (k: v: lib.optional v (mkOptionName k))
    , mkList ? (k: v: builtins.concatMap (mkOption k) v)
    , optionValueSeparator ? null
    , mkOption ? (k: v:
        if v == null then [ ]
        else if optionValueSeparator == null then [ (mkOptionName k) (lib.generators.mkValueStringDefault { } v) ]
        else [ "${mkOptionName k}${optionValueSeparator}${lib.generators.mkValueStringDefault { } v}" ])
    }: options:
    let render = k: v: if builtins.isBool v then mkBool k v else if builtins.isList v then mkList k v else mkOption k v; in
    builtins.concatLists (lib.mapAttrsToList render options);

  /** settings -> { option = value; } -> string: the same, quoted for a shell.
      toGNUCommandLineShell { } { data = "a b"; } => "--data 'a b'" */
  toGNUCommandLineShell = settings: options: lib.escapeShellArgs (toGNUCommandLine settings options);
}
