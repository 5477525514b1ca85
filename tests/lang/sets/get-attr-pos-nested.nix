let s = {
  a.b.c = 1;
}; f = p: [ p.line p.column ]; in [ (f (builtins.unsafeGetAttrPos "a" s)) (f (builtins.unsafeGetAttrPos "b" s.a)) (f (builtins.unsafeGetAttrPos "c" s.a.b)) ]
