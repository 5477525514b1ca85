builtins.foldl' builtins.mul 1 (builtins.genList (i: 10) 18)
