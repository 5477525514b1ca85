/**
  Derivations as values: delaying them, leaving them out, warning about them.
*/
{ lib }:
{
  /** { derivation; meta ? null; passthru ? { }; outputs ? [ "out" ]; } -> derivation
      What is known without evaluating the derivation stays so; all else comes from it.
      (lazyDerivation { derivation = throw "evaluated"; meta.a = 1; }).meta => { a = 1; } */
  lazyDerivation = args@{ derivation, meta ? null, passthru ? { }, outputs ? [ "out" ] }:
    let
      checked =
        if derivation.type or null == "derivation" then derivation
        else throw "lib.lazyDerivation: the argument `derivation` is no derivation";
      outputAttrs = lib.genAttrs outputs (output: checked.${output});
    in
    {
      type = "derivation";
      inherit outputs;
      inherit (checked) drvPath name outPath outputName system;
      meta = args.meta or checked.meta;
    } // outputAttrs // passthru;

  /** bool -> derivation -> derivation or null: null in a derivation's attribute is as if it was not there.
      optionalDrvAttr false 1 => null */
  optionalDrvAttr = cond: value: if cond then value else null;

  /** string -> derivation -> derivation: a warning when it is instantiated, and none when it is only looked at.
      (warnOnInstantiate "old" { drvPath = throw "no"; name = "a"; }).name => "a" */
  warnOnInstantiate = message: drv:
    let late = lib.removeAttrs drv [ "meta" "name" "type" "outputName" ]; in
    drv // lib.mapAttrs (_: lib.warn message) late;
}
