map builtins.toJSON [ null true 1 (-5) 1.5 1.0 "a" [ ] { } [ 1 [ 2 ] ] { b = 1; a = "x"; } ]
