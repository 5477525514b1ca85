let a = { x = 1; }; b = {
  x = 2; }; in (builtins.unsafeGetAttrPos "x" (builtins.intersectAttrs a b)).line
