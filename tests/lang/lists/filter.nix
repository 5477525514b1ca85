builtins.filter (x: x > 2) [ 3 1 4 1 5 ]
