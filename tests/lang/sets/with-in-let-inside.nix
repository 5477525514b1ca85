let a = 1; in with { b = 2; }; let c = b; in [ a b c ]
