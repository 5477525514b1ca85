let a = { self = a; list = [ a ]; }; in builtins.deepSeq a 1
