map (builtins.elemAt [ "a" "b" "c" ]) [ 0 2 1 ]
