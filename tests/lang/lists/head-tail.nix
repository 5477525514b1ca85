let l = [ 1 2 3 ]; in [ (builtins.head l) (builtins.tail l) (builtins.tail [ 1 ]) ]
