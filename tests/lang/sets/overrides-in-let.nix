let a = 1; b = a; __overrides = { a = 2; }; in [ a b ]
