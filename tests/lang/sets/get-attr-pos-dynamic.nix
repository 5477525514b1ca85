let n = "d"; s = {
  ${n} = 1; "q" = 2; };
f = p: [ p.line p.column ]; in [ (f (builtins.unsafeGetAttrPos "d" s)) (f (builtins.unsafeGetAttrPos "q" s)) ]
