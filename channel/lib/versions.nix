/**
  Version numbers as text, `major.minor.patch`.
*/
{ lib }:
let part = i: version: let parts = builtins.splitVersion version; in
  if i < builtins.length parts then builtins.elemAt parts i else "";
in
rec {
  /** string -> [string]
      versions.splitVersion "1.2.3" => [ "1" "2" "3" ] */
  splitVersion = builtins.splitVersion;

  /** string -> string
      versions.major "1.2.3" => "1" */
  major = part 0;

  /** string -> string; empty where there is none.
      versions.minor "1.2.3" => "2" */
  minor = part 1;

  /** string -> string; empty where there is none.
      versions.patch "1.2.3" => "3" */
  patch = part 2;

  /** string -> string
      versions.majorMinor "1.2.3" => "1.2" */
  majorMinor = version: builtins.concatStringsSep "." (lib.take 2 (splitVersion version));

  /** int -> string -> string: exactly n components; zeros are appended, more are cut, a suffix after `-` stays.
      versions.pad 3 "1.2-rc1" => "1.2.0-rc1" */
  pad = n: version:
    let
      pieces = lib.splitString "-" version;
      numbers = lib.splitString "." (builtins.head pieces);
      suffix = lib.concatMapStrings (piece: "-" + piece) (builtins.tail pieces);
    in
    builtins.concatStringsSep "." (lib.take n (numbers ++ lib.replicate n "0")) + suffix;
}
