builtins.zipAttrsWith (n: builtins.foldl' builtins.add 0) [ { a = 1; b = 2; } { a = 10; } { b = 5; c = 9; } ]
