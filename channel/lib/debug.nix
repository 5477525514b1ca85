/**
  Looking into values while they are evaluated (on stderr), and tests of expressions.
*/
{ lib }:
let
  inherit (builtins) deepSeq isAttrs isList mapAttrs trace;

  # The value with everything below `depth` levels replaced by a word, so that showing it evaluates no more than that.
  cut = depth: v:
    if isList v then (if depth == 0 then "[…]" else map (cut (depth - 1)) v)
    else if isAttrs v then
      (if lib.isDerivation v then "<derivation>" else if depth == 0 then "{…}" else mapAttrs (_: cut (depth - 1)) v)
    else v;
  pretty = lib.generators.toPretty { };
in
rec {
  inherit (builtins) addErrorContext unsafeGetAttrPos;

  /** bool -> string -> a -> a
      traceIf false "unused" 1 => 1 */
  traceIf = pred: message: value: if pred then trace message value else value;

  /** (a -> b) -> a -> a: shows what the function makes of the value.
      traceValFn (x: "saw ${toString x}") 1 => 1 */
  traceValFn = f: value: trace (f value) value;

  /** a -> a
      traceVal 1 => 1 */
  traceVal = traceValFn lib.id;

  /** a -> b -> b: shows the first, fully evaluated.
      traceSeq { a = 1; } 2 => 2 */
  traceSeq = shown: value: trace (deepSeq shown shown) value;

  /** int -> a -> b -> b: as `traceSeq`, down to a depth.
      traceSeqN 1 { a.b = 1; } 2 => 2 */
  traceSeqN = depth: shown: value: let part = cut depth shown; in trace (pretty (deepSeq part part)) value;

  /** (a -> b) -> a -> a
      traceValSeqFn (x: x) { a = 1; } => { a = 1; } */
  traceValSeqFn = f: value: traceSeq (f value) value;

  /** a -> a
      traceValSeq [ 1 ] => [ 1 ] */
  traceValSeq = traceValSeqFn lib.id;

  /** (a -> b) -> int -> a -> a
      traceValSeqNFn id 1 [ [ 1 ] ] => [ [ 1 ] ] */
  traceValSeqNFn = f: depth: value: traceSeqN depth (f value) value;

  /** int -> a -> a
      traceValSeqN 1 [ [ 1 ] ] => [ [ 1 ] ] */
  traceValSeqN = traceValSeqNFn lib.id;

  /** int -> string -> (a -> b) -> a -> b: shows argument and result of a function.
      traceFnSeqN 2 "f" (x: x + 1) 1 => 2 */
  traceFnSeqN = depth: name: f: arg: let res = f arg; in traceSeqN (depth + 1) { fn = name; from = arg; to = res; } res;

  /** { testName = { expr; expected; }; } -> [ { name; expected; result; } ]: the tests that fail; only names that begin with `test` count.
      runTests { testAdd = { expr = 1 + 1; expected = 3; }; } => [ { name = "testAdd"; expected = 3; result = 2; } ] */
  runTests = tests:
    let
      chosen = tests.tests or [ ];
      isTest = name: (lib.hasPrefix "test" name || builtins.elem name chosen) && (chosen == [ ] || builtins.elem name chosen);
      run = name:
        lib.optional (tests.${name}.expr != tests.${name}.expected) { inherit name; inherit (tests.${name}) expected; result = tests.${name}.expr; };
    in
    builtins.concatMap run (builtins.filter (name: name != "tests" && isTest name) (builtins.attrNames tests));

  /** { failures = result of runTests; description ? text; } -> null, or an error that shows each failure
      throwTestFailures { failures = [ ]; } => null */
  throwTestFailures = { failures, description ? "tests", ... }:
    let
      show = { name, expected, result, ... }: "- ${name}\n  expected: ${pretty expected}\n  result:   ${pretty result}";
    in
    if failures == [ ] then null
    else throw "${toString (builtins.length failures)} of the ${description} failed:\n${lib.concatMapStringsSep "\n" show failures}";

  /** [bool] -> test: all are expected to be true.
      testAllTrue [ true ] => { expr = [ true ]; expected = [ true ]; } */
  testAllTrue = expr: { inherit expr; expected = map (_: true) expr; };
}
