[ (builtins.foldl' (a: b: a + b) 0 [ 1 2 3 ]) (builtins.foldl' (a: b: [ a b ]) "z" [ 1 2 ]) (builtins.foldl' (a: b: b) 7 [ ]) ]
