builtins.unsafeGetAttrPos "x" (builtins.mapAttrs (n: v: v) {
  x = 1; })
