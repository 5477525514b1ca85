let s = { a = 1; } // (if s.a == 1 then { b = 2; } else { }); in (builtins.tryEval (builtins.attrNames { a = 1; })).value
