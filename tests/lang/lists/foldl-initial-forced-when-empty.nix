builtins.foldl' (a: b: b) (throw "result") [ ]
