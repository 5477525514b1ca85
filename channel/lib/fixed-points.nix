/**
  Fixed points: sets that refer to their own final form, and the overlays that change them.

  An overlay is a function `final: prev: { … }`: `final` is the set after all overlays, `prev` the set before this one.
*/
{ lib }:
rec {
  /** (a -> a) -> a: the value that the function maps to itself.
      fix (self: { a = 1; b = self.a + 1; }) => { a = 1; b = 2; } */
  fix = f: let self = f self; in self;

  /** (set -> set) -> set: as `fix`, and the function stays at hand as `__unfix__`.
      (fix' (self: { a = 1; })).a => 1 */
  fix' = f: let self = f self // { __unfix__ = f; }; in self;

  /** (a -> a) -> a -> a: applies the function until nothing changes.
      converge (x: x / 2) 16 => 0 */
  converge = f: x: let next = f x; in if next == x then x else converge f next;

  /** overlay -> (set -> set) -> (set -> set): the function with an overlay above it.
      fix (extends (final: prev: { a = prev.a + 1; }) (self: { a = 1; b = self.a; })) => { a = 2; b = 2; } */
  extends = overlay: f: final: let prev = f final; in prev // overlay final prev;

  /** overlay -> overlay -> overlay: the first, then the second.
      composeExtensions (f: p: { a = 1; }) (f: p: { b = p.a; }) { } { } => { a = 1; b = 1; } */
  composeExtensions = first: second: final: prev:
    let changed = first final prev; in changed // second final (prev // changed);

  /** [overlay] -> overlay: all of them, from left to right.
      composeManyExtensions [ (f: p: { a = 1; }) (f: p: { b = p.a; }) ] { } { } => { a = 1; b = 1; } */
  composeManyExtensions = lib.foldr composeExtensions (_: _: { });

  /** (set -> set) -> set: as `fix`, with a function `extend` that takes an overlay.
      ((makeExtensible (self: { a = 1; b = self.a; })).extend (f: p: { a = 2; })).b => 2 */
  makeExtensible = makeExtensibleWithCustomName "extend";

  /** string -> (set -> set) -> set: as `makeExtensible`, by another name than `extend`.
      ((makeExtensibleWithCustomName "with" (self: { a = 1; })).${"with"} (f: p: { a = 2; })).a => 2 */
  makeExtensibleWithCustomName = name: f:
    fix' (self: f self // { ${name} = overlay: makeExtensibleWithCustomName name (extends overlay f); });

  /** set or (prev -> set) or overlay -> overlay
      toExtension { a = 1; } { } { } => { a = 1; } */
  toExtension = f:
    if !lib.isFunction f then _: _: f
    else final: prev: let result = f prev; in if lib.isFunction result then f final prev else result;
}
