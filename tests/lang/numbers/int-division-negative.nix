map (p: builtins.div p.a p.b) [ { a = -7; b = 2; } { a = 7; b = -2; } { a = -7; b = -2; } ]
