[ 1 (throw "never") ] == [ 2 3 ]
