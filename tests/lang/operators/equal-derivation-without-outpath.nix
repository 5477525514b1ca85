let a = { type = "derivation"; n = 1; }; in [ (a == a) (a == { type = "derivation"; n = 2; }) ]
