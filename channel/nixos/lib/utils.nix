/**
  What several modules need: names of units, trees of files, the channel's Python.  Modules have it as their argument `utils`.
*/
{ lib, pkgs }:
let
  inherit (builtins) match stringLength substring;

  hex = c: "\\x" + lib.fixedWidthString 2 "0" (lib.toLower (lib.toHexString (lib.strings.charToInt c)));
  escapeCharacter = c: if match "[a-zA-Z0-9:_.]" c != null then c else if c == "/" then "-" else hex c;
in
rec {
  /** string -> string: a path as part of a unit's name, as `systemd-escape --path` has it.
      escapeSystemdPath "/srv/my files" => "srv-my\\x20files" */
  escapeSystemdPath = path:
    let
      trimmed = lib.concatStringsSep "/" (lib.filter (part: part != "") (lib.splitString "/" (toString path)));
      escaped = lib.concatMapStrings escapeCharacter (lib.stringToCharacters trimmed);
    in
    if trimmed == "" then "-"
    else if substring 0 1 trimmed == "." then hex "." + substring 1 (stringLength escaped) escaped
    else escaped;

  /** value -> string: one argument of a unit's ExecStart.
      escapeSystemdExecArg "50%" => "\"50%%\"" */
  escapeSystemdExecArg = arg:
    builtins.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON (if builtins.isBool arg then lib.boolToString arg else toString arg));
  /** [value] -> string */
  escapeSystemdExecArgs = lib.concatMapStringsSep " " escapeSystemdExecArg;

  /** package or path -> path: a login shell, where it is on a running system.
      toShellPath "/bin/sh" => "/bin/sh" */
  toShellPath = shell:
    if !lib.isDerivation shell then toString shell
    else if shell ? shellPath then "/run/current-system/sw${shell.shellPath}"
    else "/usr/bin/${shell.meta.mainProgram or shell.pname or (lib.getName shell)}";

  /** The folder whose `usr/bin/python3` runs without a /usr, if PYTHONHOME is its `usr`. */
  python = pkgs.makeFarm [ pkgs.debian.python3 ];

  /** name -> variables -> script -> derivation: made by Python alone, without a farm. */
  runPython = name: variables: script: derivation ({
    inherit name;
    inherit (pkgs) system;
    builder = "${python}/usr/bin/python3";
    args = [ "-S" "-B" "-P" "${script}" ];
    PYTHONHOME = "${python}/usr";
    preferLocalBuild = true;
    allowSubstitutes = false;
  } // variables);

  /** name -> { files; base ? null; name ? ""; without ? [ ]; } -> derivation: a tree, as `make-tree.py` says. */
  makeTree = name: entries: runPython name { entries = builtins.toJSON entries; passAsFile = [ "entries" ]; } ./make-tree.py;

  /** Units as text and as data. */
  systemd = import ./systemd-lib.nix { inherit lib pkgs escapeSystemdPath; };

  /** fileSystem -> bool: is it mounted before the system starts? */
  fsNeededForBoot = fs: fs.neededForBoot || lib.elem fs.mountPoint [ "/" "/nix" "/nix/store" "/var" "/var/log" "/var/lib" "/var/lib/nixos" "/etc" "/usr" ];
}
