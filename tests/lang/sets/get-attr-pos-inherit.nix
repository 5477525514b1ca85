let x = 1; s = {
  inherit x;
  inherit ({ y = 1; }) y; };
f = p: [ p.line p.column ]; in [ (f (builtins.unsafeGetAttrPos "x" s)) (f (builtins.unsafeGetAttrPos "y" s)) ]
