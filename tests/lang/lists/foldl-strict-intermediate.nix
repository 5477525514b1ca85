builtins.foldl' (a: b: if b == 1 then throw "forced" else b) 0 [ 1 2 ]
