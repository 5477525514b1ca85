/**
  Assertions that say what is wrong.  Each is true, or an error; so it stands after `assert`.
*/
{ lib }:
let show = lib.generators.toPretty { multiline = false; }; in
rec {
  /** bool -> string -> bool
      assertMsg (1 < 2) "numbers are broken" => true */
  assertMsg = pred: message: pred || throw message;

  /** string -> a -> [a] -> bool: the value, called so, is one of these.
      assertOneOf "size" "m" [ "s" "m" ] => true */
  assertOneOf = name: value: values:
    assertMsg (builtins.elem value values) "${name} must be one of ${show values}, and is ${show value}";

  /** string -> [a] -> [a] -> bool: each of the values is one of these.
      assertEachOneOf "sizes" [ "m" "xl" ] [ "s" "m" ] => throws */
  assertEachOneOf = name: values: known:
    let unknown = lib.subtractLists known values; in
    assertMsg (unknown == [ ]) "each of ${name} must be one of ${show known}, and ${show unknown} is not";

  /** [ { assertion, message } ] -> [string] -> a -> a: an error with all failed assertions; else the warnings, and the value.
      asserts.checkAssertWarn [ { assertion = true; message = ""; } ] [ ] 1 => 1 */
  checkAssertWarn = assertions: warnings: value:
    let failed = map (x: x.message) (builtins.filter (x: !x.assertion) assertions); in
    if failed != [ ] then throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (x: "- ${x}") failed}"
    else lib.showWarnings warnings value;
}
