let p = builtins.unsafeGetAttrPos "x" (builtins.listToAttrs [
  { name = "x"; value = 1; } ]); in if p == null then null else [ p.line p.column ]
