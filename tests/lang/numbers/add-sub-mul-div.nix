[ (builtins.add 1 2) (builtins.sub 1 2) (builtins.mul 3 4) (builtins.div 7 2) (builtins.add 1 2.5) (builtins.sub 1.5 1) (builtins.mul 2 1.5) (builtins.div 7 2.0) ]
