let v = { a = [ 1 2.5 null true "x" { } [ ] ]; "b c" = { d.e = "é\n"; }; }; in builtins.fromJSON (builtins.toJSON v) == v
