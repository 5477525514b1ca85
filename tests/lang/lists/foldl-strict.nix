builtins.foldl' (a: b: b) (throw "not forced") [ 1 ]
