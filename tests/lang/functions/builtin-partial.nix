let f = builtins.substring 1; g = f 2; in [ (g "abcdef") (f 1 "xyz") (builtins.typeOf f) ]
