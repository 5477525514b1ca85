[ (builtins ? builtins) (builtins.builtins ? map) (builtins ? toString) (builtins ? nothing) ]
