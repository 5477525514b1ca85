builtins.foldl' (acc: i: [ acc ]) [ ] (builtins.genList (i: i) 30)
