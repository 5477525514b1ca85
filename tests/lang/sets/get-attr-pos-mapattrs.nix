let s = builtins.mapAttrs (n: v: v) {
  x = 1; }; in (builtins.unsafeGetAttrPos "x" s).line
