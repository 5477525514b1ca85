[ (builtins.ceil 1.2) (builtins.ceil (-1.2)) (builtins.floor 1.8) (builtins.floor (-1.2)) (builtins.ceil 3) (builtins.floor 3) (builtins.ceil 0.0) (builtins.floor 1.0e15) ]
